"""A whole panorama without a seam: a roll of what is given rolls it, a photograph stays, other sizes are refused."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from aognet import Generator, Photo, Request, load
from aognet.diffusion.backbone import BackboneConfig
from aognet.diffusion.condition import InpaintCondition
from aognet.diffusion.inpaint import TextContext, inpaint
from aognet.diffusion.sampling.noise import generators
from aognet.diffusion.sampling.sampler import SamplerConfig
from aognet.errors import UserError
from aognet.generate.asked import ModelConfig
from aognet.generate.generator import Defaults
from aognet.io.images import load_image, save_image
from aognet.methods.pretrained import load_method
from aognet.methods.seamless.model import Seamless
from aognet.methods.seamless.settings import SeamlessSettings
from tests.generate.painter import smooth_photo

SAMPLER = SamplerConfig(scheduler="euler", steps=3, guidance=3.0)
ROWS = 32


def whole(model: Any, columns: int) -> Tensor:
    """The panorama that continues a half, where all the model is given is rolled by columns of the latents."""
    panorama = smooth_photo(ROWS, 2 * ROWS)[None]
    known = (torch.arange(2 * ROWS) < ROWS).expand(1, 1, ROWS, -1)
    condition = model.backbone.prepare_condition(panorama, known, generators([3]))
    rolled = InpaintCondition(*(part.roll(columns, -1) for part in (condition.mask, condition.image, condition.noise)))
    context = TextContext.of_prompts(model.backbone, ["a room"], "fog")
    return inpaint(model.backbone, rolled, context, SAMPLER, generators([3]))


@torch.no_grad()
@pytest.mark.parametrize("poles", ["none", "flip"])
@pytest.mark.parametrize("folder", ["plain_folder", "sd2_folder", "sdxl_folder", "sdxl_inpaint_folder"])
def test_a_roll_of_noise_and_input_rolls_the_panorama(folder: str, poles: str, request: pytest.FixtureRequest) -> None:
    place = str(request.getfixturevalue(folder))
    model = Seamless(Seamless.Config(backbone=BackboneConfig(place), poles=poles)).eval()
    stride = model.stride // model.backbone.latents.scale
    plain = whole(model, 0)
    for times in (1, 3):
        assert_close(whole(model, times * stride), plain.roll(times * model.stride, -1), atol=2e-4, rtol=0)
    unwrapped = load_method(place).eval()
    torn = whole(unwrapped, stride) - whole(unwrapped, 0).roll(model.stride, -1)
    assert torn.abs().max() > 0.02


@pytest.fixture
def generator(plain_folder: Path) -> Generator:
    return Generator(
        ModelConfig(str(plain_folder)), Defaults(ROWS, SeamlessSettings(SAMPLER)), alone="seamless", device="cpu"
    )


def test_a_photograph_stays_in_its_panorama(generator: Generator, tmp_path: Path) -> None:
    save_image(smooth_photo(60, 80), tmp_path / "yard.png")
    asked = Request("a yard", photos=[Photo(image=str(tmp_path / "yard.png"), yaw=40.0, fov=80.0)])
    made = generator.generate(asked, tmp_path / "run")
    assert made.panorama.shape == (3, ROWS, 2 * ROWS) and 0.03 < made.given.float().mean() < 0.3
    given = (load_image(tmp_path / "run" / "input.png") + 1) / 2
    assert_close(made.panorama * made.given, given * made.given)
    assert torch.equal(generator.generate(asked).panorama, made.panorama)
    other = generator.generate(replace(asked, seed=1)).panorama
    assert (other - made.panorama)[~made.given.expand(3, -1, -1)].abs().mean() > 0.01
    # What was denoised is kept: without its results it is not denoised again.
    (tmp_path / "run" / "result.png").unlink()
    generator.model.backbone.denoiser.forward = None
    again = generator.generate(asked, tmp_path / "run")
    assert torch.equal(again.panorama, made.panorama) and (tmp_path / "run" / "result.png").is_file()


def test_sizes_that_do_not_wrap_are_refused_with_those_that_do(generator: Generator, tmp_path: Path) -> None:
    stride = generator.model.stride // 2
    for height in (ROWS + 1, ROWS + stride - 1):
        if height % stride:
            with pytest.raises(
                UserError, match=rf"height must be a multiple of {stride} .*{ROWS} or {ROWS + stride}, got"
            ):
                generator.generate(Request("x", height=height), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_what_is_saved_is_loaded(plain_folder: Path, tmp_path: Path) -> None:
    model = Seamless(Seamless.Config(backbone=BackboneConfig(str(plain_folder)), poles="flip"))
    model.save_pretrained(tmp_path / "saved")
    assert json.loads((tmp_path / "saved" / "config.json").read_text())["method"] == "seamless"
    again = load(tmp_path / "saved", settings=["device=cpu"])
    assert again.method.name == "seamless" and again.model.config.poles == "flip"
