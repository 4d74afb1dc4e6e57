"""Seamless learns whole panoramas: latents turn with images, the loss is the same however both are turned, it falls."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from aognet.data.equirectangular import EquirectangularBatch
from aognet.diffusion.backbone import Backbone, BackboneConfig
from aognet.diffusion.condition import InpaintCondition
from aognet.diffusion.objective import Denoising, noised_loss
from aognet.diffusion.sampling.noise import generators, uniform
from aognet.errors import UserError
from aognet.io.store import CacheConfig
from aognet.methods.pretrained import load_method
from aognet.methods.seamless import training
from aognet.methods.seamless.model import Seamless
from aognet.methods.seamless.training import HIDE, SILENCE, known_condition, turned_latents
from tests.generate.painter import smooth_photo
from tests.methods.trained import TRAINED
from tests.slow import rest_slow
from tests.tiny import tiny_components

ROWS = 32
KINDS = [("sd15", 4), ("sd2", 9), ("sdxl", 4), ("sdxl", 9)]
Make = Callable[..., Seamless]


@pytest.fixture
def make() -> Make:
    """Seamless around a fresh tiny backbone, always the same one."""

    def build(layout: Any = "sd2", channels: int = 9, encodings: Path | None = None, **options: Any) -> Seamless:
        parts = tiny_components(layout, channels)
        parts.pop("image_encoder")
        backbone = Backbone.of(**parts, encodings=CacheConfig(encodings and str(encodings)))
        return Seamless(Seamless.Config(backbone=BackboneConfig("tiny"), **options), backbone).eval()

    return build


def batch_of(columns: list[int], known: bool = True) -> EquirectangularBatch:
    count = len(columns)
    images = torch.stack([smooth_photo(ROWS, 2 * ROWS).roll(5 * row, -1) for row in range(count)])
    mask = torch.zeros(count, 1, ROWS, 2 * ROWS, dtype=torch.bool)
    mask[..., 8:20, 24:40] = known
    return EquirectangularBatch(
        images, torch.tensor(columns), mask, [f"room {row}" for row in range(count)], torch.arange(count) + 5
    )


@pytest.mark.parametrize("poles", ["none", "flip"])
@pytest.mark.parametrize("columns", [0, 1, 6, 63])
def test_latents_turn_with_the_image(make: Make, columns: int, poles: str):
    model = make(poles=poles)
    batch = batch_of([columns, 2 * ROWS - columns])
    latents = model.backbone.latents
    expected = latents.encode(batch.turned())
    assert_close(turned_latents(latents, batch.images, batch.columns), expected, atol=1e-5, rtol=0)
    assert (latents.encode(batch.images) - expected).abs().max() > 0.01 or columns == 0


def test_kept_encodings_serve_every_turn_by_whole_latents(make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    model, seen = make(encodings=tmp_path), []
    vae, scale = model.backbone.latents.vae, model.backbone.latents.scale
    encode = vae.encode
    monkeypatch.setattr(vae, "encode", lambda images: seen.append(len(images)) or encode(images))
    for columns in range(0, 2 * ROWS, scale):
        turned_latents(model.backbone.latents, batch_of([columns]).images, torch.tensor([columns]))
    assert seen == [1]
    turned_latents(model.backbone.latents, batch_of([1]).images, torch.tensor([1]))
    assert seen == [1, 1]


def test_kept_encodings_are_not_those_of_a_network_that_pads_otherwise(make: Make, tmp_path: Path):
    images = batch_of([0]).images
    parts = tiny_components("sd2")
    parts.pop("image_encoder")
    plain = Backbone.of(**parts, encodings=CacheConfig(str(tmp_path))).latents
    torn, wrapped, over = (
        latents.encode(images)
        for latents in (plain, *(make(encodings=tmp_path, poles=poles).backbone.latents for poles in ("none", "flip")))
    )
    assert_close(wrapped, make().backbone.latents.encode(images), atol=1e-6, rtol=0)
    assert min((torn - wrapped).abs().max(), (over - wrapped).abs().max()) > 1e-3


@torch.no_grad()
@pytest.mark.parametrize("poles", rest_slow(["flip", "none"]))
@pytest.mark.parametrize(("layout", "channels"), rest_slow(KINDS[::-1], fast=2))
def test_the_loss_of_a_rolled_sample_with_rolled_noise_is_the_same(make: Make, layout: Any, channels: int, poles: str):
    """The law of training: a roll by the UNet's stride is no other sample."""
    model = make(layout, channels, poles=poles, train="lora", lora_layers="all", lora_rank=2)
    with torch.no_grad():
        for weight in model.trainable_parts()["unet"].parameters():
            weight.copy_(0.1 * torch.randn(weight.shape, generator=torch.Generator().manual_seed(4)))
    batch, backbone = batch_of([3, 8]), model.backbone
    latents = turned_latents(backbone.latents, batch.images, batch.columns)
    condition = known_condition(backbone, batch.turned(), batch.known, batch.seeds)
    text = backbone.conditioner(batch.prompts)

    def loss(by: int, network: Backbone = backbone) -> Tensor:
        parts = (condition.mask, condition.image, condition.noise)
        rolled = InpaintCondition(*(part.roll(by, -1) for part in parts))
        return noised_loss(network, Denoising(latents.roll(by, -1), rolled, batch.seeds, text))

    stride = model.stride // backbone.latents.scale
    for times in (1, 3):
        assert_close(loss(times * stride), loss(0), atol=0, rtol=1e-5)
    parts = tiny_components(layout, channels)
    parts.pop("image_encoder")
    plain = Backbone.of(**parts)
    assert abs(loss(stride, plain) / loss(0, plain) - 1) > 1e-4


@torch.no_grad()
def test_an_inpainting_unet_is_told_what_it_is_told_when_it_paints(make: Make, monkeypatch: pytest.MonkeyPatch):
    model, seen = make(drop_known=0.5, drop_text=0.5, train="attention"), []
    batch, backbone = batch_of([2, 7, 0, 9, 4, 6]), model.backbone
    predict = backbone.predict
    monkeypatch.setattr(backbone, "predict", lambda *given: seen.append(given) or predict(*given))
    model(batch)
    _, timesteps, text, condition = seen[0]
    hidden, silent = uniform(batch.seeds, HIDE) < 0.5, uniform(batch.seeds, SILENCE) < 0.5
    assert 0 < hidden.sum() < 6 and 0 < silent.sum() < 6 and len(timesteps.unique()) > 1
    known = batch.known & ~hidden[:, None, None, None]
    expected = backbone.prepare_condition(batch.turned(), known, generators(batch.seeds, training.NOISE))
    assert torch.equal(condition.mask, expected.mask) and torch.equal(condition.noise, expected.noise)
    assert_close(condition.image[~hidden], expected.image[~hidden], atol=1e-5, rtol=0)
    assert_close(condition.image[hidden], backbone.nothing_known(expected).image[hidden], atol=1e-5, rtol=0)
    empty = backbone.conditioner([""]).tokens
    assert torch.equal((text.tokens == empty).flatten(1).all(1), silent)
    # Unknown pixels reach the target alone.
    other = replace(batch, images=torch.where(rolled_back(known, batch), batch.images, 0.0))
    model(other)
    assert_close(seen[1][3].image, condition.image, atol=1e-5, rtol=0)


def rolled_back(known: Tensor, batch: EquirectangularBatch) -> Tensor:
    rows = zip(known, batch.columns.tolist(), strict=True)
    return torch.stack([row.roll(columns, -1) for row, columns in rows])


@torch.no_grad()
def test_a_text_to_image_unet_learns_the_whole_panorama(make: Make, monkeypatch: pytest.MonkeyPatch):
    """What is known is put back while it paints; nothing of it is encoded in training."""
    model, seen = make("sd15", 4, known_weight=0.0), []
    vae = model.backbone.latents.vae
    encode = vae.encode
    monkeypatch.setattr(vae, "encode", lambda images: seen.append(len(images)) or encode(images))
    loss, blind = model(batch_of([2, 7]))["loss"], model(batch_of([2, 7], known=False))["loss"]
    assert torch.equal(loss, blind) and loss > 0 and seen == [2, 2]


@pytest.mark.parametrize(("layout", "channels"), rest_slow(KINDS[:2]))
def test_it_learns_one_panorama(make: Make, layout: Any, channels: int):
    model = make(layout, channels, train="lora", lora_layers="all", lora_rank=8, drop_known=0.0, drop_text=0.0)
    optimizer = torch.optim.Adam(model.trainable_parts()["unet"].parameters(), 1e-2)
    losses = []
    for _ in range(16):
        optimizer.zero_grad()
        loss = model(batch_of([4]))["loss"]
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]


@pytest.mark.parametrize(("train", "layers", "least"), TRAINED)
def test_what_is_trained_is_what_learns(make: Make, train: Any, layers: Any, least: str):
    model = make(train=train, lora_rank=2, lora_layers=layers)
    names = {name for name, _ in model.trainable_parts()["unet"].named_parameters()}
    learning = {id(weight) for weight in model.parameters() if weight.requires_grad}
    assert learning == {id(weight) for weight in model.trainable_parts()["unet"].parameters()}
    assert any(least in name for name in names)
    model.enable_gradient_checkpointing()
    model(batch_of([3]))["loss"].backward()
    assert not [name for name, weight in model.trainable_parts()["unet"].named_parameters() if weight.grad is None]
    assert all(weight.grad is None for weight in model.backbone.latents.vae.parameters())


@torch.no_grad()
@pytest.mark.parametrize("train", rest_slow(["lora", "attention", "all"]))
def test_what_is_saved_denoises_as_what_was_trained(plain_folder: Path, tmp_path: Path, train: Any):
    backbone = BackboneConfig(str(plain_folder))
    model = Seamless(Seamless.Config(backbone=backbone, train=train, lora_layers="all", poles="flip")).eval()
    generator = torch.Generator().manual_seed(3)
    for weight in model.trainable_parts()["unet"].parameters():
        weight.add_(0.05 * torch.randn(weight.shape, generator=generator))
    model.save_pretrained(tmp_path / "saved")
    again = load_method(str(tmp_path / "saved")).eval()
    made = [noise_in(one, batch_of([3])) for one in (model, again, load_method(str(plain_folder), alone="seamless"))]
    assert_close(made[1], made[0], atol=1e-4, rtol=0)
    assert (made[2] - made[0]).abs().max() > 0.01


def noise_in(model: Seamless, batch: EquirectangularBatch) -> Tensor:
    """What it predicts for pure noise."""
    backbone = model.backbone
    condition = known_condition(backbone, batch.turned(), batch.known, batch.seeds)
    return backbone.predict(condition.noise, torch.tensor([900]), backbone.conditioner(batch.prompts), condition)


@torch.no_grad()
@pytest.mark.parametrize(("layout", "channels"), KINDS[:2])
def test_previews_are_whole_panoramas(make: Make, layout: Any, channels: int):
    shown = make(layout, channels).preview(batch_of([3, 10]))
    assert {name: image.shape for name, image in shown.items()} == dict.fromkeys(
        ("input", "target", "output"), (2, 3, ROWS, 2 * ROWS)
    )
    assert torch.equal(shown["target"], batch_of([3, 10]).turned())
    assert torch.equal(shown["input"] != 0, (shown["target"] * batch_of([0, 0]).known) != 0)


def test_sizes_that_do_not_wrap_are_refused(make: Make):
    model = make("sdxl", 4, train="attention")
    batch = batch_of([0])
    narrow = replace(batch, images=batch.images[..., :30, :60], known=batch.known[..., :30, :60])
    with pytest.raises(UserError, match=r"data.train.height must be a multiple of 4 .* such as 28 or 32, got 30"):
        model(narrow)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"lora_rank": 0}, "lora_rank must be at least 1, got 0"),
        ({"draws": 0}, "draws must be at least 1, got 0"),
        ({"drop_text": 1.5}, "drop_text must be a share between 0 and 1, got 1.5"),
        ({"drop_known": -0.1}, "drop_known must be a share between 0 and 1, got -0.1"),
    ],
)
def test_what_cannot_be(settings: dict, said: str):
    with pytest.raises(UserError, match=said):
        Seamless.Config(backbone=BackboneConfig("tiny"), **settings)
