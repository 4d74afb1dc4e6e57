"""Views of panoramas that are stored as bytes: training reads them ten times faster than from floats.

The panorama is stored at its size, half its size, ... (a mipmap, Williams 1983), each level with a border of one pixel
that continues the sphere. A view reads only the pixels that it shows, at the level nearest to its own resolution, so
that it does not alias. `aognet.geometry.perspective.look` is the exact, differentiable counterpart.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from jaxtyping import Float, Float32, UInt8
from torch import Tensor

from aognet.geometry import sphere
from aognet.geometry.camera import Camera

CACHED_MAPS = 64
SMALLEST_LEVEL = 16
Curves = Float32[np.ndarray, "256 3"]
"""What each byte of each channel becomes, such as a value in [-1, 1]."""

PLAIN: Curves = np.repeat(np.arange(256, dtype=np.float32)[:, None] / np.float32(127.5) - 1, 3, axis=1)
"""Bytes as floats in [-1, 1]."""


@dataclass(frozen=True)
class Pyramid:
    """A panorama as bytes in every size, largest first: uint8 [rows + 2, 2 rows + 2, 3] with its border."""

    levels: tuple[np.ndarray, ...]

    @property
    def height(self) -> int:
        """The rows of the panorama, without the border."""
        return self.levels[0].shape[0] - 2

    @property
    def image(self) -> UInt8[np.ndarray, "height width 3"]:
        """The panorama itself."""
        return self.levels[0][1:-1, 1:-1]


def level_heights(height: int) -> list[int]:
    """Return the rows of each level of a pyramid."""
    heights = [height]
    while heights[-1] % 2 == 0 and heights[-1] // 2 >= SMALLEST_LEVEL:
        heights.append(heights[-1] // 2)
    return heights


def bordered(image: UInt8[np.ndarray, "height width 3"]) -> Pyramid:
    """Return the pyramid of a panorama."""
    import cv2

    levels = [image]
    for height in level_heights(len(image))[1:]:
        levels.append(cv2.resize(levels[-1], (2 * height, height), interpolation=cv2.INTER_AREA))
    return Pyramid(tuple(_with_border(level) for level in levels))


def _with_border(image: UInt8[np.ndarray, "height width 3"]) -> np.ndarray:
    padded = sphere.pad_sphere(torch.from_numpy(np.ascontiguousarray(image)).permute(2, 0, 1)[None], 1)
    return padded[0].permute(1, 2, 0).contiguous().numpy()


def view_all(
    panorama: Pyramid, cameras: Sequence[Camera], turn_columns: int = 0, mirror: bool = False, curves: Curves = PLAIN
) -> Float[Tensor, "views 3 rows columns"]:
    """Return the views of cameras of one size, as ``look_all`` does. ``curves`` turn bytes into floats.

    ``turn_columns`` turns all cameras right by whole columns. ``mirror`` looks at the mirrored panorama.
    """
    import cv2

    cv2.setNumThreads(torch.get_num_threads())  # one in the workers of a loader, where OpenCV would take all cores
    rows, columns = cameras[0].height, cameras[0].width
    level = max(_level(camera, panorama) for camera in cameras)
    pixels, width = panorama.levels[level], 2 * (panorama.levels[level].shape[0] - 2)
    across, down = _maps(tuple(cameras), width // 2)
    if turn_columns:
        across = across + np.float32(turn_columns % (2 * panorama.height) / 2**level)
        across -= np.float32(width) * (across >= width - 0.5)
    if mirror:
        across = np.float32(width - 1) - across
    # One pixel of border lies before the first.
    seen = cv2.remap(pixels, across + np.float32(1), down, cv2.INTER_LINEAR)
    shown = cv2.LUT(seen, np.ascontiguousarray(curves)[None])
    return torch.from_numpy(shown).view(len(cameras), rows, columns, 3).permute(0, 3, 1, 2)


def _level(camera: Camera, panorama: Pyramid) -> int:
    """Return the level whose rows are nearest in size to the view's pixels at its centre."""
    rows_per_pixel = panorama.height / math.pi / camera.focal_pixels
    return min(max(round(math.log2(rows_per_pixel)), 0), len(panorama.levels) - 1)


@lru_cache(maxsize=CACHED_MAPS)
def _maps(cameras: tuple[Camera, ...], height: int) -> tuple[np.ndarray, np.ndarray]:
    """Return columns (without the border) and rows (with it) of every view pixel, one view below the other."""
    directions = torch.cat([camera.pixel_directions() for camera in cameras])
    positions = sphere.pixel_positions(directions, height, 2 * height).float().numpy()
    across, down = (np.ascontiguousarray(positions[..., axis]) for axis in (0, 1))
    down += 1
    across.flags.writeable = down.flags.writeable = False
    return across, down
