"""Water: a level surface of small waves that mirrors what is behind it, with the sun's glitter."""

from collections.abc import Callable

import numpy as np

from aognet.scenes.outdoors.film import EYE, Film, haze
from aognet.scenes.plane import Flat
from aognet.scenes.rays import Rays, blend, dot
from aognet.scenes.sky.sky import Sky

Shore = Callable[[np.ndarray], np.ndarray]  # metres (n,) from the shore at points (n, 3), negative on land


class Water:
    """A water plane where ``shore(points) > 0``. ``waves`` is the steepness of its waves: 0.01 is calm, 0.1 windy."""

    def __init__(self, rng, sky: Sky, deep, waves: float, label: int, backdrop, shore: Shore | None = None,
                 foam: bool = False, height: float = EYE):  # fmt: skip
        self.sky, self.deep, self.strength, self.label = sky, deep, waves, label
        self.shore, self.foam, self.backdrop, self.height = shore, foam, backdrop, height
        self.waves = [(Flat(rng, scale), Flat(rng, scale)) for scale in (0.3, 1.6, 7.0)]
        self.edge = Flat(rng, 1.2, "cloud")
        self.breakers = Flat(rng, 9.0)

    def paint(self, film: Film) -> None:
        chosen = np.flatnonzero(film.rays.directions[:, 1] < -2e-4)
        near = film.rays.take(chosen)
        distance = self.height / -near.directions[:, 1]
        points = near.directions * distance[:, None]
        width = near.pixel * distance / np.sqrt(-near.directions[:, 1])
        depth, cover = np.full(len(points), 50, np.float32), None
        if self.shore is not None:
            depth = self.shore(points) + 0.3 * self.edge(points, near.pixel * distance)
            cover = np.clip(depth / np.minimum(width, 40) + 0.5, 0, 1)
            wet = np.flatnonzero(cover > 0)
            near, chosen, cover = near.take(wet), chosen[wet], cover[wet]
            distance, points, depth, width = distance[wet], points[wet], depth[wet], width[wet]
        if not chosen.size:
            return
        shade = self._surface(near, points, width, depth)
        if self.foam:
            shade = blend(shade, (self.sky.sunlight * 0.75 + self.sky.ambient) * 0.85, self._foam(points, depth, width))
        color = haze(self.sky, near, shade, distance * 0.6)
        film.lay(chosen, color, distance, self.label, cover)

    def _foam(self, points: np.ndarray, depth: np.ndarray, width: np.ndarray) -> np.ndarray:
        """Return the foam: swash at the water's edge, and lines of breakers farther out."""
        rough = self.edge(points * np.float32(0.6), width)
        swash = np.exp(-((depth - 0.4 - 0.3 * rough) ** 2) * 2) * 0.9
        lines = np.zeros_like(depth)
        for place, wide in ((4.5, 0.5), (10.0, 0.7), (18.0, 0.9)):
            broken = np.clip(self.breakers(points * np.float32(1 + place / 20), width) + 0.4, 0, 1)
            offset = depth - place - 0.6 * rough - 0.8 * self.breakers(points)
            lines += broken * np.exp(-((offset / wide) ** 2)) * np.clip(0.55 + 0.35 * rough, 0, 1)
        return np.clip(swash + lines, 0, 0.92)

    def _surface(self, rays: Rays, points: np.ndarray, width: np.ndarray, depth: np.ndarray) -> np.ndarray:
        tilts, lost = np.zeros((len(points), 3), np.float32), np.zeros(len(points), np.float32)
        for (east, north), part in zip(self.waves, (0.5, 0.8, 0.6), strict=True):
            seen = np.flatnonzero(width < 2.5 * east.scale)
            tilts[seen, 0] += part * east(points[seen], width[seen] * 1.2)
            tilts[seen, 2] += part * north(points[seen], width[seen] * 1.2)
            # Waves below a pixel still scatter what is mirrored.
            lost += part**2 * (1 - 1 / (1 + (3 * width / east.scale) ** 2) ** 2)
        normals = tilts * np.float32(self.strength)
        normals[:, 1] = 1
        normals /= np.sqrt(dot(normals, normals))[:, None]
        facing = np.clip(-dot(normals, rays.directions), 0.0, 1)
        spread = self.strength * np.sqrt(lost)
        bounced = rays.directions + 2 * facing[:, None] * normals
        # Of rough water one sees the slopes that lean towards the eye: they mirror the higher sky.
        bounced[:, 1] = np.abs(bounced[:, 1]) + 1e-3 + 1.2 * spread
        bounced /= np.sqrt(dot(bounced, bounced))[:, None]
        mirror = self.backdrop(Rays(bounced, rays.pixel * 2))
        part = 0.02 + 0.98 * (1 - np.clip(facing + 0.7 * spread, 0, 1)) ** 5
        body = self.deep * (self.sky.sunlight * max(float(self.sky.light[1]), 0.0) + self.sky.ambient)
        shallow = np.exp(-np.maximum(depth, 0) / 6)[:, None]
        body = body * (1 + 1.4 * shallow) * (1 + 0.9 * tilts[:, :1] * self.strength)
        return blend(body, mirror, part) + self._glitter(rays, normals, part, spread)

    def _glitter(self, rays: Rays, normals: np.ndarray, fresnel: np.ndarray, spread: np.ndarray) -> np.ndarray:
        """Return the sun's reflections in facets whose slopes are normally distributed (Cox and Munk 1954)."""
        half = self.sky.light - rays.directions
        half /= np.maximum(np.sqrt(dot(half, half)), 1e-4)[:, None]
        upright = np.maximum(dot(half, normals), 1e-3)
        variance = spread**2 + 0.3 * self.strength**2 + 2e-5
        facets = np.exp(-(1 / upright**2 - 1) / (2 * variance)) / (2 * np.pi * variance * upright**4)
        view = np.clip(-rays.directions[:, 1], 0.05, 1)
        light = np.pi * self.sky.sunlight * (self.sky.light[1] > 0)
        return light * (fresnel * facets / (4 * view))[:, None]
