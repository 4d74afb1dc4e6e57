"""Windows, glass doors, skylights and doorways: rectangles in the shell with a recess behind them."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from aognet.scenes.indoors.lightmap import Tile
from aognet.scenes.indoors.surfaces import Frame, Frames, Met, frames_of
from aognet.scenes.rays import stripes

_GLASS = 0.85  # part of the light that two panes let pass


@dataclass(frozen=True)
class Opening:
    """A rectangle on a face of the shell, in metres along and up its frame, and the recess behind it."""

    face: int
    left: float
    right: float
    low: float
    high: float
    kind: Literal["window", "doorway"]
    noun: str
    across: int = 1  # panes
    up: int = 1
    deep: float = 0.2
    bar: float = 0.05  # width of the bars between panes
    arch: bool = False  # round at the top
    aside: float = 0.0  # how far the space behind a doorway reaches beyond it, left, right and up

    def inside(self, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        """Return the distance (n,) in metres to the nearest edge, negative outside."""
        straight = np.minimum(np.minimum(a - self.left, self.right - a), np.minimum(b - self.low, self.high - b))
        if not self.arch:
            return straight
        radius = (self.right - self.left) / 2
        spring = self.high - radius
        bent = radius - np.hypot(a - (self.left + self.right) / 2, b - spring)
        return np.where(b > spring, bent, straight)

    def glass(self, a: np.ndarray, b: np.ndarray, footprint: np.ndarray) -> np.ndarray:
        """Return the part (n,) of each pixel that is glass and not frame."""
        wide, high = (self.right - self.left) / self.across, (self.high - self.low) / self.up
        bars = stripes(a - self.left, wide, self.bar / wide, footprint)
        bars = np.maximum(bars, stripes(b - self.low, high, self.bar / high, footprint))
        edge = np.clip((self.inside(a, b) - self.bar) / np.maximum(footprint, 1e-5) + 0.5, 0, 1)
        return edge * (1 - bars)

    def frames(self, wall: Frame) -> Frames:
        """Return the frames of the recess: far end, left, right, bottom, top."""
        left, right, low, high = self._beyond()
        ends = [wall.point(a, b, -out) for out in (0.0, self.deep) for a in (left, right) for b in (low, high)]
        normals = np.array([wall.u, -wall.u, wall.v, -wall.v])
        on = np.array([[0, 1, 4, 5], [2, 3, 6, 7], [0, 2, 4, 6], [1, 3, 5, 7]])
        sides = frames_of(normals, np.array(ends)[on], np.ones((4, 4), bool))
        far = (wall.origin - wall.normal * self.deep, wall.u, wall.v, wall.normal, np.array(wall.size))
        return Frames.join([Frames(*(part[None] for part in far)), sides])

    def _beyond(self) -> tuple[float, float, float, float]:
        low = self.low if self.kind == "doorway" else self.low - self.aside
        return self.left - self.aside, self.right + self.aside, low, self.high + self.aside

    def enter(self, wall: Frame, first: int, directions: np.ndarray, near: np.ndarray, met: Met) -> None:
        """Move hits ``near`` on the wall that lie in the opening on to the recess, to the faces from ``first`` on."""
        points = directions[near] * met.distance[near, None]
        a = points @ wall.u.astype(np.float32) - np.float32(wall.origin @ wall.u)
        b = points @ wall.v.astype(np.float32) - np.float32(wall.origin @ wall.v)
        through = np.flatnonzero(self.inside(a, b) > 0)
        if not through.size:
            return
        near, a, b = near[through], a[through], b[through]
        ways = [directions[near] @ axis.astype(np.float32) for axis in (wall.u, wall.v, -wall.normal)]
        left, right, low, high = self._beyond()
        with np.errstate(divide="ignore"):
            along = np.where(ways[0] > 0, (right - a) / ways[0], (left - a) / ways[0])
            upright = np.where(ways[1] > 0, (high - b) / ways[1], (low - b) / ways[1])
            ahead = self.deep / ways[2]
        times = np.stack([ahead, np.where(ways[0] == 0, np.inf, along), np.where(ways[1] == 0, np.inf, upright)])
        side = times.argmin(0)
        met.distance[near] += times.min(0)
        met.face[near] = first + np.choose(
            side, [np.zeros_like(side), np.where(ways[0] > 0, 2, 1), np.where(ways[1] > 0, 4, 3)]
        )

    def passes(self, wall: Frame, points: np.ndarray, light: np.ndarray, soft: float) -> np.ndarray:
        """Return the part (n,) of the light from direction ``light`` that comes through to points (n, 3).

        ``soft`` is the width of a shadow's edge per metre from what throws it.
        """
        left = np.zeros(len(points), np.float32)
        rate = -float(light @ wall.normal)
        if self.kind != "window" or rate < 0.02:
            return left
        # Where the way to the light crosses the wall: linear in the point.
        turn = [float(light @ side) / rate for side in (wall.u, wall.v)]
        sides = np.stack([wall.u + wall.normal * turn[0], wall.v + wall.normal * turn[1], wall.normal / rate])
        x, y, reach = sides.astype(np.float32) @ points.T - (sides @ wall.origin).astype(np.float32)[:, None]
        moved = [part * self.deep for part in turn]
        slack = 0.1 + abs(moved[0])
        near = np.flatnonzero((x > self.left - slack) & (x < self.right + slack) & (reach > -self.deep - 0.01))
        x, y, reach = x[near], y[near], reach[near]
        blur = np.maximum(soft * reach, 0.004)
        # Points in the recess are already past the inner rectangle.
        inner = np.where(reach > -1e-3, np.clip(self.inside(x, y) / blur + 0.5, 0, 1), 1)
        x, y = x + np.float32(moved[0]), y + np.float32(moved[1])
        blur = np.maximum(soft * (reach + self.deep / rate), 0.004)
        outer = np.clip(self.inside(x, y) / blur + 0.5, 0, 1)
        left[near] = inner * outer * self.glass(x, y, blur) * _GLASS
        return left

    def tiles(self, wall: Frame, down: np.ndarray, up: np.ndarray, side: float) -> list[Tile]:
        """Return the opening as pieces about ``side`` metres wide and high, which shine into the room."""
        wide, high = self.right - self.left, self.high - self.low
        across, tall = max(1, round(wide / side)), max(1, round(high / side))
        glass = _GLASS * (1 - self.bar * self.across / wide) * (1 - self.bar * self.up / high)
        return [
            Tile(
                wall.point(self.left + (i + 0.5) * wide / across, self.low + (j + 0.5) * high / tall, 0.02),
                wall.normal,
                glass * wide * high / (across * tall),
                down,
                up,
            )
            for i in range(across)
            for j in range(tall)
        ]


def transmission() -> float:
    """Return the part of the light that window glass lets pass."""
    return _GLASS
