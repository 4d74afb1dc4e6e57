"""What puts furniture along the walls of a room without overlaps, and the colours it is drawn from."""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from aognet.data.synthetic.rays import jitter, rgb
from aognet.data.synthetic.rooms import Room
from aognet.data.synthetic.solids import Solid, box
from aognet.data.synthetic.words import pick

COLORS = {
    "white": (0.9, 0.89, 0.86),
    "beige": (0.85, 0.78, 0.66),
    "grey": (0.62, 0.62, 0.62),
    "blue": (0.45, 0.58, 0.7),
    "green": (0.55, 0.66, 0.52),
    "yellow": (0.9, 0.8, 0.52),
    "pink": (0.87, 0.7, 0.69),
    "red": (0.62, 0.2, 0.17),
    "brown": (0.45, 0.31, 0.21),
    "black": (0.13, 0.13, 0.14),
}
WOODS = {"light": (0.76, 0.6, 0.41), "brown": (0.55, 0.37, 0.23), "dark": (0.34, 0.22, 0.15)}


@dataclass
class Furnisher:
    """Puts things along the walls of a room and remembers their names."""

    rng: np.random.Generator
    room: Room
    seen: list[str] = field(default_factory=list)
    taken: list[tuple[int, float, float]] = field(default_factory=list)

    def slot(self, width: float, walls=(0, 1, 2, 3), margin: float = 0.15) -> tuple[int, float] | None:
        """A wall and the middle of a free stretch of it, or none."""
        for _ in range(12):
            wall = int(self.rng.choice(walls))
            _, _, along = self.room.wall_axes(wall)
            low, high = self.room.low[along] + margin + width / 2, self.room.high[along] - margin - width / 2
            if low >= high:
                continue
            at = self.rng.uniform(low, high)
            if all(w != wall or abs(at - c) > (width + x) / 2 + 0.05 for w, c, x in self.taken):
                return wall, at
        return None

    def place(self, wall: int, at: float, away: float, up: float, size, color, material: str = "plain") -> Solid:
        """A box by a wall: ``size`` is (along, high, deep); ``away`` and ``up`` are the gaps to wall and floor."""
        axis, edge, along = self.room.wall_axes(wall)
        wide, high, deep = size
        center, full = np.zeros(3), np.zeros(3)
        center[axis], center[along] = edge - np.sign(edge) * (away + deep / 2), at
        center[1] = self.room.low[1] + up + high / 2
        full[axis], full[1], full[along] = deep, high, wide
        return box(center, full, color, material)

    def put(self, name: str | None, wall: int, at: float, width: float, parts: list[Solid]) -> bool:
        """Adds the parts unless one of them is too close to the camera or in another one."""
        origin = np.zeros((1, 3), np.float32)
        if any(part.gap(origin)[0] < 0.35 for part in parts):
            return False
        for part in parts:
            for other in self.room.solids:
                if (part.low < other.high - 0.01).all() and (part.high > other.low + 0.01).all():
                    return False
        self.room.solids += parts
        self.taken.append((wall, at, width))
        if name:
            self.seen.append(name)
        return True

    def along_wall(
        self, name: str | None, width: float, build: Callable[[int, float], list[Solid]], margin=0.15
    ) -> bool:
        """Tries a few places along the walls for what ``build(wall, at)`` makes."""
        for _ in range(20):
            slot = self.slot(width, margin=margin)
            if slot is not None and self.put(name, *slot, width, build(*slot)):
                return True
        return False


def draw_color(rng: np.random.Generator, *names: str) -> tuple[str, np.ndarray]:
    """One of the colours of ``COLORS`` by name, a little varied."""
    name = pick(rng, *names)
    return name, jitter(rng, rgb(*COLORS[name]), 0.1)


def draw_wood(rng: np.random.Generator) -> np.ndarray:
    """The colour of some wood."""
    return jitter(rng, rgb(*WOODS[pick(rng, *WOODS)]), 0.15)
