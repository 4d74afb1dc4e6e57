"""Things of public rooms and of work: cafes, gyms, workshops, garages, churches, museums, lobbies."""

import numpy as np

from aognet.scenes.indoors.finishes import Finish
from aognet.scenes.indoors.furnisher import Part, Thing
from aognet.scenes.indoors.furniture import legs, pole, slab
from aognet.scenes.indoors.palette import BRASS, DARK, STEEL, WHITE, draw_color, draw_wood, plain, shade
from aognet.scenes.rays import jitter, rgb
from aognet.scenes.words import article


def bar(rng: np.random.Generator, wide: float) -> Thing:
    """Return a bar with bottles on shelves behind it and stools before it."""
    wood, top = draw_wood(rng, "brown", "dark"), plain(0.2, 0.19, 0.19)
    parts = [
        slab(0.0, 0.0, 1.1, wide, 1.02, 0.45, Finish("half", wood.color, wood.color)),
        slab(0.0, 1.02, 1.0, wide + 0.1, 0.05, 0.65, top),
    ]
    parts += [slab(0.0, 0.0, 0.0, wide, 0.9, 0.4, wood)]
    for up in (1.25, 1.65, 2.05):
        parts.append(slab(0.0, up, 0.0, wide, 0.03, 0.25, wood))
        for x in np.arange(-wide / 2 + 0.12, wide / 2 - 0.1, 0.19):
            glass = Finish(
                "plain",
                jitter(
                    rng, rgb(*((0.2, 0.35, 0.2), (0.45, 0.28, 0.12), (0.75, 0.78, 0.78))[int(rng.integers(3))]), 0.4
                ),
            )
            parts.append(slab(float(x), up + 0.03, 0.08, 0.08, float(rng.uniform(0.18, 0.3)), 0.08, glass))
    for x in np.arange(-wide / 2 + 0.35, wide / 2 - 0.2, 0.65):
        parts += [
            pole(float(x), 0.72, 1.85, 0.18, 0.05, plain(0.35, 0.17, 0.12)),
            pole(float(x), 0.0, 1.85, 0.03, 0.72, STEEL),
            pole(float(x), 0.0, 1.85, 0.2, 0.02, STEEL),
        ]
    return Thing("a bar", tuple(parts), wide + 0.1, 2.05, 2.35)


def reception(rng: np.random.Generator) -> Thing:
    """Return a reception desk with a screen and a lit sign behind it."""
    wood, wide = draw_wood(rng), float(rng.uniform(2.4, 3.4))
    stone = Finish("marble", rgb(0.85, 0.84, 0.81), rgb(0.55, 0.5, 0.45))
    parts = [slab(0.0, 0.0, 1.2, wide, 1.05, 0.4, wood), slab(0.0, 1.05, 1.12, wide + 0.1, 0.05, 0.6, stone)]
    parts += [slab(side * (wide / 2 - 0.2), 0.0, 0.5, 0.4, 1.05, 0.7, wood) for side in (-1, 1)]
    parts += [slab(0.4, 1.1, 1.3, 0.5, 0.34, 0.03, DARK), slab(0.0, 0.3, 0.0, wide + 0.4, 2.1, 0.06, shade(wood, 0.7))]
    parts += [
        pole(-wide / 2 + 0.3, 1.1, 1.4, 0.07, 0.25, WHITE),
        slab(-wide / 2 + 0.3, 1.3, 1.3, 0.2, 0.2, 0.2, Finish("leaves", rgb(0.25, 0.45, 0.2))),
    ]
    return Thing("a reception desk", tuple(parts), wide + 0.4, 1.75, 2.4)


def treadmill() -> Thing:
    """Return a treadmill with a console."""
    parts = (
        slab(0.0, 0.1, 0.3, 0.8, 0.12, 1.5, DARK),
        slab(0.0, 0.22, 0.4, 0.5, 0.005, 1.35, plain(0.25, 0.25, 0.26)),
        slab(-0.36, 0.2, 0.45, 0.06, 1.1, 0.08, STEEL),
        slab(0.36, 0.2, 0.45, 0.06, 1.1, 0.08, STEEL),
        slab(0.0, 1.2, 0.4, 0.8, 0.28, 0.08, DARK),
        slab(-0.37, 1.0, 0.5, 0.05, 0.05, 0.55, DARK),
        slab(0.37, 1.0, 0.5, 0.05, 0.05, 0.55, DARK),
        slab(0.0, 0.0, 0.35, 0.7, 0.1, 0.1, STEEL),
        slab(0.0, 0.0, 1.6, 0.7, 0.1, 0.1, STEEL),
    )
    return Thing("a treadmill", parts, 0.85, 1.85, 1.5)


def weights(rng: np.random.Generator) -> Thing:
    """Return a rack of dumbbells."""
    parts = [slab(x, 0.0, 0.05, 0.06, 1.0, 0.45, DARK) for x in (-0.9, 0.9)]
    for up, deep in ((0.25, 0.3), (0.6, 0.2), (0.95, 0.1)):
        parts.append(slab(0.0, up, deep - 0.1, 1.8, 0.03, 0.28, STEEL))
        for x in np.arange(-0.75, 0.8, 0.3):
            parts += [
                Part("wheel", (float(x) + side, up + 0.03, deep + 0.04), (0.07, 0.16, 0.16), DARK)
                for side in (-0.08, 0.08)
            ]
    return Thing("a rack of dumbbells", tuple(parts), 1.9, 0.55, 1.15)


def bench_press(rng: np.random.Generator) -> Thing:
    """Return a padded bench under a barbell."""
    pad = Finish("cloth", draw_color(rng, "black", "red", "navy")[1])
    parts = [
        slab(0.0, 0.42, 0.3, 0.32, 0.08, 1.2, pad),
        slab(0.0, 0.0, 0.45, 0.08, 0.42, 0.08, DARK),
        slab(0.0, 0.0, 1.3, 0.08, 0.42, 0.08, DARK),
    ]
    parts += [slab(side * 0.5, 0.0, 0.2, 0.07, 1.1, 0.07, DARK) for side in (-1, 1)]
    parts += [slab(0.0, 1.1, 0.215, 1.9, 0.035, 0.035, STEEL), slab(0.0, 0.0, 0.35, 0.9, 0.05, 0.06, DARK)]
    parts += [Part("wheel", (side * 0.8, 0.89, 0.23), (0.08, 0.45, 0.45), DARK) for side in (-1, 1)]
    return Thing("a weight bench", tuple(parts), 1.9, 1.5, 1.35)


def workbench(rng: np.random.Generator) -> Thing:
    """Return a workbench with a vice and tools hanging on a board."""
    wood = draw_wood(rng, "light", "brown")
    parts = [slab(0.0, 0.82, 0.0, 2.0, 0.07, 0.7, wood), slab(0.0, 0.2, 0.05, 1.9, 0.04, 0.6, shade(wood, 0.8))]
    parts += legs(2.0, 0.7, 0.82, shade(wood, 0.85), thick=0.09)
    parts += [
        slab(0.0, 1.1, 0.0, 2.0, 0.9, 0.02, plain(0.66, 0.58, 0.45)),
        slab(0.75, 0.89, 0.45, 0.18, 0.16, 0.25, plain(0.2, 0.3, 0.42)),
    ]
    for x in np.arange(-0.85, 0.9, 0.21):
        tint = plain(0.75, 0.2, 0.12) if rng.random() < 0.4 else DARK
        high = float(rng.uniform(0.12, 0.3))
        parts += [
            slab(float(x), 1.4, 0.02, 0.035, high, 0.03, tint),
            slab(float(x), 1.4 + high, 0.02, 0.1, 0.06, 0.03, STEEL),
        ]
    parts += [
        slab(-0.6, 0.24, 0.1, 0.5, 0.3, 0.4, plain(0.7, 0.14, 0.1)),
        slab(-0.3, 0.89, 0.2, 0.35, 0.16, 0.2, plain(0.85, 0.6, 0.1)),
    ]
    return Thing("a workbench with tools", tuple(parts), 2.0, 0.72, 2.0)


def storage(rng: np.random.Generator) -> Thing:
    """Return metal shelves with boxes."""
    parts = [slab(x, 0.0, z, 0.04, 1.9, 0.04, STEEL) for x in (-0.68, 0.68) for z in (0.02, 0.44)]
    for up in (0.15, 0.72, 1.28, 1.84):
        parts.append(slab(0.0, up, 0.0, 1.4, 0.03, 0.5, STEEL))
        x = -0.62
        while up < 1.5 and x < 0.4:
            wide, high = float(rng.uniform(0.22, 0.42)), float(rng.uniform(0.18, 0.42))
            tint = draw_color(rng, "brown", "beige", "beige", "blue", "red", "green", "white")[1]
            parts.append(slab(x + wide / 2, up + 0.03, 0.06, wide - 0.03, high, 0.36, Finish("plain", tint)))
            x += wide + float(rng.uniform(0, 0.12))
    return Thing("metal shelves with boxes", tuple(parts), 1.42, 0.5, 1.9)


def crates(rng: np.random.Generator) -> Thing:
    """Return a small stack of cardboard boxes."""
    card = [Finish("screen", jitter(rng, rgb(0.68, 0.52, 0.35), 0.15), rgb(0.6, 0.45, 0.3)) for _ in range(3)]
    parts = (
        slab(-0.22, 0.0, 0.05, 0.5, 0.4, 0.42, card[0], 0.05),
        slab(0.3, 0.0, 0.05, 0.42, 0.32, 0.4, card[1], -0.08),
        slab(-0.15, 0.4, 0.08, 0.42, 0.3, 0.36, card[2], 0.2),
    )
    return Thing("cardboard boxes", parts, 1.05, 0.55, 0.72)


def car(rng: np.random.Generator) -> Thing:
    """Return a parked car, its nose towards +z."""
    tint, color = draw_color(rng, "red", "blue", "white", "grey", "black", "dark green", "yellow", "navy")
    body, glass = Finish("plain", color), plain(0.08, 0.1, 0.12)
    parts = [slab(0.0, 0.3, 0.1, 1.75, 0.38, 4.2, body), slab(0.0, 0.66, 0.2, 1.68, 0.22, 4.0, body)]
    parts += [slab(0.0, 0.88, 0.75, 1.5, 0.44, 2.0, glass), slab(0.0, 1.32, 0.95, 1.4, 0.05, 1.6, body)]
    parts += [slab(side * 0.74, 0.86, z, 0.05, 0.48, 0.09, body) for side in (-1, 1) for z in (0.78, 1.65, 2.64)]
    parts += [slab(0.0, 0.84, 2.7, 1.45, 0.22, 0.35, glass)]
    parts += [Part("wheel", (side * 0.8, 0.0, z), (0.22, 0.64, 0.64), DARK) for side in (-1, 1) for z in (0.95, 3.4)]
    parts += [Part("wheel", (side * 0.88, 0.12, z), (0.1, 0.4, 0.4), STEEL) for side in (-1, 1) for z in (0.95, 3.4)]
    parts += [slab(side * 0.65, 0.6, 4.27, 0.3, 0.14, 0.04, plain(0.95, 0.95, 0.9)) for side in (-1, 1)]
    parts += [slab(side * 0.65, 0.6, 0.08, 0.3, 0.14, 0.04, plain(0.7, 0.05, 0.05)) for side in (-1, 1)]
    parts += [slab(0.0, 0.42, 4.28, 0.5, 0.12, 0.03, WHITE), slab(0.0, 0.3, 4.25, 1.7, 0.1, 0.1, DARK)]
    return Thing(f"{article(tint)} car", tuple(parts), 1.8, 4.35, 1.4)


def garage_door(rng: np.random.Generator, wide: float) -> Thing:
    """Return a wide door of slats."""
    metal = Finish("slats", jitter(rng, rgb(0.82, 0.82, 0.8), 0.1), rgb(0.5, 0.5, 0.5), 0.5)
    parts = (slab(0.0, 0.0, 0.0, wide, 2.2, 0.05, metal), slab(0.0, 2.2, 0.0, wide + 0.2, 0.12, 0.1, DARK))
    return Thing("a garage door", parts, wide + 0.2, 0.12, 2.32)


def pew(wood: Finish, wide: float) -> Thing:
    """Return a long bench with a back, its front towards +z."""
    parts = [
        slab(0.0, 0.42, 0.08, wide, 0.05, 0.42, wood),
        slab(0.0, 0.42, 0.0, wide, 0.5, 0.06, wood),
        slab(0.0, 0.9, -0.03, wide, 0.04, 0.14, wood),
    ]
    parts += [slab(x, 0.0, 0.0, 0.07, 0.95, 0.5, shade(wood, 0.85)) for x in (-wide / 2, wide / 2)]
    return Thing("wooden pews", tuple(parts), wide + 0.1, 0.55, 0.95)


def altar() -> Thing:
    """Return steps, a table with a white cloth, candles and a cross behind it."""
    stone = plain(0.6, 0.57, 0.52)
    parts = [slab(0.0, 0.0, 0.0, 4.2, 0.15, 2.4, stone), slab(0.0, 0.15, 0.0, 3.4, 0.15, 1.8, stone)]
    parts += [
        slab(0.0, 0.3, 0.75, 2.0, 0.95, 0.7, plain(0.93, 0.92, 0.88)),
        slab(0.0, 1.25, 0.7, 2.2, 0.06, 0.8, plain(0.75, 0.7, 0.6)),
    ]
    parts += [pole(x, 1.31, 1.1, 0.03, 0.4, plain(0.93, 0.9, 0.8)) for x in (-0.8, 0.8)]
    parts += [slab(0.0, 1.6, 0.05, 0.16, 2.0, 0.1, BRASS), slab(0.0, 2.75, 0.05, 1.1, 0.16, 0.1, BRASS)]
    return Thing("an altar with a cross", tuple(parts), 4.2, 2.4, 3.6)


def pillar(finish: Finish, radius: float, high: float) -> Thing:
    """Return a column with a base and a capital."""
    parts = (
        slab(0.0, 0.0, 0.0, 2.7 * radius, 0.3, 2.7 * radius, finish),
        pole(0.0, 0.3, 1.35 * radius, radius, high - 0.65, finish),
        pole(0.0, high - 0.45, 1.35 * radius, 1.25 * radius, 0.15, finish),
        slab(0.0, high - 0.3, 0.0, 2.8 * radius, 0.32, 2.7 * radius, finish),
    )
    return Thing("a column", parts, 2.8 * radius, 2.7 * radius, high - 0.01)


def statue(rng: np.random.Generator) -> Thing:
    """Return a figure or an abstract sculpture on a plinth."""
    plinth = plain(0.88, 0.87, 0.85)
    stone = Finish("plaster", rgb(0.8, 0.78, 0.74)) if rng.random() < 0.6 else Finish("plaster", rgb(0.35, 0.24, 0.15))
    parts = [slab(0.0, 0.0, 0.0, 0.6, 0.9, 0.6, plinth)]
    if rng.random() < 0.6:  # a figure: legs, body, shoulders, arms, head
        parts += [pole(x, 0.9, 0.3, 0.08, 0.55, stone) for x in (-0.09, 0.09)]
        parts += [
            Part("column", (0.0, 1.4, 0.3), (0.34, 0.32, 0.3), stone),
            Part("column", (0.0, 1.68, 0.3), (0.42, 0.2, 0.3), stone),
        ]
        parts += [pole(x, 1.3, 0.3, 0.055, 0.55, stone) for x in (-0.24, 0.24)]
        parts += [pole(0.0, 1.86, 0.3, 0.06, 0.08, stone), pole(0.0, 1.93, 0.3, 0.11, 0.24, stone)]
        return Thing("a statue", tuple(parts), 0.6, 0.6, 2.2)
    for number, up in enumerate(np.arange(0.9, 1.7, 0.2)):
        parts.append(slab(0.0, float(up), 0.12, 0.36 - 0.04 * number, 0.2, 0.36 - 0.04 * number, stone, 0.35 * number))
    return Thing("a sculpture", tuple(parts), 0.6, 0.6, 1.75)


def showcase(rng: np.random.Generator) -> Thing:
    """Return a low display case with objects on a pale cloth."""
    parts = [
        slab(0.0, 0.0, 0.05, 1.3, 0.85, 0.6, draw_wood(rng, "dark", "brown")),
        slab(0.0, 0.85, 0.0, 1.4, 0.03, 0.7, plain(0.9, 0.88, 0.82)),
    ]
    for x in np.arange(-0.5, 0.55, 0.25):
        clay = Finish("plain", jitter(rng, rgb(0.65, 0.42, 0.28), 0.35))
        parts.append(pole(float(x), 0.88, 0.35, float(rng.uniform(0.05, 0.09)), float(rng.uniform(0.1, 0.35)), clay))
    return Thing("a display case", tuple(parts), 1.4, 0.7, 1.25)


def seat(rng: np.random.Generator) -> Thing:
    """Return a padded bench without a back."""
    cloth = Finish("cloth", draw_color(rng, "black", "grey", "brown", "red", "navy")[1])
    parts = (
        slab(0.0, 0.3, 0.0, 1.6, 0.14, 0.5, cloth),
        slab(-0.6, 0.0, 0.05, 0.06, 0.3, 0.4, DARK),
        slab(0.6, 0.0, 0.05, 0.06, 0.3, 0.4, DARK),
    )
    return Thing("a bench", parts, 1.6, 0.5, 0.45)
