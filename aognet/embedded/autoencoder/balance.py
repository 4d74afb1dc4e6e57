"""Latent channels that matter alike: a change of basis, folded into the autoencoder's own layers.

An autoencoder trained by reconstruction alone may store brightness in latents a hundred times as large as those that
store colour. Diffusion noises and predicts all directions alike, so what is in the small ones is lost.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

# Between latents whose errors weigh alike in the picture (0) and latents of one variance (1).
EVENNESS = 0.5
STEP = 0.1


@dataclass(frozen=True)
class Basis:
    """A change of basis. New latents are ``to_new @ (old - centre)``; ``to_old`` is the inverse of ``to_new``."""

    centre: Float[Tensor, "channels"]
    to_new: Float[Tensor, "channels channels"]
    to_old: Float[Tensor, "channels channels"]


@torch.no_grad()
def balance(vae: Any, batches: Sequence[Float[Tensor, "batch 3 height width"]]) -> None:
    """Give a trained `AutoencoderKL` latents of balanced channels, the most important first. What it decodes stays the
    same.

    ``batches`` are images in [-1, 1] that show what its latents are like.
    """
    with torch.autocast(batches[0].device.type, enabled=False):  # small differences need all digits
        posteriors = [vae.encode(images).latent_dist for images in batches]
        latents = [posterior.mean for posterior in posteriors]
        variance = torch.stack([posterior.var.mean((0, 2, 3)) for posterior in posteriors]).mean(0)
        basis = find_basis(_flat(latents), sensitivity(vae, latents))
    _fold(vae, basis, torch.einsum("ij,j->i", basis.to_new.square(), variance))


def find_basis(latents: Float[Tensor, "pixels channels"], gram: Float[Tensor, "channels channels"]) -> Basis:
    """Return the basis in which a direction's variance is the square root of that of the image part it stands for.

    ``gram`` is the squared change of the image for a unit change of latents, as a quadratic form.
    """
    centre = latents.mean(0)
    covariance = torch.cov(latents.T)
    root, inverse_root = _power(gram, 0.5), _power(gram, -0.5)
    shares, directions = torch.linalg.eigh(root @ covariance @ root)
    shares, directions = shares.flip(0).clamp_min(shares.max() * 1e-6), directions.flip(1)
    scale = shares ** (-EVENNESS / 2)
    return Basis(centre, scale[:, None] * (directions.T @ root), (inverse_root @ directions) / scale)


def sensitivity(
    vae: Any, latents: Sequence[Float[Tensor, "batch channels rows columns"]]
) -> Float[Tensor, "channels channels"]:
    """Return the squared change of decoded pixels for small changes of the latents, a quadratic form, averaged over
    images.
    """
    spread = _flat(latents).std(0)
    total = torch.zeros(len(spread), len(spread), device=spread.device)
    for batch in latents:
        plain = vae.decode(batch).sample
        signs = torch.randn(len(batch), 1, *batch.shape[-2:], generator=torch.Generator().manual_seed(0)).sign()
        changes = []
        for channel, size in enumerate(STEP * spread):
            moved = batch.clone()
            moved[:, channel] += size * signs[:, 0].to(batch)
            changes.append(((vae.decode(moved).sample - plain) / size).flatten())
        changes = torch.stack(changes)
        total += changes @ changes.T / signs.numel()
    return total / len(latents)


def _fold(vae: Any, basis: Basis, variance: Float[Tensor, "channels"]) -> None:
    """Write the basis into the 1x1 convolutions behind the encoder and before the decoder."""
    before, after = vae.quant_conv, vae.post_quant_conv
    channels = len(basis.centre)
    mean = before.weight[:channels, :, 0, 0]
    before.weight[:channels, :, 0, 0] = basis.to_new @ mean
    before.bias[:channels] = basis.to_new @ (before.bias[:channels] - basis.centre)
    # The deviations of single pixels are lost in the new directions; their mean stays.
    before.weight[channels:] = 0
    before.bias[channels:] = variance.log()
    after.bias += after.weight[:, :, 0, 0] @ basis.centre
    after.weight[:, :, 0, 0] = after.weight[:, :, 0, 0] @ basis.to_old


def _flat(latents: Sequence[Tensor]) -> Float[Tensor, "pixels channels"]:
    return torch.cat([batch.movedim(1, -1).flatten(0, -2) for batch in latents])


def _power(matrix: Float[Tensor, "n n"], exponent: float) -> Float[Tensor, "n n"]:
    values, vectors = torch.linalg.eigh(matrix)
    return vectors * values.clamp_min(values.max() * 1e-6) ** exponent @ vectors.T
