"""The command ``aognet style``, and ``--style`` after a method: files, mistakes in one line, nothing half written."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from aognet.commands import generate
from aognet.commands.style import main
from aognet.errors import UserError
from aognet.generate.expander import Expander, ExpansionConfig
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
    mistake(
        "--weights must name the weights of VGG-16 for the way gatys",
        source,
        *with_style,
        "--out",
        out,
        "--way",
        "gatys",
    )
    mistake("--steps changes nothing in the way colour", source, *with_style, "--out", out, "--steps", "3")
    (tmp_path / "text.png").write_text("no image")
    mistake("text.png", source, "--style", str(tmp_path / "text.png"), "--out", out)
    assert not (tmp_path / "new").exists()


# ------------------------------------------------------------------------------------------------ after a method


@pytest.fixture
def paint(plain_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """The command line with tiny sizes as its default; it writes to ``tmp_path / "out" / "a"``."""
    content = {
        "checkpoint": str(plain_folder),
        "method": "seamless",
        "device": "cpu",
        "generator": {"height": 32, "sampler": {"steps": 1, "guidance": 1.0}},
    }
    (tmp_path / "tiny.yaml").write_text(json.dumps(content))
    monkeypatch.setattr(generate, "DEFAULT_CONFIG", tmp_path / "tiny.yaml")
    fixed = ["--prompt", "a beach", "--name", "a", "--inference_out_dir", str(tmp_path / "out")]
    return lambda *words: generate.main([*fixed, *words])


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file() and path.name != ".lock"}


def test_a_style_after_a_method(paint: Callable[..., int], files: tuple[str, str], tmp_path: Path):
    """What was painted stays; its style is claimed, recorded, kept, and made anew if asked otherwise."""
    folder, photo = tmp_path / "out" / "a", files[1]
    assert paint() == 0
    plain = contents(folder)
    assert paint("--style", photo) == 0
    made = contents(folder)
    assert set(made) - set(plain) == {"styled.png"} and made["result.png"] == plain["result.png"]
    shown = torch.from_numpy(levels(folder / "result.png")).permute(2, 0, 1) / 255
    wanted = Styler(StyleConfig(photo=photo))(shown)
    found = torch.from_numpy(levels(folder / "styled.png")).permute(2, 0, 1) / 255
    assert (found - wanted).abs().max() < 0.03, "made before rounding"
    assert made["viewer.html"] != plain["viewer.html"], "the page shows it"
    record = json.loads(made["run.json"])["expansion"]
    assert record["style"]["photo"] == photo and len(record["networks"]["style.photo"]) == 64
    assert paint("--style", photo) == 0 and paint() == 0
    assert contents(folder) == made, "nothing is made twice, and asking for less takes nothing away"
    (folder / "styled.png").unlink()
    assert paint("--style", photo) == 0 and contents(folder) == made
    assert paint("--style", photo, "style.strength=0") == 0
    assert contents(folder)["styled.png"] != made["styled.png"]
    assert np.array_equal(levels(folder / "styled.png"), levels(folder / "result.png"))


def test_light_and_size_are_those_of_the_style(paint: Callable[..., int], files: tuple[str, str], tmp_path: Path):
    assert paint("--style", files[1], "--upscale", "2", "--hdr") == 0
    folder = tmp_path / "out" / "a"
    large = levels(folder / "upscaled.png").reshape(ROWS, 2, 2 * ROWS, 2, 3).mean((1, 3))
    assert np.abs(large - levels(folder / "styled.png")).max() <= 1
    assert (folder / "result.exr").is_file()
    assert paint("--hdr") == 0 and not (folder / "styled.png").exists() and not (folder / "upscaled.png").exists()


def test_another_photograph_of_that_name_is_another_style(
    paint: Callable[..., int], files: tuple[str, str], tmp_path: Path
):
    assert paint("--style", files[1]) == 0
    before = contents(tmp_path / "out" / "a")
    Image.fromarray((photograph(seed=8) * 255).round().byte().permute(1, 2, 0).numpy()).save(files[1])
    assert paint("--style", files[1]) == 0
    after = contents(tmp_path / "out" / "a")
    assert after["styled.png"] != before["styled.png"] and after["result.png"] == before["result.png"]
    expander = Expander(ExpansionConfig(style=StyleConfig(photo=files[1])))
    record = json.loads(json.dumps(expander.record))
    assert Expander.of_record(record, "run.json").config == expander.config
    record["networks"]["style.photo"] = "0" * 64
    with pytest.raises(UserError, match="run.json: .*photo.png is another file than the one that made its style"):
        Expander.of_record(record, "run.json")


def test_records_without_a_style_are_as_before():
    """Runs that were made before there were styles are not made anew."""
    assert "style" not in Expander(ExpansionConfig()).record
    assert Expander.of_record(Expander(ExpansionConfig()).record, "run.json").config == ExpansionConfig()


def test_mistakes_after_a_method_leave_no_folder(paint: Callable[..., int], files: tuple[str, str], tmp_path: Path):
    for words, said in (
        (("--style", "none.jpg"), "none.jpg: no such image file"),
        (("style.strength=0.5",), "style.photo must name the photograph"),
        (("--style", files[1], "style.way=oil"), "style.way must be one of"),
        (("--style", files[1], "style.way=gatys"), "style.weights must name the weights of VGG-16"),
        (("--style", files[1], "style.steps=3"), "style.steps changes nothing in the way colour"),
        (("--style", files[1], "tiles.columns=2"), "--style is of panoramas|style is of panoramas"),
    ):
        with pytest.raises(UserError, match=said):
            paint(*words)
    assert not (tmp_path / "out").exists()


def test_a_photograph_is_never_written_over(paint: Callable[..., int], tmp_path: Path, files: tuple[str, str]):
    assert paint("--style", files[1]) == 0
    inside = tmp_path / "out" / "a" / "styled.png"
    before = inside.read_bytes()
    with pytest.raises(UserError, match="styled.png: is an input"):
        paint("--style", str(inside))
    assert inside.read_bytes() == before
