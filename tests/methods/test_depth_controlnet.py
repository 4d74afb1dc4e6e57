"""A ControlNet learns the depth of whole panoramas: it starts as nothing, and what it learns is diffusers' own."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional
from torch.testing import assert_close

from aognet.data.depth_panoramas import DepthBatch
from aognet.diffusion.backbone import Backbone, BackboneConfig
from aognet.diffusion.condition import ControlImage, InpaintCondition
from aognet.diffusion.objective import NOISE, TIMESTEP, noised_loss
from aognet.diffusion.sampling.noise import generators, normal, uniform_timesteps
from aognet.errors import UserError
from aognet.methods.seamless.depth_controlnet import DepthControlNet
from aognet.methods.seamless.model import Seamless
from aognet.methods.seamless.training import known_condition, turned_denoising, turned_latents
from tests.generate.painter import smooth_photo
from tests.slow import rest_slow
from tests.tiny import tiny_components

ROWS = 32
KINDS = [("sd15", 4), ("sd2", 9), ("sdxl", 4), ("sdxl", 9)]
Make = Callable[..., DepthControlNet]


def build(layout: Any = "sd15", channels: int = 4, **options: Any) -> DepthControlNet:
    """The training around a fresh tiny backbone, always the same one."""
    parts = tiny_components(layout, channels)
    parts.pop("image_encoder")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        config = DepthControlNet.Config(**{"backbone": BackboneConfig("tiny"), "widths": [8, 16]} | options)
        return DepthControlNet(config, Backbone.of(**parts)).eval()


@torch.no_grad()
def as_trained(model: DepthControlNet) -> DepthControlNet:
    """The same with other weights."""
    for number, weight in enumerate(model.trainable_parts()["controlnet"].parameters()):
        weight.add_(0.1 * torch.randn(weight.shape, generator=torch.Generator().manual_seed(number)))
    return model


def batch_of(columns: list[int], known: bool = True) -> DepthBatch:
    count = len(columns)
    images = torch.stack([smooth_photo(ROWS, 2 * ROWS).roll(5 * row, -1) for row in range(count)])
    mask = torch.zeros(count, 1, ROWS, 2 * ROWS, dtype=torch.bool)
    mask[..., 8:20, 24:40] = known
    depth = torch.rand(count, 1, ROWS, 2 * ROWS, generator=torch.Generator().manual_seed(6))
    prompts, seeds = [f"room {row}" for row in range(count)], torch.arange(count) + 5
    return DepthBatch(images, torch.tensor(columns), mask, prompts, seeds, depth)


@torch.no_grad()
@pytest.mark.parametrize("train", ["all", "lora"])
@pytest.mark.parametrize(("layout", "channels"), rest_slow(KINDS, fast=2))
def test_at_first_nothing_is_controlled(layout: Any, channels: int, train: Any):
    model, batch = build(layout, channels, train=train, lora_rank=2), batch_of([3, 8])
    config, given = model.config, turned_denoising(model.backbone, model.config, batch)
    alone = noised_loss(model.backbone, given, config.noise_offset, config.known_weight, config.emphasis)
    assert torch.equal(model(batch)["loss"], alone)
    changed = as_trained(model)(batch)["loss"]
    assert abs(changed / alone - 1) > 1e-4
    assert model(replace(batch, depth=batch.depth.flip(-1)))["loss"] != changed


@torch.no_grad()
@pytest.mark.parametrize("poles", rest_slow(["flip", "none"]))
@pytest.mark.parametrize(("layout", "channels"), rest_slow(KINDS[::-1], fast=2))
def test_the_loss_is_that_of_the_networks_of_diffusers(layout: Any, channels: int, poles: Any):
    """Noise, timesteps and latents are ours; what is made of them is computed by diffusers' networks alone."""
    model = as_trained(build(layout, channels, drop_text=0.0, drop_known=0.0, poles=poles))
    batch, backbone = batch_of([3, 8]), model.backbone
    latents = backbone.latents.encode(batch.turned())
    noise = normal(latents.shape, generators(batch.seeds, NOISE), "cpu")
    timesteps = uniform_timesteps(batch.seeds, backbone.training_steps, "cpu", TIMESTEP)
    noisy = backbone.training_scheduler.add_noise(latents, noise, timesteps)
    text = backbone.conditioner(batch.prompts)
    given: dict[str, Any] = {"encoder_hidden_states": text.tokens}
    if layout == "sdxl":
        sizes = torch.tensor([[ROWS, 2 * ROWS, 0, 0, ROWS, 2 * ROWS]] * 2).float()
        given["added_cond_kwargs"] = {"text_embeds": text.pooled, "time_ids": sizes}
    depth = torch.stack([row.roll(-by, -1) for row, by in zip(batch.depth, batch.columns.tolist(), strict=True)])
    controls = model.controlnet(noisy, timesteps, controlnet_cond=depth.repeat(1, 3, 1, 1), **given)
    told = backbone.prepare_condition(batch.turned(), batch.known, generators(batch.seeds, NOISE))
    inputs = noisy if channels == 4 else torch.cat([noisy, told.mask, told.image], dim=1)
    found = backbone.denoiser.unet(
        inputs,
        timesteps,
        down_block_additional_residuals=controls.down_block_res_samples,
        mid_block_additional_residual=controls.mid_block_res_sample,
        **given,
    ).sample
    is_noise = backbone.prediction_type == "epsilon"
    target = noise if is_noise else backbone.training_scheduler.get_velocity(latents, noise, timesteps)
    assert_close(model(batch)["loss"], functional.mse_loss(found, target), atol=1e-6, rtol=1e-5)


@torch.no_grad()
@pytest.mark.parametrize("poles", rest_slow(["flip", "none"]))
@pytest.mark.parametrize(("layout", "channels"), rest_slow(KINDS, fast=2))
def test_what_is_predicted_rolls_with_latents_and_depth(layout: Any, channels: int, poles: Any):
    model = as_trained(build(layout, channels, poles=poles, train="lora", lora_rank=2))
    batch, backbone = batch_of([0, 0]), model.backbone
    latents = turned_latents(backbone.latents, batch.images, batch.columns)
    condition = known_condition(backbone, batch.turned(), batch.known, batch.seeds)
    text, scale = backbone.conditioner(batch.prompts), backbone.latents.scale

    def predicted(cells: int, depth_too: bool = True) -> Tensor:
        parts = (condition.mask, condition.image, condition.noise)
        rolled = InpaintCondition(*(part.roll(cells, -1) for part in parts))
        shown = batch.depth.roll(cells * scale * depth_too, -1).repeat(1, 3, 1, 1)
        control = [ControlImage(shown)]
        return backbone.predict(latents.roll(cells, -1), torch.tensor(500), text, rolled, controls=control)

    stride = Seamless.stride.fget(model) // scale
    for times in (1, 3):
        assert_close(predicted(times * stride), predicted(0).roll(times * stride, -1), atol=1e-4, rtol=0)
    assert (predicted(stride, depth_too=False) - predicted(0).roll(stride, -1)).abs().max() > 1e-3


def test_depth_that_is_left_out_is_black():
    model = as_trained(build(drop_depth=1.0))
    batch = batch_of([2, 7])
    black = replace(batch, depth=torch.zeros_like(batch.depth))
    assert torch.equal(model(batch)["loss"], model(black)["loss"])
    assert not torch.equal(as_trained(build())(batch)["loss"], model(batch)["loss"])


@pytest.mark.slow
@pytest.mark.parametrize("train", ["all", "lora"])
def test_it_learns_to_read_depth(train: Any):
    """Panoramas that their depth decides: after some steps the right depth helps more than another's."""
    model = build("sd2", 4, train=train, lora_rank=4, drop_text=0.0)
    frozen = {name: value.clone() for name, value in model.backbone.denoiser.unet.state_dict().items()}
    cells = (torch.rand(4, 1, 4, 8, generator=torch.Generator().manual_seed(0)) > 0.5).float()
    depth = cells.repeat_interleave(8, -1).repeat_interleave(8, -2)
    images = (depth * 1.8 - 0.9).expand(-1, 3, -1, -1)
    batch = replace(batch_of([0] * 4), images=images, prompts=[""] * 4)
    # An untrained VAE makes nearly the same of all pictures: what differs is to count as much as the noise.
    vae, latents = model.backbone.latents.vae, model.backbone.latents.encode(images)
    vae.register_to_config(scaling_factor=vae.config.scaling_factor / (latents - latents.mean(0)).std().item())
    optimizer = torch.optim.Adam(model.trainable_parts()["controlnet"].parameters(), 1e-2)

    def loss(shown: Tensor, first: int) -> Tensor:
        return model(replace(batch, depth=shown, seeds=torch.arange(4) + first))["loss"]

    @torch.no_grad()
    def mean_loss(shown: Tensor) -> Tensor:
        return torch.stack([loss(shown, first) for first in range(1000, 1040, 4)]).mean()

    assert torch.equal(mean_loss(depth), mean_loss(depth.roll(1, 0)))
    for step in range(40):
        optimizer.zero_grad()
        loss(depth, 4 * step).backward()
        optimizer.step()
    assert mean_loss(depth) < 0.98 * mean_loss(depth.roll(1, 0))
    assert all(torch.equal(value, frozen[name]) for name, value in model.backbone.denoiser.unet.state_dict().items())


@torch.no_grad()
@pytest.mark.parametrize(
    ("folder", "options"),
    [
        ("plain_folder", {"train": "lora", "lora_rank": 2}),
        ("sd2_folder", {"train": "attention"}),
        ("sdxl_inpaint_folder", {"train": "lora", "lora_rank": 2, "dtype": "float16"}),
    ],
)
def test_what_is_saved_is_a_controlnet_of_the_backbone(folder: str, options: Any, request: Any, tmp_path: Path):
    from diffusers import ControlNetModel

    place = str(request.getfixturevalue(folder))
    config = DepthControlNet.Config(backbone=BackboneConfig(place), widths=[8, 16], **options)
    model = as_trained(DepthControlNet(config)).eval()
    model.save_pretrained(tmp_path)
    batch, half = batch_of([0, 0]), options.get("dtype") == "float16"
    condition = known_condition(model.backbone, batch.images, batch.known, batch.seeds)
    asked = (condition.noise, torch.tensor(500), model.backbone.conditioner(batch.prompts), condition)
    control = [ControlImage(batch.depth.repeat(1, 3, 1, 1))]
    expected = model.backbone.predict(*asked, controls=control)
    assert ControlNetModel.from_pretrained(tmp_path).config.in_channels == 4
    for saved in (tmp_path, tmp_path / "small"):
        if not saved.is_dir():
            assert options["train"] != "lora"
            continue
        again = Seamless(Seamless.Config(backbone=BackboneConfig(place, controlnets=[str(saved)])))
        found = again.backbone.predict(*asked, controls=control)
        assert_close(found, expected, atol=0.02 if half else 1e-5, rtol=0.01 if half else 1e-5)
    if options["train"] == "attention":
        more = DepthControlNet(replace(config, start=str(tmp_path), train="all", widths=None)).eval()
        assert_close(more.backbone.predict(*asked, controls=control), expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"widths": [8, 16, 16]}, r"widths must be 2 for latents 2 times smaller than the picture, got \[8, 16, 16\]"),
        ({"widths": [8, 0]}, "widths must be at least 1"),
        ({"train": "none"}, "train must be all, attention or lora, got 'none'"),
        ({"start": "x/y"}, "start is a whole ControlNet: train must not be lora, and widths null"),
        ({"start": "x/y", "widths": None, "train": "lora"}, "start is a whole ControlNet"),
        ({"drop_depth": 1.5}, "drop_depth must be a share"),
        ({"dtype": "float8"}, "dtype must be one of"),
        ({"backbone": BackboneConfig("tiny", controlnets=["x/y"])}, "backbone.controlnets must be empty"),
    ],
)
def test_what_cannot_be(options: dict[str, Any], said: str):
    with pytest.raises(UserError, match=said):
        build(**options)


def test_a_size_that_does_not_wrap_is_refused():
    batch = batch_of([0])
    cut = replace(batch, **{name: getattr(batch, name)[..., :-1, :-2] for name in ("images", "known", "depth")})
    with pytest.raises(UserError, match="data.train.height must be a multiple of"):
        build()(cut)
