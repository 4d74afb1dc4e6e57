"""The training of Text2Light's autoencoders: its losses, what it saves, and that a stopped one goes on bit for bit."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch.testing import assert_close

from aognet.data.whole import PanoramaBatch
from aognet.errors import UserError
from aognet.gan.patch_discriminator import PatchDiscriminator
from aognet.methods.text2light.training_vqgan import VqganTraining
from aognet.nn.block_transform import block_transform
from aognet.training.phases import HasPhases
from aognet.training.trainable import Trainable
from aognet.vq.autoencoder import VqAutoencoder, VqAutoencoderConfig
from aognet.vq.quantizer import QuantizerConfig
from main import main
from tests.training.resuming import WEIGHTS, check_resuming_changes_nothing
from tests.training.toy import fresh_processes

SHAPE = VqAutoencoderConfig(
    channels=(8, 16), layers_per_block=1, groups=4, latent_channels=8, quantizer=QuantizerConfig(codes=16, dim=4)
)
TINY = VqganTraining.Config(autoencoder=SHAPE, adversarial_start=1, discriminator=(4, 8))
SCALARS = replace(SHAPE, quantizer=QuantizerConfig(kind="finite_scalars", levels=(5, 3)))


def training(config: VqganTraining.Config = TINY, seed: int = 0) -> VqganTraining:
    torch.manual_seed(seed)
    return VqganTraining(config).train()


def batch_of(first: int = 0, count: int = 4, wraps: bool = True) -> PanoramaBatch:
    """Waves of random colours that go on over the edge."""
    seeds = torch.arange(first, first + count)
    drawn = torch.rand(count, 3, 1, 1, generator=torch.Generator().manual_seed(first)) * 6
    across, down = torch.linspace(0, 2 * torch.pi, 33)[:32], torch.linspace(0, 2, 16)[:, None]
    images = ((across + drawn).sin() * (down + drawn).cos()).contiguous()
    return PanoramaBatch(images, [""] * count, seeds, wraps)


def step_of(model: VqganTraining, number: int = 0, batch: Any = None) -> dict[str, torch.Tensor]:
    return model.training_step(batch or batch_of(), "vqgan", number)


def test_it_is_what_the_trainer_expects():
    model = training()
    assert isinstance(model, Trainable) and isinstance(model, HasPhases)
    assert [one.parts for one in model.optimizers().values()] == [tuple(model.trainable_parts())]


@pytest.mark.parametrize("shape", [SHAPE, SCALARS], ids=["codebook", "finite scalars"])
def test_it_learns(shape: VqAutoencoderConfig):
    model = training(replace(TINY, autoencoder=shape, adversarial_start=20))
    optimizer = torch.optim.Adam(model.parameters(), 3e-3)
    told = []
    for number in range(40):
        optimizer.zero_grad()
        told.append(step_of(model, number, batch_of(4 * number)))
        told[-1]["loss"].backward()
        optimizer.step()
    assert told[-1]["psnr"] > told[0]["psnr"] + 4
    assert told[-1]["perplexity"] > 2 and told[-1]["used"] > 0.1
    assert "judge" in told[20] and "judge" not in told[19]
    assert ("revived" in told[0]) == (shape is SHAPE)
    model.eval()
    found = model(batch_of(1000))
    assert found["psnr"] > told[0]["psnr"] and 2 <= found["codes"] <= 16


def test_a_step_depends_on_the_seeds_of_its_batch_alone():
    losses = []
    for number in range(2):
        model = training()
        torch.manual_seed(number)  # what else is drawn does not matter
        losses.append(step_of(model)["loss"])
    assert losses[0] == losses[1]


def test_the_adversarial_loss_counts_as_much_as_the_gradients_of_the_others():
    model = training(replace(TINY, adversarial_weight=1.0))
    weight = torch.nn.Parameter(torch.tensor([3.0, 4.0]))
    model.autoencoder.decoder.conv_out.weight = weight
    for factor in (0.5, 2.0):
        found = model._adapted(
            (weight * torch.tensor([1.0, 0.0])).sum(), factor * (weight * torch.tensor([0, 1.0])).sum()
        )
        assert_close(found, torch.tensor(1 / factor), rtol=1e-3, atol=0)
    assert model._adapted(weight.sum(), 1e-3 * weight.sum()) == 5  # no more than that


def test_each_side_of_the_discriminator_is_trained_on_its_own_loss():
    """Its gradient is that of its hinge alone, however much the autoencoder wants to please it."""
    found = []
    for weight in (0.1, 0.9):
        model = training(replace(TINY, adversarial_weight=weight))
        step_of(model, 5)["loss"].backward()
        found.append([value.grad for value in model.discriminator.parameters()])
    assert all(torch.equal(a, b) and a.abs().max() > 0 for a, b in zip(*found, strict=True))


def test_bounded_scores_stay_below_one():
    torch.manual_seed(0)
    judge = PatchDiscriminator((4, 8), bounded=True)
    judge.layers[-1].bias.data += 9
    scores = judge(torch.randn(1, 3, 16, 16))
    assert scores.max() <= 1 and scores.min() > 0.9
    judge.bounded = False
    assert judge(torch.randn(1, 3, 16, 16)).max() > 5


@torch.no_grad()
def test_whole_panoramas_wrap_around_and_patches_do_not():
    model = training(replace(TINY, revive_below=0.0)).eval()
    for wraps in (True, False):
        batch = batch_of(wraps=wraps)
        rolled = replace(batch, images=batch.images.roll(2, -1))
        gap = (model.preview(batch)["output"].roll(2, -1) - model.preview(rolled)["output"]).abs().max()
        assert (gap < 1e-5) == wraps, gap
        gap = (model.discriminator(batch.images).mean() - model.discriminator(batch.images.roll(8, -1)).mean()).abs()
        assert gap < 1e-5


def test_going_on_takes_weights_and_sizes_of_what_is_there_but_not_its_padding(tmp_path: Path):
    first = training(replace(TINY, autoencoder=replace(SHAPE, padding="published_local")))
    first.save_pretrained(tmp_path)
    second = training(VqganTraining.Config(start=str(tmp_path), adversarial_weight=0.0), seed=5)
    assert second.autoencoder.config == SHAPE
    assert all(
        torch.equal(a, b) for a, b in zip(first.autoencoder.parameters(), second.autoencoder.parameters(), strict=True)
    )
    assert all(value.requires_grad for value in second.autoencoder.parameters())
    assert step_of(second)["revived"] == 0


def test_a_guide_brings_latents_to_what_transform_coding_keeps():
    model = training(replace(TINY, guide_weight=5.0, adversarial_weight=0.0))
    optimizer, images = torch.optim.Adam(model.parameters(), 5e-3), batch_of().images
    away = lambda: (model.autoencoder.latents(images) - block_transform(images, 4, 2)).square().mean().item()  # noqa: E731
    before = away()
    for _ in range(25):
        optimizer.zero_grad()
        step_of(model)["loss"].backward()
        optimizer.step()
    assert away() < 0.5 * before


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"perceptual_size": 8}, "perceptual_size must be 0 or at least 32"),
        ({"revive_below": 1.0}, "revive_below must lie in"),
        ({"adversarial_weight": -1.0}, "adversarial_weight must be at least 0"),
        ({"discriminator": ()}, "discriminator must be numbers"),
        ({"guide_weight": 1.0, "autoencoder": SCALARS}, "guide_weight needs a quantizer of at least 3 numbers"),
        ({"dtype": "int8"}, "dtype must be one of"),
    ],
)
def test_configurations_that_cannot_work(changes: dict[str, Any], said: str):
    with pytest.raises(UserError, match=said):
        replace(TINY, **changes)


@pytest.fixture
def train(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """``main.py`` with the tiny networks on a folder of two panoramas."""
    (tmp_path / "scenes").mkdir()
    for number in range(2):
        pixels = np.random.default_rng(number).integers(0, 255, (4, 8, 3), dtype=np.uint8)
        Image.fromarray(pixels).resize((64, 32), Image.Resampling.BICUBIC).save(tmp_path / "scenes" / f"{number}.png")
    shape = "channels: [8, 16], layers_per_block: 1, groups: 4, latent_channels: 8, quantizer: {codes: 16, dim: 4}"
    panoramas = f"folders: [{tmp_path / 'scenes'}], captions: [], height: 32, cache: {{folder: null}}"
    trainer = "max_steps: 5, batch_size: 2, num_workers: 0, device: cpu, threads: 1, log_every: 1, checkpoint_every: 2"
    (tmp_path / "vqgan.yaml").write_text(
        f"model: {{target: vqgan, autoencoder: {{{shape}}}, adversarial_start: 1, discriminator: [4, 8]}}\n"
        f"data: {{train: {{target: panorama_patches, rows: 16, columns: 32, {panoramas}}}, "
        f"validation: {{target: panoramas, {panoramas}, seed: 7}}}}\n"
        f"trainer: {{{trainer}, learning_rate: 0.003, ema_decay: 0.9, mixed_precision: bf16, images_every: 3}}\n"
    )
    return lambda *arguments: main(["--out_dir", str(tmp_path), "-b", str(tmp_path / "vqgan.yaml"), *arguments])


@pytest.fixture(autouse=True)
def clean_slate():
    yield from fresh_processes()


@pytest.mark.parametrize("more", [[], ["model.autoencoder.quantizer.kind=finite_scalars"]])
def test_a_stopped_training_goes_on_bit_for_bit(tmp_path: Path, train: Callable[..., int], more: list[str]):
    """The use of codes is in the checkpoint: the same codes come to life after it."""
    # Every second code is dead after a step or two.
    more = [*more, "model.revive_below=0.99"]
    for name, tensors in check_resuming_changes_nothing(train, tmp_path, *more).items():
        assert ("use.shares" in tensors) == (name == WEIGHTS)
    metrics = (tmp_path / "whole" / "metrics.jsonl").read_text()
    assert "vqgan/perplexity" in metrics and "vqgan/used" in metrics
    network = VqAutoencoder.from_pretrained(tmp_path / "whole" / "final")
    assert network.decode(network.encode(batch_of().images)).shape == (4, 3, 16, 32)
