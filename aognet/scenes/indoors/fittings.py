"""What is built in: kitchens, bathrooms, doors, curtains, pictures, rugs, boards, radiators."""

import numpy as np

from aognet.scenes.indoors.finishes import Finish
from aognet.scenes.indoors.furnisher import Part, Thing
from aognet.scenes.indoors.furniture import pole, slab
from aognet.scenes.indoors.palette import BRASS, DARK, STEEL, WHITE, draw_color, draw_wood, plain, shade
from aognet.scenes.rays import jitter, rgb
from aognet.scenes.words import article


def counter(front: Finish, top: Finish, wide: float, noun: str, upper: bool, extra: str = "") -> Thing:
    """Return a stretch of kitchen: base units, worktop, and wall cupboards if ``upper``; ``extra``: "sink" or
    "stove".
    """
    count = max(1, round(wide / 0.6))
    parts = [slab(0.0, 0.1, 0.0, wide, 0.77, 0.58, shade(front, 0.9)), slab(0.0, 0.0, 0.0, wide, 0.1, 0.52, DARK)]
    parts.append(slab(0.0, 0.87, 0.0, wide, 0.04, 0.63, top))
    for number in range(count):
        x, width = wide * ((number + 0.5) / count - 0.5), wide / count - 0.01
        parts.append(slab(x, 0.12, 0.58, width, 0.74, 0.018, front))
        parts.append(slab(x, 0.8, 0.6, width * 0.5, 0.015, 0.02, STEEL))
        if upper:
            parts.append(slab(x, 1.45, 0.0, width, 0.7, 0.34, front))
    if upper:
        parts.append(slab(0.0, 1.44, 0.0, wide, 0.012, 0.33, shade(front, 0.8)))
    if extra == "sink":
        parts += [
            slab(0.0, 0.906, 0.12, 0.5, 0.006, 0.38, STEEL),
            slab(0.0, 0.911, 0.16, 0.42, 0.002, 0.3, plain(0.4, 0.41, 0.42)),
        ]
        parts += [pole(0.0, 0.91, 0.08, 0.014, 0.28, STEEL), slab(0.0, 1.17, 0.08, 0.02, 0.02, 0.18, STEEL)]
    if extra == "stove":
        parts += [
            slab(0.0, 0.91, 0.05, 0.58, 0.008, 0.52, plain(0.05, 0.05, 0.06)),
            slab(0.0, 0.2, 0.59, 0.56, 0.5, 0.02, plain(0.1, 0.1, 0.11)),
        ]
        parts += [pole(x, 0.918, z, 0.085, 0.004, plain(0.2, 0.2, 0.21)) for x in (-0.14, 0.14) for z in (0.18, 0.43)]
        parts += [slab(0.0, 1.55, 0.0, 0.6, 0.08, 0.5, STEEL), slab(0.0, 1.63, 0.0, 0.28, 0.8, 0.26, STEEL)]
        parts += [pole(0.14, 0.92, 0.18, 0.1, 0.14, plain(0.6, 0.15, 0.12))]
    return Thing(noun, tuple(parts), wide, 0.63, 2.15 if upper or extra == "stove" else 0.95)


def fridge(rng: np.random.Generator) -> Thing:
    """Return a fridge with a freezer."""
    body = STEEL if rng.random() < 0.5 else WHITE
    parts = (
        slab(0.0, 0.03, 0.0, 0.62, 1.8, 0.6, shade(body, 0.85)),
        slab(0.0, 0.05, 0.6, 0.61, 0.66, 0.05, body),
        slab(0.0, 0.73, 0.6, 0.61, 1.1, 0.05, body),
        slab(-0.25, 0.8, 0.65, 0.025, 0.5, 0.035, STEEL),
        slab(-0.25, 0.42, 0.65, 0.025, 0.25, 0.035, STEEL),
    )
    return Thing("a fridge", parts, 0.64, 0.68, 1.83)


def island(rng: np.random.Generator, front: Finish, top: Finish) -> Thing:
    """Return a kitchen island with stools."""
    wide, seat = float(rng.uniform(1.5, 2.1)), draw_wood(rng)
    parts = [slab(0.0, 0.08, 0.45, wide - 0.1, 0.8, 0.65, front), slab(0.0, 0.88, 0.3, wide, 0.04, 0.9, top)]
    for number in range(3):
        x = wide * ((number + 0.5) / 3 - 0.5)
        parts += [
            pole(x, 0.64, 0.15, 0.17, 0.04, seat),
            pole(x, 0.0, 0.15, 0.025, 0.64, DARK),
            pole(x, 0.0, 0.15, 0.17, 0.02, DARK),
        ]
    bowl = Finish("plain", draw_color(rng, "white", "blue", "orange")[1])
    parts.append(pole(0.3, 0.92, 0.75, 0.15, 0.08, bowl))
    return Thing("a kitchen island with stools", tuple(parts), wide, 1.2, 1.0)


def bathtub(rng: np.random.Generator) -> Thing:
    """Return a bathtub with a tap."""
    parts = [slab(0.0, 0.0, 0.0, 1.7, 0.5, 0.75, WHITE)]
    parts += [slab(0.0, 0.5, 0.0, 1.7, 0.06, 0.08, WHITE), slab(0.0, 0.5, 0.67, 1.7, 0.06, 0.08, WHITE)]
    parts += [slab(side * 0.8, 0.5, 0.08, 0.1, 0.06, 0.59, WHITE) for side in (-1, 1)]
    water = Finish("plain", jitter(rng, rgb(0.62, 0.74, 0.77), 0.1))
    parts += [slab(0.0, 0.5, 0.08, 1.5, 0.004, 0.59, water)]
    parts += [pole(0.6, 0.56, 0.05, 0.02, 0.16, STEEL), slab(0.6, 0.68, 0.05, 0.03, 0.02, 0.14, STEEL)]
    return Thing("a bathtub", tuple(parts), 1.7, 0.76, 0.75)


def washbasin(rng: np.random.Generator) -> Thing:
    """Return a basin on a cabinet under a mirror."""
    wide, wood = float(rng.uniform(0.6, 1.2)), draw_wood(rng)
    mirror = Finish("screen", rgb(0.8, 0.84, 0.86), rgb(0.5, 0.5, 0.5))
    parts = (
        slab(0.0, 0.3, 0.0, wide, 0.5, 0.44, Finish("drawers", wood.color, size=0.25)),
        slab(0.0, 0.8, 0.0, wide + 0.02, 0.1, 0.48, WHITE),
        slab(0.0, 0.9, 0.1, min(wide - 0.12, 0.5), 0.005, 0.3, plain(0.72, 0.73, 0.74)),
        pole(0.0, 0.9, 0.06, 0.018, 0.16, STEEL),
        slab(0.0, 1.04, 0.06, 0.025, 0.02, 0.14, STEEL),
        slab(0.0, 1.15, 0.0, wide * 0.9, 0.8, 0.025, mirror),
        slab(wide * 0.3, 0.9, 0.08, 0.06, 0.16, 0.06, plain(0.4, 0.6, 0.62)),
    )
    return Thing("a washbasin with a mirror", parts, wide + 0.02, 0.5, 1.95)


def toilet() -> Thing:
    """Return a toilet with its tank."""
    parts = (
        slab(0.0, 0.4, 0.0, 0.38, 0.38, 0.17, WHITE),
        slab(0.0, 0.78, 0.0, 0.4, 0.03, 0.19, WHITE),
        slab(0.0, 0.0, 0.12, 0.24, 0.36, 0.36, WHITE),
        slab(0.0, 0.3, 0.15, 0.36, 0.1, 0.36, WHITE),
        pole(0.0, 0.3, 0.48, 0.18, 0.1, WHITE),
        slab(0.0, 0.4, 0.16, 0.37, 0.025, 0.34, shade(WHITE, 0.97)),
        pole(0.0, 0.4, 0.49, 0.18, 0.025, shade(WHITE, 0.97)),
    )
    return Thing("a toilet", parts, 0.42, 0.68, 0.82)


def shower() -> Thing:
    """Return a shower tray with a rail, a head and a curtain half drawn."""
    cloth = Finish("drape", rgb(0.85, 0.88, 0.9))
    parts = (
        slab(0.0, 0.0, 0.0, 0.9, 0.1, 0.9, WHITE),
        slab(0.0, 2.0, 0.88, 0.92, 0.025, 0.025, STEEL),
        slab(-0.22, 0.12, 0.88, 0.46, 1.88, 0.03, cloth),
        pole(0.1, 1.1, 0.04, 0.012, 0.95, STEEL),
        slab(0.1, 2.03, 0.04, 0.025, 0.025, 0.3, STEEL),
        pole(0.1, 1.99, 0.32, 0.1, 0.025, STEEL),
    )
    return Thing("a shower", parts, 0.94, 0.92, 2.05)


def door(rng: np.random.Generator, wide: float = 0.88, high: float = 2.05) -> Thing:
    """Return a closed door in its frame; two leaves where it is wide."""
    tint, color = draw_color(rng, "white", "white", "brown", "brown", "blue", "dark green", "grey")
    wood = Finish("door", draw_wood(rng).color if tint == "brown" else color)
    name = "a wooden" if tint == "brown" else article(tint)
    frame = Finish("plain", wood.color * np.float32(0.85))
    parts = [slab(side * (wide / 2 + 0.04), 0.0, 0.0, 0.08, high + 0.08, 0.05, frame) for side in (-1, 1)]
    parts.append(slab(0.0, high, 0.0, wide, 0.08, 0.05, frame))
    leaves = 2 if wide > 1.2 else 1
    for number in range(leaves):
        x = wide * ((number + 0.5) / leaves - 0.5)
        parts.append(slab(x, 0.008, 0.0, wide / leaves - 0.008, high - 0.01, 0.025, wood))
        knob = x + (0.5 - number % 2) * (wide / leaves - 0.16)
        parts += [
            slab(knob, 1.02, 0.025, 0.03, 0.03, 0.05, BRASS),
            slab(knob - 0.04, 1.02, 0.065, 0.13, 0.022, 0.02, BRASS),
        ]
    return Thing(f"{name} {'double door' if leaves == 2 else 'door'}", tuple(parts), wide + 0.16, 0.08, high + 0.08)


def curtain(cloth: Finish, wide: float, low: float, high: float) -> Thing:
    """Return cloth hanging in folds in front of a wall."""
    parts = tuple(
        Part("column", (x, low, 0.09 + 0.025 * (number % 2)), (0.1, high - low, 0.1), cloth)
        for number, x in enumerate(np.arange(-wide / 2 + 0.04, wide / 2 - 0.03, 0.075))
    )
    return Thing("curtains", parts, wide, 0.16, high)


def rail(wide: float, up: float) -> Thing:
    """Return the rod that curtains hang from."""
    return Thing("", (slab(0.0, up, 0.08, wide, 0.025, 0.025, BRASS),), wide, 0.12, up)


def picture(rng: np.random.Generator, wide: float, high: float, middle: float, noun: str = "a picture") -> Thing:
    """Return a framed picture; heights above the floor."""
    frame = rgb(*((0.12, 0.1, 0.1), (0.7, 0.6, 0.4), (0.45, 0.3, 0.2))[int(rng.integers(3))])
    look = Finish("picture", rgb(*rng.uniform(0.15, 0.85, 3)), frame)
    parts = (slab(0.0, middle - high / 2, 0.0, wide, high, 0.035, look),)
    return Thing(noun, parts, wide, 0.05, middle + high / 2, low=middle - high / 2)


def rug(rng: np.random.Generator, wide: float, deep: float) -> Thing:
    """Return a flat rug."""
    tint, color = draw_color(rng, "red", "blue", "beige", "grey", "green", "brown", "navy", "cream")
    second = draw_color(rng, "cream", "yellow", "navy", "red", "dark green", "white")[1]
    parts = (slab(0.0, 0.0, -deep / 2, wide, 0.012, deep, Finish("rug", color, second, float(rng.uniform(0.08, 0.3)))),)
    return Thing(f"{article(tint)} rug", parts, wide, deep, 0.02)


def board(rng: np.random.Generator, wide: float) -> Thing:
    """Return a blackboard or a whiteboard on the wall."""
    dark = rng.random() < 0.5
    surface = rgb(0.1, 0.2, 0.15) if dark else rgb(0.93, 0.94, 0.94)
    rim = rgb(0.5, 0.36, 0.22) if dark else rgb(0.6, 0.6, 0.6)
    parts = (
        slab(0.0, 0.9, 0.0, wide, 1.2, 0.03, Finish("screen", surface, rim)),
        slab(0.0, 0.87, 0.0, wide, 0.03, 0.09, Finish("plain", rim)),
    )
    return Thing("a blackboard" if dark else "a whiteboard", parts, wide, 0.1, 2.1, low=0.85)


def radiator(wide: float) -> Thing:
    """Return a ribbed radiator on the wall."""
    ribs = Finish("paper", rgb(0.92, 0.92, 0.9), rgb(0.7, 0.7, 0.69), 0.08)
    parts = (slab(0.0, 0.14, 0.03, wide, 0.55, 0.1, ribs), slab(0.0, 0.69, 0.03, wide, 0.015, 0.1, WHITE))
    return Thing("a radiator", parts, wide, 0.14, 0.72)


def clock() -> Thing:
    """Return a round clock high on the wall."""
    face = Finish("plain", rgb(0.94, 0.94, 0.92))
    parts = (
        Part("wheel", (0.0, 1.9, 0.02), (0.04, 0.34, 0.34), DARK, np.pi / 2),
        Part("wheel", (0.0, 1.92, 0.025), (0.04, 0.3, 0.3), face, np.pi / 2),
        slab(0.0, 2.06, 0.045, 0.014, 0.11, 0.003, DARK),
        slab(0.04, 2.06, 0.045, 0.08, 0.014, 0.003, DARK),
    )
    return Thing("a clock", parts, 0.36, 0.06, 2.26, low=1.88)
