"""The inside of a room: a box around the camera with windows, solids standing in it, and the light of both."""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from aognet.data.synthetic.finishes import Finish, Grains, Spots
from aognet.data.synthetic.rays import Rays, blend, dot, rgb, smooth, stripes
from aognet.data.synthetic.sky import Sky
from aognet.data.synthetic.solids import Solid, trace

_AXES = ((0, 1), (0, -1), (2, 1), (2, -1))  # walls: axis and the side of the camera they are on


@dataclass(frozen=True)
class Window:
    """A rectangle on a wall (0: +x, 1: -x, 2: +z, 3: -z): along the wall's other axis and up, in metres."""

    wall: int
    left: float
    right: float
    low: float
    high: float
    panes: int

    def depth(self, across: np.ndarray, up: np.ndarray) -> np.ndarray:
        """Metres to the nearest edge, negative outside."""
        return np.minimum(
            np.minimum(across - self.left, self.right - across), np.minimum(up - self.low, self.high - up)
        )


@dataclass
class Room:
    """Corners of the box relative to the camera, finishes, openings and solids."""

    low: np.ndarray
    high: np.ndarray
    floor: Finish
    walls: list[Finish]
    ceiling: Finish
    sky: Sky
    windows: list[Window] = field(default_factory=list)
    solids: list[Solid] = field(default_factory=list)
    lamps: list[tuple[np.ndarray, np.ndarray]] = field(default_factory=list)  # (place, colour)

    def wall_axes(self, wall: int) -> tuple[int, float, int]:
        """Axis a wall is normal to, its coordinate there, and the axis along it."""
        axis, side = _AXES[wall]
        return axis, float((self.high if side > 0 else self.low)[axis]), 2 - axis


class Indoors:
    """A room made ready to be seen."""

    def __init__(self, rng: np.random.Generator, room: Room, outside: Callable[[Rays], np.ndarray], caption: str):
        self.room, self.outside, self.caption = room, outside, caption
        self.grains = Grains(rng)
        self.sources = self._sources()

    def radiance(self, rays: Rays) -> np.ndarray:
        """Linear colour (n, 3) along every ray."""
        distance, normals, side = self._shell(rays)
        hits = trace(rays, self.room.solids)
        met = np.flatnonzero((hits.index >= 0) & (hits.distance < distance))
        distance[met], normals[met], side[met] = hits.distance[met], hits.normals[met], -1
        points = rays.directions * distance[:, None]
        footprint = rays.pixel * distance / np.clip(-dot(normals, rays.directions), 0.1, 1)
        albedo, glow = np.zeros_like(points), np.zeros_like(points)
        for number, finish in enumerate([*self.room.walls, self.room.floor, self.room.ceiling]):
            here = np.flatnonzero(side == number)
            if here.size:
                albedo[here] = self._finish(finish, number, points[here], footprint[here])
        if met.size:
            albedo[met], glow[met] = self._objects(hits.index[met], points[met], normals[met], footprint[met])
        color = albedo * self._light(points, normals, side) + glow
        self._paint_windows(rays, points, footprint, side, color)
        return color

    def _shell(self, rays: Rays) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Distance, inward normal and side (walls 0-3, floor 4, ceiling 5) of where rays leave the box."""
        d = np.where(rays.directions == 0, np.float32(1e-9), rays.directions)
        times = np.where(d > 0, self.room.high / d, self.room.low / d)
        axis, rows = times.argmin(1), np.arange(len(d))
        ahead = d[rows, axis] > 0
        normals = np.zeros_like(d)
        normals[rows, axis] = np.where(ahead, -1, 1)
        side = np.where(axis == 1, np.where(ahead, 5, 4), np.where(axis == 0, 0, 2) + ~ahead)
        return times[rows, axis], normals, side

    def _sources(self) -> list[tuple[np.ndarray, np.ndarray, float]]:
        """Place, colour and reach in metres of every light: windows shine from a little inside."""
        room, sky = self.room, self.room.sky
        sources = []
        day = (sky.ambient * 1.2 + sky.sunlight * 0.35).astype(np.float32)
        for window in room.windows:
            axis, at, along = room.wall_axes(window.wall)
            place = np.zeros(3, np.float32)
            place[axis], place[along] = at - np.sign(at) * 0.25, (window.left + window.right) / 2
            place[1] = (window.low + window.high) / 2
            area = (window.right - window.left) * (window.high - window.low)
            sources.append((place, day * np.float32(1.1 * min(area, 4) ** 0.5), 1.6))
        sources += [(place.astype(np.float32), color, 1.8) for place, color in room.lamps]
        return sources

    def _light(self, points: np.ndarray, normals: np.ndarray, side: np.ndarray) -> np.ndarray:
        """Light (n, 3) that falls on points: sources, bounced light darkened in corners and by solids, sun patches."""
        room = self.room
        total = np.zeros_like(points)
        mean = np.zeros(3, np.float32)
        for place, color, reach in self.sources:
            offset = place - points
            square = dot(offset, offset)
            facing = np.clip(dot(offset, normals) / np.sqrt(square + 0.05) * 0.8 + 0.2, 0, 1)
            total += (facing / (1 + square / reach**2))[:, None] * color
            mean += color
        bounced = (0.16 * mean + 0.07).astype(np.float32)
        total = (total + bounced) * self._occlusion(points, side)[:, None]
        sun = self._sun(points, normals)
        return total + room.sky.sunlight * (sun * 1.6)[:, None]

    def _occlusion(self, points: np.ndarray, side: np.ndarray) -> np.ndarray:
        room = self.room
        open_ = np.ones(len(points), np.float32)
        for axis, own in ((0, (0, 1)), (1, (4, 5)), (2, (2, 3))):
            for edge in (points[:, axis] - room.low[axis], room.high[axis] - points[:, axis]):
                open_ *= 1 - np.where((side == own[0]) | (side == own[1]), 0, 0.3 * np.exp(-np.maximum(edge, 0) / 0.3))
        squares = dot(points, points)
        for solid in room.solids:
            reach = (solid.radius + 0.7) ** 2 - solid.center @ solid.center
            near = np.flatnonzero(squares - points @ (2 * solid.center) < reach)
            if near.size:
                gap = solid.gap(points[near])
                dark = 0.5 * np.exp(-np.maximum(gap, 0) / 0.16) * (gap > 2e-3)
                open_[near] *= 1 - dark * (0.4 if solid.radius < 0.3 else 1.0)
        return open_

    def _sun(self, points: np.ndarray, normals: np.ndarray) -> np.ndarray:
        """How much sun reaches points (n,) through the windows."""
        light = self.room.sky.light
        lit = np.zeros(len(points), np.float32)
        if self.room.sky.is_dark:
            return lit
        for window in self.room.windows:
            axis, at, along = self.room.wall_axes(window.wall)
            if light[axis] * at <= 0.02:
                continue
            reach = (at - points[:, axis]) / light[axis]
            across, up = points[:, along] + reach * light[along], points[:, 1] + reach * light[1]
            soft = 0.01 + 0.02 * np.abs(reach)
            inside = window.depth(across, up)
            bars = stripes((across - window.left) / (window.right - window.left) * window.panes, 1.0, 0.07, soft)
            lit = np.maximum(lit, np.clip(inside / soft + 0.5, 0, 1) * (1 - bars) * (np.abs(reach) > 0.05))
        return lit * np.clip(normals @ light, 0, 1)

    def _finish(self, finish: Finish, side: int, points: np.ndarray, footprint: np.ndarray) -> np.ndarray:
        """Albedo (n, 3) of a wall, the floor (4) or the ceiling (5)."""
        a, b = (points[:, 0], points[:, 2]) if side >= 4 else (points[:, 2 if side < 2 else 0], points[:, 1])
        if side < 4:
            b = b - self.room.low[1]
        color = self.grains.albedo(finish, Spots(points, a, b, footprint))
        dirt = 0.025 * self.grains.stain(points) + 0.012 * self.grains.grain(points, footprint)
        color = color * (1 + dirt)[:, None]
        if side < 4 and finish.kind not in ("tiles", "brick"):
            skirt = np.clip((0.09 - b) / footprint + 0.5, 0, 1)
            color = blend(color, self.room.ceiling.color * 0.92, skirt)
        return color

    def _objects(self, index, points, normals, footprint) -> tuple[np.ndarray, np.ndarray]:
        """Albedo and glow (n, 3) of points on solids."""
        solids = self.room.solids
        albedo = np.stack([solid.color for solid in solids])[index]
        glow = np.zeros_like(albedo)
        materials = np.array([solid.material for solid in solids])[index]
        a = np.where(np.abs(normals[:, 0]) > 0.7, points[:, 2], points[:, 0])
        b = np.where(np.abs(normals[:, 1]) > 0.7, points[:, 2], points[:, 1])
        spots = Spots(points, a, b, footprint)
        for name in np.unique(materials):
            here = np.flatnonzero(materials == name)
            if name == "lamp":
                glow[here] = albedo[here] * 2.2
            elif name == "picture":
                for number in np.unique(index[here]):
                    this = here[index[here] == number]
                    albedo[this] = self._picture(solids[number], spots.take(this))
            else:
                finish = Finish(str(name), np.ones(3, np.float32), np.full(3, 0.8, np.float32), 0.35)
                albedo[here] *= self.grains.albedo(finish, spots.take(here))
        return albedo, glow

    def _picture(self, solid: Solid, spots: Spots) -> np.ndarray:
        """A framed painting: something like land under something like a sky, in tones of the solid's colour."""
        line = 0.12 * self.grains.shapes(spots.points) + spots.b - solid.center[1]
        light, dark = 0.35 + 0.65 * solid.color[::-1], solid.color * 0.8
        color = blend(np.broadcast_to(dark, spots.points.shape), light, smooth(line, -0.03, 0.03))
        color = color * (1 + 0.1 * self.grains.cloud(spots.points) + 0.5 * line)[:, None]
        # On the front the second nearest face is the nearest edge.
        depths = solid.offsets[:, None] - solid.normals @ spots.points.T
        edge = np.partition(depths, 1, axis=0)[1]
        return blend(color, rgb(0.2, 0.15, 0.1), np.clip((0.035 - edge) / spots.footprint + 0.5, 0, 1))

    def _paint_windows(self, rays: Rays, points, footprint, side, color) -> None:
        frame = rgb(0.9, 0.9, 0.88) * (0.25 if self.room.sky.is_dark else 0.75)
        for window in self.room.windows:
            _, _, along = self.room.wall_axes(window.wall)
            across, up = points[:, along], points[:, 1]
            inside = window.depth(across, up)
            here = np.flatnonzero((side == window.wall) & (inside > -0.08))
            if not here.size:
                continue
            width, depth = footprint[here], inside[here]
            part = (across[here] - window.left) / (window.right - window.left) * window.panes
            size = (window.right - window.left) / window.panes
            bars = stripes(part, 1.0, 0.06 / size, width / size)
            glass = np.clip((depth - 0.03) / width + 0.5, 0, 1) * (1 - bars)
            view = self.outside(rays.take(here)) * (1.0 if self.room.sky.is_dark else 1.25)
            painted = blend(np.broadcast_to(frame, view.shape), view, glass)
            color[here] = blend(color[here], painted, np.clip((depth + 0.05) / width + 0.5, 0, 1))
