"""Views encoded once teach a UNet what the views themselves would have taught, and never those of another recipe."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers.models.attention_processor import AttnProcessor2_0
from PIL import Image
from torch import Tensor
from torch.testing import assert_close

from aognet.data.latents import LatentSamples
from aognet.data.outpainting import OutpaintingSamples
from aognet.diffusion.condition import InpaintCondition, TextCondition
from aognet.diffusion.objective import Denoising, Emphasis, noised_loss
from aognet.embedded.autoencoder import AutoencoderTraining
from aognet.embedded.clip import ClipTraining
from aognet.embedded.clip.tokenizer import train_tokenizer
from aognet.embedded.inpainting import InpaintingTraining
from aognet.embedded.inpainting.encoding import encode_views
from aognet.embedded.inpainting.model import use_plain_attention
from aognet.errors import UserError
from aognet.geometry.plans import PlanConfig
from aognet.io.captions import save_captions
from misc.encode_views import main

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained autoencoder and text encoder, and two panoramas with captions."""
    folder = tmp_path_factory.mktemp("encoded")
    torch.manual_seed(0)
    AutoencoderTraining(AutoencoderTraining.Config(channels=(8, 16), groups=1)).save_pretrained(folder)
    train_tokenizer(["a red barn", "a kitchen"], vocabulary=560).save_pretrained(folder / "words")
    clip = ClipTraining.Config(
        tokenizer=str(folder / "words"), hidden_size=16, projection_size=12, heads=2, text_layers=1, image_layers=1,
        image_size=16, patch_size=8,
    )  # fmt: skip
    ClipTraining(clip).save_pretrained(folder)
    random = np.random.default_rng(0)
    (folder / "panoramas").mkdir()
    for name in ("a", "b"):
        pixels = random.integers(0, 256, (32, 64, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / "panoramas" / f"{name}.png")
    save_captions({"a.png": ["a red barn"], "b.png": ["a kitchen"]}, folder / "captions.jsonl")
    return folder


def wanted(folder: Path, where: str = "latents", **settings) -> LatentSamples.Config:
    views = OutpaintingSamples.Config(
        folders=[str(folder / "panoramas")], captions=[str(folder / "captions.jsonl")], height=32, face_size=8,
        plan=PlanConfig(kind="cover", fov_degrees=90.0, size=16),
    )  # fmt: skip
    settings = {"count": 6, "shard": 3, "views": views, "vae": str(folder)} | settings
    return LatentSamples.Config(folder=str(folder / where), **settings)


@pytest.fixture(scope="module")
def samples(folder: Path) -> LatentSamples:
    assert encode_views(wanted(folder), CPU, batch_size=2) == 2
    return LatentSamples(wanted(folder))


@pytest.fixture(scope="module")
def prior(folder: Path) -> InpaintingTraining:
    torch.manual_seed(0)
    config = InpaintingTraining.Config(
        vae=str(folder), text=str(folder), channels=(16, 16), attention=(False, True), head_dim=8, groups=8, draws=2,
    )  # fmt: skip
    return InpaintingTraining(config)


def test_every_view_is_there_once_with_its_prompt_and_what_is_known(folder: Path, samples: LatentSamples):
    views = OutpaintingSamples(samples.config.views)
    batch = views.collate([views[number] for number in range(6)])
    backbone = InpaintingTraining(InpaintingTraining.Config(
        vae=str(folder), text=str(folder), channels=(16, 16), attention=(False, True), head_dim=8, groups=8,
    )).backbone  # fmt: skip
    expected = backbone.latents.encode(batch.view)
    encoded = samples.collate([samples[number] for number in range(6)])
    for number in range(6):
        # bfloat16 while encoding: nearest is the same view.
        place = int((expected - encoded.latents[number]).abs().mean((1, 2, 3)).argmin())
        assert_close(encoded.latents[number], expected[place], atol=0.05, rtol=0.05)
        assert encoded.prompts[number] == batch.prompts[place]
        condition = backbone.prepare_condition(batch.view[[place]], batch.known[[place]], [torch.Generator()])
        assert torch.equal(~encoded.known[[number]], condition.mask > 0.5)
        known = backbone.latents.encode(batch.view[[place]] * batch.known[[place]])
        assert_close(encoded.known_latents[[number]], known, atol=0.05, rtol=0.05)
    every = sorted(tuple(row.flatten().tolist()) for row in encoded.latents)
    again = sorted(tuple(samples[number].latents.flatten().tolist()) for number in range(6, 12))
    assert every == again and len(set(every)) == 6
    assert samples[0].seed == LatentSamples(samples.config)[0].seed != samples[6].seed


def test_a_step_on_encoded_views_is_a_step_on_the_views(samples: LatentSamples, prior: InpaintingTraining):
    """The same loss as of the pictures, up to the rounding of what is kept."""
    views = OutpaintingSamples(samples.config.views)
    pictures = views.collate([views[number] for number in range(6)])
    encoded = samples.collate([samples[number] for number in range(6)])
    latents = prior.backbone.latents.encode(pictures.view)
    order = [int((latents - row).abs().mean((1, 2, 3)).argmin()) for row in encoded.latents]
    pictures = views.collate([views[number] for number in order])
    pictures = replace(pictures, seeds=encoded.seeds)
    with torch.no_grad():
        expected, found = prior(pictures)["loss"], prior(encoded)["loss"]
    assert_close(found, expected, rtol=0.02, atol=0)
    assert prior.preview(encoded) == {}
    prior(encoded)["loss"].backward()
    assert all(parameter.grad is not None for parameter in prior.backbone.denoiser.unet.parameters())


def test_nothing_known_is_the_grey_view_whatever_was_known(samples: LatentSamples, prior: InpaintingTraining):
    encoded = samples.collate([samples[number] for number in range(2)])
    hidden = torch.ones(2, 1, 1, 1, dtype=torch.bool)
    condition = prior._condition(encoded, hidden)
    grey = prior.backbone.latents.encode(torch.zeros(1, 3, 16, 16))
    assert torch.equal(condition.image, grey.expand_as(condition.image)) and condition.mask.all()
    shown = prior._condition(encoded, ~hidden)
    assert torch.equal(shown.image, encoded.known_latents) and torch.equal(shown.mask < 0.5, encoded.known)


def test_plain_attention_changes_no_prediction(samples: LatentSamples, prior: InpaintingTraining):
    batch = samples.collate([samples[number] for number in range(2)])
    unet = prior.backbone.denoiser.unet
    inputs = torch.cat([batch.latents, batch.known.float(), batch.known_latents], 1)
    with torch.no_grad():
        found = []
        for use in (lambda: unet.set_attn_processor(AttnProcessor2_0()), lambda: use_plain_attention(unet)):
            use()
            found.append(unet(inputs, torch.tensor(500), encoder_hidden_states=torch.ones(2, 3, 16)).sample)
    assert_close(found[0], found[1], atol=1e-5, rtol=1e-4)
    assert found[0].abs().max() > 1e-2


def test_encoding_goes_on_where_it_was_stopped(folder: Path, samples: LatentSamples):
    first, second = samples.config.shards
    before, kept = second.read_bytes(), first.stat().st_mtime_ns
    second.unlink()
    with pytest.raises(UserError, match="views-00001.safetensors: no such file; misc/encode_views.py encodes"):
        LatentSamples(samples.config)
    assert encode_views(samples.config, CPU, batch_size=2) == 1
    assert second.read_bytes() == before and first.stat().st_mtime_ns == kept
    more = replace(samples.config, count=9)
    assert encode_views(more, CPU, batch_size=2) == 1
    more.shards[-1].unlink()


def test_views_of_another_recipe_are_refused(folder: Path, samples: LatentSamples, tmp_path: Path):
    other = replace(samples.config, views=replace(samples.config.views, seed=1))
    for use in (LatentSamples, lambda config: encode_views(config, CPU)):
        with pytest.raises(UserError, match="latents.json: the views here were encoded with other views"):
            use(other)
    torch.manual_seed(1)
    AutoencoderTraining(AutoencoderTraining.Config(channels=(8, 16), groups=1)).save_pretrained(tmp_path)
    with pytest.raises(UserError, match="encoded with other vae"):
        LatentSamples(replace(samples.config, vae=str(tmp_path)))
    with pytest.raises(UserError, match="count must be a multiple of shard"):
        wanted(folder, count=7)


def test_a_broken_shard_is_named(folder: Path, samples: LatentSamples):
    config = wanted(folder, "broken")
    encode_views(config, CPU, batch_size=3)
    config.shards[0].write_bytes(config.shards[0].read_bytes()[:-9])
    with pytest.raises(UserError, match="views-00000.safetensors: not the encoded views"):
        LatentSamples(config)[0]


def test_the_command_reads_the_training_data_of_a_config(folder: Path):
    text = f"""
data:
  train:
    target: latents
    folder: {folder / "commanded"}
    vae: {folder}
    count: 2
    shard: 2
    views:
      folders: [{folder / "panoramas"}]
      height: 32
      face_size: 8
      plan: {{kind: cover, fov_degrees: 90, size: 16}}
"""
    path = folder / "config.yaml"
    path.write_text(text, encoding="utf-8")
    main(["-b", str(path), "--batch_size", "2"])
    assert (folder / "commanded" / "views-00000.safetensors").is_file()
    with pytest.raises(UserError, match="data.train.target must be latents"):
        main(["-b", str(path), "data.train.target=views"])


@pytest.mark.parametrize("kind", ["v_prediction", "epsilon"])
def test_the_weight_of_the_error_in_what_was_clean_is_limited(prior: InpaintingTraining, kind: str):
    """The weight of a clean view's error is SNR + 1 where a velocity is predicted, SNR where noise is, up to 5."""
    kept = prior.backbone.training_scheduler.alphas_cumprod
    snr = kept / (1 - kept)
    found = Emphasis(snr_limit=5.0).weights(kept, kind)
    natural = snr + 1 if kind == "v_prediction" else snr
    assert_close(found * natural, natural.clamp(max=5), rtol=1e-3, atol=1e-6)
    assert torch.equal(Emphasis().weights(kept, kind), torch.ones(1000))


def test_timesteps_move_towards_noise():
    seeds = torch.arange(400)
    plain, moved = (Emphasis(timestep_shift=shift).timesteps(seeds, 1000, "cpu", 2) for shift in (1.0, 3.0))
    assert plain.min() >= 0 and moved.max() <= 999
    # The median u = 1/2 becomes 3/2 / (1 + 2/2) = 3/4.
    assert abs(moved.float().median() - 750) < 40 and abs(plain.float().median() - 500) < 60
    assert torch.equal(moved, Emphasis(timestep_shift=3.0).timesteps(seeds, 1000, "cpu", 2))
    for wrong in ({"timestep_shift": 0.0}, {"snr_limit": -1.0}):
        with pytest.raises(UserError, match=next(iter(wrong))):
            Emphasis(**wrong)


def test_the_loss_is_weighted(samples: LatentSamples, prior: InpaintingTraining):
    """With a limit so low that it holds at every timestep, the loss is that of the clean view times the limit."""
    batch = samples.collate([samples[number] for number in range(4)])
    condition = prior._condition(batch, torch.zeros(4, 1, 1, 1, dtype=torch.bool))
    context = TextCondition(torch.zeros(4, 3, 16))
    seen = {}

    def predict(noisy: Tensor, timesteps: Tensor, context: TextCondition, condition: InpaintCondition) -> Tensor:
        seen["timesteps"] = timesteps
        return torch.zeros_like(noisy)

    def loss(limit: float) -> Tensor:
        emphasis = Emphasis(snr_limit=limit)
        given = Denoising(batch.latents, condition, batch.seeds, context, predict)
        return noised_loss(prior.backbone, given, emphasis=emphasis)

    kept = prior.backbone.training_scheduler.alphas_cumprod
    loss(0.0)
    velocity = prior.backbone.target(batch.latents, condition.noise, seen["timesteps"])
    weights = (1e-3 * (1 - kept[seen["timesteps"]]))[:, None, None, None]
    assert_close(loss(1e-3), (velocity.square() * weights).mean())
    assert_close(loss(0.0), velocity.square().mean())
