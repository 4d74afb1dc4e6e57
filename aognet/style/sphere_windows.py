"""Means over windows on the sphere: as wide at every latitude, across the wrap and over the poles."""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from aognet.geometry.sphere import pixel_latitudes


def sphere_mean(values: Float[Tensor, "channels height width"], radius: int) -> Float[Tensor, "channels height width"]:
    """Return the mean of a panorama over a window around every pixel, weighted by solid angle, in float64.

    The window has ``radius`` rows above and below its centre, and in each row as many columns as are as wide as those
    rows are high: more towards the poles, at most all. With a ``radius`` of 0 only what is finer than a row is blurred.
    """
    latitudes = pixel_latitudes(values.shape[-2]).to(values.device)
    return _mean_of_columns(_mean_of_rows(values.double(), latitudes, radius), latitudes, radius)


def _mean_of_rows(values: Tensor, latitudes: Tensor, radius: int) -> Tensor:
    """Return the mean along each row, over a fractional number of columns, by running sums."""
    width = values.shape[-1]
    half = ((radius + 0.5) / latitudes.cos()).clamp_max(width / 2)
    sums = torch.cat([torch.zeros_like(values[..., :1]), values.cumsum(-1)], dim=-1)

    def sum_to(shift: Tensor) -> Tensor:
        """Return the running sum up to each pixel's centre plus a shift of its row; it goes on around the sphere."""
        ends = torch.arange(width, device=values.device) + 0.5 + shift[:, None]
        turns = torch.div(ends, width, rounding_mode="floor")
        within = ends - turns * width
        first = within.floor().clamp_max(width - 1).long()
        low, high = (sums.gather(-1, (first + more).expand_as(values)) for more in (0, 1))
        return low + (high - low) * (within - first) + turns * sums[..., -1:]

    return (sum_to(half) - sum_to(-half)) / (2 * half[:, None])


def _mean_of_columns(values: Tensor, latitudes: Tensor, radius: int) -> Tensor:
    """Return the mean along each column and beyond its ends on the other side of the sphere."""
    if radius == 0:
        return values
    height, width = values.shape[-2:]
    radius = min(radius, height - 1)
    weights = latitudes.cos()[:, None]

    def summed(parts: Tensor, roll: int) -> Tensor:
        north = parts[..., :radius, :].flip(-2).roll(roll, -1)
        south = parts[..., -radius:, :].flip(-2).roll(roll, -1)
        sums = torch.cat([torch.zeros_like(parts[..., :1, :]), north, parts, south], dim=-2).cumsum(-2)
        return sums[..., 2 * radius + 1 :, :] - sums[..., :height, :]

    return summed(values * weights, width // 2) / summed(weights, 0)


def radius_of(degrees: float, height: int) -> int:
    """Return the radius in rows of a window of so many degrees from its centre to its edge; at least 1."""
    return max(math.floor(degrees / 180 * height), 1)
