"""The training of an upscaler behind an autoencoder: what it sees, learns, writes and refuses."""

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch.nn import functional
from torch.testing import assert_close

from aognet.data.random_views import ViewBatch
from aognet.embedded.autoencoder import AutoencoderTraining
from aognet.embedded.view_upscaler import UpscalerTraining
from aognet.errors import UserError
from aognet.gan.projected import ProjectedDiscriminatorConfig
from aognet.nn.srvgg import larger_views, read_upscaler
from aognet.training.phases import optimized_parts
from tests.embedded.test_embedded_stages import images_of
from tests.perception.test_efficientnet import random_weights


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("upscaler")
    torch.manual_seed(0)
    AutoencoderTraining(AutoencoderTraining.Config(channels=(8, 16), groups=1)).save_pretrained(folder)
    save_file(random_weights(), folder / "efficientnet.safetensors")
    return folder


def training_of(folder: Path, **settings: Any) -> UpscalerTraining:
    torch.manual_seed(0)
    weights = str(folder / "efficientnet.safetensors")
    projected = ProjectedDiscriminatorConfig(weights, size=64, channels=4, widest=8, class_dim=4)
    given = {"vae": str(folder), "projected": projected, "channels": 8, "convolutions": 1} | settings
    return UpscalerTraining(UpscalerTraining.Config(**given))


def views() -> ViewBatch:
    return ViewBatch(images_of(size=64), ["a"] * 4, torch.arange(4), torch.zeros(4))


def test_it_begins_as_the_decoded_view_and_comes_nearer_to_the_truth(folder: Path):
    training, batch = training_of(folder, adversarial_weight=0.0), views()
    seen = training._seen(batch.images, batch.seeds)
    assert seen.shape == (4, 3, 32, 32)
    larger = training._larger(batch.images, batch.seeds)
    assert_close(larger, functional.interpolate(seen, scale_factor=2), atol=1e-5, rtol=0)
    optimizer, first = torch.optim.Adam(training.network.parameters(), lr=3e-3), training(batch)
    for step in range(30):
        optimizer.zero_grad()
        training.training_step(batch, "network", step)["loss"].backward()
        optimizer.step()
    last = training(batch)
    assert last["loss"] < 0.9 * first["loss"] and last["psnr"] > first["psnr"]


def test_each_side_learns_all_of_its_own_weights(folder: Path):
    training = training_of(folder)
    for phase in ("discriminator", "network"):
        training.training_step(views(), phase, 0)["loss"].backward()
        assert all(parameter.grad is not None for parameter in training.trainable_parts()[phase].parameters())
    assert {name: one.parts for name, one in optimized_parts(training).items()} == {
        "discriminator": ("discriminator",),
        "network": ("network",),
    }
    assert all(parameter.grad is None for parameter in training.vae.parameters())


def test_errors_of_latents_are_as_large_as_wanted(folder: Path):
    batch = views()
    clean, noisy = (training_of(folder, latent_noise=noise)._seen(batch.images, batch.seeds) for noise in (0.0, 1.0))
    small = functional.avg_pool2d(batch.images, 2)
    vae = training_of(folder).vae
    assert_close(clean, vae.decode(vae.encode(small).latent_dist.mode()).sample.clamp(-1, 1))
    assert (noisy - clean).abs().max() > 1e-3
    again = training_of(folder, latent_noise=1.0)._seen(batch.images[1:2], batch.seeds[1:2])
    assert_close(again, noisy[1:2], atol=1e-5, rtol=1e-4)


def test_what_it_writes_makes_views_larger(folder: Path, tmp_path: Path):
    training = training_of(folder)
    torch.nn.init.normal_(training.network.body[-1].weight, std=0.1)
    training.save_pretrained(tmp_path)
    network = read_upscaler(tmp_path / "upscaler" / "model.safetensors")
    seen = training._seen(views().images, views().seeds)
    larger = training._larger(views().images, views().seeds).clamp(-1, 1)
    assert_close(larger_views(network, seen), larger, atol=0.01, rtol=0)
    assert training.preview(views())["larger"].shape == (4, 3, 64, 64)


@pytest.mark.parametrize(
    ("wrong", "named"),
    [({"channels": 0}, "channels"), ({"scale": 9}, "scale"), ({"latent_noise": -1.0}, "latent_noise")],
)
def test_settings_that_make_no_sense_are_named(wrong: dict, named: str):
    with pytest.raises(UserError, match=named):
        UpscalerTraining.Config(vae="a", projected=ProjectedDiscriminatorConfig("a"), **wrong)


def test_a_second_pass_is_refused(folder: Path):
    with pytest.raises(UserError, match="gradient_checkpointing"):
        training_of(folder).enable_gradient_checkpointing()
