"""Plans of rooms: convex shells with flat, sloped or vaulted ceilings, blocks that make them L-shaped, and their walls.

A room is the inside of a convex polyhedron minus solid blocks. Lengths are metres, y is up, and the camera is at the
origin.
"""

from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from aognet.scenes.solids import Solid, box

Form = Literal["box", "corner", "alcove", "bay"]
Ceiling = Literal["flat", "gable", "attic", "shed", "vault"]


@dataclass(frozen=True)
class Wall:
    """A stretch of wall: its start on the plan (x, z), unit directions along it and into the room, and its length in
    metres.
    """

    start: np.ndarray
    along: np.ndarray
    length: float
    height: float
    face: int  # of the shell; -1 for the side of a block

    @property
    def inward(self) -> np.ndarray:
        """Unit direction (x, z) into the room."""
        return np.array([-self.along[1], self.along[0]])

    @property
    def yaw(self) -> float:
        """The turn about the vertical axis that lays the x axis along the wall, for ``solids.box``."""
        return float(np.arctan2(-self.along[1], self.along[0]))

    def point(self, at: float, away: float, up: float) -> np.ndarray:
        """Return the place (3,) ``at`` metres along the wall and ``away`` from it, at height ``up``."""
        x, z = self.start + self.along * at + self.inward * away
        return np.array([x, up, z])


@dataclass(frozen=True)
class Shell:
    """Half-spaces normals @ p <= offsets whose intersection is the room: walls first, then floor, then ceilings."""

    normals: np.ndarray
    offsets: np.ndarray
    floor_face: int
    floor: float  # height of the floor, negative
    top: float  # highest point of the ceiling
    walls: list[Wall]
    blocks: list[Solid]
    form: Form
    ceiling: Ceiling
    low: np.ndarray = field(default_factory=lambda: np.zeros(2))  # bounds of the plan (x, z)
    high: np.ndarray = field(default_factory=lambda: np.zeros(2))

    def ceiling_at(self, x: float, z: float) -> float:
        """Return the height of the ceiling above a place on the plan."""
        heights = []
        for normal, offset in zip(
            self.normals[self.floor_face + 1 :], self.offsets[self.floor_face + 1 :], strict=True
        ):
            heights.append((offset - normal[0] * x - normal[2] * z) / normal[1])
        return float(min(heights))

    def inside(self, x: float, z: float, margin: float) -> bool:
        """Return whether a place on the plan is in the room, at least ``margin`` metres from every wall."""
        walls = self.normals[: self.floor_face]
        if (walls[:, 0] * x + walls[:, 2] * z > self.offsets[: self.floor_face] - margin).any():
            return False
        return all(
            x < block.low[0] - margin
            or x > block.high[0] + margin
            or z < block.low[2] - margin
            or z > block.high[2] + margin
            for block in self.blocks
        )


def draw_shell(
    rng: np.random.Generator, size: tuple[float, float, float], form: Form, ceiling: Ceiling, eye: float, aside: float
) -> Shell:
    """Return a shell of ``size`` (shorter side, longer side, height), with the camera ``eye`` metres above its floor.

    ``aside`` in [0, 1] says how far from the middle the camera may stand.
    """
    wide, long, high = size
    corners, cuts = _outline(rng, wide, long, form)
    if rng.random() < 0.5:  # another way round
        corners, cuts = corners[:, ::-1][::-1], [cut[:, ::-1] for cut in cuts]
    for _ in range(200):
        middle, half = (corners.min(0) + corners.max(0)) / 2, np.ptp(corners, axis=0) / 2
        spot = middle + half * aside * rng.uniform(-1, 1, 2)
        if all(np.maximum(cut[0] - spot, spot - cut[1]).max() > 0.7 for cut in cuts):
            break
    corners, cuts = corners - spot, [cut - spot for cut in cuts]
    return _raise(corners, cuts, high, ceiling, form, eye)


def _outline(rng, wide: float, long: float, form: Form) -> tuple[np.ndarray, list[np.ndarray]]:
    """Return the corners (n, 2) of the plan, counter-clockwise, and rectangles (low, high) cut out of its convex
    hull.
    """
    if form == "corner":
        a, b = wide * rng.uniform(0.35, 0.5), long * rng.uniform(0.35, 0.5)
        corners = [[0, 0], [wide, 0], [wide, long - b], [wide - a, long - b], [wide - a, long], [0, long]]
        cuts = [[[wide - a, long - b], [wide, long]]]
    elif form == "alcove":
        a, b, deep = wide * rng.uniform(0.12, 0.3), wide * rng.uniform(0.12, 0.3), rng.uniform(0.6, 1.4)
        top, right = long - deep, wide - b
        corners = [[0, 0], [wide, 0], [wide, top], [right, top], [right, long], [a, long], [a, top], [0, top]]
        cuts = [[[0, top], [a, long]], [[right, top], [wide, long]]]
    elif form == "bay":
        a = min(wide * 0.3, rng.uniform(0.8, 1.3))
        corners = [[0, 0], [wide, 0], [wide, long - a], [wide - a, long], [a, long], [0, long - a]]
        cuts = []
    else:
        corners, cuts = [[0, 0], [wide, 0], [wide, long], [0, long]], []
    return np.array(corners, float), [np.array(cut, float) for cut in cuts]


def _raise(corners, cuts, high: float, ceiling: Ceiling, form: Form, eye: float) -> Shell:
    floor, top = -eye, high - eye
    low, upper = corners.min(0), corners.max(0)
    ceilings = _ceilings(low, upper, floor, top, ceiling)
    steps = np.roll(corners, -1, 0) - corners
    lengths = np.linalg.norm(steps, axis=1)
    outward = np.stack([steps[:, 1], -steps[:, 0]], 1) / lengths[:, None]
    offsets = (outward * corners).sum(1)
    on_hull = [(corners @ out <= offset + 1e-6).all() for out, offset in zip(outward, offsets, strict=True)]
    faces, walls = [], []
    for corner, step, length, out, offset, hull in zip(corners, steps, lengths, outward, offsets, on_hull, strict=True):
        face = -1
        if hull:
            same = [i for i, (normal, at) in enumerate(faces) if np.allclose(normal, out) and abs(at - offset) < 1e-6]
            face = same[0] if same else len(faces)
            if not same:
                faces.append((out, offset))
        ends = [min((o - n[0] * x - n[2] * z) / n[1] for n, o in ceilings) for x, z in (corner, corner + step)]
        walls.append(Wall(corner, step / length, float(length), min(ends) - floor, face))
    normals = [[out[0], 0, out[1]] for out, _ in faces] + [[0, -1, 0]] + [normal for normal, _ in ceilings]
    limits = [offset for _, offset in faces] + [-floor] + [offset for _, offset in ceilings]
    blocks = []
    for first, last in cuts:
        middle, side = (first + last) / 2, last - first
        # A little past the shell, so that no ray slips between block and wall.
        blocks.append(box((middle[0], (floor + top) / 2, middle[1]), (side[0], high + 0.2, side[1]), (1, 1, 1)))
    return Shell(
        np.asarray(normals, np.float32),
        np.asarray(limits, np.float32),
        len(faces),
        floor,
        top,
        walls,
        blocks,
        form,
        ceiling,
        low,
        upper,
    )


def _ceilings(low, upper, floor: float, top: float, ceiling: Ceiling) -> list[tuple[np.ndarray, float]]:
    """Return the outward normals and offsets of the ceiling's planes. A ridge runs along the longer side."""
    across = int(np.argmin(upper - low))
    middle, half = (low[across] + upper[across]) / 2, (upper[across] - low[across]) / 2
    side = np.zeros(3)
    side[2 * across] = 1.0
    up = np.array([0.0, 1.0, 0.0])
    high = top - floor
    if ceiling == "flat":
        return [(up, top)]
    if ceiling == "shed":
        slope = 0.28 * high / (2 * half)
        normal = (up + slope * side) / np.hypot(1, slope)
        return [(normal, float(normal @ (up * top + side * (middle - half))))]
    if ceiling in ("gable", "attic"):
        knee = floor + (0.42 if ceiling == "attic" else 0.7) * high
        slope = (top - knee) / half
        normals = [(up + sign * slope * side) / np.hypot(1, slope) for sign in (-1, 1)]
        return [(normal, float(normal @ (up * top + side * middle))) for normal in normals]
    spring = floor + max(0.55 * high, min(2.4, 0.85 * high))
    planes = []
    for angle in np.linspace(-75, 75, 7) * np.pi / 180:
        # Tangents of an ellipse over the springing line.
        point = side * (middle + half * np.sin(angle)) + up * (spring + (top - spring) * np.cos(angle))
        normal = side * np.sin(angle) / half + up * np.cos(angle) / (top - spring)
        normal /= np.linalg.norm(normal)
        planes.append((normal, float(normal @ point)))
    return planes
