"""The conventions every other file relies on.

World axes: +x right (longitude 90 degrees), +y up, +z forward (longitude 0, latitude 0).
Pixel centres: column ``u`` of ``W`` looks at longitude ``((u + 0.5) / W - 0.5) * 360`` degrees, row ``v`` of ``H``
at latitude ``(0.5 - (v + 0.5) / H) * 180`` degrees. Grids are computed in float64, images sampled in float32 at least.
"""

import math
from functools import lru_cache
from typing import Literal

import torch
from jaxtyping import Float, Shaped
from torch import Tensor
from torch.nn import functional

Mode = Literal["bilinear", "nearest"]


def pixel_longitudes(width: int) -> Float[Tensor, "width"]:
    """Longitude of every column's centre, in radians, in (-pi, pi)."""
    return ((torch.arange(width, dtype=torch.float64) + 0.5) / width - 0.5) * (2 * math.pi)


def pixel_latitudes(height: int) -> Float[Tensor, "height"]:
    """Latitude of every row's centre, in radians, in (-pi/2, pi/2), top row first."""
    return (0.5 - (torch.arange(height, dtype=torch.float64) + 0.5) / height) * math.pi


def directions(longitudes: Tensor, latitudes: Tensor) -> Float[Tensor, "*grid 3"]:
    """Unit vectors (x, y, z) of longitudes and latitudes in radians."""
    across = latitudes.cos()
    return torch.stack([across * longitudes.sin(), latitudes.sin(), across * longitudes.cos()], dim=-1)


@lru_cache(maxsize=16)
def pixel_directions(height: int, width: int) -> Float[Tensor, "height width 3"]:
    """Unit vector of every pixel of a panorama, float64 on the CPU. Shared: do not write into it."""
    latitudes, longitudes = torch.meshgrid(pixel_latitudes(height), pixel_longitudes(width), indexing="ij")
    return directions(longitudes, latitudes)


def pixel_positions(vectors: Float[Tensor, "*grid 3"], height: int, width: int) -> Float[Tensor, "*grid 2"]:
    """Fractional (column, row) at which a panorama shows each direction; pixel centres are whole numbers."""
    x, y, z = vectors.unbind(-1)
    columns = (torch.atan2(x, z) / (2 * math.pi) + 0.5) * width - 0.5
    rows = (0.5 - torch.atan2(y, torch.hypot(x, z)) / math.pi) * height - 0.5
    return torch.stack([columns, rows], dim=-1)


def rotation(yaw_degrees: float, pitch_degrees: float = 0.0, roll_degrees: float = 0.0) -> Float[Tensor, "3 3"]:
    """Matrix that turns camera axes into world axes: roll first, then pitch, then yaw.

    +yaw turns the camera right, +pitch lifts it, +roll turns it clockwise as seen by who looks through it.
    """
    a, b, c = (math.radians(degrees) for degrees in (yaw_degrees, pitch_degrees, roll_degrees))
    yaw = [[math.cos(a), 0.0, math.sin(a)], [0.0, 1.0, 0.0], [-math.sin(a), 0.0, math.cos(a)]]
    pitch = [[1.0, 0.0, 0.0], [0.0, math.cos(b), math.sin(b)], [0.0, -math.sin(b), math.cos(b)]]
    roll = [[math.cos(c), math.sin(c), 0.0], [-math.sin(c), math.cos(c), 0.0], [0.0, 0.0, 1.0]]
    matrices = (torch.tensor(rows, dtype=torch.float64) for rows in (yaw, pitch, roll))
    return torch.linalg.multi_dot(list(matrices))


def pad_sphere(panorama: Shaped[Tensor, "batch channels height width"], margin: int) -> Tensor:
    """The panorama with ``margin`` more pixels on each side, taken from where the sphere goes on.

    Left and right wrap around; over a pole the same rows come back half a turn away.
    """
    width = panorama.shape[-1]
    over_north = panorama[..., :margin, :].flip(-2).roll(width // 2, -1)
    over_south = panorama[..., -margin:, :].flip(-2).roll(width // 2, -1)
    tall = torch.cat([over_north, panorama, over_south], dim=-2)
    return torch.cat([tall[..., -margin:], tall, tall[..., :margin]], dim=-1)


def sample(
    panorama: Float[Tensor, "batch channels height width"],
    positions: Float[Tensor, "rows columns 2"],
    mode: Mode = "bilinear",
) -> Float[Tensor, "batch channels rows columns"]:
    """The panorama at fractional (column, row) positions; differentiable in the panorama."""
    batch, _, height, width = panorama.shape
    size = torch.tensor([width + 2, height + 2], dtype=torch.float64, device=positions.device)
    # The pad of one pixel moves every centre by one; grid_sample wants -1 and 1 at the outer edges of the outer pixels.
    grid = (positions + 1.5) * 2 / size - 1
    return sample_grid(pad_sphere(panorama, 1), grid.expand(batch, -1, -1, -1), mode)


def sample_grid(
    image: Float[Tensor, "batch channels height width"], grid: Float[Tensor, "batch rows columns 2"], mode: Mode
) -> Float[Tensor, "batch channels rows columns"]:
    """``grid_sample`` that never rounds the grid to half precision, which cannot tell neighbouring pixels apart."""
    precision = torch.promote_types(image.dtype, torch.float32)
    sampled = functional.grid_sample(
        image.to(precision), grid.to(precision), mode=mode, padding_mode="border", align_corners=False
    )
    return sampled.to(image.dtype)
