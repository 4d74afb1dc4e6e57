"""Where on the sphere codes lie, as transformers are told: published maps of positions, and rotations of our own."""

import math
from functools import lru_cache

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

CHANNELS = 18
PIXELS = 16  # of a panorama, for each code
FREQUENCIES = (1, 2, 4, 8)


def position_map(rows: int, columns: int, samples: int = 2) -> Float[Tensor, "18 height width"]:
    """Return the map of positions of a grid of codes, as Text2Light published it, with ``samples`` a side of each code.

    Longitude and latitude in radians, then for each frequency the sines of both and the cosines of both. The first and
    the last column lie at -pi and pi, the first row at -pi/2: it is theirs, not this project's convention of pixels.
    """
    height, width = PIXELS * rows, PIXELS * columns
    longitude = torch.linspace(-math.pi, math.pi, width, dtype=torch.float64).expand(height, -1)
    latitude = torch.linspace(-math.pi / 2, math.pi / 2, height, dtype=torch.float64)[:, None].expand(-1, width)
    angles = torch.stack([longitude, latitude]).float()[None]
    size = (samples * rows, samples * columns)
    small = functional.interpolate(angles, size=size, mode="bicubic", align_corners=True)[0]
    waves = [part for frequency in FREQUENCIES for part in ((small * frequency).sin(), (small * frequency).cos())]
    return torch.cat([small, *waves])


@lru_cache(maxsize=4)
def positions_around(
    rows: int, columns: int, samples: int, size: int, device: torch.device
) -> Float[Tensor, "18 height width"]:
    """Return `position_map`, continued by its ``size`` first columns of codes for windows over the edge."""
    found = position_map(rows, columns, samples)
    return torch.cat([found, found[:, :, : samples * size]], dim=2).to(device)


def rotations(
    longitude: Float[Tensor, "tokens"], latitude: Float[Tensor, "tokens"], channels: int, finest: int
) -> Float[Tensor, "2 tokens pairs"]:
    """Return cosines and sines of the angles by which a head's pairs of channels turn at places on the sphere.

    Angles are in radians. The first half of the pairs turns with the longitude and the rest with the latitude, by whole
    frequencies from 1 to ``finest``: a product of two turned vectors knows how far apart they are, and that a circle is
    closed (after Su et al. 2021, arXiv 2104.09864).
    """
    pairs = channels // 2
    parts = [
        angles[:, None] * _frequencies(count, finest)
        for angles, count in ((longitude, pairs - pairs // 2), (latitude, pairs // 2))
    ]
    angles = torch.cat(parts, dim=1).double()
    return torch.stack([angles.cos(), angles.sin()]).float()


def turned(
    tokens: Float[Tensor, "batch heads tokens channels"], rotation: Float[Tensor, "2 tokens pairs"]
) -> Float[Tensor, "batch heads tokens channels"]:
    """Return queries or keys whose pairs of channels are turned by the rotation of their places."""
    first, second = tokens.chunk(2, dim=-1)
    cosine, sine = rotation.to(tokens)
    return torch.cat([first * cosine - second * sine, first * sine + second * cosine], dim=-1)


def _frequencies(count: int, finest: int) -> Tensor:
    steps = torch.arange(count, dtype=torch.float64) / max(1, count - 1)
    return (finest**steps).round()
