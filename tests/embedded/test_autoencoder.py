"""What the autoencoder's latents are taught to keep, and what balancing them changes and does not."""

import copy

import pytest
import torch
from scipy.fft import dctn
from torch import Tensor
from torch.testing import assert_close

from aognet.embedded.autoencoder import AutoencoderTraining
from aognet.embedded.autoencoder.balance import EVENNESS, balance, sensitivity
from aognet.nn.block_transform import block_transform


def images_of(count: int, seed: int = 0, size: int = 32) -> Tensor:
    """Smooth random images in [-1, 1]."""
    coarse = torch.randn(count, 3, 8, 8, generator=torch.Generator().manual_seed(seed))
    return torch.nn.functional.interpolate(coarse, size=size, mode="bicubic").tanh()


@pytest.fixture(scope="module")
def vae() -> torch.nn.Module:
    torch.manual_seed(0)
    return AutoencoderTraining(AutoencoderTraining.Config(channels=(8, 16), groups=1, latent_channels=4)).vae.eval()


@pytest.mark.parametrize("factor", [4, 8])
def test_the_transform_is_the_cosine_transform_of_brightness_and_the_mean_of_colours(factor: int):
    images = images_of(2)
    found = block_transform(images, 6, factor)
    assert found.shape == (2, 6, 32 // factor, 32 // factor)
    block = images[1, :, :factor, factor : 2 * factor].double()
    grey = dctn((block.sum(0) / 3**0.5).numpy(), norm="ortho")
    red_green, blue_yellow = block[0] - block[1], 2 * block[2] - block[0] - block[1]
    values = [grey[0, 0], grey[0, 1], grey[1, 0], grey[1, 1]]
    values += [float(red_green.mean()) * factor / 2**0.5, float(blue_yellow.mean()) * factor / 6**0.5]
    ratios = found[1, :, 0, 1].double() / torch.tensor(values)
    spread = factor * torch.tensor([0.7, 1 / 8, 1 / 8, 1 / 8 / 2**0.5, 0.15, 0.15])
    assert_close(ratios, 1 / spread.double(), rtol=1e-4, atol=0)


@pytest.mark.parametrize("factor", [4, 8])
def test_a_guided_autoencoder_keeps_what_the_transform_keeps(factor: int):
    """A few steps of training bring the latents nearer to the transform."""
    torch.manual_seed(0)
    channels = (8, 8, 16) if factor == 4 else (8, 8, 8, 16)
    training = AutoencoderTraining(
        AutoencoderTraining.Config(channels=channels, groups=1, latent_channels=4, guide_weight=5.0)
    )
    images, optimizer = images_of(4), torch.optim.Adam(training.parameters(), lr=5e-3)
    batch = type("Batch", (), {"images": images, "seeds": torch.arange(4)})
    guide = block_transform(images, 4, factor)

    def away() -> float:
        return (training.vae.encode(images).latent_dist.mean - guide).square().mean().item()

    before = away()
    for _ in range(25):
        optimizer.zero_grad()
        training(batch)["loss"].backward()
        optimizer.step()
    assert away() < 0.7 * before


def test_balancing_changes_no_picture(vae: torch.nn.Module):
    changed, batches = copy.deepcopy(vae), [images_of(4, 1), images_of(4, 2)]
    balance(changed, batches)
    images = images_of(3, 5)
    with torch.no_grad():
        before, after = (one.decode(one.encode(images).latent_dist.mode()).sample for one in (vae, changed))
        assert not torch.allclose(vae.encode(images).latent_dist.mode(), changed.encode(images).latent_dist.mode())
    assert_close(after, before, atol=1e-4, rtol=1e-3)


def test_balanced_latents_are_uncorrelated_and_weigh_as_their_pictures(vae: torch.nn.Module):
    """Their variance is the root of the variance in the picture that they stand for, the most important first."""
    changed, batches = copy.deepcopy(vae), [images_of(8, 1), images_of(8, 2)]
    balance(changed, batches)
    with torch.no_grad():
        posteriors = [changed.encode(images).latent_dist for images in batches]
        latents = [posterior.mean for posterior in posteriors]
        flat = torch.cat([batch.movedim(1, -1).flatten(0, -2) for batch in latents])
        gram = sensitivity(changed, latents)
    covariance = torch.cov(flat.T)
    variances = covariance.diagonal()
    assert_close(flat.mean(0), torch.zeros(4), atol=1e-3, rtol=0)
    assert_close(covariance, torch.diag(variances), atol=0.02 * float(variances.max()), rtol=0)
    assert (variances.diff() <= 0).all()
    shares = variances * gram.diagonal()
    assert_close(variances / variances[0], (shares / shares[0]) ** EVENNESS, rtol=0.25, atol=1e-3)
    assert all(posterior.std.isfinite().all() for posterior in posteriors)
