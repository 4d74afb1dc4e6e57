"""A photograph, and the command that paints with tiny sizes."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from aognet.commands import generate
from aognet.io.images import save_image
from tests.commands.painted import COMMAND, HEIGHT, VIEW, Paint, Stop
from tests.generate.painter import smooth_photo


@pytest.fixture(scope="module")
def photo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A photograph. Do not write beside it."""
    path = tmp_path_factory.mktemp("photos") / "yard.png"
    save_image(smooth_photo(30, 40), path)
    return path


@pytest.fixture(scope="session")
def settings(streams_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A configuration with tiny sizes."""
    path = tmp_path_factory.mktemp("settings") / "tiny.yaml"
    content = {
        "checkpoint": str(streams_folder), "device": "cpu",
        "inputs": {"photos": ["assets/demo"], "captions": ["assets/demo/captions.jsonl"]},
        "generator": {
            "height": HEIGHT, "plan": {"size": VIEW, "fov_degrees": 110, "overlap": 0.2}, "face_size": 16,
            "sampler": {"steps": 2, "guidance": 2.5}, "views_per_batch": 1,
        },
    }  # fmt: skip
    path.write_text(json.dumps(content))
    return path


@pytest.fixture
def paint(settings: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Paint:
    """The command line with tiny sizes as its default; it writes to ``tmp_path / "out"`` unless told otherwise."""
    monkeypatch.setattr(generate, "DEFAULT_CONFIG", settings)

    def run(*arguments: Any, out: Path = tmp_path / "out") -> int:
        return generate.main([*map(str, arguments), "--inference_out_dir", str(out)])

    return run


@pytest.fixture(scope="module")
def whole(photo: Path, settings: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of `COMMAND`, run without a stop. Do not write in it."""
    out = tmp_path_factory.mktemp("whole")
    assert generate.main(["-b", str(settings), *COMMAND, str(photo), "--inference_out_dir", str(out)]) == 0
    return out / "yard"


@pytest.fixture
def run(whole: Path, tmp_path: Path) -> Path:
    """A copy of it, where `paint` would have put it."""
    return shutil.copytree(whole, tmp_path / "out" / "yard")


@pytest.fixture
def stop(monkeypatch: pytest.MonkeyPatch) -> Stop:
    return Stop(monkeypatch)
