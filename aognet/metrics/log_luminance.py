"""Error of luminance in stops, in which shadows count as much as lamps.

The root of the scale-invariant error of Eigen et al. (NIPS 2014, eq. 3, lambda = 1), with which SR-iTMO of Text2Light
is trained; here of luminance and to base 2.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from aognet.metrics.averaging import pixel_mean
from aognet.metrics.luminance import luminance

FLOOR = 1e-6
"""Of the mean luminance: darker is as dark as this, since the logarithm of black is no number."""


def log_luminance_error(
    light: Float[Tensor, "batch 3 height width"],
    reference: Float[Tensor, "batch 3 height width"],
    by_solid_angle: bool = False,
) -> Float[Tensor, "batch"]:
    """Return the standard deviation (stops) of log2 luminance of one image minus that of the other.

    Exposure changes nothing: it adds the same to every difference. It is NaN where an image is black.
    """
    difference = _stops(light, by_solid_angle) - _stops(reference, by_solid_angle)
    mean = pixel_mean(difference, by_solid_angle)[:, None, None]
    return pixel_mean((difference - mean).square(), by_solid_angle).sqrt()


def _stops(light: Float[Tensor, "batch 3 height width"], by_solid_angle: bool) -> Float[Tensor, "batch height width"]:
    bright = luminance(light)
    return torch.log2((bright / pixel_mean(bright, by_solid_angle)[:, None, None]).clamp_min(FLOOR))
