"""``--prompt auto``: each image is described once, and its panorama is painted, and goes on, with those words."""

import json
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from aognet.commands import generate
from aognet.errors import UserError
from aognet.generate import auto_prompt
from aognet.generate.generator import Generator
from aognet.io.images import save_image
from aognet.methods.aognet.model import AOGNet
from tests.generate.painter import smooth_photo
from tests.tiny_captioners import tiny_captioner

Paint = Callable[..., int]
HEIGHT = 32


@dataclass
class Words:
    """Names each image by its mean; ``alive`` while somebody holds it."""

    seen: list[list[tuple[int, ...]]] = field(default_factory=list)

    def caption(self, images: Sequence[Tensor]) -> list[str]:
        self.seen.append([tuple(image.shape) for image in images])
        return [f"a place of {float(image.mean()):.2f}" for image in images]


@pytest.fixture
def words(monkeypatch: pytest.MonkeyPatch) -> Words:
    words = Words()
    monkeypatch.setattr(auto_prompt, "build_captioner", lambda config, device: words)
    return words


@pytest.fixture
def paint(streams_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Paint:
    """The command line with tiny sizes as its default, and nothing painted: only the words matter here."""
    settings = {
        "checkpoint": str(streams_folder), "device": "cpu", "out_dir": str(tmp_path / "out"),
        "generator": {
            "height": HEIGHT, "plan": {"size": 16, "fov_degrees": 110, "overlap": 0.2}, "face_size": 16,
            "sampler": {"steps": 1},
        },
    }  # fmt: skip
    monkeypatch.setattr(AOGNet, "outpaint", lambda model, views, seen, *_, **__: torch.zeros_like(seen.image))
    (tmp_path / "tiny.yaml").write_text(json.dumps(settings))
    monkeypatch.setattr(generate, "DEFAULT_CONFIG", tmp_path / "tiny.yaml")
    return lambda *arguments: generate.main(list(map(str, arguments)))


def photo(path: Path, level: float = 0.25) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    save_image(smooth_photo(30, 40) * 0 + level, path)
    return path


def prompts(out: Path) -> dict[str, str]:
    return {path.parent.name: path.read_text().strip() for path in sorted(out.glob("*/prompt.txt"))}


def request(folder: Path) -> dict[str, Any]:
    content = json.loads((folder / "run.json").read_text())
    return {**content["request"], "captioner": content["captioner"]}


def test_a_photo_is_painted_on_with_its_caption(
    paint: Paint, tmp_path: Path, words: Words, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "aognet")
    command = ("--image", photo(tmp_path / "yard.png"), "--prompt", "auto")
    assert paint(*command) == 0
    out = tmp_path / "out" / "yard"
    assert prompts(tmp_path / "out") == {"yard": "a place of 0.25"}
    assert request(out)["prompt"] == "a place of 0.25"
    assert request(out)["captioner"]["model"] == "Salesforce/blip-image-captioning-base"
    assert {step["prompt"] for step in json.loads((out / "run.json").read_text())["steps"]} == {"a place of 0.25"}
    assert "yard: prompt from the image: a place of 0.25" in caplog.text
    assert words.seen == [[(3, 30, 40)]]
    # The same again, finished: nothing is asked and nothing painted.
    before = (out / "result.png").stat().st_mtime_ns
    assert paint(*command) == 0
    assert len(words.seen) == 1 and (out / "result.png").stat().st_mtime_ns == before
    assert paint(*command, "--overwrite") == 0 and len(words.seen) == 2


def test_a_stopped_run_goes_on_with_its_caption(
    paint: Paint, tmp_path: Path, words: Words, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = ("--image", photo(tmp_path / "yard.png"), "--prompt", "auto")
    outpaint, calls = AOGNet.outpaint, []

    def stopped(*arguments: Any, **options: Any) -> Tensor:
        calls.append([view.prompt for view in arguments[1]])
        if len(calls) == 3:
            raise KeyboardInterrupt
        return outpaint(*arguments, **options)

    monkeypatch.setattr(AOGNet, "outpaint", stopped)
    with pytest.raises(KeyboardInterrupt):
        paint(*command)
    words.caption = lambda images: pytest.fail("asked again")
    assert paint(*command) == 0
    assert {prompt for batch in calls for prompt in batch} == {"a place of 0.25"}
    # Another photograph under the same name is described anew, and is another run.
    words.caption = lambda images: ["something else"]
    photo(tmp_path / "yard.png", 0.5)
    with pytest.raises(UserError, match="holds a run with other settings"):
        paint(*command)


def test_another_captioner_is_another_run(paint: Paint, tmp_path: Path, words: Words) -> None:
    command = ("--image", photo(tmp_path / "yard.png"), "--prompt", "auto")
    paint(*command)
    with pytest.raises(UserError, match="captioner.num_beams: 1 there, 4 here"):
        paint(*command, "captioner.num_beams=4")
    with pytest.raises(UserError, match="other settings"):
        paint(*command[:2], "--prompt", "a place of 0.25")


def test_each_image_of_a_folder_has_its_own_words(paint: Paint, tmp_path: Path, words: Words) -> None:
    for name, level in (("a", 0.0), ("b", 0.5), ("c", -0.5)):
        photo(tmp_path / "photos" / f"{name}.png", level)
    (tmp_path / "photos" / "broken.png").write_text("no picture")
    folder = f"inputs.photos=[{tmp_path / 'photos'}]"
    captions = tmp_path / "captions.jsonl"
    captions.write_text('{"file": "c.png", "captions": ["written by hand"]}\n')
    assert paint(folder, "inputs.prompt=auto", f"inputs.captions=[{captions}]") == 1
    said = prompts(tmp_path / "out")
    assert said == {"a": "a place of 0.00", "b": "a place of 0.50", "c": "written by hand"}
    assert len(words.seen) == 2 and request(tmp_path / "out" / "c")["captioner"] is None


def test_photos_of_one_panorama_are_told_together(paint: Paint, tmp_path: Path, words: Words) -> None:
    images = [photo(tmp_path / f"{n}.png", level) for n, level in enumerate((0.1, 0.3, 0.1))]
    poses = {path.name: {"yaw": 120.0 * number, "fov": 60} for number, path in enumerate(images)}
    (tmp_path / "poses.yaml").write_text(json.dumps(poses))
    paint(
        *(part for path in images for part in ("--image", path)), "--poses", tmp_path / "poses.yaml", "--prompt", "auto"
    )
    assert list(prompts(tmp_path / "out").values()) == ["a place of 0.10, a place of 0.30"]


def test_only_what_is_given_is_told(paint: Paint, tmp_path: Path, words: Words) -> None:
    # Of a whole panorama with its truth, the view; of a partial one, what is known.
    panorama = torch.full((3, HEIGHT, 2 * HEIGHT), -0.5)
    panorama[:, :, HEIGHT - 12 : HEIGHT + 12] = 0.5
    save_image(panorama, tmp_path / "room.png")
    assert paint(f"inputs.panoramas=[{tmp_path / 'room.png'}]", "inputs.pose.fov=40", "inputs.prompt=auto") == 0
    assert prompts(tmp_path / "out") == {"room": "a place of 0.50"}
    assert words.seen == [[(3, HEIGHT // 2, HEIGHT // 2)]]
    mask = torch.where(panorama > 0, -1.0, 1.0)
    save_image(mask, tmp_path / "mask.png")
    paint("--panorama", tmp_path / "room.png", "--mask", tmp_path / "mask.png", "--prompt", "auto", "--name", "part")
    assert prompts(tmp_path / "out")["part"] == f"a place of {0.5 * 24 / 64:.2f}"


@pytest.mark.parametrize("arguments", [("--prompt", "auto"), ("--prompt", "auto", "--name", "x")])
def test_without_an_image_there_is_nothing_to_tell(paint: Paint, words: Words, arguments: tuple[str, ...]) -> None:
    with pytest.raises(UserError, match="--prompt auto describes an image, and there is none: give --image"):
        paint(*arguments)
    assert not words.seen


def test_an_unreadable_photo_is_named_and_needs_no_captioner(paint: Paint, tmp_path: Path, words: Words) -> None:
    (tmp_path / "a.png").write_text("no picture")
    with pytest.raises(UserError, match="a.png: not a readable image"):
        paint("--image", tmp_path / "a.png", "--prompt", "auto")
    assert not words.seen


def test_a_real_captioner_is_gone_before_painting_starts(
    paint: Paint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import gc

    from transformers import BlipForConditionalGeneration

    alive: list[int] = []
    loaded = Generator.model.func

    def counted(generator: Generator) -> Any:
        alive.append(sum(type(thing) is BlipForConditionalGeneration for thing in gc.get_objects()))
        return loaded(generator)

    monkeypatch.setattr(Generator, "model", property(counted))
    model = tiny_captioner(tmp_path / "blip")
    options = (f"captioner.model={model}", "captioner.max_new_tokens=5")
    assert paint("--image", photo(tmp_path / "yard.png"), "--prompt", "auto", *options) == 0
    assert prompts(tmp_path / "out")["yard"]
    assert alive and set(alive) == {0}


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("captioner.modell=x", "captioner.modell is an unknown key; did you mean 'model'"),
        ("captioner.num_beams=0", "captioner.num_beams must be at least 1"),
        ("captioner.backend=blip", "captioner.backend"),
        ("captioner.load_in=3bit", "load_in must be 8bit or 4bit"),
    ],
)
def test_mistakes_in_its_section(paint: Paint, tmp_path: Path, setting: str, said: str) -> None:
    with pytest.raises(UserError, match=said):
        paint("--image", photo(tmp_path / "yard.png"), "--prompt", "auto", setting)


def test_a_captioner_that_is_not_there(paint: Paint, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="nowhere/at-all: .*hf download nowhere/at-all"):
        paint("--image", photo(tmp_path / "yard.png"), "--prompt", "auto", "captioner.model=nowhere/at-all")
