"""ControlNets in a seamless panorama: no seam, the request's images in their order, kept in the run's folder."""

import json
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor
from torch.testing import assert_close

from aognet import Generator, Photo, Request
from aognet.diffusion.backbone import BackboneConfig
from aognet.diffusion.condition import ControlImage, InpaintCondition
from aognet.diffusion.inpaint import TextContext
from aognet.diffusion.sampling.noise import generators
from aognet.diffusion.sampling.sampler import SamplerConfig
from aognet.errors import UserError
from aognet.generate.asked import ModelConfig
from aognet.generate.generator import Defaults
from aognet.io.depth_maps import load_depth
from aognet.io.images import save_image
from aognet.methods.seamless.denoising import PanoramaToDenoise, denoised
from aognet.methods.seamless.model import Seamless
from aognet.methods.seamless.settings import SeamlessSettings
from aognet.request import Control
from tests.generate.painter import smooth_photo
from tests.slow import rest_slow

SAMPLER = SamplerConfig(scheduler="euler", steps=2, guidance=3.0)
ROWS = 32


def smooth(seed: int = 0) -> Tensor:
    return smooth_photo(ROWS, 2 * ROWS).roll(seed, -1)[None] / 2 + 0.5


def whole(model: Any, columns: int, *controls: ControlImage) -> Tensor:
    """The panorama that continues a half, where all the model is given is rolled by columns of the latents."""
    panorama = smooth_photo(ROWS, 2 * ROWS)[None]
    known = (torch.arange(2 * ROWS) < ROWS).expand(1, 1, ROWS, -1)
    condition = model.backbone.prepare_condition(panorama, known, generators([3]))
    rolled = InpaintCondition(*(part.roll(columns, -1) for part in (condition.mask, condition.image, condition.noise)))
    context = TextContext.of_prompts(model.backbone, ["a room"], "fog")
    shown = tuple(control.rolled(columns * model.backbone.latents.scale) for control in controls)
    asked = PanoramaToDenoise(rolled, context, SAMPLER, generators([3]), controls=shown)
    return model.backbone.latents.decode(denoised(model.backbone, asked))


@torch.no_grad()
@pytest.mark.parametrize("poles", rest_slow(["flip", "none"]))
@pytest.mark.parametrize("family", ["plain", "sdxl"])
def test_a_roll_of_noise_input_and_control_images_rolls_the_panorama(
    family: str, poles: str, controlnet_folders: dict[str, list[str]], request: pytest.FixtureRequest
):
    place = request.getfixturevalue(f"{family}_folder")
    backbone = BackboneConfig(str(place), controlnets=controlnet_folders[place.name])
    model = Seamless(Seamless.Config(backbone=backbone, poles=poles)).eval()
    there = (torch.arange(2 * ROWS) % 40 < 24).float().expand(1, 1, ROWS, -1)
    controls = ControlImage(smooth(), 0.8), ControlImage(smooth(9), 0.5, there)
    stride, plain = model.stride // model.backbone.latents.scale, whole(model, 0, *controls)
    assert (plain - whole(model, 0)).abs().max() > 0.02
    for times in (1, 3):
        found = whole(model, times * stride, *controls)
        assert_close(found, plain.roll(times * model.stride, -1), atol=2e-4, rtol=0)


@pytest.fixture
def generator(plain_folder: Path, controlnet_folders: dict[str, list[str]]) -> Generator:
    model = ModelConfig(str(plain_folder), controlnets=controlnet_folders[plain_folder.name])
    return Generator(model, Defaults(ROWS, SeamlessSettings(SAMPLER)), alone="seamless", device="cpu")


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A depth in metres, an image of edges and a photograph. Do not write beside them."""
    folder = tmp_path_factory.mktemp("files")
    np.save(folder / "depth.npy", 1 + 4 * smooth()[0, 0].numpy())
    save_image(smooth(11)[0] * 2 - 1, folder / "edges.png")
    save_image(smooth_photo(60, 80), folder / "yard.png")
    return folder


def test_depth_and_controls_are_shown_in_order_with_their_weights(generator: Generator, files: Path, tmp_path: Path):
    depth, edges = str(files / "depth.npy"), str(files / "edges.png")
    asked = Request("a room", depth=depth, controls=[Control(edges, 0.7)], settings={"depth_scale": 0.3})
    seen = []
    denoiser = generator.model.backbone.denoiser
    forward = denoiser._controlled

    def watched(inputs: Any, timesteps: Any, conditions: Any, controls: Any) -> Any:
        seen.append(controls)
        return forward(inputs, timesteps, conditions, controls)

    denoiser._controlled = watched
    made = generator.generate(asked, tmp_path / "run")
    first, second = seen[0]
    assert (first.scale, second.scale) == (0.3, 0.7) and first.where is None
    assert_close(first.image[0, :1], load_depth(files / "depth.npy", ROWS).nearness, atol=1e-4, rtol=0)
    assert torch.equal(first.image[:, 0], first.image[:, 2])
    assert_close(second.image, smooth(11), atol=0.01, rtol=0)
    # The same from the file that the run keeps, also without its result.
    assert torch.equal(generator.generate(asked).panorama, made.panorama)
    assert_close(load_depth(tmp_path / "run" / "depth.png", ROWS).nearness, first.image[0, :1])
    for change in ({"depth_scale": 0.9}, {"depth_scale": 0.0}):
        other = generator.generate(replace(asked, settings=change)).panorama
        assert (other - made.panorama).abs().max() > 0.01
    swapped = replace(asked, controls=[Control(edges, 0.1)])
    assert (generator.generate(swapped).panorama - made.panorama).abs().max() > 0.01
    alone = replace(asked, depth=None, controls=[Control(edges, 0.3), Control(edges, 0.7)])
    assert not torch.equal(generator.generate(alone).panorama, made.panorama)


def test_where_a_depth_is_transparent_it_does_not_count(generator: Generator, files: Path, tmp_path: Path):
    grey = (smooth()[0, 0] * 255).to(torch.uint8).numpy()
    alpha = np.zeros_like(grey)
    alpha[:, 10:30] = 255
    Image.merge("LA", [Image.fromarray(grey), Image.fromarray(alpha)]).save(tmp_path / "part.png")
    asked = Request("a room", depth=str(tmp_path / "part.png"), controls=[Control(str(files / "edges.png"), 0.0)])
    with ExitStack() as held:
        depth, _ = generator.begin(generator.resolved(asked), tmp_path / "run", held).journal.controls()
    assert torch.equal(depth.where[0, 0] > 0, torch.from_numpy(alpha > 0))


def test_a_run_goes_on_with_the_same_images_and_refuses_others(generator: Generator, files: Path, tmp_path: Path):
    depth, edges = tmp_path / "depth.npy", tmp_path / "edges.png"
    depth.write_bytes((files / "depth.npy").read_bytes())
    edges.write_bytes((files / "edges.png").read_bytes())
    asked = Request("a room", depth=str(depth), controls=[Control(str(edges))])
    made = generator.generate(asked, tmp_path / "run")
    journal = json.loads((tmp_path / "run" / "run.json").read_text())
    assert set(journal["files"]) == {str(depth), str(edges)} and "depth.png" in journal["outputs"]
    for name in ("result.png", "depth.png"):
        content = (tmp_path / "run" / name).read_bytes()
        (tmp_path / "run" / name).unlink()
        again = generator.generate(asked, tmp_path / "run").panorama
        assert_close(again, made.panorama, atol=0.5 / 255, rtol=0)  # a finished run's is read from its file
        assert (tmp_path / "run" / name).read_bytes() == content
    moved = tmp_path / "moved.png"
    moved.write_bytes(edges.read_bytes())
    generator.generate(replace(asked, controls=[Control(str(moved))]), tmp_path / "run")  # the same content
    save_image(smooth(5)[0] * 2 - 1, edges)
    with pytest.raises(UserError, match=r"other settings \(controls.0.image: .* with other contents"):
        generator.generate(asked, tmp_path / "run")
    np.save(depth, np.load(depth) + 1)
    with pytest.raises(UserError, match=r"other settings \(depth: .* with other contents"):
        generator.generate(replace(asked, controls=[Control(str(moved))]), tmp_path / "run")


def refusals(files: Path) -> dict[str, tuple[dict[str, Any], str]]:
    depth, edges, photo = (str(files / name) for name in ("depth.npy", "edges.png", "yard.png"))
    return {
        "a depth alone": (
            {"depth": depth},
            "depth shows something to 1 of 2 ControlNets: depth is for the first, controls",
        ),
        "too many": ({"depth": depth, "controls": [Control(edges)] * 2}, "controls needs 3 ControlNets, and .* has 2"),
        "no panorama": ({"depth": depth, "controls": [Control(photo)]}, "yard.png: a panorama is twice as wide"),
        "no file": ({"depth": "none.exr", "controls": [Control(edges)]}, "none.exr: no such file"),
        "no picture": ({"depth": edges, "controls": [Control("none.png")]}, "none.png: no such image"),
    }


@pytest.mark.parametrize("what", ["a depth alone", "too many", "no panorama", "no file", "no picture"])
def test_images_that_do_not_fit_leave_nothing_behind(what: str, generator: Generator, files: Path, tmp_path: Path):
    given, said = refusals(files)[what]
    with pytest.raises(UserError, match=said):
        generator.generate(Request("a room", **given), tmp_path / "out" / "run")
    assert not (tmp_path / "out").exists()


def test_a_model_without_a_controlnet_and_a_method_without_depth_refuse_it(
    plain_folder: Path, streams_folder: Path, files: Path, tmp_path: Path
):
    asked = Request("a room", depth=str(files / "depth.npy"), height=ROWS)
    for place, said in (
        (plain_folder, "depth needs a ControlNet, and the model has none: controlnets names each"),
        (streams_folder, "depth is not for the method aognet"),
    ):
        with pytest.raises(UserError, match=said):
            Generator(ModelConfig(str(place)), alone="seamless", device="cpu").generate(asked, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_method_that_shows_controlnets_nothing_refuses_them(
    streams_folder: Path, controlnet_folders: dict[str, list[str]]
):
    for named in controlnet_folders.values():
        with pytest.raises(UserError, match="controlnets are not for the method aognet, got"):
            Generator(ModelConfig(str(streams_folder), controlnets=named), device="cpu")


def test_without_images_the_controlnets_are_not_used(generator: Generator, plain_folder: Path, files: Path, caplog):
    """One configuration serves both."""
    asked = Request("a room", photos=[Photo(image=str(files / "yard.png"))])
    with caplog.at_level("INFO"):
        made = generator.generate(asked)
    assert "neither depth nor controls is given: the model's 2 ControlNet(s) are not used" in caplog.text
    plain = Generator(ModelConfig(str(plain_folder)), generator.defaults, alone="seamless", device="cpu")
    assert torch.equal(plain.generate(asked).panorama, made.panorama)
