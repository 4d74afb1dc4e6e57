"""What stands, hangs and opens in rooms, built of boxes: beds, sofas, tables, pictures, doors, windows, lamps..."""

import numpy as np

from aognet.data.synthetic.furnisher import Furnisher, draw_color, draw_wood
from aognet.data.synthetic.rays import jitter, rgb
from aognet.data.synthetic.rooms import Window
from aognet.data.synthetic.solids import box, column
from aognet.data.synthetic.words import article, pick


def bed(f: Furnisher) -> None:
    """A bed with a head, pillows and a blanket, and night tables with lamps where there is room."""
    rng, (tint, cloth), wood = (
        f.rng,
        draw_color(f.rng, "white", "blue", "grey", "red", "green", "beige"),
        draw_wood(f.rng),
    )
    wide = rng.uniform(1.4, 1.9)

    def build(wall, at):
        parts = [
            f.place(wall, at, 0.02, 0.0, (wide + 0.1, rng.uniform(0.8, 1.2), 0.07), wood, "veneer"),
            f.place(wall, at, 0.1, 0.05, (wide, 0.25, 2.0), wood, "veneer"),
            f.place(wall, at, 0.1, 0.3, (wide - 0.04, 0.2, 1.97), rgb(0.92, 0.91, 0.88), "cloth"),
            f.place(wall, at, 0.75, 0.32, (wide + 0.02, 0.22, 1.34), cloth, "cloth"),
        ]
        for side in (-1, 1):
            parts.append(
                f.place(wall, at + side * wide / 4, 0.16, 0.5, (wide * 0.38, 0.12, 0.38), rgb(0.95, 0.94, 0.92))
            )
        return parts

    if f.along_wall(f"a bed with {article(tint)} blanket", wide + 0.2, build, 0.2):
        wall, at, _ = f.taken[-1]
        for side in (-1, 1):
            spot = at + side * (wide / 2 + 0.35)
            _, _, along = f.room.wall_axes(wall)
            if not f.room.low[along] + 0.25 < spot < f.room.high[along] - 0.25:
                continue
            stand = [f.place(wall, spot, 0.03, 0.0, (0.45, 0.5, 0.4), wood, "veneer")]
            if f.put(None, wall, spot, 0.5, stand):
                _table_lamp(f, wall, spot, 0.5)


def _table_lamp(f: Furnisher, wall: int, at: float, up: float) -> None:
    """A small lamp with a lit shade."""
    stand = f.place(wall, at, 0.16, up, (0.04, 0.2, 0.04), rgb(0.3, 0.25, 0.2))
    shade = column(stand.center + np.array([0, 0.2, 0]), 0.12, 0.22, rgb(1.0, 0.88, 0.66), "lamp")
    f.room.solids += [stand, shade]
    f.room.lamps.append((shade.center, rgb(1.0, 0.8, 0.55) * np.float32(0.25)))


def sofa(f: Furnisher) -> None:
    """A sofa with cushions and a low table before it."""
    rng, (tint, cloth) = f.rng, draw_color(f.rng, "grey", "blue", "green", "red", "beige", "brown")
    wide = rng.uniform(1.6, 2.4)

    def build(wall, at):
        parts = [
            f.place(wall, at, 0.05, 0.08, (wide, 0.34, 0.85), cloth, "cloth"),
            f.place(wall, at, 0.05, 0.3, (wide, 0.52, 0.24), cloth * 0.95, "cloth"),
        ]
        for side in (-1, 1):
            parts.append(
                f.place(wall, at + side * (wide / 2 - 0.09), 0.05, 0.08, (0.2, 0.54, 0.86), cloth * 0.9, "cloth")
            )
            parts.append(
                f.place(wall, at + side * wide / 4.4, 0.22, 0.42, (wide / 2.4, 0.13, 0.66), cloth * 1.06, "cloth")
            )
        return parts

    if f.along_wall(f"{article(tint)} sofa", wide, build, 0.5):
        wall, at, _ = f.taken[-1]
        wood = draw_wood(rng)
        top = [f.place(wall, at, 1.35, 0.36, (1.0, 0.05, 0.55), wood, "veneer")]
        top += [f.place(wall, at + s * 0.42, 1.4, 0.0, (0.06, 0.36, 0.4), wood * 0.8) for s in (-1, 1)]
        f.put(pick(rng, "a coffee table", "a low table"), wall, at, 0.1, top)


def desk(f: Furnisher) -> None:
    """A desk with a screen and an office chair."""
    wood = draw_wood(f.rng)

    def build(wall, at):
        parts = [f.place(wall, at, 0.05, 0.71, (1.5, 0.04, 0.72), wood, "veneer")]
        parts += [f.place(wall, at + s * 0.7, 0.1, 0.0, (0.05, 0.71, 0.6), wood * 0.8) for s in (-1, 1)]
        parts.append(f.place(wall, at, 0.2, 0.88, (0.62, 0.36, 0.04), rgb(0.1, 0.1, 0.11)))
        parts.append(f.place(wall, at, 0.19, 0.75, (0.08, 0.16, 0.03), rgb(0.2, 0.2, 0.2)))
        parts.append(f.place(wall, at, 0.5, 0.75, (0.4, 0.02, 0.14), rgb(0.25, 0.25, 0.26)))
        parts.append(f.place(wall, at + 0.1, 0.95, 0.42, (0.46, 0.07, 0.46), rgb(0.15, 0.15, 0.17), "cloth"))
        parts.append(f.place(wall, at + 0.1, 1.36, 0.5, (0.42, 0.55, 0.06), rgb(0.15, 0.15, 0.17), "cloth"))
        parts.append(f.place(wall, at + 0.1, 1.15, 0.0, (0.07, 0.42, 0.07), rgb(0.3, 0.3, 0.3)))
        return parts

    f.along_wall(pick(f.rng, "a desk with a computer", "a desk and a chair"), 1.6, build)


def table_with_chairs(f: Furnisher) -> None:
    """A dining table somewhere in the room with two chairs."""
    rng, wood = f.rng, draw_wood(f.rng)
    floor = f.room.low[1]
    spots = rng.uniform(f.room.low[[0, 2]] + 1.2, f.room.high[[0, 2]] - 1.2, (20, 2))
    free = [
        (x, z)
        for x, z in spots
        if np.hypot(x, z) > 1.35
        and all(np.hypot(x - s.center[0], z - s.center[2]) > s.radius + 0.7 for s in f.room.solids)
    ]
    if not free:
        return
    x, z = free[0]
    parts = [box((x, floor + 0.74, z), (1.4, 0.05, 0.9), wood, "veneer")]
    parts += [
        box((x + a, floor + 0.36, z + b), (0.06, 0.72, 0.06), wood * 0.85) for a in (-0.62, 0.62) for b in (-0.38, 0.38)
    ]
    for a, b in ((-0.35, -0.65), (0.35, 0.65)):
        parts.append(box((x + a, floor + 0.44, z + b), (0.42, 0.05, 0.42), wood * 0.9, "veneer"))
        parts.append(box((x + a, floor + 0.7, z + b * 1.3), (0.42, 0.5, 0.04), wood * 0.9, "veneer"))
        parts.append(box((x + a, floor + 0.21, z + b), (0.34, 0.42, 0.34), wood * 0.35))
    f.put("a table with chairs", -1, 0.0, 0.0, parts)


def cupboard(f: Furnisher, name: str, size, color, material="veneer") -> None:
    """A box by the wall: of wood it has two doors; of books it is a shelf."""

    def build(wall, at):
        parts = [f.place(wall, at, 0.02, 0.0, size, color, material)]
        if material == "veneer":
            for number in (-1, 1):
                door = (size[0] / 2 - 0.03, size[1] - 0.1, 0.02)
                parts.append(
                    f.place(wall, at + number * size[0] / 4, size[2] + 0.02, 0.06, door, color * 1.08, material)
                )
        return parts

    f.along_wall(name, size[0], build)


def pictures(f: Furnisher, count: int, name: str) -> None:
    """Up to ``count`` paintings on the walls."""
    rng, done = f.rng, 0
    for _ in range(count):
        wide, high = rng.uniform(0.5, 1.3), rng.uniform(0.45, 0.9)
        tint = jitter(rng, rgb(*rng.uniform(0.15, 0.9, 3)))
        up = rng.uniform(1.45, 1.6) - high / 2
        before = len(f.seen)
        if f.along_wall(
            name, wide, lambda w, a, s=(wide, high, 0.03), u=up, t=tint: [f.place(w, a, 0.0, u, s, t, "picture")]
        ):
            done += 1
            del f.seen[before:]
    if done:
        f.seen.append(name if done > 1 else article(name.removesuffix("s")))


def door(f: Furnisher) -> None:
    """A door in its frame."""
    rng = f.rng
    tint, color = draw_color(rng, "white", "white", "brown", "blue", "grey")
    if tint == "brown":
        color = draw_wood(rng)

    def build(wall, at):
        return [
            f.place(wall, at, 0.0, 0.0, (0.98, 2.1, 0.03), color * 0.8),
            f.place(wall, at, 0.02, 0.0, (0.84, 2.03, 0.03), color, "veneer" if tint == "brown" else "plain"),
            f.place(wall, at + 0.34, 0.05, 1.0, (0.12, 0.03, 0.04), rgb(0.6, 0.58, 0.5)),
        ]

    f.along_wall(f"{article(tint)} door" if tint != "brown" else "a wooden door", 1.0, build)


def windows(f: Furnisher, count: int, big: bool) -> None:
    """Up to ``count`` windows, some with curtains."""
    done = 0
    for _ in range(count):
        wide = f.rng.uniform(1.6, 3.0) if big else f.rng.uniform(0.9, 1.8)
        slot = f.slot(wide, margin=0.3)
        if slot is None:
            continue
        wall, at = slot
        floor = float(f.room.low[1])
        top = min(float(f.room.high[1]) - 0.25, floor + 2.4)
        low = floor + (0.15 if big and f.rng.random() < 0.5 else f.rng.uniform(0.8, 1.0))
        f.room.windows.append(Window(wall, at - wide / 2, at + wide / 2, low, top, max(1, round(wide / 0.8))))
        f.taken.append((wall, at, wide))
        if f.rng.random() < 0.4:
            cloth = draw_color(f.rng, "white", "beige", "grey", "blue", "red")[1]
            for side in (-1, 1):
                drape = (0.28, top - floor + 0.05, 0.08)
                f.room.solids.append(f.place(wall, at + side * (wide / 2 + 0.1), 0.03, 0.05, drape, cloth, "cloth"))
        done += 1
    if done:
        words = ("large windows", "a large window") if big else ("windows", "a window")
        f.seen.append(words[0] if done > 1 else words[1])


def ceiling_lights(f: Furnisher, panels: bool) -> None:
    """One hanging lamp, or rows of light panels."""
    room, rng = f.room, f.rng
    middle = (room.low + room.high) / 2
    warm = rgb(1.0, 0.86, 0.68) if not panels else rgb(0.97, 0.98, 1.0)
    strength = np.float32(rng.uniform(0.7, 1.0) if room.sky.is_dark else rng.uniform(0.25, 0.5))
    spots = [middle[[0, 2]]]
    if panels:
        xs = np.arange(room.low[0] + 1.2, room.high[0] - 0.6, 2.4)
        zs = np.arange(room.low[2] + 1.2, room.high[2] - 0.6, 2.4)
        spots = [np.array([x, z]) for x in xs for z in zs]
    for x, z in spots:
        if panels:
            lamp = box((x, room.high[1] - 0.01, z), (0.6, 0.03, 1.1), warm, "lamp")
        else:
            lamp = column((x, room.high[1] - 0.3, z), 0.18, 0.16, warm, "lamp", 12)
            room.solids.append(column((x, room.high[1] - 0.1, z), 0.012, 0.3, rgb(0.2, 0.2, 0.2), sides=5))
        room.solids.append(lamp)
        if len(room.lamps) < 6:
            place = np.array([x, room.high[1] - 0.5, z])
            room.lamps.append((place, warm * strength * np.float32(1.6 / min(len(spots), 6) ** 0.5)))


def kitchen_units(f: Furnisher) -> None:
    """Cabinets along one or two walls, a fridge and a table."""
    rng = f.rng
    tint, color = draw_color(rng, "white", "white", "blue", "green", "grey")
    top = jitter(rng, rgb(0.35, 0.34, 0.33), 0.3)
    walls = [int(w) for w in rng.permutation(4)[: int(rng.integers(1, 3))]]
    for wall in walls:
        _, _, along = f.room.wall_axes(wall)
        span = float(f.room.high[along] - f.room.low[along])
        count = int(span / 0.62)
        for number in range(count):
            at = float(f.room.low[along]) + span * (number + 0.5) / count
            size = span / count
            windows_here = [w for w in f.room.windows if w.wall == wall and w.left - 0.4 < at < w.right + 0.4]
            if any(w.low < f.room.low[1] + 0.9 for w in windows_here):
                continue
            parts = [f.place(wall, at, 0.0, 0.1, (size - 0.012, 0.76, 0.58), color, "plain")]
            parts += [f.place(wall, at, 0.0, 0.86, (size, 0.04, 0.62), top, "marble")]
            parts += [f.place(wall, at, 0.58, 0.76, (size * 0.4, 0.02, 0.03), rgb(0.5, 0.5, 0.5))]
            if not windows_here:
                parts.append(f.place(wall, at, 0.0, 1.45, (size - 0.012, 0.7, 0.34), color))
            if all(part.gap(np.zeros((1, 3), np.float32))[0] > 0.3 for part in parts):
                f.room.solids += parts
        f.taken.append((wall, 0.0, 99.0))
    f.seen.append(pick(rng, f"{tint} cabinets", f"{tint} kitchen cabinets"))
    cupboard(f, pick(rng, "a fridge", "a refrigerator"), (0.65, 1.85, 0.65), rgb(0.8, 0.8, 0.82), "plain")
    table_with_chairs(f)


def bathroom_fittings(f: Furnisher) -> None:
    """A bathtub, a sink with a mirror, a toilet."""
    rng, white = f.rng, rgb(0.93, 0.93, 0.92)

    def tub(wall, at):
        return [
            f.place(wall, at, 0.0, 0.0, (1.7, 0.55, 0.75), white),
            f.place(wall, at, 0.08, 0.5, (1.54, 0.055, 0.59), white * 0.75),
        ]

    def sink(wall, at):
        return [
            f.place(wall, at, 0.0, 0.78, (0.6, 0.14, 0.45), white),
            f.place(wall, at, 0.1, 0.0, (0.5, 0.78, 0.3), draw_wood(rng), "veneer"),
            f.place(wall, at, 0.0, 1.2, (0.6, 0.75, 0.02), rgb(0.75, 0.8, 0.82)),
        ]

    def toilet(wall, at):
        return [
            f.place(wall, at, 0.02, 0.38, (0.38, 0.4, 0.18), white),
            f.place(wall, at, 0.2, 0.0, (0.36, 0.42, 0.45), white * 0.97),
        ]

    f.along_wall("a bathtub", 1.7, tub)
    f.along_wall(pick(rng, "a sink with a mirror", "a sink and a mirror"), 0.7, sink)
    f.along_wall("a toilet", 0.5, toilet)
