"""Oklab: colours in which equal distances look about equally large (Ottosson 2020, "A perceptual color space for image
processing", bottomosson.github.io/posts/oklab).
"""

import torch
from jaxtyping import Float
from torch import Tensor

from aognet.hdr.sritmo import light_of

# Linear sRGB to cone responses, and their cube roots to (lightness, green-red, blue-yellow).
TO_CONES = torch.tensor(
    [
        [0.4122214708, 0.5363325363, 0.0514459929],
        [0.2119034982, 0.6806995451, 0.1073969566],
        [0.0883024619, 0.2817188376, 0.6299787005],
    ],
    dtype=torch.float64,
)
TO_LAB = torch.tensor(
    [
        [0.2104542553, 0.7936177850, -0.0040720468],
        [1.9779984951, -2.4285922050, 0.4505937099],
        [0.0259040371, 0.7827717662, -0.8086757660],
    ],
    dtype=torch.float64,
)
LUMINANCE = torch.tensor([0.2126, 0.7152, 0.0722], dtype=torch.float64)
LEAST = 1e-9


def to_oklab(display: Float[Tensor, "3 rows columns"]) -> Float[Tensor, "3 rows columns"]:
    """Return display values (sRGB, [0, 1]) in Oklab: lightness in [0, 1] and two coordinates of colour, about [-0.4,
    0.4].
    """
    cones = _times(TO_CONES, light_of(display))
    return _times(TO_LAB, cones.clamp_min(0).pow_(1 / 3))


def from_oklab(lab: Float[Tensor, "3 rows columns"]) -> Float[Tensor, "3 rows columns"]:
    """Return the display values in [0, 1] of colours in Oklab.

    A colour that no display shows loses saturation, not luminance, until it is one: it moves on the straight line to
    the grey of its luminance, so that no channel is cut off by itself.
    """
    cones = _times(torch.linalg.inv(TO_LAB), lab)
    light = _times(torch.linalg.inv(TO_CONES), cones * cones * cones)
    grey = torch.tensordot(LUMINANCE.to(light), light, dims=1).clamp_(0, 1)
    above, below = (light.amax(0) - grey).clamp_min_(LEAST), (grey - light.amin(0)).clamp_min_(LEAST)
    kept = torch.minimum((1 - grey) / above, grey / below).clamp_(0, 1)
    light = light.sub_(grey).mul_(kept).add_(grey).clamp_(0, 1)
    return torch.where(light <= 0.0031308, light * 12.92, 1.055 * light.clamp_min(LEAST) ** (1 / 2.4) - 0.055)


def _times(matrix: Float[Tensor, "3 3"], image: Float[Tensor, "3 rows columns"]) -> Float[Tensor, "3 rows columns"]:
    return (matrix.to(image) @ image.flatten(1)).view_as(image)
