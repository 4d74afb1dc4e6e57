"""Patches of panoramas of light, as a camera would show them, small and in full: SR-iTMO trains on them.

A patch is exposed at random and shown by a random camera curve. The light that is learned is what the display values
stand for by the sRGB curve, continued by the true light where a channel is saturated. So a photograph's own pixels are
learned as they are, and beyond them what the camera cut off.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Float, Float32, Float64, Int
from torch import Tensor

from aognet.data.augment import check_share
from aognet.data.panoramas import shuffled
from aognet.data.sources import SourceConfig, find_entries
from aognet.errors import UserError
from aognet.geometry.sphere import pixel_latitudes, pixel_longitudes
from aognet.io.hdr import MAX_PIXELS, read_radiance
from aognet.io.images import check_shape
from aognet.io.srgb import decode_srgb, encode_srgb
from aognet.io.tonemap import clean
from aognet.system.transfer import to_device

SATURATED = 254.5 / 255
"""The display value from which on a byte holds the highest level."""
MIDDLE = 0.18
"""The light that the mean of a panorama's logarithms is exposed to, before random stops."""
MOST_LIGHT = 1e4
_FULL = float(decode_srgb(np.array([SATURATED]))[0])
_LEAST = 1e-9


@dataclass(frozen=True)
class LightPatchBatch:
    """``low``: patches in [-1, 1]. ``cells``: where points lie in them, (y, x) from the first pixel's centre in
    pixels; ``sizes``: of a pixel of the full patch, in pixels of the low one. ``directions``: longitude and latitude of
    points, radians. ``display``: what is seen there in full, in [-1, 1]. ``light``: what was there, 1 is white.
    """

    low: Float[Tensor, "batch 3 size size"]
    cells: Float64[Tensor, "batch points 2"]
    sizes: Float[Tensor, "batch"]
    directions: Float[Tensor, "batch points 2"]
    display: Float[Tensor, "batch points 3"]
    light: Float[Tensor, "batch points 3"]
    seeds: Int[Tensor, "batch"]

    def to(self, device: torch.device) -> "LightPatchBatch":
        """Return the batch with its tensors on a device, but for the seeds."""
        names = ("low", "cells", "sizes", "directions", "display", "light")
        return replace(self, **{name: to_device(getattr(self, name), device) for name in names})


@dataclass(frozen=True)
class LightPatch:
    """One row of a `LightPatchBatch`."""

    low: Float[Tensor, "3 size size"]
    cells: Float64[Tensor, "points 2"]
    size: float
    directions: Float[Tensor, "points 2"]
    display: Float[Tensor, "points 3"]
    light: Float[Tensor, "points 3"]
    seed: int


@dataclass(frozen=True)
class CameraCurve:
    """How a camera shows light. ``white`` None: by the sRGB curve, cut at 1. Otherwise by Reinhard's curve (2002,
    equation 4), by which ``white`` is the least light that is shown white, and a gamma of 1.5.
    """

    white: float | None

    def shown(self, light: Float[np.ndarray, "*shape"]) -> Float[np.ndarray, "*shape"]:
        """Return display values in [0, 1]."""
        if self.white is None:
            return encode_srgb(np.minimum(light, 1))
        return np.minimum(light * (1 + light / self.white**2) / (1 + light), 1) ** (1 / 1.5)

    @property
    def saturating(self) -> float:
        """The light that is shown as `SATURATED`."""
        if self.white is None:
            return _FULL
        level = SATURATED**1.5
        return self.white**2 / 2 * (level - 1 + math.sqrt((1 - level) ** 2 + 4 * level / self.white**2))

    def learned(self, light: Float[np.ndarray, "*shape"]) -> Float[np.ndarray, "*shape"]:
        """Return the light that display values stand for, and beyond saturation the true one, on the same scale."""
        beyond = np.minimum(light * (_FULL / self.saturating), MOST_LIGHT)
        return np.where(light < self.saturating, decode_srgb(self.shown(light)), beyond)


class LightPatchSamples:
    """Infinite samples: ``self[n]`` depends only on the configuration and ``n``."""

    @dataclass(frozen=True, kw_only=True)
    class Config(SourceConfig):
        """Panoramas (EXR or HDR files) and how patches are drawn from them.

        ``height``: panoramas are resized to it. ``size``: of the low patch in pixels. ``factors``: [least, most] by
        which the full patch is larger, drawn evenly. ``points``: how many of its pixels are asked for (published: size
        times size). ``stops``: the exposure is drawn so many stops around a middle one. ``reinhard``: how often the
        camera's curve is Reinhard's, as published, with a white in ``whites``. ``bright_patches``: how often a patch
        has a saturated pixel if there is one; ``bright_points``: the share of points that are such, in a patch that has
        any. ``mirror``: half of the patches are mirrored.
        """

        height: int = 512
        size: int = 128
        factors: tuple[float, float] = (1.0, 4.0)
        points: int = 16384
        stops: float = 2.0
        reinhard: float = 0.5
        whites: tuple[float, float] = (1.5, 8.0)
        bright_patches: float = 0.3
        bright_points: float = 0.0
        mirror: bool = True
        seed: int = 0

        def __post_init__(self) -> None:
            super().__post_init__()
            if not self.folders and not self.manifests:
                raise UserError("must name folders of EXR or HDR files; or set manifests", key="folders", value=[])
            if not 8 <= self.size <= 1024:
                raise UserError("must lie in [8, 1024]", key="size", value=self.size)
            low, high = self.factors
            if not 1 <= low <= high <= 8 or round(self.size * high) > self.height:
                said = f"must be [least, most] in [1, 8], and {self.height} rows must hold a patch"
                raise UserError(said, key="factors", value=list(self.factors))
            if not 1 <= self.points <= self.size**2:
                raise UserError(f"must lie in [1, {self.size**2}], the pixels", key="points", value=self.points)
            if not 0 <= self.stops <= 8:
                raise UserError("must lie in [0, 8]", key="stops", value=self.stops)
            if not 1 < self.whites[0] <= self.whites[1]:
                raise UserError("must be [least, most] above 1", key="whites", value=list(self.whites))
            for name in ("reinhard", "bright_patches", "bright_points"):
                check_share(name, getattr(self, name))
            if not 0 <= self.seed < 2**32:
                raise UserError("must lie in [0, 2^32)", key="seed", value=self.seed)

    def __init__(self, config: Config):
        """Find the files.

        :raises UserError: if there are none of light.
        """
        self.config = config
        self.entries = [entry for entry in find_entries(config) if entry.path.suffix.lower() in (".exr", ".hdr")]
        if not self.entries:
            where = ", ".join([*config.folders, *config.manifests])
            raise UserError(f"has no EXR or HDR files: {where}", key="folders")

    def __len__(self) -> int:
        """Return the number of panoramas of an epoch."""
        return len(self.entries)

    def __getitem__(self, number: int) -> LightPatch:
        entry = self.entries[shuffled(len(self), self.config.seed, number)]
        rng = np.random.default_rng([self.config.seed, number])
        light = _exposed(_read(entry.path, self.config.height), rng.uniform(-self.config.stops, self.config.stops))
        return self._draw(light, rng)

    def _draw(self, light: Float32[np.ndarray, "height width 3"], rng: np.random.Generator) -> LightPatch:
        import cv2

        config = self.config
        curve = CameraCurve(rng.uniform(*config.whites) if rng.random() < config.reinhard else None)
        full = round(config.size * rng.uniform(*config.factors))
        top, left = self._corner(light, curve, full, rng)
        columns = np.arange(left, left + full) % light.shape[1]
        if config.mirror and rng.random() < 0.5:
            columns = columns[::-1]
        patch = np.ascontiguousarray(light[top : top + full, columns]).astype(np.float64)
        shown = curve.shown(patch)
        low = cv2.resize(shown, (config.size, config.size), interpolation=cv2.INTER_AREA)
        rows, across = np.divmod(self._points(patch >= curve.saturating, rng), full)
        places = np.stack([rows, across], -1)
        longitudes = pixel_longitudes(light.shape[1]).numpy()[columns]
        latitudes = pixel_latitudes(light.shape[0]).numpy()[top : top + full]
        directions = np.stack([longitudes[across], latitudes[rows]], -1)
        return LightPatch(
            _tensor(np.rint(low * 255) / 255 * 2 - 1).permute(2, 0, 1),
            torch.from_numpy((places + 0.5) * config.size / full - 0.5),
            config.size / full,
            _tensor(directions),
            _tensor(shown[rows, across] * 2 - 1),
            _tensor(curve.learned(patch[rows, across])),
            int(rng.integers(2**62)),
        )

    def _corner(self, light: np.ndarray, curve: CameraCurve, full: int, rng: np.random.Generator) -> tuple[int, int]:
        """Return the first row and column of a full patch, which may cross the right edge."""
        height, width = light.shape[:2]
        top, left = int(rng.integers(height - full + 1)), int(rng.integers(width))
        if rng.random() >= self.config.bright_patches:
            return top, left
        bright = np.flatnonzero((light >= curve.saturating).any(-1))
        if not bright.size:
            return top, left
        row, column = divmod(int(bright[rng.integers(bright.size)]), width)
        down, across = rng.integers(full, size=2)
        return min(max(row - int(down), 0), height - full), (column - int(across)) % width

    def _points(
        self, saturated: Bool[np.ndarray, "full full 3"], rng: np.random.Generator
    ) -> Int[np.ndarray, "points"]:
        """Return the numbers of pixels that are asked for, without repetition unless few are bright."""
        count, bright = self.config.points, np.flatnonzero(saturated.any(-1))
        wanted = round(count * self.config.bright_points) if bright.size else 0
        anywhere = rng.choice(saturated.shape[0] * saturated.shape[1], count - wanted, replace=False)
        return np.concatenate([anywhere, bright[rng.integers(bright.size, size=wanted)]]) if wanted else anywhere

    def collate(self, samples: Sequence[LightPatch]) -> LightPatchBatch:
        """Return samples as a batch."""
        names = ("low", "cells", "directions", "display", "light")
        stacked = {name: torch.stack([getattr(sample, name) for sample in samples]) for name in names}
        sizes, seeds = torch.tensor([s.size for s in samples]), torch.tensor([s.seed for s in samples])
        return LightPatchBatch(sizes=sizes, seeds=seeds, **stacked)


@lru_cache(maxsize=16)
def _read(path: Path, height: int) -> Float32[np.ndarray, "height width 3"]:
    """Return a panorama of light. The array is shared: do not write into it."""
    import cv2

    light = clean(read_radiance(path, MAX_PIXELS))
    check_shape(*light.shape[:2], name=str(path))
    if light.shape[:2] != (height, 2 * height):
        light = cv2.resize(light, (2 * height, height), interpolation=cv2.INTER_AREA)
    light.flags.writeable = False
    return light


def _exposed(light: Float32[np.ndarray, "height width 3"], stops: float) -> Float32[np.ndarray, "height width 3"]:
    """Return light whose mean of logarithms over the sphere is ``stops`` from `MIDDLE`."""
    weights = pixel_latitudes(len(light)).cos().numpy()
    logs = np.log(light.mean(-1).clip(_LEAST)).mean(-1)
    middle = math.exp(float((logs * weights).sum() / weights.sum()))
    return light * np.float32(MIDDLE / middle * 2.0**stops)


def _tensor(values: np.ndarray) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(values, np.float32))
