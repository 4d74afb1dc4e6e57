"""``aognet relight`` (misc/relight.py): what it writes of every kind of panorama, and what it refuses in one line."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from aognet import cli
from aognet.io.hdr import read_light
from aognet.io.panorama_files import write_panorama
from misc import relight
from tests.slow import rest_slow
from tests.smooth import smooth_panorama

HEIGHT = 18


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same panorama as light and as display values. Do not write in it."""
    place = tmp_path_factory.mktemp("panoramas")
    shown = smooth_panorama(16)[0].add(1).div(2)
    for suffix in (".exr", ".hdr", ".png", ".jpg"):
        write_panorama(shown, place / f"room{suffix}", "srgb")
    return place


def lit(*arguments: Any) -> int:
    with pytest.raises(SystemExit) as stop:
        cli.run(relight.main, [*map(str, arguments), "--height", str(HEIGHT)])
    return stop.value.code


def pixels(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path).convert("RGB")).astype(float)


def test_panoramas_of_all_formats_give_one_picture(folder: Path, tmp_path: Path):
    for suffix in (".exr", ".hdr", ".png", ".jpg"):
        assert lit(folder / f"room{suffix}", "--out", tmp_path / f"of{suffix}.png") == 0
    pictures = [pixels(path) for path in sorted(tmp_path.iterdir())]
    assert pictures[0].shape == (HEIGHT, 32, 3) and np.ptp(pictures[0]) > 100
    assert all(np.abs(picture - pictures[0]).mean() < 3 for picture in pictures)


def test_light_is_written_in_the_unit_of_the_panorama(folder: Path, tmp_path: Path):
    bright = tmp_path / "bright.exr"
    write_panorama(torch.full((3, 16, 32), 40.0), bright, "linear")
    files = [tmp_path / "new" / f"spheres.{suffix}" for suffix in ("exr", "hdr", "png")]
    assert lit(bright, *(word for path in files for word in ("--out", path))) == 0
    for path in files[:2]:
        assert read_light(path, 10**6)[:4].mean() == pytest.approx(40, rel=0.01)
    plain = pixels(files[2])
    assert lit(bright, "--out", files[2], "--overwrite", "--exposure", "-2", "--curve", "srgb") == 0
    sky = pixels(files[2])[:4].mean() / 255
    assert sky == pytest.approx(1.055 * (0.5 / 4) ** (1 / 2.4) - 0.055, abs=0.01), "two stops below half of white"
    assert plain[:4].mean() / 255 > sky


def test_the_view_turns(folder: Path, tmp_path: Path):
    for yaw in (0, 360, 90):
        assert lit(folder / "room.png", "--out", tmp_path / f"{yaw}.png", "--view", yaw) == 0
    ahead, around, right = (pixels(tmp_path / f"{yaw}.png") for yaw in (0, 360, 90))
    assert np.abs(ahead - around).max() <= 1 and np.abs(ahead - right).mean() > 5


@pytest.mark.parametrize(
    ("arguments", "said"),
    rest_slow(
        [
            (["gone.exr", "--out", "a.png"], "gone.exr: no such file"),
            (["square.png", "--out", "a.png"], "a panorama is twice as wide as high, this image is 32x32"),
            (["broken.exr", "--out", "a.png"], "broken.exr: is no EXR file"),
            (["text.hdr", "--out", "a.png"], "text.hdr: not a Radiance HDR file"),
            (["room.exr", "--out", "a.gif"], "--out must end in .png, .jpg, .jpeg, .exr, .hdr, got a.gif"),
            (["room.exr", "--out", "room.exr", "--overwrite"], "room.exr: is the panorama itself"),
            (["room.exr", "--out", "there.png"], "there.png: is there already; --overwrite replaces it"),
            (["room.exr", "--out", "a.png", "--out", "a.png"], "a.png: would be written twice"),
            (["room.exr", "--out", "a.png", "--exposure", "nan"], "--exposure must be in [-64, 64], got nan"),
            (["room.exr", "--out", "a.png", "--curve", "reinhard"], "--curve must be one of published, srgb, filmic"),
            (["room.exr", "--out", "a.png", "--view", "inf"], "--view must lie in [-360, 360] degrees, got inf"),
            (["room.exr", "--out", "there.png/a.png"], "there.png"),
        ],
        fast=6,
    ),
)
def test_mistakes_are_told_in_one_line(
    folder: Path, tmp_path: Path, arguments: list[str], said: str, monkeypatch: pytest.MonkeyPatch, capsys
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "room.exr").write_bytes((folder / "room.exr").read_bytes())
    Image.new("RGB", (32, 32)).save("square.png")
    Path("broken.exr").write_bytes(b"nothing")
    Path("text.hdr").write_bytes(b"nothing")
    Path("there.png").write_bytes(b"mine")
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert lit(*arguments) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert said in lines[-1] and "Traceback" not in "".join(lines), lines
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_invalid_light_is_black(tmp_path: Path):
    light = torch.ones(3, 16, 32)
    light[:, :3], light[:, 5, 5], light[:, 6, 6] = torch.nan, -4, torch.inf
    from aognet.io.hdr import write_exr

    write_exr({letter: light[number].numpy() for number, letter in enumerate("RGB")}, tmp_path / "odd.exr")
    assert lit(tmp_path / "odd.exr", "--out", tmp_path / "odd.png", "--out", tmp_path / "lit.exr") == 0
    assert np.isfinite(read_light(tmp_path / "lit.exr", 10**6)).all()
