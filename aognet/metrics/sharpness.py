"""Sharpness: how much goes on between neighbouring pixels of a panorama, beside what does in its reference.

A blurred panorama has less than 1, noise more. The definition is our own.
"""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from aognet.geometry.sphere import pixel_latitudes
from aognet.metrics.seam import ratio


def sharpness(
    panorama: Float[Tensor, "batch channels height width"],
    reference: Float[Tensor, "batch channels height width"],
    mask: Bool[Tensor, "batch 1 height width"] | None = None,
) -> Float[Tensor, "batch"]:
    """Return the mean absolute gradient of panoramas, divided by that of their references.

    The gradient is the sum of the differences to the next column (over the wrap, too) and to the next row. Each pixel
    counts by its solid angle, so that the stretched rows at the poles count little. With a mask, a difference counts
    where both pixels are in it. The result is inf where only the reference is of one colour, and NaN where both are or
    the mask is empty.
    """
    return ratio(_gradient(panorama, mask), _gradient(reference, mask))


def view_sharpness(
    images: Float[Tensor, "batch channels height width"],
    reference: Float[Tensor, "batch channels height width"],
    mask: Bool[Tensor, "batch 1 height width"] | None = None,
) -> Float[Tensor, ""]:
    """Return the same of views: planes that do not wrap around, on which all pixels of a batch count alike."""
    return _steps(images, mask) / _steps(reference, mask)


def _steps(images: Tensor, mask: Tensor | None) -> Float[Tensor, ""]:
    counted = torch.ones_like(images[:, :1], dtype=torch.bool) if mask is None else mask
    means = []
    for axis in (-1, -2):
        length = images.shape[axis]
        both = counted.narrow(axis, 1, length - 1) & counted.narrow(axis, 0, length - 1)
        means.append(images.diff(dim=axis).abs().mean(1, keepdim=True)[both].mean())
    return means[0] + means[1]


def _gradient(images: Tensor, mask: Tensor | None) -> Float[Tensor, "batch"]:
    values = images.float()
    weights = pixel_latitudes(values.shape[-2]).cos().float().to(values.device)[:, None].expand(1, 1, -1, 1)
    counted = torch.ones_like(values[:, :1]) if mask is None else mask.to(values.dtype)
    across, down = (values.roll(-1, -1) - values).abs(), values.diff(dim=-2).abs()
    beside, below = counted * counted.roll(-1, -1), counted[..., :-1, :] * counted[..., 1:, :]
    weights_below = (weights[..., :-1, :] + weights[..., 1:, :]) / 2
    return _mean(across, beside * weights) + _mean(down, below * weights_below)


def _mean(differences: Tensor, weights: Tensor) -> Float[Tensor, "batch"]:
    return (differences.mean(1, keepdim=True) * weights).sum((1, 2, 3)) / weights.sum((1, 2, 3))
