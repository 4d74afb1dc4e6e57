"""Trees around the camera: crowns of leaves lit by the sun, conifers, bare trees."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from aognet.scenes.outdoors.film import EYE, Film, haze
from aognet.scenes.outdoors.shadows import ShadowMap
from aognet.scenes.plane import foliage
from aognet.scenes.rays import Rays, rgb
from aognet.scenes.sky.sky import Sky

Form = Literal["cone", "round", "tall", "bare", "palm"]


@dataclass(frozen=True)
class Species:
    """How a kind of tree looks; ``snow`` is the part of its crown that is white."""

    form: Form
    colors: tuple[np.ndarray, ...]
    bark: np.ndarray
    snow: float = 0.0


@dataclass(frozen=True)
class TreeHits:
    """What rays (their indices ``chosen``) meet: colours (m, 3), distances, and how much of each pixel is covered."""

    chosen: np.ndarray
    color: np.ndarray
    distance: np.ndarray
    cover: np.ndarray


class Trees:
    """A ring of trees, one in each of ``count`` sectors, some of them empty, each at its own distance."""

    def __init__(self, rng, sky: Sky, species: Species, distance: float, height: float, part: float, label: int,
                 ground: float = EYE):  # fmt: skip
        self.sky, self.species, self.distance, self.label, self.ground = sky, species, distance, label, ground
        spacing = height * {"cone": 0.34, "tall": 0.36}.get(species.form, 0.62)
        self.count = count = max(int(2 * np.pi * distance / spacing), 5)
        self.places = rng.uniform(-0.4, 0.4, count).astype(np.float32)
        self.heights = (height * rng.uniform(0.6, 1.25, count) * (rng.random(count) < part)).astype(np.float32)
        self.widths = rng.uniform(0.75, 1.2, count).astype(np.float32)
        self.distances = (distance * rng.uniform(0.87, 1.13, count)).astype(np.float32)
        tints = np.stack([species.colors[int(n)] for n in rng.integers(len(species.colors), size=count)])
        self.tints = (tints * rng.uniform(0.75, 1.2, (count, 1)) * rng.uniform(0.94, 1.06, (count, 3))).astype(
            np.float32
        )
        self.offsets = rng.uniform(0, 100, (count, 2)).astype(np.float32)

    def cast(self, shadows: ShadowMap) -> None:
        """Draw the trees' shadows on the ground."""
        wide = {"cone": 0.34, "tall": 0.3, "bare": 0.4, "palm": 0.5}.get(self.species.form, 0.62)
        low = {"cone": 0.08, "tall": 0.12, "palm": 0.85}.get(self.species.form, 0.26)
        for cell in np.flatnonzero(self.heights > 0):
            angle = (cell + 0.5 + self.places[cell]) / self.count * 2 * np.pi
            x, z = np.sin(angle) * self.distances[cell], np.cos(angle) * self.distances[cell]
            height = float(self.heights[cell])
            if self.species.form != "bare":
                shadows.add_tree(float(x), float(z), height, wide * height * float(self.widths[cell]), low * height)

    def paint(self, film: Film) -> None:
        for part in reversed(list(self.parts(film.rays))):
            film.lay(part.chosen, part.color, part.distance, self.label, part.cover)

    def parts(self, rays: Rays) -> Iterator["TreeHits"]:
        """Yield what rays meet of the ring, the nearer side first."""
        top = (self.heights.max() * 1.15 - self.ground) / self.distances.min()
        chosen = np.flatnonzero((rays.slope > -self.ground / self.distances.min()) & (rays.slope < top))
        if not chosen.size:
            return
        near = rays.take(chosen)
        turns = near.azimuth * np.float32(self.count)
        middle = np.floor(turns)
        reach = {"cone": 0.3, "tall": 0.32}.get(self.species.form, 0.55)
        for side in (0, 1, -1):
            cell = (middle.astype(np.int32) + side) % self.count
            height, distance = self.heights[cell], self.distances[cell]
            up = (near.slope * distance + self.ground) / np.maximum(height, 1e-3)
            center = middle + np.float32(side + 0.5) + self.places[cell]
            across = (turns - center) * (np.float32(2 * np.pi / self.count) * distance) / np.maximum(height, 1e-3)
            close = np.flatnonzero((height > 0) & (up > -0.02) & (up < 1.12) & (np.abs(across) < reach))
            if close.size:
                part = self._part(chosen[close], near.take(close), cell[close], across[close], up[close])
                if part is not None:
                    yield part

    def _part(self, chosen, rays: Rays, cell, across, up) -> "TreeHits | None":
        distance, height = self.distances[cell], self.heights[cell]
        width = rays.pixel * distance * (1 + rays.slope**2)
        fine, clump, bulge = foliage(np.stack([across, up], 1) * height[:, None] + self.offsets[cell], width)
        edge, trunk = self._outline(across, up, fine, clump, bulge, self.widths[cell])
        cover = np.clip(edge * height / (width * 1.5) + 0.5, 0, 1)
        inside = np.flatnonzero(cover > 0)
        if not inside.size:
            return None
        rays, cell, distance = rays.take(inside), cell[inside], distance[inside]
        parts = (values[inside] for values in (across, up, fine, clump, bulge, trunk))
        shade = self._shade(rays, cell, *parts)
        far = distance * np.sqrt(1 + rays.slope**2)
        return TreeHits(chosen[inside], haze(self.sky, rays, shade, far), far, cover[inside])

    def _outline(self, across, up, fine, clump, bulge, widen):
        """Return the height-relative depth inside the outline (n,), negative outside, and which of it is trunk."""
        form, flat = self.species.form, np.abs(across)
        trunk = np.minimum(0.02 * (1.25 - up) - flat, 0.6 - up)
        if form == "cone":
            layers = 0.72 + 0.28 * np.abs(np.sin((up + 0.12 * clump * 0.1) * 26 + bulge * 0.5))
            crown = np.minimum((1 - up) * 0.19 * layers * widen - flat, up - 0.07) + 0.006 * fine + 0.01 * clump
        elif form == "tall":
            crown = 0.5 - np.hypot(across / (0.26 * widen), (up - 0.55) / 0.92)
            crown = np.minimum(crown * 0.3, up - 0.1) + 0.008 * fine + 0.012 * clump
        elif form == "palm":
            trunk = np.minimum(0.014 * (1.3 - 0.4 * up) - np.abs(across - 0.05 * up * (widen - 1) * 5), 0.9 - up)
            radius, angle = np.hypot(across, up - 0.88), np.arctan2(up - 0.88 + 0.9 * across**2, across)
            fronds = 0.055 * (np.abs(np.sin(angle * 4.5 + widen * 7)) - 0.35) - 0.09 * radius
            crown = np.minimum(fronds, 0.3 * widen - radius) + 0.006 * fine
        else:
            lobes = 0.045 * clump + 0.055 * bulge + 0.014 * fine
            crown = 0.34 - np.hypot(across / (widen * 0.98), (up - 0.65) * 1.02) + lobes
            crown = np.minimum(crown, up - 0.24 + lobes)
            # Gaps between the leaves, more of them near the rim.
            crown = np.minimum(crown, 0.05 + 0.028 * fine + 0.25 * np.maximum(crown, 0))
        if form == "bare":
            twigs = 0.012 * (0.55 + 0.6 * (1 - up)) - 0.03 * np.minimum(np.abs(fine), np.abs(clump) * 1.6)
            limbs = 0.02 * (1.15 - up) - 0.05 * np.abs(bulge + 3 * across)
            crown = np.minimum(crown + 0.06, np.maximum(twigs, limbs))
            trunk = np.minimum(0.018 * (1.1 - up) - flat, 0.75 - up)
        return np.maximum(crown, trunk), crown < trunk

    def _shade(self, rays: Rays, cell, across, up, fine, clump, bulge, trunk) -> np.ndarray:
        light, form = self.sky.light, self.species.form
        half = 0.2 if form in ("cone", "tall") else 0.36
        # A round crown seen from the side: its normal points out across, up, and towards the camera.
        sideways = np.clip(across / half + 0.35 * bulge + 0.2 * clump, -1, 1)
        upwards = np.clip((up - 0.62) / 0.4 + 0.3 * clump + 0.25 * fine, -1, 1) if half > 0.3 else 0.25 + 0.35 * fine
        front = np.sqrt(np.clip(1 - sideways**2 - np.clip(upwards, -1, 1) ** 2, 0.05, 1))
        along = rays.circle @ light
        beside = rays.circle[:, 2] * light[0] - rays.circle[:, 0] * light[2]
        facing = sideways * beside + upwards * light[1] - front * along
        lit = np.clip(0.25 + 0.75 * facing, 0.0, 1.0)
        # Leaves let light through towards the camera.
        glow = 0.22 * np.clip(along, 0, 1) ** 2 * (form != "cone")
        inner = np.clip(0.5 + 0.3 * up + 0.14 * bulge + 0.18 * clump + 0.16 * fine, 0.12, 1.15)
        albedo = self.tints[cell]
        if self.species.snow:
            white = np.clip((0.3 * fine + 0.5 * clump + 1.2 * np.asarray(upwards) + self.species.snow * 2 - 1), 0, 1)
            albedo = albedo + (rgb(0.93, 0.94, 0.97) - albedo) * white[:, None]
        sunny = (lit * np.clip(0.75 + 0.3 * clump + 0.25 * fine, 0.1, 1.3) + glow) * (light[1] > 0)
        shade = albedo * (self.sky.sunlight * sunny[:, None] + self.sky.ambient * inner[:, None])
        bark_lit = np.clip(0.35 - 0.5 * along + 6 * across * beside, 0.05, 1) * (light[1] > 0)
        bark = self.species.bark * (self.sky.sunlight * bark_lit[:, None] + self.sky.ambient * 0.6)
        return np.where(trunk[:, None], bark * (1 + 0.2 * clump[:, None]), shade)


class Wood:
    """Rings of trees one behind the other, the nearest first. What near trees hide is not drawn."""

    def __init__(self, rings: Sequence[Trees]):
        self.rings = sorted(rings, key=lambda ring: ring.distance)

    def paint(self, film: Film) -> None:
        count = len(film.rays.directions)
        left, color = np.ones(count, np.float32), np.zeros((count, 3), np.float32)
        distance, label = np.full(count, np.inf, np.float32), np.zeros(count, np.int16)
        high = max(ring.heights.max() * 1.15 / ring.distances.min() for ring in self.rings)
        open_ = np.flatnonzero(np.abs(film.rays.slope) < high)
        rays = film.rays.take(open_)
        for ring in self.rings:
            for part in ring.parts(rays):
                at = open_[part.chosen]
                share = left[at] * part.cover
                color[at] += part.color * share[:, None]
                before, left[at] = left[at], left[at] - share
                first = (before > 0.5) & (left[at] <= 0.5)
                distance[at[first]], label[at[first]] = part.distance[first], ring.label
            still = np.flatnonzero(left[open_] > 0.03)
            open_, rays = open_[still], rays.take(still)
        met = np.flatnonzero(left < 1)
        film.radiance[met] = film.radiance[met] * left[met, None] + color[met]
        film.through[met] *= left[met]
        solid = np.flatnonzero(left <= 0.5)
        film.distance[solid], film.label[solid] = distance[solid], label[solid]
