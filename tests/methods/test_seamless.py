"""A whole panorama without a seam: a roll of what is given rolls it, a photograph stays, other sizes are refused."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from aognet import DirectedPrompt, Generator, Photo, Request, load
from aognet.diffusion import latent_space
from aognet.diffusion.backbone import Backbone, BackboneConfig
from aognet.diffusion.condition import ControlImage, InpaintCondition
from aognet.diffusion.inpaint import TextContext
from aognet.diffusion.sampling.noise import generators
from aognet.diffusion.sampling.sampler import SamplerConfig
from aognet.errors import UserError
from aognet.generate.asked import ModelConfig
from aognet.generate.generator import Defaults
from aognet.geometry.camera import Camera
from aognet.geometry.sphere import pixel_directions
from aognet.io.images import load_image, save_image
from aognet.methods.pretrained import load_method
from aognet.methods.seamless.denoising import PanoramaToDenoise, denoised, drawn_turns
from aognet.methods.seamless.directed import prompt_weights
from aognet.methods.seamless.model import Seamless
from aognet.methods.seamless.settings import SeamlessSettings
from tests.generate.painter import smooth_photo
from tests.slow import rest_slow
from tests.tiny import tiny_components, tiny_controlnet, tiny_unet

SAMPLER = SamplerConfig(scheduler="euler", steps=3, guidance=3.0)
ROWS = 32
WORDS = [DirectedPrompt(170.0, 0.0, "a red barn"), DirectedPrompt(-60.0, -80.0, "wet grass")]


def asked(model: Any, columns: int = 0, directed: Sequence[DirectedPrompt] = (), **more: Any) -> PanoramaToDenoise:
    """The other half of a panorama to paint, where all the model is given is rolled by columns of the latents."""
    panorama = smooth_photo(ROWS, 2 * ROWS)[None]
    known = (torch.arange(2 * ROWS) < ROWS).expand(1, 1, ROWS, -1)
    backbone = model.backbone
    condition = backbone.prepare_condition(panorama, known, generators([3])).rolled(columns)
    rows, wide = condition.mask.shape[-2:]
    texts = TextContext.of_prompts(backbone, ["a room", *(at.text for at in directed)], "fog")
    context = TextContext(texts.positive, texts.negative[:1])
    turned = [replace(at, yaw=at.yaw + 360 * columns / wide) for at in directed]
    weights = prompt_weights(turned, 60.0, rows, wide) if directed else None
    given = {"sampler": SAMPLER, "source": generators([3]), "weights": weights, **more}
    return PanoramaToDenoise(condition, context, **given)


def whole(model: Any, columns: int = 0, *given: Any, **more: Any) -> Tensor:
    """The painted panorama."""
    return model.backbone.latents.decode(denoised(model.backbone, asked(model, columns, *given, **more)))


def latent_stride(model: Seamless) -> int:
    return model.stride // model.backbone.latents.scale


@torch.no_grad()
@pytest.mark.parametrize("poles", rest_slow(["flip", "none"]))
@pytest.mark.parametrize(
    "folder", rest_slow(["sd2_folder", "sdxl_folder", "plain_folder", "sdxl_inpaint_folder"], fast=2)
)
def test_a_roll_of_noise_and_input_rolls_the_panorama(folder: str, poles: str, request: pytest.FixtureRequest) -> None:
    place = str(request.getfixturevalue(folder))
    model = Seamless(Seamless.Config(backbone=BackboneConfig(place), poles=poles)).eval()
    stride = latent_stride(model)
    plain, directed = whole(model), whole(model, 0, WORDS)
    assert (plain - directed).abs().max() > 0.01
    for expected, words, times in ((plain, (), 3), (directed, WORDS, 1)):
        rolled = whole(model, times * stride, words)
        assert_close(rolled, expected.roll(times * model.stride, -1), atol=2e-4, rtol=0)
    unwrapped = load_method(place).eval()
    torn = whole(unwrapped, stride) - whole(unwrapped).roll(model.stride, -1)
    assert torn.abs().max() > 0.02


@pytest.mark.parametrize("rows", [8, 64])
@pytest.mark.parametrize("words", [WORDS, [*WORDS, WORDS[0]], [DirectedPrompt(0.0, 90.0, "sky")]], ids=len)
def test_words_count_where_they_were_said(rows: int, words: list[DirectedPrompt]) -> None:
    weights = prompt_weights(words, 45.0, rows, 2 * rows)
    assert weights.shape == (1 + len(words), 1, rows, 2 * rows) and weights.min() >= 0
    assert_close(weights.sum(0), torch.ones(1, rows, 2 * rows))
    shares = [word for word in words if words.count(word) > 1]
    for number, at in enumerate(words, 1):
        angles = (pixel_directions(rows, 2 * rows) @ Camera(at.yaw, at.pitch).forward).acos().rad2deg()
        weight = weights[number, 0]
        assert weight.flatten()[angles.argmin()] > (0.4 if at in shares else 0.9)
        assert not weight[angles > 68].any()
    narrow = prompt_weights(words, 5.0, rows, 2 * rows)
    assert all(weight.max() > (0.4 if at in shares else 0.5) for at, weight in zip(words, narrow[1:], strict=True))
    for columns in (1, 5):
        turned = [replace(at, yaw=at.yaw + 360 * columns / (2 * rows)) for at in words]
        assert_close(prompt_weights(turned, 45.0, rows, 2 * rows), weights.roll(columns, -1), atol=1e-6, rtol=0)


@torch.no_grad()
@pytest.mark.parametrize("folder", rest_slow(["sdxl_folder", "plain_folder"]))
def test_a_direction_has_its_words_and_the_others_theirs(folder: str, request: pytest.FixtureRequest) -> None:
    """With weights of 0 and 1, each pixel is predicted from its prompt alone."""
    model = Seamless(Seamless.Config(backbone=BackboneConfig(str(request.getfixturevalue(folder))))).eval()
    one_step = replace(SAMPLER, steps=1)
    both = asked(model, 0, WORDS[:1], sampler=one_step)
    there = (both.weights > 0.5).float()
    parts = [
        denoised(
            model.backbone,
            replace(
                both, weights=None, context=TextContext(both.context.positive[row : row + 1], both.context.negative)
            ),
        )
        for row in (0, 1)
    ]
    expected = there[:1] * parts[0] + there[1:] * parts[1]
    assert_close(denoised(model.backbone, replace(both, weights=there)), expected, atol=1e-5, rtol=0)
    assert (parts[0] - parts[1]).abs().max() > 1e-3


@torch.no_grad()
@pytest.mark.parametrize(("scheduler", "channels"), rest_slow([("dpm-solver++", 4), ("pndm", 9)]))
def test_turned_in_every_step_it_is_the_same_panorama(scheduler: str, channels: int) -> None:
    """For networks that wrap around. What is known, words, control images and what schedulers remember turn too."""
    parts = tiny_components("sd15", channels)
    del parts["image_encoder"]
    backbone = Backbone.of(**parts, controlnets=[tiny_controlnet(tiny_unet("sd15", channels=4))])
    model = Seamless(Seamless.Config(backbone=BackboneConfig("tiny"), poles="flip"), backbone).eval()
    control = ControlImage(smooth_photo(ROWS, 2 * ROWS)[None] / 2 + 0.5, 0.7)
    given = {"sampler": replace(SAMPLER, scheduler=scheduler, steps=4), "controls": (control,)}
    plain = asked(model, 0, WORDS, **given)
    stride, columns = latent_stride(model), plain.condition.mask.shape[-1]
    turns = drawn_turns(1, columns, stride, backbone.training_steps)
    assert len({*turns}) > 4 and all(0 <= turn < columns and turn % stride == 0 for turn in turns)
    latents = denoised(backbone, plain)
    assert_close(denoised(backbone, replace(plain, turns=turns, source=generators([3]))), latents, atol=1e-3, rtol=1e-3)


@torch.no_grad()
def test_turning_hides_the_seam_of_a_network_that_does_not_wrap_around(plain_folder: Path) -> None:
    """What its edges do to the panorama is spread over the columns."""
    unwrapped = load_method(str(plain_folder)).eval()
    wrapped = Seamless(Seamless.Config(backbone=BackboneConfig(str(plain_folder)))).eval()
    given = {"sampler": replace(SAMPLER, steps=8, guidance=1.0)}
    plain = asked(wrapped, **given)
    columns = plain.condition.mask.shape[-1]
    nothing_known = replace(plain.condition, mask=torch.ones_like(plain.condition.mask))
    right = denoised(wrapped.backbone, replace(plain, condition=nothing_known))

    def seam(turns: list[int]) -> float:
        """How far the edges are from what a network without edges makes, compared with all columns."""
        made = denoised(unwrapped.backbone, replace(plain, condition=nothing_known, turns=turns))
        apart = (made - right).square().mean((0, 1, 2))
        return float(apart[[0, -1]].mean() / apart.mean())

    assert seam([]) > 4 > 2 > seam(drawn_turns(2, columns, latent_stride(wrapped), 1000))


@pytest.fixture
def generator(plain_folder: Path) -> Generator:
    return Generator(
        ModelConfig(str(plain_folder)), Defaults(ROWS, SeamlessSettings(SAMPLER)), alone="seamless", device="cpu"
    )


@pytest.mark.parametrize("folder", ["plain_folder", "sd2_folder"])
def test_a_photograph_across_the_seam_is_seen_like_one_ahead(
    folder: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By text-to-image models, which are shown how it goes on, and by those for inpainting."""
    monkeypatch.setattr(latent_space, "normal", lambda shape, *rest: torch.zeros(tuple(shape)))  # the mean, undrawn
    place = str(request.getfixturevalue(folder))
    panorama, known = smooth_photo(ROWS, 2 * ROWS)[None], torch.zeros(1, 1, ROWS, 2 * ROWS, dtype=torch.bool)
    known[..., 5:25, 23:41] = True

    def seen(model: Any, columns: int) -> InpaintCondition:
        given = panorama.roll(columns, -1), known.roll(columns, -1)
        return model.backbone.prepare_condition(*given, generators([1]))

    model, unwrapped = Seamless(Seamless.Config(backbone=BackboneConfig(place))).eval(), load_method(place)
    for columns in (model.stride, ROWS):
        there = seen(model, columns)
        ahead = seen(model, 0).rolled(columns // model.backbone.latents.scale)
        assert torch.equal(there.mask, ahead.mask)
        assert_close(there.image, ahead.image, atol=1e-4, rtol=0)
    torn = seen(unwrapped, ROWS).image - seen(unwrapped, 0).rolled(ROWS // 2).image
    assert torn.abs().max() > 0.01


@pytest.mark.parametrize("yaw", rest_slow([180.0, 40.0]))
def test_a_photograph_stays_in_its_panorama(yaw: float, generator: Generator, tmp_path: Path) -> None:
    save_image(smooth_photo(60, 80), tmp_path / "yard.png")
    asked = Request("a yard", photos=[Photo(image=str(tmp_path / "yard.png"), yaw=yaw, fov=80.0)])
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
