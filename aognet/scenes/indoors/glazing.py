"""Windows, glass doors, skylights and doorways of many shapes, and the curtains before them."""

from dataclasses import dataclass

import numpy as np

from aognet.scenes.indoors.finishes import Finish
from aognet.scenes.indoors.fittings import curtain, rail
from aognet.scenes.indoors.furnisher import Furnisher
from aognet.scenes.indoors.openings import Opening
from aognet.scenes.indoors.palette import draw_color
from aognet.scenes.indoors.shells import Wall


@dataclass(frozen=True)
class Style:
    """A shape of window in metres. ``top`` counts from the floor; 0 means just under the ceiling."""

    noun: str
    wide: tuple[float, float]
    sill: tuple[float, float]
    top: float
    pane: tuple[float, float]  # about how wide and high a pane is
    gap: float  # between windows of a row
    bar: float = 0.05
    arch: bool = False
    curtains: float = 0.0  # how often


STYLES = {
    "sash": Style("a window", (0.9, 1.3), (0.75, 0.95), 2.3, (0.6, 0.75), 0.7, curtains=0.5),
    "wide": Style("a large window", (1.7, 2.8), (0.7, 0.9), 2.3, (0.9, 3.0), 0.8, curtains=0.5),
    "french": Style("French windows", (1.5, 2.2), (0.02, 0.02), 2.25, (0.8, 0.75), 1.0, 0.07, curtains=0.5),
    "glass": Style("a glass wall", (3.0, 6.0), (0.02, 0.05), 0.0, (1.3, 5.0), 0.3, 0.06),
    "ribbon": Style("a ribbon window", (3.0, 6.0), (0.9, 1.05), 2.2, (1.3, 3.0), 0.4),
    "high": Style("a high window", (1.2, 2.4), (1.5, 1.7), 2.25, (0.8, 2.0), 0.5),
    "small": Style("a small window", (0.6, 0.9), (1.15, 1.35), 2.05, (0.9, 0.9), 1.0),
    "tall": Style("a tall window", (1.1, 1.5), (0.5, 0.9), 0.0, (0.6, 0.8), 1.0, 0.05),
    "arched": Style("an arched window", (1.0, 1.4), (1.0, 1.5), 0.0, (0.5, 0.7), 1.3, 0.05, True),
    "lancet": Style("an arched window", (1.1, 1.5), (1.8, 2.4), 0.0, (0.37, 0.6), 1.4, 0.04, True),
    "factory": Style("a factory window", (2.2, 3.6), (1.0, 1.2), 0.0, (0.45, 0.5), 0.5, 0.035),
}  # fmt: skip


def glaze(f: Furnisher, style: Style, wall: int, most: int) -> None:
    """Cut up to ``most`` windows of a style in a row into an outer wall."""
    place = f.room.shell.walls[wall]
    top = style.top if style.top else min(place.height - 0.35, 6.5)
    top = min(top, place.height - 0.12)
    sill = float(f.rng.uniform(*style.sill))
    if place.face < 0 or top - sill < 0.4:
        return
    wide = min(float(f.rng.uniform(*style.wide)), place.length - 0.5)
    if wide < 0.45:
        return
    count = int(np.clip((place.length - 0.4 + style.gap) // (wide + style.gap), 1, most))
    spread = min(place.length / count, wide + style.gap * 2)
    deep = float(f.rng.uniform(0.12, 0.3))
    hung = f.rng.random() < style.curtains
    cloth = Finish("drape", draw_color(f.rng, "white", "white", "beige", "grey", "blue", "red", "green")[1])
    for number in range(count):
        at = place.length / 2 + spread * (number - (count - 1) / 2)
        if not f.free_on_wall(wall, at - wide / 2, at + wide / 2, sill, top):
            continue
        _cut(f, style, wall, at, wide, sill, top, deep)
        if hung:
            _drape(f, place, wall, at, wide, sill, top, cloth)


def _cut(f: Furnisher, style: Style, wall: int, at: float, wide: float, sill: float, top: float, deep: float) -> None:
    face, middle = _middle(f, wall, at)
    panes = max(1, round(wide / style.pane[0])), max(1, round((top - sill) / style.pane[1]))
    left, right = middle - wide / 2, middle + wide / 2
    opening = Opening(
        face, left, right, sill, top, "window", style.noun, *panes, deep=deep, bar=style.bar, arch=style.arch
    )
    f.open(opening, wall, at)


def _drape(
    f: Furnisher, place: Wall, wall: int, at: float, wide: float, sill: float, top: float, cloth: Finish
) -> None:
    low = 0.03 if sill < 0.3 or f.rng.random() < 0.6 else sill - 0.12
    part = float(f.rng.uniform(0.25, 0.4))
    for side in (-1, 1):
        middle = at + side * (wide / 2 + 0.12 - part / 2 + 0.06)
        if 0.1 < middle - part / 2 and middle + part / 2 < place.length - 0.1:
            f.add(curtain(cloth, part, low, top + 0.08), place.point(middle, 0.0, 0.0)[[0, 2]], place.yaw)
            f.on_walls.append((wall, middle - part / 2, middle + part / 2, low, top + 0.1))
    f.add(rail(min(wide + 0.5, place.length - 0.04), top + 0.08), place.point(at, 0.0, 0.0)[[0, 2]], place.yaw)


def skylight(f: Furnisher) -> bool:
    """Cut a window into the ceiling, upright along the slope if there is one. Return whether there was room."""
    shell = f.room.shell
    face = shell.floor_face + 1 + int(f.rng.integers(len(shell.normals) - shell.floor_face - 1))
    wide, long = f.room.frames[face].size
    a, b = float(f.rng.uniform(0.7, 1.0)), float(f.rng.uniform(1.1, 1.5))
    if wide < a + 0.8 or long < b + 0.5:
        return False
    left, low = float(f.rng.uniform(0.4, wide - a - 0.4)), float(f.rng.uniform(0.35, 0.6)) * (long - b)
    others = [other for other in f.room.openings if other.face == face]
    if any(left < o.right + 0.2 and left + a > o.left - 0.2 for o in others):
        return False
    f.room.openings.append(Opening(face, left, left + a, low, low + b, "window", "a skylight", deep=0.15, bar=0.06))
    f.seen.append("a skylight")
    return True


def doorway(f: Furnisher, wide: float, high: float) -> bool:
    """Cut an open doorway to a dim room next door. Return whether there was room."""
    walls = [i for i, wall in enumerate(f.room.shell.walls) if wall.face >= 0 and wall.length > wide + 0.8]
    for _ in range(8):
        if not walls:
            return False
        wall = int(f.rng.choice(walls))
        place = f.room.shell.walls[wall]
        at = float(f.rng.uniform(wide / 2 + 0.25, place.length - wide / 2 - 0.25))
        if high > place.height - 0.1 or not f.free_on_wall(wall, at - wide / 2, at + wide / 2, 0.0, high):
            continue
        face, middle = _middle(f, wall, at)
        noun = "an open doorway"
        low = Opening(face, middle - wide / 2, middle + wide / 2, 0.0, high, "doorway", noun, deep=2.4, aside=0.5)
        f.open(low, wall, at)
        # Nothing may stand in the way.
        x, z = place.along, place.inward
        spot = place.start + x * at
        f.on_floor.append(
            np.array([spot - x * wide / 2, spot + x * wide / 2, spot + x * wide / 2 + z, spot - x * wide / 2 + z])
        )
        return True
    return False


def _middle(f: Furnisher, wall: int, at: float) -> tuple[int, float]:
    """Return the face of a wall, and the coordinate along its frame of a place on it."""
    place = f.room.shell.walls[wall]
    frame = f.room.frames[place.face]
    return place.face, float((place.point(at, 0.0, f.room.shell.floor) - frame.origin) @ frame.u)
