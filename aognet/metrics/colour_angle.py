"""Angular error of colour: how far hues and saturations are off, whatever the brightness.

The angle between RGB vectors, as in LeGendre et al., "DeepLight" (CVPR 2019), StyleLight and DiffusionLight.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from aognet.metrics.averaging import pixel_mean


def colour_angle(
    light: Float[Tensor, "batch 3 height width"],
    reference: Float[Tensor, "batch 3 height width"],
    by_solid_angle: bool = False,
) -> Float[Tensor, "batch"]:
    """Return the mean angle (degrees) between the RGB vectors of two linear images, in [0, 90].

    Black has no colour: pixels that are black in one of the two do not count. It is NaN if none is left.
    """
    light, reference = light.double(), reference.double()
    # The arc tangent is exact for small angles, where the cosine is 1 to all its digits.
    angles = torch.atan2(torch.linalg.cross(light, reference, dim=1).norm(dim=1), (light * reference).sum(1))
    seen = (light.norm(dim=1) > 0) & (reference.norm(dim=1) > 0)
    return torch.rad2deg(pixel_mean(angles * seen, by_solid_angle) / pixel_mean(seen.double(), by_solid_angle))
