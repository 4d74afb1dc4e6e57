"""The command ``aognet style``: files of every kind, mistakes in one line, nothing half written."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from aognet.commands.style import main
from aognet.errors import UserError
from aognet.io.gpano import read_gpano
from aognet.io.hdr import write_exr
from aognet.style.styling import StyleConfig, Styler
from tests.style.pictures import panorama, photograph

ROWS = 32


@pytest.fixture
def files(tmp_path: Path) -> tuple[str, str]:
    """A panorama and a photograph."""
    for name, image in (("beach.png", panorama(ROWS)), ("photo.png", photograph())):
        Image.fromarray((image * 255).round().byte().permute(1, 2, 0).numpy()).save(tmp_path / name)
    return str(tmp_path / "beach.png"), str(tmp_path / "photo.png")


def levels(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path).convert("RGB")).astype(int)


def test_the_files_hold_the_styled_panorama(files: tuple[str, str], tmp_path: Path):
    source, photo = files
    out = [tmp_path / "new" / name for name in ("a.png", "a.jpg", "a.html")]
    main([source, "--style", photo, "--rows", "32", *(word for path in out for word in ("--out", str(path)))])
    image = torch.from_numpy(levels(Path(source))).permute(2, 0, 1) / 255
    wanted = Styler(StyleConfig(photo=photo, rows=32))(image).mul(255).round().permute(1, 2, 0).numpy()
    assert np.array_equal(levels(out[0]), wanted)
    assert np.abs(levels(out[0]) - levels(out[1])).mean() < 6 and "<html" in out[2].read_text()
    assert {path.name for path in out[0].parent.iterdir()} == {"a.png", "a.jpg", "a.html"}
    assert read_gpano(out[0]) is not None, "it says that it is a sphere"
    assert np.abs(levels(out[0]) - levels(Path(source))).mean() > 10


def test_light_is_shown_first(files: tuple[str, str], tmp_path: Path):
    light = np.random.default_rng(0).random((16, 32, 3)).astype(np.float32) * 4
    write_exr({letter: np.ascontiguousarray(light[..., i]) for i, letter in enumerate("RGB")}, tmp_path / "sky.exr")
    main([str(tmp_path / "sky.exr"), "--style", files[1], "--out", str(tmp_path / "sky.png")])
    assert levels(tmp_path / "sky.png").shape == (16, 32, 3)


def mistake(words: str, *arguments: str) -> None:
    with pytest.raises(UserError, match=words) as told:
        main(list(arguments))
    assert "\n" not in str(told.value)


def test_mistakes_are_told_in_one_line_and_write_nothing(files: tuple[str, str], tmp_path: Path):
    source, photo = files
    out = str(tmp_path / "new" / "a.png")
    with_style = ("--style", photo)
    mistake("none.png: no such image file", source, "--style", str(tmp_path / "none.png"), "--out", out)
    mistake("none.png: no such file", str(tmp_path / "none.png"), *with_style, "--out", out)
    mistake(r"--strength must lie in \[0, 1\], got 2.0", source, *with_style, "--out", out, "--strength", "2")
    mistake(r"--segments must lie in \[1, 8\], got 0", source, *with_style, "--out", out, "--segments", "0")
    mistake("--style must name the photograph", source, "--style", "", "--out", out)
    mistake("--out must end in .png, .jpg", source, *with_style, "--out", str(tmp_path / "a.exr"))
    mistake("beach.png: is the panorama itself", source, *with_style, "--out", source, "--overwrite")
    mistake("photo.png: is the photograph", source, *with_style, "--out", photo, "--overwrite")
    mistake("photo.png: a panorama is twice as wide", photo, *with_style, "--out", out)
    (tmp_path / "text.png").write_text("no image")
    mistake("text.png", source, "--style", str(tmp_path / "text.png"), "--out", out)
    assert not (tmp_path / "new").exists()
