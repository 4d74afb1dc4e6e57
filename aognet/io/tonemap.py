"""Tone mapping: linear light to display values.

In every function here, invalid light (NaN, negative) counts as black, and infinite light as the largest finite value.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float32, Int64, UInt16

from aognet.errors import UserError
from aognet.io.srgb import encode_srgb

CURVES = ("published", "srgb", "filmic")
_HALF_MAX = 65504.0
_CHUNK = 1 << 18  # values at a time, so that they stay in the processor's cache
_EXACT = 1 << 24  # up to here OpenCV's counts, which are float32, are exact


@dataclass(frozen=True)
class ToneMap:
    """How light becomes display values.

    - ``published``: as AOG-Net prepares the Laval datasets. Light is compressed by the power ``1 / gamma`` and scaled
      so that ``percentile`` of the positive values becomes ``max_mapping``; the rest is clipped.
    - ``srgb``: light 1 is white; the transfer function of IEC 61966-2-1, clipped. Nothing is measured.
    - ``filmic``: as ``srgb``, with a shoulder and a toe (`_filmic`) before the transfer function. Nothing is measured.

    ``exposure`` multiplies the light by ``2 ** exposure``; with ``published``, after the scale has been measured.
    """

    curve: str = "published"
    gamma: float = 2.4
    percentile: float = 50.0
    max_mapping: float = 0.5
    exposure: float = 0.0

    def __post_init__(self) -> None:
        if self.curve not in CURVES:
            raise UserError(f"must be one of {', '.join(CURVES)}", key="curve", value=self.curve)
        # Outside these, powers of light leave the range of numbers.
        for name, low, high in (("gamma", 0.2, 20.0), ("exposure", -64.0, 64.0)):
            if not low <= getattr(self, name) <= high:
                raise UserError(f"must be in [{low:g}, {high:g}]", key=name, value=getattr(self, name))
        for name, high in (("percentile", 100.0), ("max_mapping", 1.0)):
            if not 0 < getattr(self, name) <= high:
                raise UserError(f"must be above 0 and at most {high:g}", key=name, value=getattr(self, name))


def tone_map(
    radiance: Float[np.ndarray, "height width 3"], config: ToneMap = ToneMap()
) -> Float32[np.ndarray, "height width 3"]:
    """Convert linear light, float16 or float32, to display values in [0, 1]."""
    if radiance.dtype == np.float16:
        return _of_all_halves(radiance, config)[radiance.view(np.uint16)]
    light = clean(radiance)
    return _shown(light, _measured(light, config), config)


def tone_map_to_levels(
    radiance: Float[np.ndarray, "height width 3"], levels: type[np.uint8] | type[np.uint16], config: ToneMap = ToneMap()
) -> np.ndarray:
    """Convert linear light to the nearest integers, 0 to the largest of ``levels`` (`numpy.uint8` or `numpy.uint16`).

    The result equals the rounded result of `tone_map`, without a float image. float16 has 65536 values: they are mapped
    once and looked up.
    """
    most = np.iinfo(levels).max
    if radiance.dtype == np.float16:
        import cv2

        table = np.rint(_of_all_halves(radiance, config) * np.float32(most)).astype(levels)
        return cv2.LUT(_codes(radiance), table[None]).reshape(radiance.shape)
    light = clean(radiance).reshape(-1)
    factor, found = _measured(light, config), np.empty(light.shape, levels)
    for begin in range(0, light.size, _CHUNK):
        shown = _shown(light[begin : begin + _CHUNK], factor, config)
        shown *= np.float32(most)
        found[begin : begin + _CHUNK] = np.rint(shown, out=shown)
    return found.reshape(radiance.shape)


def clean(radiance: Float[np.ndarray, "*shape"]) -> Float32[np.ndarray, "*shape"]:
    """Return a float32 copy without NaN and negative values (0 instead) and without Inf.

    Inf is light too bright for its file: it becomes the largest finite value, at least the largest of float16.
    """
    light = radiance.astype(np.float32)
    np.fmax(light, 0, out=light)
    if light.size and light.max() == np.inf:
        finite = light[light < np.inf]
        light[light == np.inf] = max(_HALF_MAX, finite.max(initial=0))
    return light


def _of_all_halves(radiance: Float[np.ndarray, "height width 3"], config: ToneMap) -> Float32[np.ndarray, "65536"]:
    """Return the display value of every float16, in the order of their bits, for the image ``radiance``."""
    light = clean(np.arange(1 << 16, dtype=np.uint16).view(np.float16))
    if config.curve != "published":
        return _shown(light, _factor(config), config)
    positive = np.flatnonzero(light)
    positive = positive[np.argsort(light[positive], kind="stable")]
    below = np.cumsum(_count(_codes(radiance))[positive])
    factor = _factor(config, int(below[-1]), lambda rank: light[positive[np.searchsorted(below, rank, "right")]])
    return _shown(light, factor, config)


def _codes(radiance: Float[np.ndarray, "height width 3"]) -> UInt16[np.ndarray, "height row"]:
    """Return float16 values as the integers with the same bits."""
    return np.ascontiguousarray(radiance).view(np.uint16).reshape(len(radiance), -1)


def _count(codes: UInt16[np.ndarray, "height row"]) -> Int64[np.ndarray, "65536"]:
    """Return how often each integer occurs, as `numpy.bincount` does, without its copy as 64-bit integers."""
    import cv2

    count = np.zeros(1 << 16, np.int64)
    rows = max(1, _EXACT // codes.shape[1])
    for top in range(0, len(codes), rows):
        histogram = cv2.calcHist([codes[top : top + rows]], [0], None, [1 << 16], [0, 1 << 16])
        count += histogram.reshape(-1).astype(np.int64)
    return count


def _measured(light: Float32[np.ndarray, "*shape"], config: ToneMap) -> np.float32:
    """Return `_factor` for an image of cleaned light."""
    if config.curve != "published":
        return _factor(config)
    positive = light[light > 0]

    def at(rank: int) -> np.float32:
        positive.partition(rank)
        return positive[rank]

    return _factor(config, positive.size, at)


def _factor(config: ToneMap, count: int = 0, at: Callable[[int], np.float32] | None = None) -> np.float32:
    """Return the factor that multiplies light before the curve. ``at(rank)`` is the positive light of that rank out of
    ``count``.

    The percentile is that of `numpy.percentile`: linear between the compressed values of the two nearest ranks. Light
    is scaled, instead of all compressed values, so that the percentile compresses to 1.
    """
    factor = 2.0**config.exposure
    if count and at:
        place = (count - 1) * config.percentile / 100
        rank = math.floor(place)
        low, high = (float(at(min(near, count - 1))) ** (1 / config.gamma) for near in (rank, rank + 1))
        factor /= (low + (high - low) * (place - rank)) ** config.gamma
    return np.float32(min(factor, np.finfo(np.float32).max))


def _shown(light: Float32[np.ndarray, "*shape"], factor: np.float32, config: ToneMap) -> Float32[np.ndarray, "*shape"]:
    with np.errstate(over="ignore"):  # Inf is white
        light = light * factor
        if config.curve == "published":
            np.power(light, np.float32(1 / config.gamma), out=light)
            light *= np.float32(config.max_mapping)
            return np.minimum(light, 1, out=light)
    return encode_srgb(np.minimum(_filmic(light) if config.curve == "filmic" else light, 1))


def _filmic(light: Float32[np.ndarray, "*shape"]) -> Float32[np.ndarray, "*shape"]:
    """Apply Narkowicz, "ACES Filmic Tone Mapping Curve" (2016): a fit of the ACES reference rendering, linear in and
    out.
    """
    light = np.minimum(light, 10)  # above 7.3 all is white, and squares of more would overflow
    return light * (2.51 * light + 0.03) / (light * (2.43 * light + 0.59) + 0.14)
