"""Means over the pixels of a panorama: every pixel alike, or each by the solid angle it covers."""

from jaxtyping import Float
from torch import Tensor

from aognet.geometry.sphere import pixel_latitudes


def pixel_mean(values: Float[Tensor, "batch height width"], by_solid_angle: bool = False) -> Float[Tensor, "batch"]:
    """Return the mean of every map in float64; ``by_solid_angle`` weighs rows by the cosine of their latitude."""
    rows = values.double().mean(2)
    if not by_solid_angle:
        return rows.mean(1)
    weights = pixel_latitudes(values.shape[1]).cos().to(values.device)
    return rows @ (weights / weights.sum())
