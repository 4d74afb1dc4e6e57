"""A method in another package, found by its entry point: the real commands train, resume, generate, measure and export.

It touches nothing outside its folder (`tests/plug_in/sunlight`), makes whole panoramas and works in linear light.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from aognet.commands import evaluate, export, generate, train
from aognet.errors import UserError
from aognet.generate.journal import Journal
from aognet.io.hdr import read_radiance
from aognet.io.images import load_image, save_image
from aognet.io.panorama_files import write_panorama
from aognet.methods.method import methods
from tests.slow import rest_slow
from tests.training.toy import fresh_processes

ROOT = Path(__file__).parents[1]
SUN = 900.0
ASKED = (
    *("-b", "empty.yaml", "--checkpoint", "logs/sun", "--prompt", "a sun", "--name", "sky"),
    *("generator.height=64", "device=cpu"),
)


@pytest.fixture(scope="module", autouse=True)
def installed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Where the plug-in is installed, as pip does it."""
    site = tmp_path_factory.mktemp("site")
    shutil.copytree(ROOT / "tests" / "plug_in" / "sunlight", site / "sunlight")
    about = site / "sunlight-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: sunlight\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text("[aognet.methods]\nsunlight = sunlight:METHOD\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(site)
        methods.cache_clear()
        yield site
    methods.cache_clear()


@pytest.fixture(autouse=True)
def clean_slate() -> Iterator[None]:
    yield from fresh_processes()


@pytest.fixture(scope="module")
def trained(installed: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two panoramas of light, whose sun is far brighter than white, and a model trained on them.

    Do not write in it.
    """
    folder = tmp_path_factory.mktemp("trained")
    (folder / "light").mkdir()
    light = torch.linspace(0.1, 2.0, 32)[None, :, None].expand(3, 32, 64).clone()
    light[:, 6:8, 20:22] = SUN
    for name in ("noon", "evening"):
        write_panorama(light, folder / "light" / f"{name}.exr", "linear")
    settings = {"max_steps": 60, "batch_size": 2, "learning_rate": 0.3, "num_workers": 0, "device": "cpu"}
    config = {
        "model": {"target": "sunlight", "height": 16},
        "data": {"train": {"target": "sunlight_samples", "folder": "light", "height": 16}},
        "trainer": {**settings, "checkpoint_every": 20, "weight_decay": 0.0, "betas": [0.5, 0.5]},
    }
    (folder / "train.yaml").write_text(json.dumps(config))
    (folder / "empty.yaml").write_text("{}")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        train.main(["-b", "train.yaml", "--n", "sun"])
    return folder


@pytest.fixture
def place(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it, which is the working directory."""
    monkeypatch.chdir(tmp_path)
    return shutil.copytree(trained, tmp_path, dirs_exist_ok=True)


def generated(out: str, *arguments: Any) -> None:
    assert generate.main([*ASKED, "--inference_out_dir", out, *map(str, arguments)]) == 0


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_it_is_trained_and_resumed_bit_for_bit(place: Path) -> None:
    final = load_file(place / "logs/sun/final/model.safetensors")["mean.log_light"]
    light = torch.from_numpy(read_radiance(place / "light/noon.exr", 10**6)).permute(2, 0, 1)
    expected = torch.nn.functional.avg_pool2d(light[None], 2).log1p()
    assert (final - expected).abs().mean() < 0.05
    train.main(["-b", "train.yaml", "--n", "half", "trainer.max_steps=30"])
    train.main(["-b", "train.yaml", "--n", "half", "--resume"])
    assert torch.equal(load_file(place / "logs/half/final/model.safetensors")["mean.log_light"], final)


def test_it_generates_linear_light_beyond_white(place: Path) -> None:
    generated("out")
    folder = place / "out" / "sky"
    light = read_radiance(folder / "result.exr", 10**6)
    assert light.shape == (64, 128, 3) and light.max() > 100 and light.dtype == np.float32
    assert len(np.unique(light)) > 256
    shown = load_image(folder / "result.png")
    assert shown.shape == (3, 64, 128) and shown.max() <= 1
    assert (folder / "viewer.html").is_file() and (folder / "prompt.txt").read_text() == "a sun\n"
    recorded = json.loads((folder / "run.json").read_text())
    assert (recorded["encoding"], recorded["kind"], recorded["finished"]) == ("linear", "steps", True)
    assert recorded["request"]["method"] == "sunlight"
    assert recorded["request"]["settings"] == {"steps": 4, "exposure": 1.0}
    assert [step["note"]["share"] for step in recorded["steps"]] == [1 / 4, 1 / 3, 1 / 2, 1.0]


@pytest.mark.parametrize("made", rest_slow([0, 3, 1, 2, 4], fast=2))
def test_stopped_it_goes_on_where_its_journal_ends(place: Path, made: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """However far it came: what is recorded is not made again, and the bytes are those of an uninterrupted run."""
    generated("whole")

    def stop(journal: Journal, *given: Any) -> None:
        raise KeyboardInterrupt

    def record(journal: Journal, *given: Any) -> None:
        stop(journal) if len(journal.entries) == made else original(journal, *given)

    original = Journal.record
    with monkeypatch.context() as patch:
        patch.setattr(Journal, "record", record)
        if made == 4:  # after the last step, before its results are noted
            patch.setattr(Journal, "settle", stop)
        with pytest.raises(KeyboardInterrupt):
            generated("out")
    steps = sorted((place / "out/sky/steps").iterdir())
    before = {path: path.stat().st_mtime_ns for path in steps}
    assert len(before) == made
    generated("out")
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert files(place / "out") == files(place / "whole")
    (place / "out/sky/result.exr").unlink()
    generated("out")
    assert files(place / "out") == files(place / "whole")


def test_what_is_given_stays_as_bright_as_it_is(place: Path) -> None:
    mask = torch.full((3, 32, 64), -1.0)
    mask[:, :, 40:] = 1.0  # white: there it is made
    save_image(mask, place / "mask.png")
    generated("given", "--panorama", "light/noon.exr", "--mask", "mask.png", "--save_faces", "generator.height=32")
    light, truth = (read_radiance(path, 10**6) for path in (place / "given/sky/result.exr", place / "light/noon.exr"))
    assert np.array_equal(light[:, :38], truth[:, :38]) and light.max() == SUN
    assert not np.array_equal(light[:, 42:], truth[:, 42:])
    face = read_radiance(place / "given/sky/faces/up.exr", 10**6)
    assert face.shape == (16, 16, 3) and face.max() > 100
    assert (place / "given/sky/input.exr").is_file()


def test_it_is_measured_and_exported(place: Path) -> None:
    generated("out")
    export.main(["out/sky", "--out", "sky.hdr", "--out", "sky.jpg", "--faces", "cube"])
    assert read_radiance(place / "sky.hdr", 10**6).max() > 100
    assert load_image(place / "sky.jpg").shape == (3, 64, 128) and (place / "cube" / "up.png").is_file()
    paired = ("--unpaired", "--height", "32", "--device", "cpu")
    assert not evaluate.main(["--generated", "out", "--reference", "light", "--out", "report", *paired])
    assert json.loads((place / "report.json").read_text())


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--prompt-at", "90,0: a barn", "--name", "new"), "prompts_at is not for the method sunlight, got"),
        (("generator.height=40", "--name", "new"), "height must be a multiple of 16, got 40"),
        (("generator.steps=0",), "generator.steps must lie in [1, 1000], got 0"),
        (("generator.stepps=3",), "generator.stepps is an unknown key; did you mean 'steps'"),
        (("--undo", "1"), "was not painted view by view"),
        (("--repaint", "0,0: x"), "was not painted view by view"),
        (("generator.exposure=2",), "settings.exposure: 1.0 there, 2.0 here"),
        (("--seed", "5"), "seed: 0 there, 5 here"),
    ],
)
def test_mistakes_are_told_in_one_line(place: Path, arguments: tuple[str, ...], said: str) -> None:
    generated("out")
    before = files(place / "out")
    with pytest.raises(UserError) as caught:
        generated("out", *arguments)
    assert said in str(caught.value) and "\n" not in str(caught.value)
    assert files(place / "out") == before


KILLER = """
import os, runpy, signal, sys
from aognet.generate.journal import Journal
record = Journal.record
def die(one, *given):
    if len(one.entries) == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    record(one, *given)
Journal.record = die
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


@pytest.mark.slow
def test_processes_find_it_by_its_entry_point(place: Path, installed: Path) -> None:
    """Killed by the system in the middle, the same command goes on."""
    generated("whole")
    (place / "killing.py").write_text(KILLER)
    environment = os.environ | {"PYTHONPATH": f"{installed}:{ROOT}", "OMP_NUM_THREADS": "1"}
    words = [str(ROOT / "inference.py"), *ASKED, "--inference_out_dir", "out"]
    for before, code in (([str(place / "killing.py")], -signal.SIGKILL), ([], 0)):
        ran = subprocess.run([sys.executable, *before, *words], env=environment, capture_output=True, text=True)
        assert ran.returncode == code, ran.stderr
    assert "going on after 2 steps" in ran.stderr
    assert files(place / "out") == files(place / "whole")


def test_a_package_whose_method_cannot_be_imported_is_left_out(
    installed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Or that takes the name of another: what is here goes on working, and it is said."""
    for name, code in (("broken", "raise RuntimeError('boom')"), ("twin", "from sunlight import METHOD")):
        (tmp_path / f"{name}_package.py").write_text(code)
        about = tmp_path / f"{name}-1.0.dist-info"
        about.mkdir()
        (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        (about / "entry_points.txt").write_text(f"[aognet.methods]\n{name} = {name}_package:METHOD\n")
    monkeypatch.syspath_prepend(tmp_path)
    methods.cache_clear()
    expected = {"aognet", "cubediff", "fusion", "ganorama", "seamless", "text2light", "sunlight"}
    assert set(methods()) >= expected and not set(methods()) & {"broken", "twin"}
    assert "broken_package:METHOD: the method of this package cannot be imported (boom)" in caplog.text
    assert "names no method, or one whose name is taken" in caplog.text
    methods.cache_clear()


def test_an_unknown_method_is_named(place: Path) -> None:
    (place / "logs/sun/final/config.json").write_text('{"method": "sunlite"}')
    with pytest.raises(UserError, match=r"config.json: method must be one of .*mean 'sunlight'\?\), got 'sunlite'"):
        generated("out")
    with pytest.raises(UserError, match="command line: method must be one of"):
        generated("out", "method=moonlight")
    assert not (place / "out").exists()
