"""Houses, city blocks, cars and lamps built of convex solids, and how their faces look."""

from collections.abc import Sequence

import numpy as np

from aognet.data.synthetic.land import EYE, haze
from aognet.data.synthetic.rays import Noise, Rays, blend, cell_values, dot, jitter, rgb, smooth, stripes
from aognet.data.synthetic.sky import Sky
from aognet.data.synthetic.solids import Solid, box, column, gable, trace
from aognet.data.synthetic.words import pick


class Buildings:
    """A layer of solids that stand on the ground."""

    def __init__(self, rng, sky: Sky, solids: Sequence[Solid]):
        self.sky, self.solids = sky, list(solids)
        self.grain, self.stain = Noise(rng, 0.08), Noise(rng, 3.0, "cloud")
        self.lit_part = rng.uniform(0.25, 0.5)

    def paint(self, rays: Rays, color: np.ndarray) -> None:
        hits = trace(rays, self.solids)
        chosen = np.flatnonzero(hits.index >= 0)
        if not chosen.size:
            return
        near, index, normals = rays.take(chosen), hits.index[chosen], hits.normals[chosen]
        distance = hits.distance[chosen]
        points = near.directions * distance[:, None]
        footprint = near.pixel * distance / np.clip(-dot(normals, near.directions), 0.15, 1)
        albedo = np.stack([solid.color for solid in self.solids])[index]
        grain = 1 + 0.05 * self.grain(points, footprint) + 0.06 * self.stain(points)
        albedo = albedo * grain[:, None]
        glow = np.zeros_like(albedo)
        materials = np.array([solid.material for solid in self.solids])[index]
        for name in np.unique(materials):
            here = np.flatnonzero(materials == name)
            if name in ("concrete", "brick", "plaster", "glass"):
                parts = self._facade(name, points[here], normals[here], footprint[here], index[here], albedo[here])
                albedo[here], glow[here] = parts
            elif name == "roof":
                albedo[here] *= (0.7 + 0.3 * stripes(points[here, 1], 0.22, 0.7, footprint[here]))[:, None]
            elif name == "lamp":
                glow[here] = rgb(1.0, 0.85, 0.55) * (3.0 if self.sky.is_dark else 0.3)
        facing = np.clip(normals @ self.sky.light, 0, 1)
        up = 0.75 + 0.25 * normals[:, 1]
        foot = 0.6 + 0.4 * smooth(points[:, 1] + EYE, 0.0, 2.5)
        shade = albedo * (self.sky.sunlight * facing[:, None] + self.sky.ambient * (up * foot)[:, None]) + glow
        color[chosen] = haze(self.sky, near, shade, distance)

    def _facade(self, name, points, normals, footprint, index, albedo):
        """Albedo and glow (n, 3) of walls with rows of windows."""
        across = points[:, 0] * normals[:, 2] - points[:, 2] * normals[:, 0]
        up = points[:, 1] + EYE
        shape = cell_values(index, np.full_like(index, 7))
        wide, high = 2.2 + 1.6 * shape, 3.0 + 0.6 * cell_values(index, np.full_like(index, 9))
        part = 0.86 if name == "glass" else 0.45
        if name == "brick":
            rows = stripes(up, 0.16, 0.14, footprint)
            bricks = cell_values(np.floor(up / 0.16), np.floor(across / 0.4)) - 0.5
            albedo = albedo * (1 + 0.35 * bricks / (1 + (12 * footprint) ** 2) - 0.25 * (rows - 0.14))[:, None]
        # The ground floor is of another, darker stone.
        albedo = albedo * (1 - 0.3 * np.clip((0.75 * high - up) / footprint + 0.5, 0, 1))[:, None]
        pane = stripes(across / wide, 1.0, part, footprint / wide) * stripes(
            up / high - 0.45, 1.0, 0.55, footprint / high
        )
        frame = stripes(across / wide, 1.0, part + 0.08, footprint / wide) * stripes(
            up / high - 0.45, 1.0, 0.61, footprint / high
        )
        pane, frame = pane * (normals[:, 1] < 0.5), frame * (normals[:, 1] < 0.5)
        dice = cell_values(np.rint(across / wide), np.rint(up / high - 0.45), index)
        albedo = blend(albedo, np.broadcast_to(rgb(0.82, 0.8, 0.77), albedo.shape), (frame - pane) * 0.6)
        mirror = self.sky.horizon * 0.35 + self.sky.zenith * 0.25
        panes = rgb(0.16, 0.19, 0.22) * (0.5 + dice)[:, None]
        albedo = blend(albedo, panes, pane)
        shine = mirror * (0.35 + 0.65 * dice)[:, None] * (0.8 if name == "glass" else 0.4)
        if self.sky.is_dark or self.sky.weather == "sunset":
            lamps = (dice < self.lit_part * (1.0 if self.sky.is_dark else 0.3))[:, None]
            shine = shine + lamps * rgb(1.0, 0.78, 0.45) * (0.4 + 1.5 * dice)[:, None]
        return albedo, shine * pane[:, None]


_WALLS = {
    "brick": ((0.6, 0.36, 0.28), (0.52, 0.3, 0.25), (0.66, 0.48, 0.38)),
    "plaster": ((0.88, 0.84, 0.74), (0.82, 0.72, 0.56), (0.9, 0.9, 0.87), (0.78, 0.6, 0.5), (0.65, 0.72, 0.76)),
    "concrete": ((0.62, 0.61, 0.59), (0.5, 0.5, 0.5), (0.7, 0.67, 0.62)),
    "glass": ((0.4, 0.46, 0.5), (0.35, 0.4, 0.46)),
}


def _wall(rng, *materials: str) -> tuple[np.ndarray, str]:
    name = pick(rng, *materials)
    colors = _WALLS[name]
    return jitter(rng, rgb(*colors[int(rng.integers(len(colors)))]), 0.15), name


def city_blocks(rng, half: float, sky: Sky) -> tuple[list[Solid], list[str]]:
    """Two rows of buildings along z, cars and lamps; and what to say of them."""
    tall = rng.random() < 0.5
    solids, used = [], set()
    edge = half + rng.uniform(2, 5)
    for side in (-1, 1):
        along = -150.0 + rng.uniform(0, 10)
        while along < 150:
            wide, deep = rng.uniform(10, 26), rng.uniform(12, 18)
            high = rng.uniform(22, 60) if tall else rng.uniform(8, 22)
            color, name = _wall(rng, *(("glass", "concrete", "brick") if tall else ("brick", "plaster", "plaster")))
            if abs(along) < 60:
                used.add(name)
            center = (side * (edge + deep / 2 + rng.uniform(0, 1.2)), high / 2 - EYE, along + wide / 2)
            solids.append(box(center, (deep, high, wide), color, name))
            along += wide + (rng.uniform(4, 10) if rng.random() < 0.2 else 0.0)
    words = [pick(rng, "tall buildings", "high-rise buildings") if tall else pick(rng, "low buildings", "buildings")]
    if used == {"brick"}:
        words = ["brick buildings"]
    words[0] += pick(rng, " on both sides", " along the road", "")
    if rng.random() < 0.6:
        solids += _cars(rng, half)
        words.append("parked cars")
    if rng.random() < 0.6 or sky.is_dark:
        solids += _lamps(half)
        words.append(pick(rng, "street lamps", "lamp posts"))
    return solids, words


def _cars(rng, half: float) -> list[Solid]:
    solids = []
    for number in range(7):
        side, along = 1 if rng.random() < 0.5 else -1, -32 + number * 9.5 + rng.uniform(0, 3)
        if abs(along) < 3:
            continue
        paint = jitter(
            rng, rgb(*[(0.7, 0.1, 0.1), (0.85, 0.85, 0.85), (0.15, 0.15, 0.17), (0.2, 0.3, 0.5)][int(rng.integers(4))])
        )
        x = side * (half - 1.1)
        solids.append(box((x, 0.72 - EYE, along), (1.75, 0.65, 4.2), paint))
        solids.append(box((x, 1.2 - EYE, along - 0.2), (1.5, 0.45, 2.2), rgb(0.14, 0.16, 0.19)))
        for z in (-1.3, 1.3):
            solids.append(box((x, 0.3 - EYE, along + z), (1.8, 0.6, 0.6), rgb(0.1, 0.1, 0.1)))
    return solids


def _lamps(half: float) -> list[Solid]:
    solids = []
    for side in (-1, 1):
        for along in (-42, -21, 7, 28, 49):
            x = side * (half + 0.6)
            solids.append(column((x, 2.8 - EYE, along), 0.07, 5.6, rgb(0.25, 0.26, 0.27), sides=6))
            solids.append(box((x - side * 0.5, 5.6 - EYE, along), (1.2, 0.12, 0.3), rgb(0.9, 0.88, 0.8), "lamp"))
    return solids


def village_houses(rng, sky: Sky) -> tuple[list[Solid], list[str]]:
    """Gabled houses on both sides of a road along z; and what to say of them."""
    solids = []
    red = rng.random() < 0.6
    roof = rgb(0.6, 0.28, 0.2) if red else rgb(0.33, 0.33, 0.36)
    for side in (-1, 1):
        along = rng.uniform(-50, -42)
        while along < 50:
            wide, deep, high = rng.uniform(7, 11), rng.uniform(8, 12), rng.uniform(3, 6.2)
            color, name = _wall(rng, "plaster", "plaster", "brick")
            x, z, yaw = side * rng.uniform(10, 14), along + deep / 2, float(rng.choice([0.0, np.pi / 2]))
            shape = (wide, deep)
            solids.append(box((x, high / 2 - EYE, z), (shape[0], high, shape[1]), color, name, yaw))
            tile = jitter(rng, roof)
            solids.append(gable((x, high - EYE, z), (shape[0] + 0.8, wide * 0.42, shape[1] + 0.8), tile, yaw=yaw))
            solids.append(box((x, high + wide * 0.36 - EYE, z + 1.5), (0.6, 1.8, 0.6), rgb(0.5, 0.33, 0.28)))
            along += max(wide, deep) + rng.uniform(3, 9)
    return solids, [pick(rng, "red roofs", "red tiled roofs") if red else pick(rng, "grey roofs", "dark roofs")]
