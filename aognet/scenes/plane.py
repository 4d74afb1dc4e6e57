"""Noise on level planes and on leaves: flat tiles, several times faster to look up than ``rays.Noise``."""

from functools import lru_cache

import numpy as np
import torch
from torch.nn import functional

from aognet.scenes.rays import Spectrum

_SIZE = 512
_CYCLES = {"band": 64.0, "cloud": 6.0}  # per tile; lowest ones for "cloud"


def _tile(cycles: float, cloud: bool, seed: int) -> np.ndarray:
    """Return a periodic random tile of unit variance, one texel repeated at the far sides."""
    waves = np.fft.rfft2(np.random.default_rng(seed).standard_normal((_SIZE, _SIZE)))
    distance = np.hypot(np.fft.fftfreq(_SIZE, 1 / _SIZE)[:, None], np.fft.rfftfreq(_SIZE, 1 / _SIZE)[None])
    octaves = np.log2(np.maximum(distance, 0.5) / cycles)
    if cloud:
        waves *= np.where(octaves < -0.6, 0.0, 2.0 ** (-1.4 * np.maximum(octaves, 0)))
    else:
        waves *= np.exp(-((octaves / 0.55) ** 2))
    values = np.fft.irfft2(waves, (_SIZE, _SIZE))
    return np.pad(values / values.std(), (0, 1), mode="wrap").astype(np.float32)


@lru_cache(maxsize=2)
def _plane(spectrum: Spectrum) -> torch.Tensor:
    return torch.from_numpy(_tile(_CYCLES[spectrum], spectrum == "cloud", 2))[None, None]


def _sample(tiles: torch.Tensor, places: np.ndarray) -> np.ndarray:
    """Return the values (channels, n) of tiles at places (n, 2)."""
    places = (places - np.floor(places)).astype(np.float32)
    grid = torch.from_numpy(places * np.float32(2) - np.float32(1))[None, None]
    found = functional.grid_sample(tiles, grid, mode="bilinear", padding_mode="border", align_corners=True)
    return found[0, :, 0].numpy()


class Flat:
    """A random smooth field over x and z, like ``rays.Noise``."""

    def __init__(self, rng: np.random.Generator, scale: float, spectrum: Spectrum = "band"):
        angle = rng.uniform(0, 2 * np.pi)
        turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        self.scale, self.spectrum = scale, spectrum
        self.turn = (turn / (scale * _CYCLES[spectrum])).astype(np.float32)
        self.offset = rng.random(2).astype(np.float32)

    def __call__(self, points: np.ndarray, footprint: np.ndarray | float | None = None) -> np.ndarray:
        """Return values (n,) at points (n, 3), faded out where a pixel covers more than the features."""
        places = points[:, ::2] @ self.turn + self.offset
        values = _sample(_plane(self.spectrum), places)[0]
        if footprint is None:
            return values
        return values / (1 + (2.5 * footprint / self.scale) ** 2)


LEAF_SCALES = (0.3, 0.9, 2.2)  # metres: leaves, twigs, limbs
_LEAF_TILE = 12.8  # metres


@lru_cache(maxsize=1)
def _leaf_tiles() -> torch.Tensor:
    tiles = [_tile(_LEAF_TILE / scale, False, 3 + number) for number, scale in enumerate(LEAF_SCALES)]
    return torch.from_numpy(np.stack(tiles))[None]


def foliage(places: np.ndarray, footprint: np.ndarray) -> np.ndarray:
    """Return noise (3, n) of the ``LEAF_SCALES`` at places (n, 2) in metres."""
    values = _sample(_leaf_tiles(), places * np.float32(1 / _LEAF_TILE))
    for number, scale in enumerate(LEAF_SCALES):
        values[number] /= 1 + (2.5 * footprint / scale) ** 2
    return values
