"""Whether the brightest light comes from the right direction."""

import torch
from jaxtyping import Float
from torch import Tensor

from aognet.geometry.sphere import pixel_directions, pixel_solid_angles
from aognet.metrics.luminance import luminance

_SMALL = 1e-6  # of a mean of unit vectors: they look to all sides alike


def peak_direction(light: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch 3"]:
    """Return the unit vector (world axes) to the pixel of highest luminance of every panorama.

    Where several are equally bright, as in a clipped sun, it is their mean direction by solid angle. It is NaN if
    they have none, as in a panorama of one colour.
    """
    height, width = light.shape[-2:]
    bright = luminance(light)
    peak = (bright == bright.amax((1, 2), keepdim=True)).double()
    weights = peak * pixel_solid_angles(height, width).to(light.device)[:, None]
    mean = torch.einsum("bhw,hwc->bc", weights, pixel_directions(height, width).to(light.device))
    mean = mean / weights.sum((1, 2))[:, None]
    length = mean.norm(dim=1, keepdim=True)
    return torch.where(length > _SMALL, mean / length, torch.nan)


def peak_angle(
    light: Float[Tensor, "batch 3 height width"], reference: Float[Tensor, "batch 3 height width"]
) -> Float[Tensor, "batch"]:
    """Return the angle (degrees) between the directions of the brightest pixels of two panoramas, in [0, 180]."""
    one, other = peak_direction(light), peak_direction(reference)
    return torch.rad2deg(torch.atan2(torch.linalg.cross(one, other).norm(dim=1), (one * other).sum(1)))
