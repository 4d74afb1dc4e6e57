"""Run from any folder, and by users without a home, a name or a folder to write in."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from aognet.commands import generate
from aognet.config import load_config
from aognet.data.cache import PanoramaCache
from aognet.diffusion import loading
from aognet.errors import UserError
from aognet.generate.inference import InferenceConfig
from aognet.installed import ROOT, installed
from aognet.io.store import CacheConfig
from aognet.system import home

SHIPPED = sorted((ROOT / "config").rglob("*.yaml"))
NOBODY = """
import pwd, runpy, sys
def unknown(number):
    raise KeyError(f"getpwuid(): uid not found: {number}")
pwd.getpwuid = unknown
sys.argv = sys.argv[1:]
sys.path.insert(0, sys.argv.pop(0))
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def texts(value: object) -> list[str]:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else []
    return [value] if isinstance(value, str) else [text for one in inner for text in texts(one)]


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: str(path.relative_to(ROOT)))
def test_what_a_shipped_config_needs_of_the_installation_is_found(path: Path, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "assets").mkdir()  # one of the same name is not meant
    named = [text for text in texts(yaml.safe_load(path.read_text())) if text.startswith("assets")]
    found = [text for text in texts(dict(load_config([path]).values)) if "assets" in text.split("/")]
    assert len(found) >= len(set(named))
    for text in found:
        assert Path(text).is_absolute() and Path(text).exists()
    monkeypatch.chdir(ROOT)
    again = [text for text in texts(dict(load_config([path]).values)) if "assets" in text.split("/")]
    assert all(not Path(text).is_absolute() for text in again)


def test_paths_of_users_are_relative_to_the_working_directory(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    mine = tmp_path / "mine.yaml"
    mine.write_text("checkpoint: assets/mine\n")
    assert load_config([mine]).values["checkpoint"] == "assets/mine"
    options = generate.parse(["--image", "assets/demo/beach.jpg", "--checkpoint", "assets/mine"])
    config = generate.read_config(options)
    assert config.values["checkpoint"] == "assets/mine"
    assert config.values["inputs"]["photos"] == ["assets/demo/beach.jpg"]
    assert InferenceConfig().checkpoint == str(ROOT / "assets/embedded/aognet")
    assert [installed(path) for path in ("assetsx/a", "data/assets", "/assets/a", "")] == [
        "assetsx/a",
        "data/assets",
        "/assets/a",
        "",
    ]


@pytest.fixture
def homeless(monkeypatch: pytest.MonkeyPatch) -> None:
    import pwd

    def unknown(number: int) -> None:
        raise KeyError(f"getpwuid(): uid not found: {number}")

    monkeypatch.setattr(pwd, "getpwuid", unknown)
    for name in ("HOME", "AOGNET_CACHE", *home.HUB_FOLDERS):
        monkeypatch.delenv(name, raising=False)


def test_a_cache_without_a_home_is_one_line(homeless: None, monkeypatch, tmp_path):
    config = CacheConfig()
    with pytest.raises(UserError, match="AOGNET_CACHE"):
        PanoramaCache(config, 64)
    PanoramaCache(CacheConfig(folder=None), 64)
    monkeypatch.setenv("AOGNET_CACHE", str(tmp_path))
    assert PanoramaCache(CacheConfig(), 64).store.folder == tmp_path / "panoramas"


@pytest.mark.parametrize("path", ["~/models/mine", "~", "~nobody-has-this-name/mine"])
def test_a_path_in_no_home_is_one_line(path: str, homeless: None):
    with pytest.raises(UserError, match="HOME"):
        loading.resolve(path)


def test_nothing_is_fetched_to_a_folder_named_tilde(homeless: None, monkeypatch, tmp_path):
    with pytest.raises(UserError, match="HF_HOME"):
        loading.resolve("owner/name")
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    with pytest.raises(UserError, match="hub did not give it"):
        loading.resolve("owner/name")


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="every user has a name there")
@pytest.mark.parametrize("compiled", [False, True])
def test_painting_from_another_folder_as_a_user_without_name_and_home(compiled: bool, tmp_path):
    settings = ["generator.plan.size=64", "generator.sampler.steps=1", f"execution.compile={compiled}"]
    command = [str(ROOT), str(ROOT / "inference.py"), "--size=64x128", *settings, "inputs.limit=1"]
    ran = subprocess.run(
        [sys.executable, "-c", NOBODY, *command],
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"], "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert "Traceback" not in ran.stderr
    if compiled:  # torch keeps what it compiles
        assert ran.returncode == 2 and "AOGNET_CACHE" in ran.stderr
    else:
        assert ran.returncode == 0, ran.stderr
    assert {path.name for path in tmp_path.iterdir()} <= {"outputs"}
