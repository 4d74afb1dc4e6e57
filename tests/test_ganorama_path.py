"""From the command line to panoramas of classes and to flat images, with a tiny generator."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from aognet import load
from aognet.commands import generate
from aognet.errors import UserError
from aognet.generate.inputs import InputsConfig, list_requests
from aognet.generate.pixels import read_canvas
from aognet.io.images import load_image
from aognet.request import Request

CONFIGS = Path(__file__).resolve().parents[1] / "config"
LAYERS = ["--start_layer", "1", "--end_layer", "3"]


def command(folder: Path, out: Path, *more: str, config: str = "inference_ganorama.yaml") -> int:
    small = [] if config == "inference_wide.yaml" else ["generator.height=32"]
    base = ["-b", str(CONFIGS / config), "-m", str(folder), "--inference_out_dir", str(out), "device=cpu"]
    return generate.main([*base, *LAYERS, *small, *more])


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_four_panoramas_of_two_classes(generator_folder: Path, tmp_path: Path) -> None:
    more = ["-n", "4", "--class_names", "sand bar|valley", "--truncation", "0.4", "--z_mul", "1.5", "--class_mul", "2"]
    assert command(generator_folder, tmp_path / "out", *more) == 0
    names = ["sand bar", "sand bar-2", "valley", "valley-2"]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == names
    pictures = [load_image(tmp_path / "out" / name / "result.png") for name in names]
    assert all(not torch.equal(one, other) for one in pictures for other in pictures if one is not other)
    for name in names:
        run = json.loads((tmp_path / "out" / name / "run.json").read_text())
        assert run["request"]["label"] == name.removesuffix("-2") and run["finished"]
        told = run["request"]["settings"]
        assert (told["truncation"], told["z_mul"], told["class_mul"], told["share_z"]) == (0.4, 1.5, 2.0, None)
        assert b"ProjectionType" in (tmp_path / "out" / name / "result.png").read_bytes()
        assert (tmp_path / "out" / name / "viewer.html").is_file()
    before = contents(tmp_path / "out")
    (tmp_path / "out" / "valley" / "result.png").unlink()  # as where it was killed
    assert command(generator_folder, tmp_path / "out", *more) == 0
    assert contents(tmp_path / "out") == before


def test_random_classes_and_more_of_them_later(generator_folder: Path, tmp_path: Path) -> None:
    assert command(generator_folder, tmp_path, "-n", "1", "--no_share_z", "--share_class") == 0
    before = contents(tmp_path)
    assert command(generator_folder, tmp_path, "-n", "2", "--no_share_z", "--share_class") == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["panorama", "panorama-2"]
    assert before.items() <= contents(tmp_path).items()


def test_any_inputs_are_repeated_with_their_classes_in_turn() -> None:
    def asked(count: int | None, *labels: str, **inputs: Any) -> list[tuple[str, str | None]]:
        config = InputsConfig(count=count, labels=list(labels), **inputs)
        return [(one.name, one.label) for one in list_requests(config, Request(), "panorama")]

    assert asked(2, prompt="a lake") == [("text", None), ("text-2", None)]
    assert asked(None) == [("panorama", None)]
    assert asked(None, "valley", "7 / 8") == [("valley", "valley"), ("7 _ 8", "7 / 8")]
    assert asked(3, "a", "b") == [("a", "a"), ("b", "b"), ("a-2", "a")]
    assert asked(2, "a", name="mine") == [("mine-a", "a"), ("mine-a-2", "a")]
    with pytest.raises(UserError, match="has nothing to paint from"):
        list_requests(InputsConfig(count=2), Request())


def test_words_and_a_photograph(generator_folder: Path, tmp_path: Path) -> None:
    """With the CLIP of the repository. What was found is in run.json, and the photograph in the panorama."""
    photo = CONFIGS.parent / "assets" / "demo" / "beach.jpg"
    more = ["--image", str(photo), "--fov", "90", "--prompt", "a lake", "--prompt-at", "180,0: a sandbar"]
    more += ["-n", "1", "generator.finding.steps=1", "generator.finding.candidates=2"]
    assert command(generator_folder, tmp_path, *more) == 0
    run = json.loads((tmp_path / "beach" / "run.json").read_text())
    (step,) = run["steps"]
    found = step["note"]["found"]
    assert [one["words"] for one in found["classes"]] == ["a lake", "a sandbar, a lake"]
    assert all(one["name"] in ("sandbar, sand bar", "valley, vale", "lakeside") for one in found["classes"])
    for key in ("similarity", "psnr"):
        assert set(found[key]) == {"start", "found"}
    assert found["objective"]["found"] <= found["objective"]["start"] and "CLIP" in found["network"]
    given, shown = read_canvas(tmp_path / "beach" / "input.png", "srgb"), load_image(tmp_path / "beach" / "result.png")
    seen = given.known[0, 0]
    assert seen.float().mean() > 0.05 and (shown - given.image[0])[:, seen].abs().max() < 0.02
    before = contents(tmp_path)
    assert command(generator_folder, tmp_path, *more) == 0 and contents(tmp_path) == before


def test_from_python(generator_folder: Path) -> None:
    made = load(generator_folder, settings=["generator.end_layer=3"]).generate(Request(label="valley", height=32))
    assert made.panorama.shape == (3, 32, 64)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--class_names", "sandpit|valley"], "--class_names must be the name or number of a class"),
        (["--class_names", "valley|"], "labels must be names of classes"),
        (["-n", "1", "--class_names", "valley|lakeside"], "--num_generations makes"),
        (["-n", "0"], "count must lie in"),
        (["--end_layer", "9"], "--end_layer must be at most 4 for this generator, got 9"),
        (["--truncation", "2"], "truncation must lie in"),
        (["inputs.negative=fog"], "negative is not for the method ganorama"),
        (["--prompt", "a lake", "generator.finding.rate=0"], "finding.rate must be more than 0"),
        (["--prompt", "a lake", "generator.finding.clip={kind: clip, model: nowhere}"], "nowhere: no such folder"),
        (["--prompt", "a lake", "generator.finding.lpips=a.safetensors"], "finding.lpips needs views of at least 32"),
        (["--image", "nowhere.jpg"], "nowhere.jpg: no such file"),
        (["-m", "biggan-deep-256"], "no such folder; .*: aognet convert-biggan biggan-deep-256-pytorch_model.bin"),
        (["--columns", "0"], "columns must be a whole number, at least 1"),
    ],
)
def test_mistakes_end_in_one_line(generator_folder: Path, tmp_path: Path, more: list[str], said: str) -> None:
    with pytest.raises(UserError, match=said):
        command(generator_folder, tmp_path / "out", *more)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--z_mul", "2"], "--z_mul is not for the method aognet, got 2.0"),
        (["--share_class"], "--share_class is not for the method aognet"),
        (["--no_share_z"], "--no_share_z is not for the method aognet"),
        (["--class_names", "valley"], "--class_names is not for the method aognet, got 'valley'"),
        (["--columns", "3"], "tiles is not for the method aognet"),
    ],
)
def test_other_methods_refuse_its_flags(tmp_path: Path, more: list[str], said: str) -> None:
    small = ["--prompt", "a lake", "--inference_out_dir", str(tmp_path / "out"), "generator.height=64", "device=cpu"]
    with pytest.raises(UserError, match=said):
        generate.main([*small, *more])
    assert not (tmp_path / "out").exists()


def test_flat_images_are_made_once(generator_folder: Path, tmp_path: Path) -> None:
    def wide(*more: str) -> int:
        tiles = ["--columns", "4", "--rows", "1", "--wrap", "-n", "2"]
        return command(generator_folder, tmp_path, *tiles, *more, config="inference_wide.yaml")

    assert wide() == 0
    assert {path.name for path in tmp_path.iterdir()} == {
        f"image{n}.{kind}" for n in ("", "-2") for kind in ("png", "json")
    }
    assert Image.open(tmp_path / "image.png").size == (32, 16)
    before = contents(tmp_path)
    (tmp_path / "image-2.png").unlink()
    assert wide() == 0 and contents(tmp_path) == before
    for more in (["--overlap", "0.25"], ["--truncation", "0.3"]):
        with pytest.raises(UserError, match="image.png: is an image with other settings .*--overwrite"):
            wide(*more)
    assert contents(tmp_path) == before
    assert wide("--overlap", "0.25", "--overwrite") == 0 and Image.open(tmp_path / "image.png").size == (48, 16)
    (tmp_path / "image.json").unlink()
    with pytest.raises(UserError, match="image.png: is there already, and no run wrote it"):
        wide("--overlap", "0.25", "--overwrite")
