"""How surfaces gather the light of a panorama: a sum of small lights, weighed by a lobe of directions.

A diffuse surface gathers by the cosine around its normal. A rough metal gathers around the mirrored direction; its
lobe is a spherical Gaussian that stands for the microfacets of GGX (Wang et al., "All-Frequency Rendering of Dynamic,
Spatially-Varying Reflectance", SIGGRAPH Asia 2009). Both lobes integrate to 1 and nothing is absorbed: under an even
sky, every surface looks like the sky.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from aognet.geometry.sphere import pixel_directions, pixel_solid_angles
from aognet.io.images import resize_panorama
from aognet.metrics.luminance import luminance

ROWS = 64
"""Of the panorama that lights a surface, and of what the surface looks like in all directions."""
DIFFUSE_ROWS = 32
"""Of what a diffuse surface looks like, which changes slowly."""
ROUGHNESS = 0.3
"""Of the matte silver; GGX's alpha is its square."""
_SHARPNESS = 0.5 / ROUGHNESS**4  # of the half vectors' Gaussian 2 / alpha^2, and a quarter of it for directions
_CHUNK = 1 << 22  # weights in memory at a time

Lobe = Callable[[Tensor], Tensor]
"""From cosines to weights (per steradian)."""


@dataclass(frozen=True)
class SmallLights:
    """The unit vectors (world axes) to small lights, and their radiance times their solid angle."""

    directions: Float[Tensor, "lights 3"]
    powers: Float[Tensor, "lights 3"]


def lights_of(panorama: Float[Tensor, "1 3 height width"], rows: int = ROWS) -> SmallLights:
    """Return a panorama of linear light as at most ``rows`` x 2 ``rows`` lights, with exactly its light in sum.

    A light lies at the centre of gravity of what it replaces, so that a sun stays in its place.
    """
    height, width = panorama.shape[-2:]
    angles = pixel_solid_angles(height, width)[:, None]
    small = min(rows, height)
    share = (height / small) * (width / (2 * small))  # sums are averages times counts
    powers = resize_panorama((panorama.double() * angles), small) * share
    bright = luminance(panorama) * angles
    # Where all is black, the middle counts.
    weights = bright + angles * max(float(bright.max()), 1.0) * 1e-12
    middles = resize_panorama((weights * pixel_directions(height, width).permute(2, 0, 1))[None], small)
    directions = middles / middles.norm(dim=1, keepdim=True)
    return SmallLights(*(part[0].flatten(1).T.float() for part in (directions, powers)))


def diffuse(cosines: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """Return the weights of Lambert's cosine law around the normal."""
    return cosines.clamp_min(0) / math.pi


def silver(cosines: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """Return the weights of a rough metal around the mirrored direction."""
    return torch.exp(_SHARPNESS * (cosines - 1)) * (_SHARPNESS / (2 * math.pi * -math.expm1(-2 * _SHARPNESS)))


def gathered(lights: SmallLights, lobe: Lobe, rows: int = ROWS) -> Float[Tensor, "1 3 rows columns"]:
    """Return what a surface looks like, for every direction of its lobe, as a panorama of ``rows`` rows.

    Memory stays bounded: a few directions are summed at a time.
    """
    towards = pixel_directions(rows, 2 * rows).flatten(0, 1).float()
    some = max(_CHUNK // len(lights.directions), 1)
    looks = torch.cat([lobe(part @ lights.directions.T) @ lights.powers for part in towards.split(some)])
    return looks.T.reshape(1, 3, rows, 2 * rows)
