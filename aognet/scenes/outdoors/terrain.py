"""Land with heights (hills, mountains, dunes) around the camera, found exactly along every ray from it."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional

from aognet.scenes.outdoors.film import EYE, Film, haze
from aognet.scenes.outdoors.reliefs import SIZE, Style, relief, relief_maps
from aognet.scenes.plane import Flat
from aognet.scenes.rays import Rays, dot, smooth
from aognet.scenes.sky.sky import Sky

_AZIMUTHS, _DISTANCES = 2048, 200


@dataclass(frozen=True)
class Shape:
    """A relief that repeats every ``period`` metres, ``height`` metres high, with level ground up to ``clear`` metres
    away.

    ``rise`` lifts all of it, so that land around a valley starts above the valley's floor. ``far`` is where it ends.
    """

    style: Style
    period: float
    height: float
    clear: tuple[float, float]
    far: float
    rise: float = 0.0


@dataclass(frozen=True)
class Slopes:
    """What a material gets: points and normals (n, 3), metres per pixel, and height as a part of the whole."""

    points: np.ndarray
    normals: np.ndarray
    footprint: np.ndarray
    part: np.ndarray


def _sample(maps: torch.Tensor, places: np.ndarray) -> np.ndarray:
    """Return maps (1, channels, rows, columns), whose far sides repeat the near ones, at places (n, 2): (channels,
    n).
    """
    places = (places - np.floor(places)).astype(np.float32)
    grid = torch.from_numpy(places * np.float32(2) - np.float32(1))[None, None]
    found = functional.grid_sample(maps, grid, mode="bilinear", padding_mode="border", align_corners=True)
    return found[0, :, 0].numpy()


Material = Callable[[Slopes], tuple[np.ndarray, np.ndarray]]  # albedo (n, 3), labels (n,)


class Terrain:
    """A height field. Where it is level with the ground, the layers behind are seen."""

    def __init__(self, rng: np.random.Generator, sky: Sky, shape: Shape, material: Material, stand: bool = False):
        """With ``stand``, the camera stands on the land itself, somewhere high, and not on level ground inside it."""
        self.sky, self.shape, self.material = sky, shape, material
        angle = rng.uniform(0, 2 * np.pi)
        self.turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]], np.float32)
        self.offset, self.base = rng.random(2).astype(np.float32), 0.0
        self.shadow = self._shadow()
        self.stand = stand
        if stand:
            places = rng.random((64, 2)).astype(np.float32)
            found = self._lookup(places)
            score = found[:, 0] - 0.35 * np.hypot(found[:, 1], found[:, 2]) / max(shape.height / shape.period, 1e-6) / 8
            best = int(np.argsort(score)[36])
            self.offset, self.base = places[best], float(found[best, 0]) * shape.height
        self.rough = [Flat(rng, shape.period / 160), Flat(rng, shape.period / 900)]
        near = max(shape.clear[0] * 0.9, 0.8)
        self.reach = np.geomspace(near, shape.far, _DISTANCES).astype(np.float32)
        self.table, self.crest = self._table()

    def _shadow(self) -> torch.Tensor | None:
        """Return, for every place, the height at which the sun's rays pass over it (as a part of the whole)."""
        light = self.sky.light
        if self.sky.is_grey or light[1] < 0.01:
            return None
        small = np.ascontiguousarray(relief(self.shape.style)[::2, ::2])
        texel = self.shape.period / (SIZE // 2)
        towards = self.turn @ light[::2] / np.hypot(*light[::2])
        fall = light[1] / np.hypot(*light[::2]) * texel / self.shape.height
        shadow = np.full_like(small, -1)
        most = min(1.1 / fall, 110.0)
        for steps in np.unique(np.rint(np.geomspace(1.0, max(most, 2.0), 26))):
            across, down = np.rint(towards * steps).astype(int)
            length = float(np.hypot(across, down))
            np.maximum(shadow, np.roll(small, (-down, -across), (0, 1)) - np.float32(length * fall), out=shadow)
        return torch.from_numpy(np.pad(shadow, (0, 1), mode="wrap"))[None, None]

    def _lookup(self, places: np.ndarray) -> np.ndarray:
        """Return the height and slopes (n, 3) at places (n, 2) in periods."""
        found = _sample(relief_maps(self.shape.style), places)
        found[1:] *= self.shape.height / self.shape.period
        return found.T

    def _places(self, across: np.ndarray) -> np.ndarray:
        return across @ self.turn.T * np.float32(1 / self.shape.period) + self.offset

    def _mask(self, distance: np.ndarray) -> np.ndarray:
        return smooth(distance, *self.shape.clear) if self.shape.clear[1] else np.ones_like(distance)

    def _heights(self, raw: np.ndarray, distance: np.ndarray) -> np.ndarray:
        """Return the height over the camera's feet of relief heights at distances."""
        return (raw * self.shape.height - self.base + self.shape.rise) * self._mask(distance)

    def _table(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the tangent of elevation by azimuth and distance, and its running maximum."""
        angles = np.arange(_AZIMUTHS) * (2 * np.pi / _AZIMUTHS)
        around = np.stack([np.sin(angles), np.cos(angles)], 1).astype(np.float32)
        across = (around[:, None] * self.reach[None, :, None]).reshape(-1, 2)
        maps = relief_maps(self.shape.style)[:, :1]
        if self.shape.style in ("alpine", "mesa"):
            # Steps are longer than the finest crests, which would be hit or missed by chance.
            maps = functional.avg_pool2d(functional.pad(maps[..., :-1, :-1], (2, 2, 2, 2), mode="circular"), 4, 4)
        raw = _sample(maps, self._places(across))
        heights = self._heights(raw.reshape(_AZIMUTHS, _DISTANCES), self.reach[None])
        # The earth is round: far land sinks.
        tangent = (heights - EYE - self.reach**2 / np.float32(2 * 6.37e6)) / self.reach
        tangent = np.concatenate([tangent, tangent[:1]])
        return tangent, np.maximum.accumulate(tangent, axis=1)

    def hit(self, rays: Rays) -> np.ndarray:
        """Return the horizontal distance (n,) in metres at which rays meet the land, inf where they pass over it."""
        turns = rays.azimuth * _AZIMUTHS
        left = np.minimum(turns.astype(np.int32), _AZIMUTHS - 1)
        part = (turns - left).astype(np.float32)
        start, crest, slope = left * _DISTANCES, self.crest.ravel(), rays.slope
        last = np.full(len(left), _DISTANCES - 1, np.int32)

        def at(values: np.ndarray, step: np.ndarray) -> np.ndarray:
            first = start + step
            return values[first] * (1 - part) + values[first + _DISTANCES] * part

        low, high = np.full_like(last, -1), last.copy()
        for _ in range(int(np.ceil(np.log2(_DISTANCES)))):
            middle = np.maximum((low + high) // 2, 0)
            over = at(crest, middle) >= slope
            high, low = np.where(over, middle, high), np.where(over, low, middle)
        flat = self.table.ravel()
        after, before = at(flat, high), at(flat, np.maximum(high - 1, 0))
        share = np.clip((slope - before) / np.where(after == before, 1, after - before), 0, 1)
        near = self.reach[np.maximum(high - 1, 0)]
        found = near + (self.reach[high] - near) * share
        # Nearer than the table begins, the land slopes evenly from the feet on.
        feet = np.flatnonzero((high == 0) & (after > slope))
        found[feet] = EYE / (after[feet] + EYE / self.reach[0] - slope[feet])
        return np.where(at(crest, last) >= slope, found, np.float32(np.inf))

    def paint(self, film: Film) -> None:
        chosen = np.flatnonzero(film.rays.slope < float(self.crest.max()))
        if not chosen.size:
            return
        near = film.rays.take(chosen)
        level = self.hit(near)
        met = np.flatnonzero(np.isfinite(level))
        near, level, chosen = near.take(met), level[met], chosen[met]
        across = near.circle[:, ::2] * level[:, None]
        found = self._lookup(self._places(across))
        height = self._heights(found[:, 0], level)
        if not self.stand:
            above = np.flatnonzero(height > 0.05)
            near, level, chosen, across = near.take(above), level[above], chosen[above], across[above]
            found, height = found[above], height[above]
        if not chosen.size:
            return
        distance = level * np.sqrt(1 + near.slope**2)
        points = np.stack([across[:, 0], level * near.slope, across[:, 1]], 1)
        footprint = near.pixel * distance
        normals = self._normals(found, points, footprint, level)
        self._shade(film, chosen, near, Slopes(points, normals, footprint, found[:, 0]), distance)

    def _normals(self, found, points, footprint, level) -> np.ndarray:
        slopes = found[:, 1:3] @ self.turn * self._mask(level)[:, None]
        normals = np.empty_like(points)
        normals[:, 1] = 1
        rough = 0.22 if self.shape.style in ("alpine", "mesa") else 0.05
        bump = [rough * noise(points, footprint) for noise in self.rough]
        shifted = points + np.float32(0.37 * self.shape.period)
        bump += [rough * noise(shifted, footprint) for noise in self.rough]
        steep = 0.35 + np.minimum(np.abs(slopes).sum(1), 1)
        normals[:, 0] = -slopes[:, 0] + (bump[0] + bump[1]) * steep
        normals[:, 2] = -slopes[:, 1] + (bump[2] + bump[3]) * steep
        return normals / np.sqrt(dot(normals, normals))[:, None]

    def _shade(self, film: Film, chosen, near: Rays, slopes: Slopes, distance) -> None:
        sky = self.sky
        albedo, labels = self.material(slopes)
        lit = np.clip(slopes.normals @ sky.light, 0, 1)
        if self.shadow is not None:
            over = _sample(self.shadow, self._places(slopes.points[:, ::2]))[0]
            lit *= smooth(slopes.part - over, -0.012, 0.006)
        if sky.light[1] < 0:
            lit[:] = 0
        open_ = 0.55 + 0.45 * slopes.normals[:, 1]
        bounced = 0.12 * np.clip(sky.light[1], 0, 1)
        light = sky.sunlight * (lit + bounced * (1 - lit))[:, None] + sky.ambient * open_[:, None]
        film.lay(chosen, haze(sky, near, albedo * light, distance), distance.astype(np.float32), labels)
