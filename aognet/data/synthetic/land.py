"""What lies under the sky: ridges on the skyline, ground, water, rows of trees; each painted over those behind."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from aognet.data.synthetic.rays import Noise, Rays, blend, dot, rgb, smooth, stripes
from aognet.data.synthetic.sky import Sky

EYE = 1.6  # metres from the ground to the camera
Color = np.ndarray
Shadow = Callable[[np.ndarray], np.ndarray]


def haze(sky: Sky, rays: Rays, color: Color, distance: np.ndarray | float) -> Color:
    """The colour (n, 3) as seen through the air over a distance in metres."""
    amount = 1 - np.exp(-np.broadcast_to(distance, len(color)).astype(np.float32) / sky.visibility)
    return blend(color, sky.air(rays), amount)


class Ridge:
    """Hills or mountains far away: a skyline drawn by noise around the horizon."""

    def __init__(
        self, rng, sky: Sky, color, distance: float, low: float, high: float, jagged: float, snow: float | None = None
    ):
        """``low`` and ``high`` are tangents of the skyline's elevation; ``snow`` the one above which snow lies."""
        self.sky, self.color, self.distance = sky, color, distance
        self.low, self.high, self.jagged, self.snow = low, high, jagged, snow
        self.octaves = [Noise(rng, scale) for scale in (1.1, 0.5, 0.24, 0.11, 0.05, 0.024)]
        self.relief = Noise(rng, 0.3 if jagged > 0.6 else 0.8, "cloud")
        self.grain = Noise(rng, 0.02)

    def paint(self, rays: Rays, color: Color) -> None:
        chosen = np.flatnonzero((rays.slope > -0.004) & (rays.slope < self.low + (self.high - self.low) * 1.9))
        if not chosen.size:
            return
        near = rays.take(chosen)
        skyline = self.low + (self.high - self.low) * self._rise(near.circle, near.pixel)
        cover = np.clip((skyline - near.slope) / near.pixel + 0.5, 0, 1)
        inside = np.flatnonzero(cover > 0)
        near, cover, skyline, chosen = near.take(inside), cover[inside], skyline[inside], chosen[inside]
        # Relief lit from the side of the sun: the slope of noise along the light.
        places = near.circle + np.stack([0 * near.slope, near.slope * 1.6, 0 * near.slope], 1)
        toward = np.array([self.sky.light[0], 0.8, self.sky.light[2]], np.float32) * np.float32(0.025)
        bump = self.relief(places + toward) - self.relief(places)
        lit = np.clip(0.55 - (0.5 + 0.9 * self.jagged) * bump, 0.12, 1.2)
        albedo = self.color * (1 + 0.13 * self.grain(places, near.pixel))[:, None]
        if self.snow is not None:
            edge = near.slope + 0.02 * self.relief(places * np.float32(2.3)) - self.snow
            albedo = blend(albedo, rgb(0.93, 0.94, 0.97), smooth(edge, -0.005, 0.02))
        shade = albedo * (self.sky.sunlight * lit[:, None] + self.sky.ambient)
        color[chosen] = blend(color[chosen], haze(self.sky, near, shade, self.distance), cover)

    def _rise(self, circle: np.ndarray, pixel: float) -> np.ndarray:
        """How high the skyline is, mostly in [0, 1]: round hills, or sharp crests where it is jagged."""
        total, strength = np.full(len(circle), 0.5, np.float32), 0.26
        for octave in self.octaves:
            wave = octave(circle, pixel)
            crest = 1.1 - 1.5 * np.abs(wave)
            total += strength * (wave + (crest - wave) * min(self.jagged, 0.8))
            strength *= 0.28 + 0.24 * self.jagged
        return np.clip(total, 0, 1.6)


@dataclass(frozen=True)
class Soil:
    """How a ground looks: two colours in patches, and how strong its grain is at 4 cm, 20 cm, 1 m and 8 m."""

    first: np.ndarray
    second: np.ndarray
    grain: tuple[float, float, float, float]
    bump: float = 0.0  # strength of waves of some metres lit by the sun
    ripple: float = 0.0
    flowers: np.ndarray | None = None


class Ground:
    """A plane one eye height below the camera, with an optional road along +z and an optional water's edge."""

    def __init__(self, rng, sky: Sky, soil: Soil, height: float = EYE):
        self.sky, self.soil, self.height = sky, soil, height
        self.grains = [Noise(rng, scale) for scale in (0.045, 0.2, 1.1, 8.0)]
        self.patches = Noise(rng, rng.uniform(8, 25), "cloud")
        self.waves = Noise(rng, rng.uniform(5, 12))
        self.petals = [Noise(rng, 0.07), Noise(rng, 0.16)]
        self.shadow: Shadow | None = None
        self.overlays: list[Callable[[Rays, np.ndarray, np.ndarray, Color], Color]] = []

    def paint(self, rays: Rays, color: Color) -> None:
        chosen = np.flatnonzero(rays.directions[:, 1] < -2e-4)
        if not chosen.size:
            return
        near = rays.take(chosen)
        distance = self.height / -near.directions[:, 1]
        points = near.directions * distance[:, None]
        footprint = near.pixel * distance / np.sqrt(-near.directions[:, 1])
        albedo = self.albedo(points, footprint)
        for overlay in self.overlays:
            albedo = overlay(near, points, footprint, albedo)
        sun = np.full(len(points), max(float(self.sky.light[1]), 0.12), np.float32)
        if self.soil.bump:
            step = np.array([self.sky.light[0], 0, self.sky.light[2]], np.float32)
            rise = self.waves(points + step, footprint) - self.waves(points, footprint)
            fine = self.grains[2](points + step * np.float32(0.25), footprint) - self.grains[2](points, footprint)
            sun = np.clip(sun * (1 + self.soil.bump * (-1.3 * rise - 0.25 * fine)), 0.02, 1.2)
        if self.shadow is not None and not self.sky.weather == "foggy":
            close = np.flatnonzero(distance < 150)
            sun[close] *= np.where(self.shadow(points[close]), np.float32(0.12), np.float32(1))
        shade = albedo * (self.sky.sunlight * sun[:, None] + self.sky.ambient)
        color[chosen] = haze(self.sky, near, shade, distance)

    def albedo(self, points: np.ndarray, footprint: np.ndarray) -> Color:
        soil = self.soil
        color = blend(np.broadcast_to(soil.first, points.shape), soil.second, smooth(self.patches(points), -1.2, 1.2))
        value = np.ones(len(points), np.float32)
        for noise, strength in zip(self.grains, soil.grain, strict=True):
            if strength:
                # Beyond some distance a grain is far below a pixel: its lookup would only add zeros.
                seen = np.flatnonzero(footprint < 3 * noise.scale)
                value[seen] += strength * noise(points[seen], footprint[seen])
        if soil.ripple:
            # Sand ripples of 35 cm, gone where a pixel no longer shows them.
            bent = points[:, 0] * 0.5 + points[:, 2] + 0.5 * self.grains[2](points) + 1.5 * self.waves(points)
            value += soil.ripple * np.sin(bent * np.float32(2 * np.pi / 0.35)) / (1 + (9 * footprint) ** 2)
        color = color * np.clip(value, 0.15, 2.2)[:, None]
        if soil.flowers is not None:
            seen = np.flatnonzero(footprint < 0.25)
            dots = self.petals[0](points[seen], footprint[seen]) + 0.5 * self.petals[1](points[seen])
            color[seen] = blend(color[seen], soil.flowers, smooth(dots, 1.7, 2.2))
        return color


class Water:
    """A water plane where ``shore(points) > 0``: reflects ``background`` in small waves over a deep colour."""

    def __init__(self, rng, sky: Sky, deep, waves: float, shore=None, background=None, foam: bool = False):
        self.sky, self.deep, self.strength = sky, deep, waves
        self.shore, self.foam = shore, foam
        self.background = background or sky.radiance
        self.waves = [(Noise(rng, scale), Noise(rng, scale)) for scale in (0.3, 1.6, 7.0)]
        self.edge = Noise(rng, 1.2, "cloud")

    def paint(self, rays: Rays, color: Color) -> None:
        chosen = np.flatnonzero(rays.directions[:, 1] < -2e-4)
        near = rays.take(chosen)
        distance = EYE / -near.directions[:, 1]
        points = near.directions * distance[:, None]
        depth = self.shore(points) if self.shore else np.full(len(points), 50, np.float32)
        depth = depth + 0.35 * self.edge(points, near.pixel * distance)
        width = near.pixel * distance / np.sqrt(-near.directions[:, 1])
        cover = np.clip(depth / width + 0.5, 0, 1)
        wet = np.flatnonzero(cover > 0)
        if not wet.size:
            return
        near, cover, chosen = near.take(wet), cover[wet], chosen[wet]
        distance, points, depth, width = distance[wet], points[wet], depth[wet], width[wet]
        shade = self._surface(near, points, width, depth)
        if self.foam:
            swash = np.exp(-((depth - 0.4 - 0.3 * self.edge(points * np.float32(0.6))) ** 2) * 2)
            shade = blend(shade, (self.sky.sunlight * 0.6 + self.sky.ambient) * 0.9, swash * 0.85)
        color[chosen] = blend(color[chosen], haze(self.sky, near, shade, distance * 0.35), cover)

    def _surface(self, rays: Rays, points: np.ndarray, width: np.ndarray, depth: np.ndarray) -> Color:
        tilts = np.zeros((len(points), 3), np.float32)
        for (east, north), part in zip(self.waves, (0.5, 0.8, 0.6), strict=True):
            tilts[:, 0] += part * east(points, width * 1.5)
            tilts[:, 2] += part * north(points, width * 1.5)
        normals = tilts * np.float32(self.strength)
        normals[:, 1] = 1
        normals /= np.sqrt(dot(normals, normals))[:, None]
        facing = dot(normals, rays.directions)
        bounced = rays.directions - 2 * facing[:, None] * normals
        bounced[:, 1] = np.abs(bounced[:, 1]) + 1e-3
        bounced /= np.sqrt(dot(bounced, bounced))[:, None]
        mirror = np.minimum(self.background(Rays(bounced, rays.pixel * 2)), 2.5)
        part = 0.03 + 0.92 * (1 - np.clip(-facing, 0, 1)) ** 4
        body = self.deep * (self.sky.sunlight * 0.7 + self.sky.ambient)
        shallow = np.exp(-np.maximum(depth, 0) / 6)[:, None]
        body = body * (1 + 1.6 * shallow) * (1 + 0.9 * tilts[:, :1] * self.strength)
        return blend(body, mirror, part)


class Trees:
    """A row of trees around the camera at one distance, one per cell of a ring; some cells stay empty."""

    def __init__(self, rng, sky: Sky, shape: str, color, distance: float, height: float, count: int, part: float = 1.0):
        self.sky, self.shape, self.color, self.distance = sky, shape, color, distance
        self.count = count
        self.places = rng.uniform(-0.35, 0.35, count).astype(np.float32)
        self.heights = (height * rng.uniform(0.6, 1.25, count) * (rng.random(count) < part)).astype(np.float32)
        self.widths = rng.uniform(0.75, 1.2, count).astype(np.float32)
        self.tints = rng.uniform(0.75, 1.25, count).astype(np.float32)
        self.leaves = Noise(rng, 0.32)
        self.clumps = Noise(rng, 1.1)
        self.spread = {"cone": 0.2, "round": 0.42, "bare": 0.4}[shape]

    def paint(self, rays: Rays, color: Color) -> None:
        top = (self.heights.max() * 1.1 - EYE) / self.distance
        base = -EYE / self.distance
        chosen = np.flatnonzero((rays.slope > base) & (rays.slope < top))
        if not chosen.size:
            return
        near = rays.take(chosen)
        points = (near.circle + np.stack([0 * near.slope, near.slope, 0 * near.slope], 1)) * np.float32(self.distance)
        width = near.pixel * self.distance * (1 + near.slope**2)
        leaves, clumps = self.leaves(points, width), self.clumps(points, width)
        turns = near.azimuth * self.count
        for side in (-1, 1, 0):
            cell = (np.floor(turns).astype(np.int64) + side) % self.count
            height = self.heights[cell]
            center = np.floor(turns) + side + 0.5 + self.places[cell]
            across = (turns - center) * np.float32(2 * np.pi * self.distance / self.count)
            up = (points[:, 1] + EYE) / np.maximum(height, 1e-3)
            edge, trunk = self._outline(across / np.maximum(height, 1e-3), up, leaves, clumps, self.widths[cell])
            cover = np.clip(edge * height / (width * 2) + 0.5, 0, 1) * (height > 0)
            inside = np.flatnonzero(cover > 0)
            if not inside.size:
                continue
            shade = self._shade(
                near.take(inside), across[inside] / height[inside], up[inside], leaves[inside], cell[inside]
            )
            bark = rgb(0.33, 0.27, 0.22) * (self.sky.sunlight * 0.4 + self.sky.ambient)
            shade = np.where(trunk[inside, None], bark * (1 + 0.2 * clumps[inside, None]), shade)
            where = chosen[inside]
            color[where] = blend(color[where], haze(self.sky, near.take(inside), shade, self.distance), cover[inside])

    def _outline(self, across, up, leaves, clumps, widen):
        """Height-relative depth inside the outline (n,), negative outside, and which of it is trunk."""
        rough = 0.016 * leaves + 0.035 * clumps
        trunk_edge = np.minimum(0.022 * (1.2 - up) - np.abs(across), 0.55 - up)
        if self.shape == "cone":
            layers = 0.8 + 0.2 * np.abs(np.sin(up * 22))
            crown = np.minimum((1 - up) * self.spread * layers * widen - np.abs(across), up - 0.08) + rough * 0.6
        else:
            crown = self.spread * 0.8 - np.hypot(across / widen, (up - 0.64) * 1.15) + rough * 1.6
            crown = np.minimum(crown, up - 0.2 + rough)
        if self.shape == "bare":
            # The lines where noise is zero wind like twigs.
            crown = np.minimum(crown, 0.05 * (0.16 - np.abs(leaves)))
        return np.maximum(crown, trunk_edge), crown < trunk_edge

    def _shade(self, rays: Rays, across, up, leaves, cell) -> Color:
        side = rays.circle[:, 2] * self.sky.light[0] - rays.circle[:, 0] * self.sky.light[2]
        behind = -(rays.circle @ self.sky.light)
        lit = np.clip(0.42 + 0.25 * behind + side * across * 1.6 + 0.35 * (up - 0.5), 0.08, 1.1)
        value = self.tints[cell] * np.clip(1 + 0.38 * leaves, 0.2, 2)
        inner = 0.55 + 0.45 * np.clip(up, 0, 1)
        return self.color * value[:, None] * (self.sky.sunlight * lit[:, None] + self.sky.ambient * inner[:, None])


def road_overlay(rng, color, half_width: float, marked: bool, winding: float = 0.0, edge: float = 0.08):
    """An overlay that paints a road or a path along z, winding by some metres."""
    grain = [Noise(rng, 0.05), Noise(rng, 0.6), Noise(rng, 5.0, "cloud")]
    shift, phase = rng.uniform(-0.6, 0.6) * half_width, rng.uniform(0, 6.28)

    def paint(rays: Rays, points: np.ndarray, footprint: np.ndarray, albedo: Color) -> Color:
        bend = winding * (np.sin(points[:, 2] * 0.03 + phase) - np.sin(phase)) + shift
        across = points[:, 0] - bend
        ragged = edge * (grain[1](points, footprint) + 0.5 * grain[0](points, footprint))
        cover = np.clip((half_width - np.abs(across) + ragged) / (footprint + 2 * edge) + 0.5, 0, 1)
        on = np.flatnonzero(cover > 0)
        here, width = points[on], footprint[on]
        value = 1 + 0.12 * grain[0](here, width) + 0.06 * grain[1](here, width) + 0.08 * grain[2](here)
        surface = color * value[:, None]
        if marked:
            dashes = stripes(here[:, 2], 7.0, 0.45, width)
            line = np.clip((0.07 - np.abs(across[on])) / (width + 0.02) + 0.5, 0, 1) * dashes
            rims = np.clip((0.06 - np.abs(np.abs(across[on]) - half_width + 0.25)) / (width + 0.02) + 0.5, 0, 1)
            surface = blend(surface, rgb(0.88, 0.88, 0.84), np.clip(line + rims, 0, 1) * 0.9)
        albedo[on] = blend(albedo[on], surface, cover[on])
        return albedo

    return paint
