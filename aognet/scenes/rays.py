"""Rays from the camera, and small tools that every layer of a scene uses: periodic 3D noise, colours, soft edges.

Nothing here knows pixel coordinates. All patterns are functions of 3D directions or positions, so a scene has no seam
at the wrap and no artefact at the poles.
"""

from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Literal

import numpy as np
import torch
from torch.nn import functional

from aognet.io.srgb import decode_srgb

Spectrum = Literal["band", "cloud"]
_SIZE = 96
# Cycles per period of the volume: one octave around 12 for "band"; everything from 3 up, falling, for "cloud".
_CYCLES = {"band": 12.0, "cloud": 3.0}


@dataclass(frozen=True)
class Rays:
    """Unit directions (n, 3) float32 from the camera at the origin, and the angle between pixels in radians."""

    directions: np.ndarray
    pixel: float

    @cached_property
    def level(self) -> np.ndarray:
        """Length of the horizontal part, never 0."""
        return np.maximum(np.hypot(self.directions[:, 0], self.directions[:, 2]), 1e-4)

    @cached_property
    def slope(self) -> np.ndarray:
        """Tangent of the elevation."""
        return self.directions[:, 1] / self.level

    @cached_property
    def azimuth(self) -> np.ndarray:
        """Angle from +z to +x in turns, in [0, 1)."""
        return np.arctan2(self.directions[:, 0], self.directions[:, 2]) / (2 * np.pi) % 1.0

    @cached_property
    def circle(self) -> np.ndarray:
        """Horizontal unit directions (n, 3)."""
        flat = self.directions / self.level[:, None]
        flat[:, 1] = 0
        return flat

    def take(self, chosen: np.ndarray) -> "Rays":
        """Return the rays at some indices."""
        return Rays(self.directions[chosen], self.pixel)


@lru_cache(maxsize=4)
def _volume(spectrum: Spectrum) -> torch.Tensor:
    """Return a periodic random volume of unit variance with the wanted spectrum, one voxel repeated at the far
    sides.
    """
    rng = np.random.default_rng(0)
    waves = np.fft.fftn(rng.standard_normal((_SIZE, _SIZE, _SIZE)))
    axis = np.fft.fftfreq(_SIZE, 1 / _SIZE)
    cycles = np.sqrt(axis[:, None, None] ** 2 + axis[None, :, None] ** 2 + axis[None, None, :] ** 2)
    octaves = np.log2(np.maximum(cycles, 0.5) / _CYCLES[spectrum])
    if spectrum == "band":
        waves *= np.exp(-((octaves / 0.55) ** 2))
    else:
        waves *= np.where(octaves < -0.6, 0.0, 2.0 ** (-1.9 * np.maximum(octaves, 0)))
    values = np.fft.ifftn(waves).real
    values = np.pad(values / values.std(), (0, 1), mode="wrap").astype(np.float32)
    return torch.from_numpy(values)[None, None]


class Noise:
    """A random smooth field over 3D space: mean 0, standard deviation 1, features about ``scale`` long."""

    def __init__(self, rng: np.random.Generator, scale: float, spectrum: Spectrum = "band"):
        self.offset = rng.random(3).astype(np.float32)
        self.scale = scale
        self.spectrum = spectrum

    def __call__(self, points: np.ndarray, footprint: np.ndarray | float | None = None) -> np.ndarray:
        """Return values (n,) at points (n, 3), faded out where a pixel covers more than the features."""
        places = points * np.float32(1 / (self.scale * _CYCLES[self.spectrum])) + self.offset
        places -= np.floor(places)
        grid = torch.from_numpy(places * 2 - 1)[None, None, None]
        volume = _volume(self.spectrum)
        values = functional.grid_sample(volume, grid, mode="bilinear", padding_mode="border", align_corners=True)
        values = values.numpy().reshape(-1)
        if footprint is None:
            return values
        return values / (1 + (2.5 * footprint / self.scale) ** 2)


def rgb(red: float, green: float, blue: float) -> np.ndarray:
    """Return the linear colour (3,) of an sRGB colour in [0, 1]."""
    return decode_srgb(np.array([red, green, blue], np.float32))


def jitter(rng: np.random.Generator, color: np.ndarray, amount: float = 0.12) -> np.ndarray:
    """Return the colour, a little brighter or darker and a little different in hue."""
    return (color * rng.uniform(1 - amount, 1 + amount) * rng.uniform(1 - amount / 3, 1 + amount / 3, 3)).astype(
        np.float32
    )


def dot(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return the scalar products (n,) of vectors (n, 3). This is many times faster than a sum over the short axis."""
    return np.einsum("ij,ij->i", first, second)


def smooth(values: np.ndarray, low: float, high: float) -> np.ndarray:
    """Return 0 below ``low``, 1 above ``high``, and a smooth value between."""
    part = np.clip((values - low) / (high - low), 0, 1)
    return part * part * (3 - 2 * part)


def blend(under: np.ndarray, over: np.ndarray, amount: np.ndarray) -> np.ndarray:
    """Return colours (n, 3) between ``under`` and ``over`` by amounts (n,) in [0, 1]."""
    return under + (over - under) * amount[:, None]


def stripes(
    places: np.ndarray, period: float | np.ndarray, part: float | np.ndarray, footprint: np.ndarray
) -> np.ndarray:
    """Return how much of each pixel lies in stripes that take ``part`` of every period, centred on its multiples."""
    distance = np.abs(places / period - np.rint(places / period)) * period
    inside = np.clip((part * period / 2 - distance) / np.maximum(footprint, 1e-5) + 0.5, 0, 1)
    return inside + (part - inside) * np.clip(footprint * 2 / period - 0.5, 0, 1)


def cell_values(*cells: np.ndarray) -> np.ndarray:
    """Return a repeatable random number in [0, 1) for every cell with whole-number coordinates."""
    mixed = np.zeros(cells[0].shape, np.uint32)
    for cell in cells:
        mixed = (mixed ^ cell.astype(np.int64).astype(np.uint32)) * np.uint32(0x9E3779B1)
        mixed ^= mixed >> np.uint32(15)
    mixed *= np.uint32(0x85EBCA6B)
    return ((mixed ^ (mixed >> np.uint32(13))) >> np.uint32(8)).astype(np.float32) / 2**24
