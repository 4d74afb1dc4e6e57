"""The sphere that is nearest to views of it, by least squares (Linear Fusion, arXiv 2609.01997)."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import torch
from jaxtyping import Float
from torch import Tensor

from aognet.geometry import sphere
from aognet.geometry.camera import Camera, Weighting
from aognet.geometry.sparse import CPU, corners, matrix, normalised, product, readings

CACHED = 4
SMOOTHNESS = 0.1
"""The weight of the Laplacian. Linear Fusion has 1e-4. Where views contradict each other, so little lets the sphere
follow each of them between the pixels of the others.
"""


@dataclass(frozen=True)
class SphereSystem:
    """The least squares of a sphere of ``height`` rows, as CSR matrices in single precision.

    ``look`` gives the pixels of all views from those of the sphere, ``back`` the right side of the normal equations
    from the pixels of all views, ``normal`` is their left side. ``start`` gives a sphere to begin with: the mean of the
    views that show the centre of a pixel. Without it the rows near the poles, of many pixels that views hardly tell
    apart, would take hundreds of iterations.
    """

    height: int
    look: Tensor
    normal: Tensor
    back: Tensor
    start: Tensor


def sphere_height(cameras: Sequence[Camera]) -> int:
    """Return the rows of a sphere that is about as fine as the finest view at its centre."""
    return 2 * round(max(camera.focal_pixels for camera in cameras) * math.pi / 2)


@lru_cache(maxsize=CACHED)
def sphere_system(
    cameras: tuple[Camera, ...], height: int, weighting: Weighting, device: torch.device = CPU
) -> SphereSystem:
    """Return the least squares of a sphere of ``height`` rows for the pixels of views, all of one size."""
    if device.type != "cpu":
        made = sphere_system(cameras, height, weighting)
        return SphereSystem(height, *(part.to(device) for part in (made.look, made.normal, made.back, made.start)))
    shape = (len(cameras) * cameras[0].height * cameras[0].width, 2 * height * height)
    directions = torch.cat([camera.pixel_directions().flatten(0, 1) for camera in cameras])
    column, row, shares = corners(sphere.pixel_positions(directions, height, 2 * height))
    rows = torch.arange(shape[0]).repeat_interleave(4)
    columns = sphere.pixel_numbers(row.flatten(), column.flatten(), height, 2 * height)
    weights = torch.cat([camera.weights(camera.pixel_places(), weighting) for camera in cameras])
    look = matrix(rows, columns, shares.flatten(), shape, torch.float64)
    back = matrix(columns, rows, shares.flatten() * weights[rows], shape[::-1], torch.float64)
    around = sphere.pixel_directions(height, 2 * height).flatten(0, 1)
    start = normalised(*readings(cameras, around, weighting), shape[::-1], torch.float32)
    return SphereSystem(height, look.float(), _normal(look, back, height), back.float(), start)


def _normal(look: Tensor, back: Tensor, height: int) -> Tensor:
    data, smooth = torch.sparse.mm(back, look), torch.sparse.mm(*_laplacians(height))
    parts = [part.to_sparse_coo() for part in (data, SMOOTHNESS * smooth)]
    rows, columns = torch.cat([part.indices() for part in parts], dim=1).long()
    values = torch.cat([part.values() for part in parts])
    return matrix(rows, columns, values, tuple(data.shape), torch.float32)


def _laplacians(height: int) -> tuple[Tensor, Tensor]:
    """Return L, transposed and as it is: each pixel of a panorama minus the mean of its four neighbours on the
    sphere.
    """
    width = 2 * height
    own = torch.arange(height * width)
    row, column = own // width, own % width
    beside = [(-1, 0), (1, 0), (0, -1), (0, 1)]
    taps = [own, *(sphere.pixel_numbers(row + down, column + right, height, width) for down, right in beside)]
    values = torch.tensor([1.0, -0.25, -0.25, -0.25, -0.25], dtype=torch.float64).repeat_interleave(len(own))
    rows, columns, shape = own.repeat(5), torch.cat(taps), (len(own), len(own))
    return matrix(columns, rows, values, shape, torch.float64), matrix(rows, columns, values, shape, torch.float64)


def conjugate_gradients(
    normal: Tensor, right: Float[Tensor, "pixels channels"], start: Float[Tensor, "pixels channels"], iterations: int
) -> Float[Tensor, "pixels channels"]:
    """Solve ``normal @ x = right`` for all channels at once (Hestenes and Stiefel 1952)."""
    least = torch.finfo(right.dtype).tiny
    found, rest = start, right - product(normal, start)
    direction = rest
    size = rest.square().sum(0)
    for _ in range(iterations):
        along = product(normal, direction)
        step = size / (direction * along).sum(0).clamp_min(least)
        found, rest = found + step * direction, rest - step * along
        before, size = size, rest.square().sum(0)
        direction = rest + size / before.clamp_min(least) * direction
    return found
