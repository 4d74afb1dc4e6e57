"""Light of a panorama by the real command: files, what stays, kills, and one line for a mistake."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional

from aognet.callbacks import Cancelled, Listener
from aognet.commands import generate
from aognet.commands.to_hdr import main as to_hdr
from aognet.errors import UserError
from aognet.generate import expander as expander_of_runs
from aognet.generate.asked import ModelConfig
from aognet.generate.expander import Expander, ExpansionConfig, consistent, with_network
from aognet.generate.generator import Generator
from aognet.hdr import expanding
from aognet.hdr.finishing import FinishingConfig
from aognet.hdr.sritmo import SrItmo, SrItmoConfig
from aognet.io.hdr import read_radiance, write_exr
from aognet.io.tonemap import ToneMap, tone_map_to_levels
from tests.hdr.test_upscaler import tensors

ROWS = 24


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny SR-iTMO. Do not write in it."""
    folder = tmp_path_factory.mktemp("sritmo")
    torch.manual_seed(0)
    SrItmo(SrItmoConfig(features=4, blocks=1, sr_widths=(8,), itmo_widths=(8,))).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def upscaler(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("upscaler") / "small.safetensors"
    save_file(tensors(scale=4), path)
    return path


def shown(seed: int = 0) -> Tensor:
    """A smooth panorama of bytes with a white sun, in [0, 1]."""
    source = torch.Generator().manual_seed(seed)
    low = torch.rand(1, 3, 6, 12, generator=source) * 0.9
    image = functional.interpolate(low, (ROWS, 2 * ROWS), mode="bilinear")[0]
    image[:, 5:8, 20:23] = 1.0
    return (image * 255).round() / 255


@pytest.fixture
def panorama(tmp_path: Path) -> Path:
    path = tmp_path / "beach.png"
    Image.fromarray((shown() * 255).round().byte().permute(1, 2, 0).numpy()).save(path)
    return path


def levels(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path).convert("RGB")).astype(int)


def test_the_files_hold_light_and_the_photograph(network: Path, panorama: Path, tmp_path: Path):
    """Half-float EXR and Radiance; tone-mapped, both are the panorama to rounding."""
    out = [tmp_path / "new" / name for name in ("beach.exr", "beach.hdr", "beach.html")]
    to_hdr([str(panorama), *(word for path in out for word in ("--out", str(path))), "--sritmo", str(network)])
    light = read_radiance(out[0], 10**6)
    assert light.shape == (ROWS, 2 * ROWS, 3) and light.max() >= 1
    mapped = tone_map_to_levels(light, np.uint8, ToneMap("srgb")).astype(int)
    assert np.abs(mapped - levels(panorama)).max() <= 1
    # Radiance keeps 8 bits of the brightest channel, and fewer of the others.
    mapped = tone_map_to_levels(read_radiance(out[1], 10**6), np.uint8, ToneMap("srgb")).astype(int)
    assert np.abs(mapped.max(-1) - levels(panorama).max(-1)).max() <= 2
    assert "exposure" in out[2].read_text() and {path.name for path in out[0].parent.iterdir()} == {
        "beach.exr", "beach.hdr", "beach.html",
    }  # fmt: skip


@pytest.mark.parametrize("factor", [2, 3])
@pytest.mark.parametrize("by_upscaler", [False, True])
def test_larger_panoramas_shrink_back(network: Path, upscaler: Path, panorama: Path, tmp_path: Path, factor: int,
                                      by_upscaler: bool):  # fmt: skip
    out, light = tmp_path / "large.png", tmp_path / "large.exr"
    more = ["--upscaler", str(upscaler)] if by_upscaler else []
    to_hdr([str(panorama), "--out", str(out), "--out", str(light), "--upscale", str(factor),
            "--sritmo", str(network), *more])  # fmt: skip
    large = levels(out)
    assert large.shape == (factor * ROWS, 2 * factor * ROWS, 3)
    shrunk = large.reshape(ROWS, factor, 2 * ROWS, factor, 3).mean((1, 3))
    assert np.abs(shrunk - levels(panorama)).max() <= 1
    mapped = tone_map_to_levels(read_radiance(light, 10**6), np.uint8, ToneMap("srgb")).astype(int)
    assert np.abs(mapped - large).max() <= 1


def test_fractional_factors_and_no_seam(network: Path):
    expander = Expander(ExpansionConfig(hdr=True, upscale=1.5, sritmo=str(network)))
    found = expander(shown())
    assert found.display.shape == found.light.shape == (3, 36, 72)
    turned = expander(shown().roll(4, -1))
    assert torch.allclose(turned.display, found.display.roll(6, -1), atol=1e-4)
    back = functional.interpolate(found.display[None], (ROWS, 2 * ROWS), mode="area")[0]
    assert (back - shown()).abs().mean() < 0.02


def test_enlarging_too_much_is_corrected():
    """Even from nothing at all, whatever the clipping."""
    image = shown()
    for start in (0.0, 1.0):
        larger = consistent(torch.full((3, 4 * ROWS, 8 * ROWS), start), image)
        assert torch.allclose(functional.avg_pool2d(larger, 4), image, atol=1e-5)


def test_a_killed_run_goes_on(network: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Strips that were done are not answered again, and the result is the same."""
    monkeypatch.setattr(expanding, "STRIP_PIXELS", 1)
    torch.manual_seed(1)
    expander = Expander(ExpansionConfig(hdr=True, upscale=2.0, sritmo=str(network)))
    whole, parts = expander(shown()), tmp_path / ".parts"
    rows: list[int] = []
    stopping = Listener(lambda stage, done, total: rows.append(done), lambda: rows[-1] > ROWS)
    with pytest.raises(Cancelled):
        expander(shown(), stopping, parts)
    kept = sorted(path.name for path in parts.glob("*.safetensors"))
    assert kept
    again: list[int] = []
    found = expander(shown(), Listener(lambda stage, done, total: again.append(done)), parts)
    assert torch.equal(found.light, whole.light) and torch.equal(found.display, whole.display)
    assert min(again) > int(kept[-1][6:11]) and not parts.exists()
    with pytest.raises(Cancelled):
        expander(shown(), stopping, parts)
    other = expander(shown(seed=3), parts=parts)
    assert torch.equal(other.light, expander(shown(seed=3)).light), "strips of another panorama are not taken"


def test_a_record_names_networks_by_their_content(network: Path, tmp_path: Path):
    config = ExpansionConfig(hdr=True, sritmo=str(network), finishing=FinishingConfig(exposure=1.0))
    record = json.loads(json.dumps(Expander(config).record))
    assert len(record["networks"]["sritmo"]) == 64 and record["finishing"]["exposure"] == 1.0
    assert Expander.of_record(record, "run.json").config == config
    torch.manual_seed(9)
    other = tmp_path / "other"
    SrItmo(SrItmoConfig(features=4, blocks=1, sr_widths=(8,), itmo_widths=(8,))).save_pretrained(other)
    assert Expander(replace(config, sritmo=str(other))).record["networks"] != record["networks"]
    with pytest.raises(UserError, match="run.json: .*other has other weights"):
        Expander.of_record(record | {"sritmo": str(other)}, "run.json")
    with pytest.raises(UserError, match="run.json: expansion.hrd is an unknown key"):
        Expander.of_record({"hrd": True}, "run.json")


def mistake(words: str, *arguments: str) -> None:
    with pytest.raises(UserError, match=words) as told:
        to_hdr(list(arguments))
    assert "\n" not in str(told.value)


def test_mistakes_are_told_in_one_line_and_write_nothing(
    network: Path, upscaler: Path, panorama: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(expander_of_runs, "ASSETS", "none")
    out, given = str(tmp_path / "new" / "a.exr"), str(panorama)
    use = ("--sritmo", str(network))
    mistake(r"--upscale must lie in \[1, 8\], got 9.0", given, "--out", out, "--upscale", "9", *use)
    mistake("--upscale must lie in", given, "--out", out, "--upscale", "nan", *use)
    mistake(
        "--sritmo must name the folder of a trained SR-iTMO, got 'nowhere'", given, "--out", out, "--sritmo", "nowhere"
    )
    mistake(
        "--sritmo must name the folder of a trained SR-iTMO: config/embedded/sritmo.yaml trains",
        given,
        "--out",
        out,
        "--exposure",
        "0.5",
    )
    mistake("--out must end in", given, "--out", str(tmp_path / "a.tiff"), *use)
    mistake("--out writes the panorama as it is", given, "--out", str(tmp_path / "a.png"), *use)
    mistake("--exposure must lie in", given, "--out", out, "--exposure", "inf", *use)
    mistake("beach.png: is the panorama itself", given, "--out", given, "--upscale", "2", "--overwrite", *use)
    mistake("missing.png: no such image file", str(tmp_path / "missing.png"), "--out", out, *use)
    mistake("--upscaler changes nothing without upscale", given, "--out", out, "--upscaler", str(upscaler), *use)
    mistake("--upscaler must be a safetensors file", given, "--out", out, "--upscale", "2", "--upscaler", given, *use)
    mistake("at most 4, got 5.0", given, "--out", out, "--upscale", "5", "--upscaler", str(upscaler), *use)
    Image.new("RGB", (30, 20)).save(tmp_path / "square.png")
    mistake(
        "a panorama is twice as wide as high, this image is 30x20", str(tmp_path / "square.png"), "--out", out, *use
    )
    nan = np.full((16, 32), np.nan, np.float32)
    write_exr({"R": nan, "G": nan, "B": nan}, tmp_path / "nan.exr")
    mistake("nan.exr: holds light already", str(tmp_path / "nan.exr"), "--out", out, *use)
    assert not (tmp_path / "new").exists()


# ------------------------------------------------------------------------------------------------ after a method


@pytest.fixture
def paint(plain_folder: Path, network: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """The command line with tiny sizes as its default; it writes to ``tmp_path / "out" / "a"``."""
    content = {
        "checkpoint": str(plain_folder), "method": "seamless", "device": "cpu", "sritmo": str(network),
        "generator": {"height": 32, "sampler": {"steps": 1, "guidance": 1.0}},
    }  # fmt: skip
    (tmp_path / "tiny.yaml").write_text(json.dumps(content))
    monkeypatch.setattr(generate, "DEFAULT_CONFIG", tmp_path / "tiny.yaml")

    def run(*words: str) -> int:
        return generate.main(
            ["--prompt", "a beach", "--name", "a", "--inference_out_dir", str(tmp_path / "out"), *words]
        )

    return run


def test_the_network_that_comes_with_a_model_or_with_the_program(
    network: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    model, asked = tmp_path / "models" / "mine", ExpansionConfig(hdr=True)
    model.mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(expander_of_runs, "ASSETS", "program")
    assert with_network(asked, model) == asked
    for place in (Path("program/sritmo"), model.parent / "sritmo", model / "sritmo"):  # the nearest counts
        shutil.copytree(network, place)
        assert with_network(asked, model) == replace(asked, sritmo=str(place))
    assert with_network(asked) == replace(asked, sritmo="program/sritmo")
    named = replace(asked, sritmo="other")
    for same in (named, ExpansionConfig(), ExpansionConfig(upscale=2.0, upscaler="a.safetensors")):
        assert with_network(same, model) == same


def test_a_model_brings_its_network(network: Path, plain_folder: Path, tmp_path: Path):
    shutil.copytree(plain_folder, tmp_path / "model")
    shutil.copytree(network, tmp_path / "model" / "sritmo")
    made = Generator(ModelConfig(str(tmp_path / "model")), alone="seamless", expansion=ExpansionConfig(upscale=2.0))
    assert made.expansion == ExpansionConfig(upscale=2.0, sritmo=str(tmp_path / "model" / "sritmo"))


def files_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file() and path.name != ".lock"}


def test_light_after_a_method(paint: Callable[..., int], tmp_path: Path):
    """What was painted stays; what is made of it is claimed, recorded, kept, and made anew if asked otherwise."""
    assert paint() == 0
    folder = tmp_path / "out" / "a"
    plain = files_of(folder)
    assert paint("--hdr", "--upscale", "2") == 0
    made = files_of(folder)
    assert set(made) - set(plain) == {"upscaled.png", "result.exr", "result.hdr"}
    assert made["result.png"] == plain["result.png"] and b'id="exposure"' in made["viewer.html"]
    assert levels(folder / "upscaled.png").shape == (64, 128, 3)
    light = read_radiance(folder / "result.exr", 10**6)
    mapped = tone_map_to_levels(light, np.uint8, ToneMap("srgb")).astype(int)
    assert np.abs(mapped - levels(folder / "upscaled.png")).max() <= 1
    record = json.loads(made["run.json"])["expansion"]
    assert record["hdr"] and record["upscale"] == 2 and len(record["networks"]["sritmo"]) == 64
    assert paint("--hdr", "--upscale", "2") == 0 and paint() == 0
    assert files_of(folder) == made, "nothing is made twice, and asking for less takes nothing away"
    (folder / "result.hdr").unlink()
    assert paint("--hdr", "--upscale", "2") == 0 and files_of(folder) == made
    assert paint("--hdr", "finishing.exposure=1") == 0
    brighter = read_radiance(folder / "result.exr", 10**6)
    assert brighter.shape == (32, 64, 3) and not (folder / "upscaled.png").exists()
    made = files_of(folder)
    assert paint("--hdr", "finishing.exposure=1") == 0 and files_of(folder) == made


def test_light_that_was_killed_is_made_by_the_same_command(
    paint: Callable[..., int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    whole = Expander.__call__

    def killed(self: Expander, *words: object, **named: object) -> None:
        whole(self, *words, **named)
        raise KeyboardInterrupt

    monkeypatch.setattr(Expander, "__call__", killed)
    with pytest.raises(KeyboardInterrupt):
        paint("--hdr")
    monkeypatch.setattr(Expander, "__call__", whole)
    folder = tmp_path / "out" / "a"
    assert not (folder / "result.exr").exists()
    assert paint("--hdr") == 0 and (folder / "result.exr").is_file()


def test_mistakes_leave_no_folder(paint: Callable[..., int], tmp_path: Path):
    for words, said in (
        (("--upscale", "9"), r"--upscale must lie in \[1, 8\]"),
        (("--hdr", "--sritmo", "nowhere"), "--sritmo must name the folder"),
        (("--upscaler", "a.safetensors"), "--upscaler changes nothing without upscale"),
        (("--upscale", "2", "--upscaler", "a.safetensors"), "a.safetensors: no such file"),
        (("--hdr", "finishing.boost=-1"), "boost must lie in"),
        (("--hdr", "tiles.columns=2"), "hdr is of panoramas, and flat images"),
    ):
        with pytest.raises(UserError, match=said):
            paint(*words)
    assert not (tmp_path / "out").exists()


def test_files_of_others_stay(paint: Callable[..., int], tmp_path: Path):
    assert paint() == 0
    (tmp_path / "out" / "a" / "result.exr").write_bytes(b"mine")
    with pytest.raises(UserError, match="result.exr: is there already, and no run wrote it"):
        paint("--hdr")
    assert (tmp_path / "out" / "a" / "result.exr").read_bytes() == b"mine"
