"""How far the light of a panorama reaches, without a truth to compare it with. All by solid angle, of luminance."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from aognet.geometry.sphere import pixel_solid_angles
from aognet.metrics.averaging import pixel_mean
from aognet.metrics.luminance import luminance

PERCENTILES = (0.1, 99.9)
BRIGHTEST = 0.001


def peak_to_mean(light: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch"]:
    """Return the highest luminance as a multiple of the mean over the sphere."""
    bright = luminance(light)
    return bright.amax((1, 2)) / pixel_mean(bright, by_solid_angle=True)


def stops(light: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch"]:
    """Return log2 of the 99.9 percentile of luminance over its 0.1 percentile.

    Percentiles are of the solid angle that is not black: black is no light that could be shown. Outdoor scenes with a
    sun need about 22 stops (AllSky). It is NaN where all is black.
    """
    found = []
    for values, weights in _by_brightness(light):
        low, high = _percentiles(values[values > 0], weights[values > 0], PERCENTILES)
        found.append(torch.log2(high / low))
    return torch.stack(found)


def brightest_share(light: Float[Tensor, "batch 3 height width"], share: float = BRIGHTEST) -> Float[Tensor, "batch"]:
    """Return the share in [0, 1] of all light that comes from the brightest ``share`` of the sphere's solid angle.

    Of the pixel at the limit, a part counts.
    """
    found = []
    for values, weights in _by_brightness(light):
        values, weights = values.flip(0), weights.flip(0)
        before = weights.cumsum(0) - weights
        inside = (share * weights.sum() - before).clamp_min(0).minimum(weights)
        found.append((values * inside).sum() / (values * weights).sum())
    return torch.stack(found)


def _by_brightness(light: Float[Tensor, "batch 3 height width"]) -> list[tuple[Tensor, Tensor]]:
    """Return the luminance of each panorama's pixels, darkest first, and their solid angles."""
    height, width = light.shape[-2:]
    angles = pixel_solid_angles(height, width).to(light.device).repeat_interleave(width)
    orders = (one.flatten().sort() for one in luminance(light))
    return [(values, angles[order]) for values, order in orders]


def _percentiles(
    values: Float[Tensor, "pixels"], weights: Float[Tensor, "pixels"], at: Sequence[float]
) -> list[Tensor]:
    """Return the smallest of the ordered values that, with all below, make up these percentages of the weights."""
    if not len(values):
        return [values.new_tensor(torch.nan)] * len(at)
    below = weights.cumsum(0)
    places = [int(torch.searchsorted(below, percentage / 100 * below[-1])) for percentage in at]
    return [values[min(place, len(values) - 1)] for place in places]
