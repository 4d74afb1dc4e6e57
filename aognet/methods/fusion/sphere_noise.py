"""White noise on the sphere, which every view sees as white noise of its own pixels.

Bilinear views of noise are smooth and weaker than it. Here noise lies in cells far finer than the pixels of views, and
a pixel is the sum of the cells that it covers, by the square root of their number (as in "How I Warped Your Noise",
Chang et al. 2024): exactly white within a view, and alike in views that see the same rays.
"""

import math
from collections.abc import Sequence
from functools import lru_cache

import torch
from jaxtyping import Float, Int
from torch import Tensor

from aognet.geometry.camera import Camera
from aognet.geometry.sphere import pixel_directions


def cells_across(cameras: Sequence[Camera]) -> int:
    """Return how many cells lie across a pixel at a view's centre, so that the smallest, in a corner, has some."""
    return math.ceil(2 / math.cos(max(camera.radius_radians for camera in cameras)) ** 2)


def views_of_noise(
    cells: Float[Tensor, "1 channels height width"], cameras: Sequence[Camera]
) -> Float[Tensor, "views channels rows columns"]:
    """Return what cameras see of independent standard normal ``cells``: standard normal, and independent in a view."""
    flat = cells[0].flatten(1)
    views = []
    for camera in cameras:
        index, pixels = _covered(camera, cells.shape[-2])
        size = camera.width * camera.height
        counts = torch.bincount(pixels, minlength=size)
        assert bool((counts > 0).all()), "every pixel of a view covers cells"
        sums = flat.new_zeros(len(flat), size).index_add_(1, pixels.to(flat.device), flat[:, index.to(flat.device)])
        views.append((sums / counts.sqrt().to(sums)).unflatten(-1, (camera.height, camera.width)))
    return torch.stack(views)


@lru_cache(maxsize=64)
def _covered(camera: Camera, height: int) -> tuple[Int[Tensor, "cells"], Int[Tensor, "cells"]]:
    """Return the flat numbers of the cells that a view covers, and of the pixel that covers each."""
    positions, inside = camera.image_positions(pixel_directions(height, 2 * height).flatten(0, 1))
    index = inside.nonzero()[:, 0]
    columns, rows = positions[index].round().long().unbind(-1)
    return index, rows.clamp(0, camera.height - 1) * camera.width + columns.clamp(0, camera.width - 1)
