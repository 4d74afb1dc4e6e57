"""Text2Light makes panoramas of texts and photographs: words decide, what is known stays, and kills change nothing."""

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn import functional

from aognet import Generator, Photo, Request
from aognet.callbacks import Cancelled
from aognet.canvas import Canvas
from aognet.diffusion.sampling.noise import named_seed
from aognet.errors import UserError
from aognet.generate.asked import ModelConfig
from aognet.generate.generator import Defaults
from aognet.geometry.camera import Camera
from aognet.io.images import save_image
from aognet.methods.identity import model_identity
from aognet.methods.text2light.model import LARGE, SMALL, Text2Light
from aognet.methods.text2light.photographed_view import camera_of, photographed
from aognet.methods.text2light.settings import Text2LightSettings
from aognet.vq.drawing import Drawing, cell_numbers
from tests.generate.kills import check_kills_change_nothing
from tests.tiny import tiny_text2light_folder

ROWS = 32
ASKED = Request("a snowy field at sunset", seed=4, name="field")


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    places = {name: tmp_path_factory.mktemp(name) for name in ("ours", "published")}
    return {name: tiny_text2light_folder(place, name == "published") for name, place in places.items()}


def generator(folder: Path, **settings: Any) -> Generator:
    return Generator(ModelConfig(str(folder)), Defaults(ROWS, Text2LightSettings(**settings)), device="cpu")


@pytest.fixture(scope="module")
def ours(folders: dict[str, Path]) -> Generator:
    return generator(folders["ours"])


@pytest.fixture(scope="module")
def photo(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("photo") / "photo.png"
    torch.manual_seed(1)
    save_image(functional.interpolate(torch.rand(1, 3, 4, 4) * 2 - 1, size=(32, 32), mode="bicubic")[0], path)
    return str(path)


def test_words_seed_and_name_decide(ours: Generator) -> None:
    first = ours.generate(ASKED).panorama
    assert first.shape == (3, ROWS, 2 * ROWS) and 0 <= first.min() and first.max() <= 1
    assert torch.equal(ours.generate(ASKED).panorama, first)
    for changed in ({"prompt": "a night city"}, {"seed": 5}, {"name": "other"}):
        assert not torch.equal(ours.generate(replace(ASKED, **changed)).panorama, first)


@torch.no_grad()
def test_the_published_order(folders: dict[str, Path]) -> None:
    """Neighbours of the text, a small panorama, decoded and encoded again, a large one: each stage by itself."""
    model = Text2Light.from_pretrained(folders["published"])
    assert model.index is not None and model.holistic_autoencoder is not None
    text = model.conditions.texts([ASKED.prompt])[0]
    rows = sorted(
        model.index.embeddings.tolist(), key=lambda row: -sum(a * b for a, b in zip(row, text.tolist(), strict=True))
    )
    seeds = [named_seed(ASKED.seed, ASKED.name)]
    small = model.global_sampler.sample(torch.tensor([rows[:3]]), cell_numbers(seeds, SMALL, 2, 4), Drawing())
    again = model.holistic_autoencoder.encode(model.global_autoencoder.decode(small))
    codes = model.local_sampler.sample(again, cell_numbers(seeds, LARGE, 8, 16), Drawing())
    wanted = model.local_autoencoder.decode(codes)[0].clamp(-1, 1) / 2 + 0.5
    found = generator(folders["published"]).generate(ASKED).panorama
    torch.testing.assert_close(found, wanted)
    assert not torch.equal(again, small), "random autoencoders must tell the published order from a shorter one"


@pytest.mark.parametrize("layout", ["ours", "published"])
def test_a_run_killed_at_any_change_of_the_disk_ends_alike(
    layout: str, folders: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = generator(folders[layout])
    check_kills_change_nothing(partial(made.generate, ASKED), tmp_path, monkeypatch, seed=2)


def test_rows_that_are_written_are_not_written_again(ours: Generator, tmp_path: Path) -> None:
    told: list[tuple[str, int]] = []

    def progress(stage: str, done: int, total: int) -> None:
        told.append((stage, done))

    def stop() -> bool:
        return told[-1] == ("codes", 16 * 5)

    with pytest.raises(Cancelled):
        ours.generate(ASKED, tmp_path / "run", progress=progress, cancel=stop)
    told.clear()
    result = ours.generate(ASKED, tmp_path / "run", progress=progress)
    assert told[0][0] == "codes" and told[0][1] > 16 * 4
    assert torch.equal(result.panorama, ours.generate(ASKED).panorama)


def test_a_photograph_stays_and_tells_where_no_words_do(ours: Generator, photo: str) -> None:
    for yaw in (30.0, 180.0):
        asked = replace(ASKED, photos=[Photo(image=photo, yaw=yaw, fov=80.0)])
        result = ours.generate(asked)
        assert result.given is not None and 0.05 < result.given.float().mean() < 0.2
        without = ours.generate(ASKED)
        given = result.given.expand_as(result.panorama)
        assert not torch.equal(result.panorama[given], without.panorama[given])
        again = ours.generate(replace(asked, prompt="a night city")).panorama
        assert torch.equal(again[given], result.panorama[given]), "what is known does not depend on the words"
        assert not torch.equal(again[~given], result.panorama[~given])
    wordless = ours.generate(replace(asked, prompt="")).panorama
    told = ours.generate(replace(asked, prompt="", settings={"condition": "image"})).panorama
    assert torch.equal(wordless, told) and not torch.equal(wordless, result.panorama)


@pytest.mark.parametrize(
    ("yaw", "pitch", "fov"), [(0.0, 0.0, 90.0), (60.0, 20.0, 70.0), (180.0, -30.0, 60.0), (-120.0, 80.0, 50.0)]
)
def test_what_is_known_is_seen_whole(yaw: float, pitch: float, fov: float) -> None:
    camera = Camera(yaw, pitch, 0.0, fov, 128, 128)
    canvas = Canvas.empty(128).paint(torch.full((1, 3, 128, 128), 0.5), camera)
    found = camera_of(canvas)
    assert abs((found.yaw_degrees - yaw + 180) % 360 - 180) * abs(90 - abs(pitch)) / 90 < 2
    assert abs(found.pitch_degrees - pitch) < 2 and fov <= found.fov_degrees < 1.4 * fov
    seen = photographed(canvas)
    assert seen.shape[-1] == seen.shape[-2] and (seen - 0.5).abs().max() < 0.05


def test_what_is_known_all_around_is_seen_ahead() -> None:
    assert camera_of(Canvas.of(torch.rand(1, 3, 16, 32))).fov_degrees == 120
    assert camera_of(Canvas.empty(16)).fov_degrees == 120


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"height": 64}, "height must be 32"),
        ({"prompt": ""}, "prompt is missing"),
        ({"negative": "fog"}, "negative is not for the method text2light"),
        ({"settings": {"condition": "image"}}, "condition must be text without a photograph"),
        ({"settings": {"condition": "sound"}}, "condition"),
        ({"settings": {"temperature": -1}}, "temperature must lie in"),
        ({"settings": {"top_k": -1}}, "top_k must not be negative"),
    ],
)
def test_what_it_cannot_do_is_refused_before_anything_is_written(
    ours: Generator, changes: dict[str, Any], said: str, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=said):
        ours.generate(replace(ASKED, **changes), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_long_text_is_cut_with_a_warning(ours: Generator, caplog: pytest.LogCaptureFixture) -> None:
    long = "a very wide field of snow " * 20
    found = ours.generate(replace(ASKED, prompt=long)).panorama
    assert "tokens" in caplog.text
    assert torch.equal(found, ours.generate(replace(ASKED, prompt=long + "and more")).panorama)


def test_it_is_known_by_all_its_weights(folders: dict[str, Path], tmp_path: Path) -> None:
    """Another CLIP is another model, though its name is the same."""
    import shutil

    copy = tmp_path / "copy"
    shutil.copytree(folders["ours"].parent, copy)
    before = model_identity(str(folders["ours"]))
    assert model_identity(str(copy / "model")) == before
    weights = copy / "clip" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\x01")
    assert model_identity(str(copy / "model")) != before
