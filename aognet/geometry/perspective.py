"""Pinhole views of a panorama, and painting views back onto it.

Sampling grids depend only on camera, size and device. They are computed once and reused (read-only).
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
from aognet.geometry.camera import MIN_AHEAD, Camera
from aognet.geometry.sphere import Grid, Mode

# A whole plan and the six faces stay cached, at a bounded price: a 512x512 grid weighs 2 MB in float32, the footprint
# of a 90-degree view on 2048x4096 pixels 22 MB.
CACHED_GRIDS = 128
CACHED_FOOTPRINTS = 32
CACHED_VALUES = 2**17  # numbers that a core's cache holds, some of them at a time
MAX_SUPERSAMPLING = 8
SPAN = 1.3  # panorama rows that one point stands for


@dataclass(frozen=True)
class Footprint:
    """The pixels of a panorama whose centres a view shows.

    ``index`` has their flat numbers (row * width + column), increasing. ``grid`` has the positions in the view of
    ``supersampling``^2 points inside each of these pixels, in the form that ``grid_sample`` takes.
    """

    index: Int[Tensor, "pixels"]
    grid: Float[Tensor, "points pixels 2"]


def minification(camera: Camera, height: int) -> float:
    """Return how many panorama rows fall on one view pixel at the view's centre."""
    return height / math.pi / camera.focal_pixels


def shrinkage(cameras: Sequence[Camera], height: int) -> int:
    """Return the factor, a power of 2, by which a panorama is shrunk before such views are taken from it.

    A minification of at least 2 is left: the mean over the squares of shrunk pixels alone would be too coarse.
    """
    most = min(minification(camera, height) for camera in cameras)
    by = 1
    while 4 * by <= most and height % (2 * by) == 0:
        by *= 2
    return by


def points_across(cameras: Sequence[Camera], height: int) -> int:
    """Return how many points are averaged across a view pixel.

    Bilinear sampling of one point is good up to a minification of 1.3. The cost grows with the square of the points.
    """
    most = max(minification(camera, height) for camera in cameras)
    return min(max(math.ceil(most / SPAN), 1), MAX_SUPERSAMPLING)


def magnification(camera: Camera, height: int) -> int:
    """Return how many view pixels fall on one panorama row at the view's edge, rounded up to a whole number in [1,
    8].
    """
    stretch = 1 / math.cos(camera.radius_radians) ** 2
    pixels_per_row = camera.focal_pixels * stretch * math.pi / height
    return min(max(math.ceil(pixels_per_row - 0.75), 1), MAX_SUPERSAMPLING)


@lru_cache(maxsize=CACHED_GRIDS)
def view_grid(camera: Camera, height: int, width: int, supersampling: int, device: torch.device) -> Grid:
    """Return the positions in the panorama of the points of a view, row by row."""
    positions = sphere.pixel_positions(camera.pixel_directions(supersampling), height, width)
    return sphere.grid_of(positions.to(device), height, width)


def look(
    panorama: Float[Tensor, "batch channels height width"],
    camera: Camera,
    mode: Mode = "bilinear",
    antialias: bool = True,
) -> Float[Tensor, "batch channels rows columns"]:
    """Return the view that a camera has of a panorama. It is differentiable in the panorama.

    Where the view minifies the panorama, ``antialias`` averages several points in every view pixel (bilinear only).
    """
    return look_all(panorama, [camera], mode, antialias)[:, 0]


def look_all(
    panorama: Float[Tensor, "batch channels height width"],
    cameras: Sequence[Camera],
    mode: Mode = "bilinear",
    antialias: bool = True,
) -> Float[Tensor, "batch views channels rows columns"]:
    """Return the views of several cameras of one size."""
    if len({(camera.width, camera.height) for camera in cameras}) != 1:
        raise ValueError(f"views of one pass must have one size, got {[(c.width, c.height) for c in cameras]}")
    points = 1
    if antialias and mode == "bilinear":
        panorama = shrunk(panorama, shrinkage(cameras, panorama.shape[-2]))
        points = points_across(cameras, panorama.shape[-2])
    height, width = panorama.shape[-2:]
    grids = [view_grid(camera, height, width, points, panorama.device) for camera in cameras]
    views = [sphere.sample(panorama, grid, mode) for grid in grids]
    views = [functional.avg_pool2d(view, points) if points > 1 else view for view in views]
    return torch.stack(views, dim=1) if len(views) > 1 else views[0][:, None]  # a stack of one is a copy


def shrunk(panorama: Float[Tensor, "batch channels height width"], by: int) -> Tensor:
    """Return a smaller panorama, each pixel of which is the mean of ``by`` x ``by`` pixels. ``by`` is a power of 2."""
    if by == 1:
        return panorama
    larger = shrunk(panorama, by // 2)
    rows = larger[..., ::2, :] + larger[..., 1::2, :]  # several times as fast as pooling on a CPU
    return (rows[..., ::2] + rows[..., 1::2]).mul_(0.25)


def box(camera: Camera, height: int, width: int) -> tuple[slice, list[slice]]:
    """Return the rows and columns of a panorama around a view, as slices. Across the wrap there are two column
    slices.
    """
    rows, columns = bounds(camera, height, width)
    breaks = (columns.diff() > 1).nonzero()[:, 0] + 1
    return rows, [slice(int(run[0]), int(run[-1]) + 1) for run in columns.tensor_split(breaks)]


def bounds(camera: Camera, height: int, width: int) -> tuple[slice, Tensor]:
    """Return the rows and columns of a panorama around a view: the box of the spherical cap that contains the view."""
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
    """Return which pixels of a panorama a view covers, and the position of each in the view."""
    rows, columns = bounds(camera, height, width)
    latitudes = sphere.pixel_latitudes(height)[rows]
    longitudes = sphere.pixel_longitudes(width)[columns]
    # A few rows at a time: fresh memory for all of them takes longer than the arithmetic.
    few = max(CACHED_VALUES // len(columns), 1)
    numbers = torch.arange(rows.start, rows.stop) * width
    parts = [
        _footprint_of_rows(camera, band, longitudes, math.pi / height, supersampling, first[:, None] + columns)
        for band, first in zip(latitudes.split(few), numbers.split(few), strict=True)
    ]
    index, grid = torch.cat([part.index for part in parts]), torch.cat([part.grid for part in parts], dim=1)
    return Footprint(index.to(device), grid.to(device))


def _footprint_of_rows(
    camera: Camera, latitudes: Tensor, longitudes: Tensor, pixel: float, supersampling: int, numbers: Tensor
) -> Footprint:
    """Return the footprint in a few rows. ``pixel`` is one pixel in radians; ``numbers`` are those of the rows."""
    centres = _image_axes(camera, latitudes, longitudes)
    right, down, ahead = centres
    # Where the view ends, as it is painted; without a division, which only the pixels inside need.
    across, along = (1 - 2 * camera.margin / side for side in (camera.width, camera.height))
    inside = (right.abs() <= ahead * across) & (down.abs() <= ahead * along) & (ahead > MIN_AHEAD)
    chosen = inside.flatten().nonzero()[:, 0]
    offsets = [((number + 0.5) / supersampling - 0.5) * pixel for number in range(supersampling)]
    points = (
        [centres]
        if supersampling == 1
        else (_image_axes(camera, latitudes + lifted, longitudes + turned) for lifted in offsets for turned in offsets)
    )
    places = []
    for point in points:
        right, down, ahead = (values.flatten().index_select(0, chosen) for values in point)
        ahead = ahead.clamp_min(MIN_AHEAD)  # of a pixel at the edge of a very wide view a point may lie behind it
        places.append(torch.stack([right / ahead, down / ahead], -1).to(torch.float32))
    return Footprint(numbers.flatten().index_select(0, chosen), torch.stack(places))


def _image_axes(
    camera: Camera, latitudes: Float[Tensor, "rows"], longitudes: Float[Tensor, "columns"]
) -> list[Float[Tensor, "rows columns"]]:
    """Return the components of all directions along the view's axes: right, down, ahead.

    The first two are scaled so that, divided by the third, they are -1 and 1 at the view's edges.
    """
    scales = (2 * camera.focal_pixels / camera.width, -2 * camera.focal_pixels / camera.height, 1.0)
    axes = camera.rotation * torch.tensor(scales, dtype=torch.float64)
    # Sines and cosines once for a row and for a column.
    level = (longitudes.sin()[:, None] * axes[0] + longitudes.cos()[:, None] * axes[2]).T
    across, up = latitudes.cos()[:, None], latitudes.sin()[:, None]
    return [torch.addcmul(up * axes[1, number], across, level[number]) for number in range(3)]


def project(
    view: Float[Tensor, "batch channels rows columns"],
    camera: Camera,
    height: int,
    mode: Mode = "bilinear",
    antialias: bool = True,
) -> tuple[Int[Tensor, "pixels"], Float[Tensor, "batch channels pixels"]]:
    """Return the flat numbers and the new values of the pixels of a ``height`` x ``2 height`` panorama that a view
    covers.
    """
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
    """Return a copy of the panorama with the view painted over its footprint. It is differentiable in both."""
    index, values = project(view, camera, panorama.shape[-2], mode)
    return panorama.flatten(-2).index_copy(-1, index, values.to(panorama.dtype)).view_as(panorama)


def rotate(
    panorama: Float[Tensor, "batch channels height width"],
    yaw_degrees: float,
    pitch_degrees: float = 0.0,
    roll_degrees: float = 0.0,
    mode: Mode = "bilinear",
) -> Float[Tensor, "batch channels height width"]:
    """Return the panorama turned so that these angles are straight ahead. A yaw by whole columns is an exact roll."""
    height, width = panorama.shape[-2:]
    columns = yaw_degrees / 360 * width
    if pitch_degrees == 0 and roll_degrees == 0 and abs(columns - round(columns)) < 1e-6:
        return panorama.roll(-round(columns), -1)
    turned = sphere.pixel_directions(height, width) @ sphere.rotation(yaw_degrees, pitch_degrees, roll_degrees).T
    positions = sphere.pixel_positions(turned, height, width)
    return sphere.sample(panorama, positions.to(panorama.device, torch.float32), mode)
