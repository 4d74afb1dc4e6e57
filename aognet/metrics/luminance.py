"""How bright light looks: one number for three."""

import torch
from jaxtyping import Float
from torch import Tensor

WEIGHTS = (0.2126, 0.7152, 0.0722)
"""Of red, green and blue with the primaries of Rec. 709 (ITU-R BT.709-6, section 3)."""


def luminance(light: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch height width"]:
    """Return the luminance of linear RGB, in its unit, as float64."""
    return torch.einsum("bchw,c->bhw", light.double(), torch.tensor(WEIGHTS, dtype=torch.float64, device=light.device))
