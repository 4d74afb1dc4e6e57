"""The Python that README and docs/painting.md show runs as it stands, on a small panorama."""

import functools
import re
import shutil
from pathlib import Path

import pytest

import aognet
from aognet import Result

ROOT = Path(__file__).resolve().parents[1]
SMALL = ("generator.height=64", "generator.plan.size=64", "generator.plan.fov_degrees=120", "generator.sampler.steps=1")


def shown(page: str) -> str:
    """The first Python of a page that paints."""
    blocks = re.findall(r"^```python\n(.*?)^```", (ROOT / page).read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    return next(block for block in blocks if "load()" in block)


@pytest.fixture
def painted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to be in, with a photograph; whatever is loaded paints small panoramas."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(aognet, "load", functools.partial(aognet.load, settings=SMALL), raising=False)
    shutil.copy(ROOT / "assets" / "demo" / "village.jpg", "photo.jpg")
    return tmp_path


def test_readme_goes_from_a_photograph_to_a_panorama(painted: Path):
    code = shown("README.md")
    assert len(code.splitlines()) <= 12
    names: dict[str, object] = {}
    exec(compile(code, "README.md", "exec"), names)
    result = names["result"]
    assert isinstance(result, Result) and result.panorama.shape == (3, 64, 128)
    assert (painted / "snow.png").is_file() and (painted / "mine" / "snow" / "viewer.html").is_file()
    assert names["down"].shape == (3, 512, 512)


def test_the_page_of_painting_tells_how_far_it_is(painted: Path, capsys: pytest.CaptureFixture):
    code = shown("docs/painting.md").replace("height=512", "height=64").replace('"steps": 16', '"steps": 1')
    names: dict[str, object] = {}
    exec(compile(code, "docs/painting.md", "exec"), names)
    counted = [line.split() for line in capsys.readouterr().out.splitlines() if line.startswith("views")]
    assert counted[-1][1] == counted[-1][2] and names["result"].given.any()
    assert {path.name for path in painted.iterdir()} == {"photo.jpg"}
