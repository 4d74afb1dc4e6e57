"""A command that was killed at any change of the disk, and given again until it ends, leaves what it always leaves."""

import random
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests import stub_model
from tests.generate.kills import Killed, Kills
from tests.slow import rest_slow
from tests.stub_model import contents, run


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A photograph, a panorama and settings. Do not write here."""
    return stub_model.make_inputs(tmp_path_factory.mktemp("inputs"))


@pytest.fixture
def kills(monkeypatch: pytest.MonkeyPatch) -> Kills:
    """What ends commands; they paint with a painter in place of a model."""
    stub_model.install(monkeypatch)
    return Kills(monkeypatch)


def photo(inputs: Path, out: Path, *more: str) -> None:
    settings = ("-b", inputs / "tiny.yaml", "--inference_out_dir", out)
    run(*settings, "--image", inputs / "yard.png", "--prompt", "a yard", *more)


def truth(inputs: Path, out: Path, *more: str) -> None:
    settings = ("-b", inputs / "tiny.yaml", "--inference_out_dir", out, "--save_faces")
    run(*settings, f"inputs.panoramas=[{inputs / 'hall.png'}]", "inputs.prompt=a hall", *more)


def both(inputs: Path, out: Path) -> None:
    """Two panoramas side by side."""
    photo(inputs, out, f"inputs.panoramas=[{inputs / 'hall.png'}]", "panoramas_per_batch=2")


def overwritten(inputs: Path, out: Path) -> None:
    truth(inputs, out, "--name", "yard", "--seed", "1", "--overwrite")


def replaced(inputs: Path, out: Path) -> None:
    photo(inputs, out, "--name", "hall", "--overwrite")


def repaint(inputs: Path, out: Path) -> None:
    run("--inference_out_dir", out, "--repaint", "150,10: a blue door")


def undo(inputs: Path, out: Path) -> None:
    run("--inference_out_dir", out, "--undo", 3)


def undone(inputs: Path, out: Path) -> None:
    """One that takes back what was painted anew."""
    run("--inference_out_dir", out, "--undo", 1)


def nothing(inputs: Path, out: Path) -> None: ...


def faces(inputs: Path, out: Path) -> None:
    photo(inputs, out, "--save_faces")


def meshes(inputs: Path, out: Path) -> None:
    photo(inputs, out, "--ply")


def after(*commands: Callable[[Path, Path], None]) -> Callable[[Path, Path], None]:
    def run_all(inputs: Path, out: Path) -> None:
        for one in commands:
            one(inputs, out)

    return run_all


CASES = {
    "photo": (nothing, photo),
    "two side by side": (nothing, both),
    "a photo over another": (truth, replaced),
    "repaint with truth and faces": (truth, repaint),
    "undo of a repaint": (after(truth, repaint), undone),
    "on after an undo": (after(photo, repaint, undo), photo),
    "a mesh of a finished run": (photo, meshes),
    # Of kinds that are above
    "truth": (nothing, truth),
    "another over a photo": (photo, overwritten),
    "repaint": (photo, repaint),
    "the same repaint again": (after(photo, repaint), repaint),
    "undo": (truth, undo),
    "faces of a finished run": (photo, faces),
    "repaint with a mesh": (meshes, repaint),
}


@pytest.mark.parametrize("share", rest_slow([2, 30]), ids=["some", "many"])
@pytest.mark.parametrize("case", rest_slow(CASES, fast=7))
def test_killed_at_any_change_and_given_again_it_ends_alike(
    case: str, share: int, inputs: Path, tmp_path: Path, kills: Kills
) -> None:
    """``share``: at how many of the changes, drawn at random; a few times as many are all that a command makes."""
    before, command = CASES[case]
    before(inputs, tmp_path / "before")
    (tmp_path / "before").mkdir(exist_ok=True)

    def begin(name: str) -> Path:
        return shutil.copytree(tmp_path / "before", tmp_path / name)

    kills.at(None)
    command(inputs, begin("whole"))
    changes, expected, chance = kills.count, contents(tmp_path / "whole"), random.Random(case)
    assert changes > 10
    for last in chance.sample(range(1, changes + 1), min(share, changes)):
        out, deaths = begin(str(last)), 0
        kills.at(last)
        while True:
            try:
                command(inputs, out)
                break
            except Killed:
                deaths += 1
            if contents(out) == expected:  # it had ended, as its journal tells: a change given again would be another
                break
            # Half of those that were killed are killed once more.
            kills.at(chance.randint(1, changes) if deaths == 1 and chance.random() < 0.5 else None)
        kills.at(None)
        assert deaths, "there are fewer changes than were counted"
        found = contents(out)
        assert found.keys() == expected.keys(), (last, deaths)
        assert [name for name in found if found[name] != expected[name]] == [], (last, deaths)
        shutil.rmtree(out)
