"""Placing furniture: along walls, on walls, on the open floor or in rows, without overlaps and away from the camera."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from aognet.scenes.indoors.finishes import Finish
from aognet.scenes.indoors.lightmap import Lamp
from aognet.scenes.indoors.openings import Opening
from aognet.scenes.indoors.rooms import Room
from aognet.scenes.indoors.shells import Wall
from aognet.scenes.indoors.surfaces import Piece
from aognet.scenes.solids import Solid, box, gable
from aognet.scenes.world import LUX

_DIM = 10 * LUX  # lamps below that are off


@dataclass(frozen=True)
class Part:
    """A solid of a thing: x along it, y up from the floor, z to its front. ``low`` is the middle of its bottom."""

    shape: str  # "box", "column", "gable" (its ridge along z) or "wheel" (its axle along x)
    low: tuple[float, float, float]
    size: tuple[float, float, float]
    finish: Finish
    yaw: float = 0.0


@dataclass(frozen=True)
class Thing:
    """Furniture made of parts: ``wide`` along x around 0, ``deep`` from z = 0 to the front, ``high``."""

    noun: str  # "" for what is not worth saying
    parts: tuple[Part, ...]
    wide: float
    deep: float
    high: float
    lamps: tuple[tuple[tuple[float, float, float], np.ndarray], ...] = ()  # places and powers
    low: float = 0.0  # where it begins, of things on walls


@dataclass
class Furnisher:
    """Places things in a room and remembers where."""

    rng: np.random.Generator
    room: Room
    seen: list[str] = field(default_factory=list)
    on_walls: list[tuple[int, float, float, float, float]] = field(default_factory=list)  # wall, from, to, low, high
    on_floor: list[np.ndarray] = field(default_factory=list)  # corners (4, 2)
    things: int = 0

    def against(self, thing: Thing, away: float = 0.01, front: float = 0.0, walls: Sequence[int] | None = None) -> bool:
        """Put a thing with its back to a wall, ``front`` metres free before it, if there is room."""
        for _ in range(24):
            found = self.slot(thing, walls)
            if found is None:
                return False
            wall, at = found
            if self.put(thing, self.room.shell.walls[wall], at, away, front):
                self.claim(wall, at, thing)
                return True
        return False

    def lean(self, thing: Thing, away: float, front: float) -> tuple[int, float] | None:
        """Try once what ``against`` does. Return on which wall the thing stands, and where along it; None without
        room.
        """
        found = self.slot(thing)
        if found is None or not self.put(thing, self.room.shell.walls[found[0]], found[1], away, front):
            return None
        self.claim(*found, thing)
        return found

    def slot(self, thing: Thing, walls: Sequence[int] | None = None, gap: float = 0.06) -> tuple[int, float] | None:
        """Return a wall and the middle of a free stretch of it."""
        all_walls = self.room.shell.walls
        choices = range(len(all_walls)) if walls is None else walls
        # Long walls are tried more often.
        weights = np.array([max(all_walls[i].length - thing.wide, 0) for i in choices])
        if not weights.sum():
            return None
        for _ in range(16):
            number = int(self.rng.choice(list(choices), p=weights / weights.sum()))
            wall = all_walls[number]
            half = thing.wide / 2 + gap
            if wall.length < 2 * half or wall.height < thing.high + 0.02:
                continue
            at = float(self.rng.uniform(half, wall.length - half))
            if self.free_on_wall(number, at - half, at + half, thing.low, thing.high):
                return number, at
        return None

    def free_on_wall(self, wall: int, start: float, end: float, low: float, high: float) -> bool:
        """Return whether a rectangle of a wall is not taken."""
        return all(w != wall or end < a or start > b or high < c or low > d for w, a, b, c, d in self.on_walls)

    def claim(self, wall: int, at: float, thing: Thing) -> None:
        """Take the part of a wall that a thing covers."""
        self.on_walls.append((wall, at - thing.wide / 2, at + thing.wide / 2, thing.low, thing.high))

    def hang(self, thing: Thing, walls: Sequence[int] | None = None) -> bool:
        """Put a thing on a wall, above what stands there."""
        found = self.slot(thing, walls, 0.12)
        if found is None:
            return False
        wall, at = found
        place = self.room.shell.walls[wall]
        if np.hypot(*place.point(at, 0.05, 0.0)[[0, 2]]) < 0.4:
            return False
        self.claim(wall, at, thing)
        self._build(thing, place.point(at, 0.0, 0.0)[[0, 2]], place.yaw)
        return True

    def put(self, thing: Thing, wall: Wall, at: float, away: float, front: float = 0.0) -> bool:
        """Put a thing ``at`` metres along a wall and ``away`` from it unless something is there."""
        return self.stand(thing, wall.point(at, away, 0.0)[[0, 2]], wall.yaw, front)

    def stand(self, thing: Thing, place: np.ndarray, yaw: float, front: float = 0.0, clear: float = 0.45) -> bool:
        """Put the middle of a thing's back at ``place`` (x, z), its front turned by ``yaw``, if there is room."""
        x, z = _axes(yaw)
        sides = [(-0.5, 0.0), (0.5, 0.0), (0.5, 1.0), (-0.5, 1.0)]
        area = np.array([place + x * thing.wide * a + z * (thing.deep + front) * b for a, b in sides])
        body = np.array([place + x * thing.wide * a + z * thing.deep * b for a, b in sides])
        if not all(self.room.shell.inside(*corner, margin=-0.005) for corner in body):
            return False
        if _distance(body) < clear or any(_overlap(area, other) for other in self.on_floor):
            return False
        height = self.room.shell.floor + thing.high
        if any(self.room.shell.ceiling_at(*corner) < height for corner in body):
            return False
        self.on_floor.append(body)
        self._build(thing, place, yaw)
        return True

    def free(self, thing: Thing, margin: float = 0.5, tries: int = 40, clear: float = 0.7) -> bool:
        """Put a thing somewhere on the open floor, square to the walls."""
        shell = self.room.shell
        for _ in range(tries):
            place = self.rng.uniform(shell.low + margin, shell.high - margin)
            yaw = float(self.rng.integers(4)) * np.pi / 2
            middle = place + _axes(yaw)[1] * thing.deep / 2
            if shell.inside(*middle, margin=margin + min(thing.deep, thing.wide) / 2) and self.stand(
                thing, place, yaw, clear=clear
            ):
                return True
        return False

    def add(self, thing: Thing, place: np.ndarray, yaw: float = 0.0) -> None:
        """Put a thing there without asking: lamps, rugs."""
        self._build(thing, np.asarray(place, float), yaw)

    def open(self, opening: Opening, wall: int, at: float) -> None:
        """Cut an opening into the shell and keep the wall before it free."""
        half = (opening.right - opening.left) / 2
        self.room.openings.append(opening)
        self.on_walls.append((wall, at - half - 0.08, at + half + 0.08, opening.low - 0.05, opening.high + 0.1))
        self.seen.append(opening.noun)

    def _build(self, thing: Thing, place: np.ndarray, yaw: float) -> None:
        label = self.room.label(thing.noun) if thing.noun else 0
        self.things += 1
        if thing.noun:
            self.seen.append(thing.noun)
        x, z = _axes(yaw)
        floor = self.room.shell.floor
        for part in thing.parts:
            middle = place + x * part.low[0] + z * part.low[2]
            solid = _shape(part, np.array([middle[0], floor + part.low[1], middle[1]]), yaw)
            self.room.pieces.append(Piece(solid, part.finish, label, not part.finish.glow.any(), self.things))
        for (a, up, b), power in thing.lamps:
            if power.max() < _DIM:
                continue
            middle = place + x * a + z * b
            self.room.lamps.append(Lamp(np.array([middle[0], floor + up, middle[1]], np.float32), power))


def _axes(yaw: float) -> tuple[np.ndarray, np.ndarray]:
    return np.array([np.cos(yaw), -np.sin(yaw)]), np.array([np.sin(yaw), np.cos(yaw)])


def _shape(part: Part, low: np.ndarray, yaw: float) -> Solid:
    color, yaw = part.finish.color, yaw + part.yaw
    wide, high, deep = part.size
    if part.shape == "gable":
        return gable(low, (wide, high, deep), color, yaw=yaw)
    middle = low + np.array([0.0, high / 2, 0.0])
    if part.shape == "column":
        return _prism(middle, np.array([0.0, 1.0, 0.0]), wide / 2, high, 8 if wide < 0.12 else 14)
    if part.shape == "wheel":
        x = _axes(yaw)[0]
        return _prism(middle, np.array([x[0], 0.0, x[1]]), high / 2, wide, 12)
    return box(middle, (wide, high, deep), color, yaw=yaw)


def _prism(center: np.ndarray, axis: np.ndarray, radius: float, long: float, sides: int) -> Solid:
    """Return a prism around an axis (3,), of a length, whose sides touch a cylinder of that radius."""
    first = np.cross(axis, [0.0, 1.0, 0.0] if abs(axis[1]) < 0.5 else [1.0, 0.0, 0.0])
    second = np.cross(axis, first)
    angles = np.arange(2 * sides) * np.pi / sides
    around = np.cos(angles)[:, None] * first + np.sin(angles)[:, None] * second
    normals = np.concatenate([around[::2], [axis, -axis]]).astype(np.float32)
    offsets = normals @ center + np.array([radius] * sides + [long / 2] * 2)
    rim = around[1::2] * radius / np.cos(np.pi / sides)
    corners = np.concatenate([center + rim + end * axis * long / 2 for end in (-1, 1)]).astype(np.float32)
    bound = float(np.hypot(radius / np.cos(np.pi / sides), long / 2))
    low, high = corners.min(0), corners.max(0)
    return Solid(normals, offsets.astype(np.float32), low, high, bound, np.zeros(3, np.float32), "plain", corners)


def _distance(corners: np.ndarray) -> float:
    """Return the distance in metres from the camera's foot to a rectangle, 0 inside."""
    steps = np.roll(corners, -1, 0) - corners
    cross = steps[:, 0] * -corners[:, 1] + steps[:, 1] * corners[:, 0]
    if (cross >= 0).all() or (cross <= 0).all():
        return 0.0
    part = np.clip(-(corners * steps).sum(1) / np.maximum((steps**2).sum(1), 1e-9), 0, 1)
    return float(np.linalg.norm(corners + steps * part[:, None], axis=1).min())


def _overlap(first: np.ndarray, second: np.ndarray) -> bool:
    """Return whether two rectangles overlap: no axis separates them."""
    for corners in (first, second):
        for side in (corners[1] - corners[0], corners[3] - corners[0]):
            a, b = first @ side, second @ side
            slack = 1e-3 * float(np.hypot(*side))
            if a.max() <= b.min() + slack or b.max() <= a.min() + slack:
                return False
    return True
