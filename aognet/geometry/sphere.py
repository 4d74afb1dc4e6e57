"""The conventions that every other file relies on.

World axes: +x is right (longitude 90 degrees), +y is up, +z is forward (longitude 0, latitude 0). Pixel centres: column
``u`` of ``W`` looks at longitude ``((u + 0.5) / W - 0.5) * 360`` degrees, row ``v`` of ``H`` at latitude ``(0.5 - (v +
0.5) / H) * 180`` degrees. Grids are computed in float64, images are sampled in at least float32.
"""

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor
from torch.nn import functional

Mode = Literal["bilinear", "nearest"]

WORTH_PARTS = 2**16  # points from which on threads pay


def pixel_longitudes(width: int) -> Float[Tensor, "width"]:
    """Return the longitude of every column's centre, in radians, in (-pi, pi)."""
    return ((torch.arange(width, dtype=torch.float64) + 0.5) / width - 0.5) * (2 * math.pi)


def pixel_latitudes(height: int) -> Float[Tensor, "height"]:
    """Return the latitude of every row's centre, in radians, in (-pi/2, pi/2), top row first."""
    return (0.5 - (torch.arange(height, dtype=torch.float64) + 0.5) / height) * math.pi


def pixel_solid_angles(height: int, width: int) -> Float[Tensor, "height"]:
    """Return the solid angle (steradians) of a pixel of every row, by the midpoint rule: (2 pi / W) (pi / H) cos(lat).

    All pixels together exceed 4 pi by a share of pi^2 / (24 H^2).
    """
    return pixel_latitudes(height).cos() * (2 * math.pi / width) * (math.pi / height)


def directions(longitudes: Tensor, latitudes: Tensor) -> Float[Tensor, "*grid 3"]:
    """Return the unit vectors (x, y, z) of longitudes and latitudes in radians."""
    across = latitudes.cos()
    return torch.stack([across * longitudes.sin(), latitudes.sin(), across * longitudes.cos()], dim=-1)


@lru_cache(maxsize=16)
def pixel_directions(height: int, width: int) -> Float[Tensor, "height width 3"]:
    """Return the unit vector of every pixel of a panorama, float64 on the CPU. The array is shared: do not write into
    it.
    """
    latitudes, longitudes = torch.meshgrid(pixel_latitudes(height), pixel_longitudes(width), indexing="ij")
    return directions(longitudes, latitudes)


def pixel_positions(vectors: Float[Tensor, "*grid 3"], height: int, width: int) -> Float[Tensor, "*grid 2"]:
    """Return the fractional (column, row) at which a panorama shows each direction. Pixel centres are whole numbers."""
    x, y, z = vectors.unbind(-1)
    columns = (torch.atan2(x, z) / (2 * math.pi) + 0.5) * width - 0.5
    rows = (0.5 - torch.atan2(y, torch.hypot(x, z)) / math.pi) * height - 0.5
    return torch.stack([columns, rows], dim=-1)


def rotation(yaw_degrees: float, pitch_degrees: float = 0.0, roll_degrees: float = 0.0) -> Float[Tensor, "3 3"]:
    """Return the matrix that turns camera axes into world axes: roll first, then pitch, then yaw.

    +yaw turns the camera right, +pitch lifts it, +roll turns it clockwise as seen by who looks through it.
    """
    a, b, c = (math.radians(degrees) for degrees in (yaw_degrees, pitch_degrees, roll_degrees))
    yaw = [[math.cos(a), 0.0, math.sin(a)], [0.0, 1.0, 0.0], [-math.sin(a), 0.0, math.cos(a)]]
    pitch = [[1.0, 0.0, 0.0], [0.0, math.cos(b), math.sin(b)], [0.0, -math.sin(b), math.cos(b)]]
    roll = [[math.cos(c), math.sin(c), 0.0], [-math.sin(c), math.cos(c), 0.0], [0.0, 0.0, 1.0]]
    matrices = (torch.tensor(rows, dtype=torch.float64) for rows in (yaw, pitch, roll))
    return torch.linalg.multi_dot(list(matrices))


def pad_sphere(panorama: Shaped[Tensor, "batch channels height width"], margin: int) -> Tensor:
    """Return the panorama with ``margin`` more pixels on each side that continue the sphere.

    Left and right wrap around. Over a pole the same rows come back half a turn away.
    """
    width = panorama.shape[-1]
    over_north = panorama[..., :margin, :].flip(-2).roll(width // 2, -1)
    over_south = panorama[..., -margin:, :].flip(-2).roll(width // 2, -1)
    tall = torch.cat([over_north, panorama, over_south], dim=-2)
    return torch.cat([tall[..., -margin:], tall, tall[..., :margin]], dim=-1)


@dataclass(frozen=True)
class Grid:
    """The prepared sampling positions in panoramas of one size.

    ``grid`` has the positions in the form that ``grid_sample`` takes, float32. A few points lie between pixels that are
    neighbours on the sphere but not in memory, across the wrap or a pole: ``across`` has the flat numbers of these
    points, ``taps`` the flat numbers of the four pixels around each, and ``weights`` their bilinear weights.
    """

    grid: Float[Tensor, "rows columns 2"]
    across: Int[Tensor, "points"]
    taps: Int[Tensor, "points 4"]
    weights: Float[Tensor, "points 4"]


def grid_of(positions: Float[Tensor, "rows columns 2"], height: int, width: int) -> Grid:
    """Return the grid of fractional (column, row) positions in a panorama."""
    size = torch.tensor([width, height], dtype=torch.float64, device=positions.device)
    # grid_sample wants -1 and 1 at the outer edges of the outer pixels.
    grid = ((positions + 0.5) * 2 / size - 1).to(torch.float32)
    across = ((positions < 0) | (positions > size - 1)).any(-1).flatten().nonzero()[:, 0]
    corner = positions.flatten(0, 1)[across]
    first = corner.floor()
    share = corner - first
    column, row = first.long().unbind(-1)
    numbers, weights = [], []
    for down in (0, 1):
        for right in (0, 1):
            numbers.append(pixel_numbers(row + down, column + right, height, width))
            weights.append((share[:, 1] if down else 1 - share[:, 1]) * (share[:, 0] if right else 1 - share[:, 0]))
    return Grid(grid, across, torch.stack(numbers, -1), torch.stack(weights, -1).to(torch.float32))


def pixel_numbers(rows: Tensor, columns: Tensor, height: int, width: int) -> Int[Tensor, "points"]:
    """Return the flat numbers of pixels, some of which lie a row or a column outside, where the sphere continues."""
    beyond = (rows < 0) | (rows >= height)
    columns = (columns + beyond * (width // 2)) % width
    rows = torch.where(rows < 0, -1 - rows, torch.where(rows >= height, 2 * height - 1 - rows, rows))
    return rows * width + columns


def sample(
    panorama: Float[Tensor, "batch channels height width"],
    where: Float[Tensor, "rows columns 2"] | Grid,
    mode: Mode = "bilinear",
) -> Float[Tensor, "batch channels rows columns"]:
    """Sample the panorama at fractional (column, row) positions, or at a grid of them. Differentiable in the
    panorama.
    """
    batch, _, height, width = panorama.shape
    at = where if isinstance(where, Grid) else grid_of(where, height, width)
    sampled = sample_grid(panorama, at.grid.expand(batch, -1, -1, -1), mode)
    if mode == "nearest" or len(at.across) == 0:
        return sampled
    precision = torch.promote_types(panorama.dtype, torch.float32)
    values = (panorama.flatten(-2)[..., at.taps].to(precision) * at.weights).sum(-1)
    sampled.view(*sampled.shape[:-2], -1).index_copy_(-1, at.across, values.to(sampled.dtype))
    return sampled


def sample_grid(
    image: Float[Tensor, "batch channels height width"], grid: Float[Tensor, "batch rows columns 2"], mode: Mode
) -> Float[Tensor, "batch channels rows columns"]:
    """Call ``grid_sample`` without ever rounding the grid to half precision, which cannot separate neighbouring
    pixels.
    """
    precision = torch.promote_types(image.dtype, torch.float32)
    wide, grid = image.to(precision), grid.to(precision)
    many = image.device.type == "cpu" and len(image) == 1 and grid.shape[1] * grid.shape[2] >= WORTH_PARTS
    sampled = _sample_in_parts(wide, grid, mode) if many and not image.requires_grad else _grid_sample(wide, grid, mode)
    return sampled.to(image.dtype)


def _grid_sample(image: Tensor, grid: Tensor, mode: Mode) -> Tensor:
    return functional.grid_sample(image, grid, mode=mode, padding_mode="border", align_corners=False)


def _sample_in_parts(image: Tensor, grid: Tensor, mode: Mode) -> Tensor:
    """Sample one image with all threads. On the CPU, ``grid_sample`` uses one thread for each image of a batch."""
    parts, points = torch.get_num_threads(), grid.flatten(1, 2)
    even = points.shape[1] // parts * parts
    sampled = _grid_sample(image.expand(parts, -1, -1, -1), points[:, :even].view(parts, 1, -1, 2), mode)
    sampled = sampled.transpose(0, 1).flatten(1)[None]
    if even < points.shape[1]:
        rest = _grid_sample(image, points[:, None, even:], mode)[:, :, 0]
        sampled = torch.cat([sampled, rest], dim=-1)
    return sampled.unflatten(-1, grid.shape[1:3])
