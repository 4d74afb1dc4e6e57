"""Pinhole views of a panorama, and painting views back onto it.

Grids depend only on camera, size and device; they are computed once and reused (read-only).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional

from aognet.geometry import sphere
from aognet.geometry.camera import Camera
from aognet.geometry.sphere import Grid, Mode

# A whole plan and the six faces stay cached, at a bounded price: a 512x512 grid weighs 2 MB in float32, the footprint
# of a 90-degree view on 2048x4096 pixels 22 MB.
CACHED_GRIDS = 128
CACHED_FOOTPRINTS = 32
MOST_SUPERSAMPLING = 8


@dataclass(frozen=True)
class Footprint:
    """The pixels of a panorama whose centres a view shows.

    ``index``: flat pixel numbers (row * width + column), increasing; ``grid``: where in the view ``supersampling``^2
    points inside each of those pixels lie, as ``grid_sample`` wants it.
    """

    index: Int[Tensor, "pixels"]
    grid: Float[Tensor, "points pixels 2"]


def minification(camera: Camera, height: int) -> int:
    """How many panorama rows fall on one view pixel at the view's centre, as a whole number in [1, 8].

    Up to 1.3 counts as one: bilinear sampling spans that far, and supersampling costs its square.
    """
    rows_per_pixel = height / math.pi / camera.focal_pixels
    return min(max(math.ceil(rows_per_pixel - 0.3), 1), MOST_SUPERSAMPLING)


def magnification(camera: Camera, height: int) -> int:
    """How many view pixels fall on one panorama row at the view's edge, rounded up to a whole number in [1, 8]."""
    stretch = 1 / math.cos(camera.radius_radians) ** 2
    pixels_per_row = camera.focal_pixels * stretch * math.pi / height
    return min(max(math.ceil(pixels_per_row - 0.75), 1), MOST_SUPERSAMPLING)


@lru_cache(maxsize=CACHED_GRIDS)
def view_grid(camera: Camera, height: int, width: int, supersampling: int, device: torch.device) -> Grid:
    """Where in the panorama the points of a view are, row by row."""
    positions = sphere.pixel_positions(camera.pixel_directions(supersampling), height, width)
    return sphere.grid_of(positions.to(device), height, width)


def look(
    panorama: Float[Tensor, "batch channels height width"],
    camera: Camera,
    mode: Mode = "bilinear",
    antialias: bool = True,
) -> Float[Tensor, "batch channels rows columns"]:
    """The view a camera has of a panorama; differentiable in the panorama.

    Where the view minifies the panorama, ``antialias`` averages several points in every view pixel (bilinear only).
    """
    return look_all(panorama, [camera], mode, antialias)[:, 0]


def look_all(
    panorama: Float[Tensor, "batch channels height width"],
    cameras: Sequence[Camera],
    mode: Mode = "bilinear",
    antialias: bool = True,
) -> Float[Tensor, "batch views channels rows columns"]:
    """The views of several cameras of one size."""
    height, width = panorama.shape[-2:]
    if len({(camera.width, camera.height) for camera in cameras}) != 1:
        raise ValueError(f"views of one pass must have one size, got {[(c.width, c.height) for c in cameras]}")
    points = max(minification(camera, height) for camera in cameras) if antialias and mode == "bilinear" else 1
    grids = [view_grid(camera, height, width, points, panorama.device) for camera in cameras]
    views = (sphere.sample(panorama, grid, mode) for grid in grids)
    return torch.stack([functional.avg_pool2d(view, points) if points > 1 else view for view in views], dim=1)


def bounds(camera: Camera, height: int, width: int) -> tuple[slice, Tensor]:
    """Rows and columns of a panorama around a view: the box of the spherical cap that contains it."""
    pitch, radius = math.radians(camera.pitch_degrees), camera.radius_radians
    top = math.floor((0.5 - (pitch + radius) / math.pi) * height)
    bottom = math.ceil((0.5 - (pitch - radius) / math.pi) * height)
    rows = slice(max(top, 0), min(bottom, height))
    if abs(pitch) + radius >= math.pi / 2:
        return rows, torch.arange(width)
    half = math.asin(min(math.sin(radius) / math.cos(pitch), 1.0))
    centre = math.atan2(float(camera.forward[0]), float(camera.forward[2]))
    first = math.floor(((centre - half) / (2 * math.pi) + 0.5) * width)
    last = math.ceil(((centre + half) / (2 * math.pi) + 0.5) * width)
    columns = torch.arange(first, min(last, first + width - 1) + 1) % width
    return rows, columns.sort().values


@lru_cache(maxsize=CACHED_FOOTPRINTS)
def footprint(camera: Camera, height: int, width: int, supersampling: int, device: torch.device) -> Footprint:
    """Which pixels of a panorama a view covers, and where in the view each of them lies."""
    rows, columns = bounds(camera, height, width)
    latitudes = sphere.pixel_latitudes(height)[rows]
    longitudes = sphere.pixel_longitudes(width)[columns]
    latitudes, longitudes = torch.meshgrid(latitudes, longitudes, indexing="ij")
    _, inside = camera.image_positions(sphere.directions(longitudes, latitudes))
    row, column = inside.nonzero(as_tuple=True)
    latitudes, longitudes = latitudes[inside], longitudes[inside]
    offsets = ((torch.arange(supersampling, dtype=torch.float64) + 0.5) / supersampling - 0.5) * (math.pi / height)
    down, right = torch.meshgrid(-offsets, offsets, indexing="ij")
    points = sphere.directions(longitudes[:, None] + right.flatten(), latitudes[:, None] + down.flatten())
    positions, _ = camera.image_positions(points)
    index = (row + rows.start) * width + columns[column]
    size = torch.tensor([camera.width, camera.height], dtype=torch.float64)
    grid = ((positions + 0.5) * 2 / size - 1).transpose(0, 1)
    return Footprint(index.to(device), grid.to(device, torch.float32).contiguous())


def project(
    view: Float[Tensor, "batch channels rows columns"],
    camera: Camera,
    height: int,
    mode: Mode = "bilinear",
    antialias: bool = True,
) -> tuple[Int[Tensor, "pixels"], Float[Tensor, "batch channels pixels"]]:
    """Flat numbers and new values of the pixels that a view covers of a ``height`` x ``2 height`` panorama."""
    if tuple(view.shape[-2:]) != (camera.height, camera.width):
        raise ValueError(
            f"the view has {tuple(view.shape[-2:])} rows and columns, its camera {camera.height, camera.width}"
        )
    points = magnification(camera, height) if antialias and mode == "bilinear" else 1
    print_ = footprint(camera, height, 2 * height, points, view.device)
    values = sphere.sample_grid(view, print_.grid.expand(len(view), -1, -1, -1), mode)
    return print_.index, values[:, :, 0] if points == 1 else values.mean(-2)


def paint(
    panorama: Float[Tensor, "batch channels height width"],
    view: Float[Tensor, "batch channels rows columns"],
    camera: Camera,
    mode: Mode = "bilinear",
) -> Float[Tensor, "batch channels height width"]:
    """A copy of the panorama with the view painted over its footprint; differentiable in both."""
    index, values = project(view, camera, panorama.shape[-2], mode)
    return panorama.flatten(-2).index_copy(-1, index, values.to(panorama.dtype)).view_as(panorama)


def rotate(
    panorama: Float[Tensor, "batch channels height width"],
    yaw_degrees: float,
    pitch_degrees: float = 0.0,
    roll_degrees: float = 0.0,
    mode: Mode = "bilinear",
) -> Float[Tensor, "batch channels height width"]:
    """The panorama as a camera turned by these angles has it in front; a yaw by whole columns is an exact roll."""
    height, width = panorama.shape[-2:]
    columns = yaw_degrees / 360 * width
    if pitch_degrees == 0 and roll_degrees == 0 and abs(columns - round(columns)) < 1e-6:
        return panorama.roll(-round(columns), -1)
    turned = sphere.pixel_directions(height, width) @ sphere.rotation(yaw_degrees, pitch_degrees, roll_degrees).T
    positions = sphere.pixel_positions(turned, height, width)
    return sphere.sample(panorama, positions.to(panorama.device, torch.float32), mode)
