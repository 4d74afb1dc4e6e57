"""Furniture of homes and offices: each function draws one thing, standing on the floor with its back at z = 0."""

import numpy as np

from aognet.scenes.indoors.finishes import Finish
from aognet.scenes.indoors.furnisher import Part, Thing
from aognet.scenes.indoors.palette import DARK, STEEL, draw_cloth, draw_color, draw_wood, plain, shade
from aognet.scenes.rays import jitter, rgb
from aognet.scenes.words import article


def slab(x: float, y: float, z: float, wide: float, high: float, deep: float, finish: Finish, yaw: float = 0.0) -> Part:
    """Return a box: ``x`` its middle, ``y`` its bottom, ``z`` its back."""
    return Part("box", (x, y, z + deep / 2), (wide, high, deep), finish, yaw)


def pole(x: float, y: float, z: float, radius: float, high: float, finish: Finish) -> Part:
    """Return a round column around (x, z)."""
    return Part("column", (x, y, z), (2 * radius, high, 2 * radius), finish)


def legs(wide: float, deep: float, high: float, finish: Finish, back: float = 0.0, thick: float = 0.05) -> list[Part]:
    """Return four legs just inside a rectangle."""
    return [
        slab(x * (wide / 2 - thick / 2 - 0.02), 0.0, back + z, thick, high, thick, finish)
        for x in (-1, 1)
        for z in (0.02, deep - thick - 0.02)
    ]


def sofa(rng: np.random.Generator, wide: float | None = None) -> Thing:
    """Return a sofa with cushions, or an armchair where it is narrow."""
    tint, cloth = draw_cloth(rng, "grey", "blue", "green", "red", "beige", "brown", "dark grey", "navy", "orange")
    wide = float(rng.uniform(1.7, 2.5)) if wide is None else wide
    arm, seat, back = rng.uniform(0.14, 0.22), 0.42, rng.uniform(0.74, 0.86)
    parts = [
        slab(0.0, 0.1, 0.02, wide, 0.2, 0.86, shade(cloth, 0.85)),
        slab(0.0, 0.1, 0.0, wide, back - 0.1, 0.2, cloth),
    ]
    parts += legs(wide, 0.88, 0.1, DARK)
    inner = wide - 2 * arm
    count = max(1, round(inner / 0.75))
    for side in (-1, 1):
        parts.append(slab(side * (wide - arm) / 2, 0.1, 0.0, arm, 0.5, 0.9, shade(cloth, 0.95)))
    for number in range(count):
        x = inner * ((number + 0.5) / count - 0.5)
        parts.append(slab(x, 0.3, 0.2, inner / count - 0.015, seat - 0.3, 0.68, shade(cloth, 1.04)))
        parts.append(slab(x, seat, 0.2, inner / count - 0.03, back - seat - 0.02, 0.15, shade(cloth, 1.04)))
    if count > 1 and rng.random() < 0.7:
        accent = draw_cloth(rng, "white", "yellow", "red", "blue", "green", "orange")[1]
        for side in (-1, 1):
            parts.append(slab(side * (inner / 2 - 0.25), seat, 0.34, 0.4, 0.38, 0.12, accent, 0.15 * side))
    return Thing(f"{article(tint)} {'sofa' if wide > 1.3 else 'armchair'}", tuple(parts), wide, 0.92, back)


def armchair(rng: np.random.Generator) -> Thing:
    """Return a sofa for one."""
    return sofa(rng, float(rng.uniform(0.8, 0.95)))


def low_table(rng: np.random.Generator) -> Thing:
    """Return a coffee table with a few things on it."""
    wood, wide = draw_wood(rng), float(rng.uniform(0.8, 1.2))
    parts = [slab(0.0, 0.36, 0.0, wide, 0.04, 0.6, wood)]
    parts.append(slab(0.0, 0.14, 0.04, wide - 0.1, 0.02, 0.52, shade(wood, 0.8)))
    parts += legs(wide, 0.6, 0.36, shade(wood, 0.85))
    parts.append(slab(-0.15, 0.4, 0.2, 0.24, 0.04, 0.17, Finish("plain", jitter(rng, rgb(0.6, 0.3, 0.25), 0.5)), 0.3))
    parts.append(pole(0.2, 0.4, 0.3, 0.05, 0.16, Finish("plain", draw_color(rng, "white", "blue", "green")[1])))
    return Thing("a coffee table", tuple(parts), wide, 0.6, 0.5)


def television(rng: np.random.Generator) -> Thing:
    """Return a flat screen on a low cabinet."""
    wood, wide = draw_wood(rng), float(rng.uniform(1.4, 1.9))
    front = Finish("drawers", wood.color, size=0.2)
    screen = Finish("screen", rgb(0.09, 0.1, 0.12), rgb(0.03, 0.03, 0.03))
    parts = (
        slab(0.0, 0.08, 0.0, wide, 0.4, 0.4, front),
        slab(0.0, 0.0, 0.05, wide - 0.1, 0.08, 0.3, DARK),
        slab(0.0, 0.48, 0.14, 0.4, 0.06, 0.14, DARK),
        slab(0.0, 0.54, 0.18, 1.2, 0.68, 0.04, screen),
    )
    return Thing("a television", parts, wide, 0.42, 1.25)


def bookshelf(rng: np.random.Generator, wide: float | None = None, high: float | None = None) -> Thing:
    """Return shelves full of books."""
    wood = draw_wood(rng)
    wide = float(rng.uniform(0.8, 1.8)) if wide is None else wide
    high = float(rng.uniform(1.5, 2.1)) if high is None else high
    books = Finish("books", wood.color, wood.color)
    parts = [slab(0.0, 0.05, 0.02, wide - 0.06, high - 0.08, 0.25, books), slab(0.0, 0.0, 0.02, wide, 0.05, 0.28, wood)]
    parts += [slab(side * (wide / 2 - 0.015), 0.0, 0.0, 0.03, high, 0.32, wood) for side in (-1, 1)]
    parts.append(slab(0.0, high - 0.03, 0.0, wide, 0.03, 0.32, wood))
    return Thing("a bookshelf", tuple(parts), wide, 0.32, high)


def cabinet(rng: np.random.Generator, noun: str, wide: float, high: float, deep: float) -> Thing:
    """Return a wooden or painted case with doors (tall) or drawers (low)."""
    wood = draw_wood(rng)
    if rng.random() < 0.3:
        wood = Finish("plain", draw_color(rng, "white", "cream", "grey", "dark green")[1])
    count = max(2, round(wide / 0.55))
    parts = [
        slab(0.0, 0.06, 0.0, wide, high - 0.06, deep, wood),
        slab(0.0, 0.0, 0.03, wide - 0.06, 0.06, deep - 0.06, DARK),
    ]
    for number in range(count):
        x = wide * ((number + 0.5) / count - 0.5)
        parts.append(slab(x, 0.09, deep, wide / count - 0.012, high - 0.13, 0.018, shade(wood, 1.07)))
        knob = x + (0.5 - number % 2) * (wide / count - 0.12)
        parts.append(slab(knob, high * 0.5, deep + 0.018, 0.02, 0.12, 0.02, STEEL))
    return Thing(noun, tuple(parts), wide, deep + 0.04, high)


def bed(rng: np.random.Generator) -> Thing:
    """Return a bed with a head, a mattress, a blanket and pillows, its head at the wall."""
    tint, cover = draw_cloth(rng, "white", "blue", "grey", "red", "green", "beige", "navy", "pink", "yellow")
    wood, wide = draw_wood(rng), float(rng.choice([0.95, 1.45, 1.7, 1.85]))
    linen = Finish("cloth", rgb(0.92, 0.91, 0.89))
    parts = [
        slab(0.0, 0.0, 0.0, wide + 0.08, float(rng.uniform(0.85, 1.2)), 0.07, wood),
        slab(0.0, 0.16, 0.07, wide + 0.04, 0.14, 2.02, wood),
        slab(0.0, 0.3, 0.07, wide - 0.02, 0.2, 2.0, linen),
        slab(0.0, 0.34, 0.72, wide + 0.05, 0.2, 1.38, cover),
        slab(0.0, 0.535, 0.72, wide + 0.06, 0.025, 0.28, shade(linen, 0.98)),
    ]
    parts += legs(wide, 2.0, 0.16, wood, 0.07, 0.08)
    count = 1 if wide < 1.2 else 2
    for number in range(count):
        x = (wide - 0.1) * ((number + 0.5) / count - 0.5)
        parts.append(slab(x, 0.5, 0.12, 0.62 if count == 2 else 0.7, 0.13, 0.4, linen))
        if rng.random() < 0.5:
            parts.append(slab(x, 0.52, 0.42, 0.45, 0.28, 0.12, shade(cover, 0.9), 0.06))
    return Thing(f"a bed with {article(tint)} blanket", tuple(parts), wide + 0.12, 2.1, 1.0)


def chair(rng: np.random.Generator, wood: Finish, x: float, z: float, yaw: float) -> list[Part]:
    """Return a plain chair whose seat is at (x, z); it looks towards its own +z turned by ``yaw``."""
    c, s = np.cos(yaw), np.sin(yaw)

    def at(a: float, up: float, b: float, size: tuple[float, float, float], finish: Finish) -> Part:
        return Part("box", (x + c * a + s * b, up, z - s * a + c * b), size, finish, yaw)

    parts = [at(0.0, 0.43, 0.0, (0.42, 0.045, 0.42), wood), at(0.0, 0.66, -0.2, (0.4, 0.26, 0.03), wood)]
    parts += [at(a, 0.0, 0.18, (0.04, 0.43, 0.04), shade(wood, 0.85)) for a in (-0.18, 0.18)]
    parts += [at(a, 0.0, -0.2, (0.04, 0.92, 0.04), shade(wood, 0.85)) for a in (-0.19, 0.19)]
    return parts


def dining_table(rng: np.random.Generator, wide: float | None = None) -> Thing:
    """Return a table with chairs on both long sides."""
    wood, seat = draw_wood(rng), draw_wood(rng)
    wide = float(rng.choice([1.4, 1.8, 2.2])) if wide is None else wide
    back = 0.55
    parts = [
        slab(0.0, 0.72, back, wide, 0.035, 0.9, wood),
        slab(0.0, 0.64, back + 0.08, wide - 0.16, 0.08, 0.74, shade(wood, 0.9)),
    ]
    parts += legs(wide, 0.9, 0.72, shade(wood, 0.9), back, 0.07)
    count = max(1, int(wide / 0.68))
    for number in range(count):
        x = wide * ((number + 0.5) / count - 0.5)
        parts += chair(rng, seat, x, back - 0.12, 0.0)
        parts += chair(rng, seat, x, back + 1.02, np.pi)
    vase = Finish("plain", draw_color(rng, "white", "blue", "green")[1])
    parts += [pole(0.1, 0.755, back + 0.45, 0.06, 0.2, vase), pole(-0.25, 0.755, back + 0.5, 0.14, 0.05, vase)]
    return Thing("a dining table with chairs", tuple(parts), wide, 2.0, 0.95)


def cafe_table(rng: np.random.Generator, wood: Finish, seat: Finish) -> Thing:
    """Return a small round table with two chairs."""
    parts = [
        pole(0.0, 0.72, 0.95, 0.36, 0.03, wood),
        pole(0.0, 0.0, 0.95, 0.035, 0.72, DARK),
        pole(0.0, 0.0, 0.95, 0.22, 0.03, DARK),
    ]
    parts += chair(rng, seat, 0.0, 0.45, 0.0) + chair(rng, seat, 0.0, 1.45, np.pi)
    parts.append(pole(0.12, 0.75, 0.9, 0.04, 0.08, plain(0.93, 0.93, 0.92)))
    return Thing("a table with chairs", tuple(parts), 0.75, 1.9, 0.95)


def desk(rng: np.random.Generator) -> Thing:
    """Return a desk with a screen, a keyboard and an office chair."""
    wood = Finish("plain", rgb(0.88, 0.88, 0.87)) if rng.random() < 0.35 else draw_wood(rng)
    wide, dark = float(rng.uniform(1.3, 1.7)), Finish("cloth", jitter(rng, rgb(0.2, 0.21, 0.24), 0.4))
    metal = STEEL if rng.random() < 0.6 else DARK
    screen = Finish("screen", jitter(rng, rgb(0.13, 0.16, 0.2), 0.4), rgb(0.03, 0.03, 0.03))
    parts = [slab(0.0, 0.71, 0.0, wide, 0.03, 0.75, wood)]
    parts += [slab(side * (wide / 2 - 0.06), 0.0, 0.05, 0.05, 0.71, 0.65, metal) for side in (-1, 1)]
    parts += [slab(wide / 2 - 0.3, 0.1, 0.08, 0.4, 0.58, 0.58, Finish("drawers", wood.color * 0.9, size=0.19))]
    parts += [
        slab(-0.1, 0.86, 0.2, 0.62, 0.36, 0.03, screen),
        slab(-0.1, 0.74, 0.17, 0.06, 0.14, 0.03, DARK),
        slab(-0.1, 0.74, 0.12, 0.24, 0.012, 0.16, DARK),
        slab(-0.1, 0.74, 0.45, 0.44, 0.018, 0.14, plain(0.3, 0.3, 0.31)),
        slab(0.4, 0.74, 0.3, 0.21, 0.03, 0.3, plain(0.9, 0.9, 0.87), 0.2),
    ]
    parts += [slab(-0.1, 0.42, 0.72, 0.48, 0.08, 0.46, dark), slab(-0.1, 0.56, 1.15, 0.44, 0.55, 0.06, dark, 0.05)]
    parts += [pole(-0.1, 0.08, 0.95, 0.03, 0.34, STEEL)]
    parts += [slab(-0.1, 0.03, 0.92, 0.56, 0.05, 0.06, DARK, angle) for angle in (0.0, 1.05, 2.1)]
    return Thing("a desk with a computer", tuple(parts), wide, 1.25, 1.25)


def school_desk(rng: np.random.Generator, wood: Finish, seat: Finish) -> Thing:
    """Return a small table for two with chairs, facing +z."""
    parts = [slab(0.0, 0.7, 0.45, 1.2, 0.025, 0.5, wood)]
    parts += legs(1.2, 0.5, 0.7, STEEL, 0.45, 0.035)
    for x in (-0.3, 0.3):
        parts += chair(rng, seat, x, 0.3, 0.0)
    parts.append(slab(0.25, 0.725, 0.6, 0.2, 0.015, 0.28, plain(0.9, 0.9, 0.85), 0.15))
    return Thing("a school desk", tuple(parts), 1.2, 0.98, 0.92)


def plant(rng: np.random.Generator) -> Thing:
    """Return a plant in a pot."""
    high = float(rng.uniform(0.8, 1.6))
    pot = Finish("plain", draw_color(rng, "white", "orange", "dark grey", "brown")[1])
    green = Finish("leaves", jitter(rng, rgb(0.2, 0.42, 0.16), 0.25))
    parts = [pole(0.0, 0.0, 0.22, 0.16, 0.32, pot), pole(0.0, 0.3, 0.22, 0.025, high * 0.4, plain(0.35, 0.25, 0.15))]
    for number in range(9):
        angle, up = number * 2.4, 0.36 + (high - 0.55) * (number + 1) / 9
        reach = 0.16 * (1 - 0.5 * number / 9) + 0.03
        place = (reach * np.cos(angle), up, 0.22 + reach * np.sin(angle))
        parts.append(Part("gable", place, (0.26, 0.12, 0.26), shade(green, 0.8 + 0.05 * number), -angle))
    return Thing("a potted plant", tuple(parts), 0.44, 0.44, high)


def fireplace(rng: np.random.Generator, lit: bool) -> Thing:
    """Return a chimney breast with a mantelpiece, and a fire in it if ``lit``."""
    bricks = Finish("brick", rgb(0.5, 0.27, 0.2), rgb(0.66, 0.63, 0.58), 0.22)
    stone = bricks if rng.random() < 0.5 else Finish("marble", rgb(0.85, 0.84, 0.81), rgb(0.6, 0.58, 0.56))
    parts = [slab(0.0, 0.0, 0.0, 0.9, 0.75, 0.06, plain(0.06, 0.055, 0.05))]
    parts += [slab(side * 0.62, 0.0, 0.0, 0.34, 1.08, 0.36, stone) for side in (-1, 1)]
    parts += [
        slab(0.0, 0.75, 0.0, 0.9, 0.33, 0.36, stone),
        slab(0.0, 1.08, 0.0, 1.72, 0.07, 0.44, draw_wood(rng, "dark", "brown")),
    ]
    parts += [
        slab(0.0, 0.0, 0.0, 1.6, 0.03, 0.7, plain(0.35, 0.34, 0.33)),
        slab(0.0, 0.06, 0.1, 0.5, 0.12, 0.14, plain(0.2, 0.12, 0.07)),
    ]
    lamps = ()
    if lit:
        flame = Finish("plain", rgb(0.9, 0.5, 0.2), glow=np.array([0.25, 0.07, 0.012], np.float32))
        parts += [
            Part("gable", (x, 0.16, 0.17), (0.13, high, 0.1), flame)
            for x, high in ((-0.13, 0.2), (0.02, 0.3), (0.15, 0.18))
        ]
        lamps = (((0.0, 0.35, 0.4), np.array([0.004, 0.0015, 0.0004], np.float32)),)
    return Thing("a fireplace", tuple(parts), 1.72, 0.7, 1.2, lamps)
