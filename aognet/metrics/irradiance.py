"""How much light a panorama sheds on a surface."""

import torch
from jaxtyping import Float
from torch import Tensor

from aognet.geometry.sphere import pixel_directions, pixel_solid_angles

UP = (0.0, 1.0, 0.0)


def irradiance(
    light: Float[Tensor, "batch 3 height width"], normal: tuple[float, float, float] = UP
) -> Float[Tensor, "batch 3"]:
    """Return E(n), the integral of L(w) max(n . w, 0) over the sphere, of a surface with this unit normal, as float64.

    A sky of radiance L all round gives pi L. The unit is that of the radiance times steradians.
    """
    height, width = light.shape[-2:]
    towards = pixel_directions(height, width) @ torch.tensor(normal, dtype=torch.float64)
    weights = towards.clamp_min(0) * pixel_solid_angles(height, width)[:, None]
    return torch.einsum("bchw,hw->bc", light.double(), weights.to(light.device))
