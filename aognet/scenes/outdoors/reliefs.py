"""Periodic height maps: alpine crests, round hills, dunes, mesas. Heights are in [0, 1] and computed once per
process.
"""

from functools import lru_cache
from typing import Literal

import numpy as np
import torch

Style = Literal["alpine", "rolling", "dunes", "mesa"]
SIZE = 1024


@lru_cache(maxsize=8)
def relief(style: Style) -> np.ndarray:
    """Return the height map (SIZE, SIZE) float32 of a style. It repeats in both directions."""
    rng = np.random.default_rng(1)
    heights = {"alpine": _alpine, "rolling": _rolling, "dunes": _dunes, "mesa": _mesa}[style](rng)
    low, high = np.quantile(heights, [0.002, 0.9995])
    return np.clip((heights - low) / (high - low), -0.05, 1.1).astype(np.float32)


@lru_cache(maxsize=8)
def relief_maps(style: Style) -> torch.Tensor:
    """Return the height and its slopes along columns and rows, as if the map were 1 long: (1, 3, SIZE + 1, SIZE +
    1).
    """
    heights = relief(style)
    slopes = [(np.roll(heights, -1, axis) - np.roll(heights, 1, axis)) * (SIZE / 2) for axis in (1, 0)]
    return torch.from_numpy(np.pad(np.stack([heights, *slopes]), ((0, 0), (0, 1), (0, 1)), mode="wrap"))[None]


def _octave(rng: np.random.Generator, cycles: float, width: float = 0.45, stretch: float = 1.0) -> np.ndarray:
    """Return smooth noise of unit variance with about ``cycles`` waves per side, ``stretch`` times longer along
    rows.
    """
    size = int(min(SIZE, max(64, 2 ** np.ceil(np.log2(cycles * 8)))))
    waves = np.fft.rfft2(rng.standard_normal((size, size)))
    down, right = np.fft.fftfreq(size, 1 / size)[:, None], np.fft.rfftfreq(size, 1 / size)[None]
    distance = np.log2(np.maximum(np.hypot(down, right * stretch), 0.3) / cycles)
    waves *= np.exp(-((distance / width) ** 2))
    waves[0, 0] = 0
    # Zeros above the highest wave enlarge without changing it.
    whole = np.zeros((SIZE, SIZE // 2 + 1), complex)
    half = size // 2
    whole[:half, :half], whole[-half:, :half] = waves[:half, :half], waves[-half:, :half]
    values = np.fft.irfft2(whole, (SIZE, SIZE))
    return values / values.std()


def _ridged(rng: np.random.Generator, first: float, octaves: int, gain: float) -> np.ndarray:
    """Return a ridged multifractal (Musgrave 1993): crests are sharp, valleys smooth, detail grows with height."""
    total, weight, strength = np.zeros((SIZE, SIZE)), np.ones((SIZE, SIZE)), 1.0
    for number in range(octaves):
        crest = np.maximum(1 - 0.75 * np.abs(_octave(rng, first * 2.03**number)), 0) ** 2 * weight
        total += strength * crest
        weight = np.clip(crest * 1.9, 0, 1)
        strength *= gain
    return total


def _fractal(rng: np.random.Generator, first: float, octaves: int, gain: float) -> np.ndarray:
    parts = (gain**number * _octave(rng, first * 2.03**number) for number in range(octaves))
    return sum(parts, np.zeros((SIZE, SIZE)))


def _alpine(rng: np.random.Generator) -> np.ndarray:
    broad = _octave(rng, 2.5)
    return _ridged(rng, 3.2, 7, 0.52) * (0.75 + 0.3 * broad.clip(-1.5, 1.5)) + 0.35 * broad


def _rolling(rng: np.random.Generator) -> np.ndarray:
    smooth_part = _fractal(rng, 3.0, 5, 0.36)
    return smooth_part + 0.18 * np.abs(smooth_part)


def _dunes(rng: np.random.Generator) -> np.ndarray:
    """Return the heights of crests across the wind with a gentle side and a steep one."""
    phase = np.arange(SIZE) / SIZE * 9
    bend = 0.42 * _octave(rng, 2.0) + 0.16 * _octave(rng, 5.0) + 0.03 * _octave(rng, 13.0)
    part = (phase[:, None] + bend) % 1.0
    up = part / 0.72
    shape = np.where(part < 0.72, up * up * (2.2 - 1.2 * up), ((1 - part) / 0.28) ** 1.15)
    tall = np.clip(0.62 + 0.3 * _octave(rng, 4.0), 0.12, 1.3)
    return shape * tall + 0.22 * _octave(rng, 2.0)


def _mesa(rng: np.random.Generator) -> np.ndarray:
    raw = _fractal(rng, 3.5, 6, 0.42)
    level = np.clip((raw - 0.15) / 1.9, 0, 1) * 3
    step = np.floor(level) + np.clip((level % 1.0 - 0.15) / 0.3, 0, 1) ** 1.5
    return step / 3 + 0.045 * raw
