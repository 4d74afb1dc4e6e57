"""How rooms of homes, offices and schools are furnished."""

from collections.abc import Callable

import numpy as np

from aognet.scenes.indoors import equipment, fittings, furniture
from aognet.scenes.indoors.finishes import Finish
from aognet.scenes.indoors.furnisher import Furnisher, Thing
from aognet.scenes.indoors.lamps import floor_lamp, pendant, table_lamp
from aognet.scenes.indoors.palette import WARM, draw_color, draw_wood
from aognet.scenes.rays import rgb


def each(f: Furnisher, count: int, draw: Callable[[np.random.Generator], Thing], front: float = 0.5) -> None:
    for _ in range(count):
        f.against(draw(f.rng), front=front)


def pictures(f: Furnisher, most: int, noun: str = "a picture", size: float = 1.0, middle: float = 1.6) -> None:
    for _ in range(int(f.rng.integers(1, most + 1))):
        wide, high = f.rng.uniform(0.45, 1.1, 2) * size
        f.hang(fittings.picture(f.rng, float(wide), float(high), middle + float(f.rng.uniform(-0.05, 0.1)), noun))


def rug(f: Furnisher, wide: float, deep: float) -> None:
    """Add a rug in the middle of the floor or where the camera stands."""
    shell = f.room.shell
    half = np.array([wide, deep]) / 2
    for _ in range(20):
        middle = f.rng.uniform(shell.low + half, np.maximum(shell.high - half, shell.low + half + 1e-3))
        corners = [middle + half * (a, b) for a in (-1, 1) for b in (-1, 1)]
        # Seen from right above, a rug would fill the picture's whole lower edge.
        if all(shell.inside(*corner, margin=0.05) for corner in corners) and (np.abs(middle) > half + 0.2).any():
            f.add(fittings.rug(f.rng, wide, deep), middle)
            return


def living_room(f: Furnisher) -> None:
    """Add a sofa with its table, armchairs, a television or a fireplace, books, a plant."""
    rng = f.rng
    for _ in range(6):
        couch = furniture.sofa(rng)
        if (found := f.lean(couch, 0.05, 0.2)) is not None:
            wall = f.room.shell.walls[found[0]]
            table = furniture.low_table(rng)
            f.put(table, wall, found[1], 1.4)
            spot = wall.point(found[1], 1.6, 0.0)[[0, 2]]
            f.add(fittings.rug(rng, 2.6, 1.7), spot, wall.yaw)
            break
    if rng.random() < 0.5 and f.against(
        furniture.fireplace(rng, f.room.sky.weather in ("twilight", "night")), 0.0, 0.4
    ):
        pictures(f, 2)
    else:
        f.against(furniture.television(rng), front=0.6)
    each(f, int(rng.integers(0, 3)), furniture.armchair, 0.4)
    each(f, int(rng.integers(0, 3)), furniture.bookshelf)
    f.against(floor_lamp(WARM, 90.0 if lit(f) else 1.0), 0.1)
    each(f, 1, furniture.plant, 0.1)
    pictures(f, 4)


def bedroom(f: Furnisher) -> None:
    """Add a bed with night tables, a wardrobe, a chest of drawers."""
    rng = f.rng
    for _ in range(12):
        bed = furniture.bed(rng)
        if (found := f.lean(bed, 0.0, 0.2)) is not None:
            wall = f.room.shell.walls[found[0]]
            stand, watt = draw_wood(rng), 45.0 if lit(f) else 1.0
            for side in (-1, 1):
                lamp = table_lamp(WARM, watt, stand)
                at = found[1] + side * (bed.wide + lamp.wide + 0.08) / 2
                if lamp.wide / 2 < at < wall.length - lamp.wide / 2 and f.put(lamp, wall, at, 0.0):
                    f.claim(found[0], at, lamp)
            break
    f.against(furniture.cabinet(rng, "a wardrobe", float(rng.uniform(1.1, 1.9)), 2.05, 0.58), 0.0, 0.6)
    if rng.random() < 0.6:
        f.against(furniture.cabinet(rng, "a chest of drawers", float(rng.uniform(0.8, 1.3)), 0.85, 0.45), 0.0, 0.4)
    if rng.random() < 0.4:
        f.against(furniture.armchair(rng), 0.1, 0.2)
    if rng.random() < 0.5:
        f.against(furniture.plant(rng), 0.05)
    rug(f, 2.0, 1.4)
    pictures(f, 3)


def kitchen(f: Furnisher) -> None:
    """Add counters with sink and stove, a fridge, an island or a table."""
    rng = f.rng
    tint, color = draw_color(rng, "white", "white", "cream", "navy", "dark green", "grey", "blue")
    front = Finish("plain", color) if rng.random() < 0.7 else draw_wood(rng)
    top = Finish("marble", rgb(0.85, 0.84, 0.82), rgb(0.5, 0.5, 0.5)) if rng.random() < 0.5 else draw_wood(rng)
    noun = f"{tint} kitchen cabinets" if front.kind == "plain" else "wooden kitchen cabinets"
    walls = f.room.shell.walls
    order = sorted(range(len(walls)), key=lambda i: -walls[i].length * float(rng.uniform(0.6, 1.0)))
    left = ["", "stove", "", "sink", ""]
    least, units = int(rng.integers(5, 9)), 0
    for wall in order:
        if units >= least:
            break
        for at in np.arange(0.34, walls[wall].length - 0.3, 0.601):
            extra = left[0] if left else ""
            for upper in (True, False):
                unit = fittings.counter(front, top, 0.6, noun, upper and not extra, extra)
                if f.free_on_wall(wall, at - 0.3, at + 0.3, 0.0, unit.high) and f.put(
                    unit, walls[wall], float(at), 0.0, 0.5
                ):
                    f.claim(wall, float(at), unit)
                    left, units = left[1:], units + 1
                    break
    f.against(fittings.fridge(rng), front=0.5)
    if rng.random() < 0.5 and f.free(fittings.island(rng, front, top), 0.7):
        return
    f.free(furniture.dining_table(rng, 1.4), 0.4) or f.free(
        furniture.cafe_table(rng, draw_wood(rng), draw_wood(rng)), 0.3
    )


def bathroom(f: Furnisher) -> None:
    """Add a bathtub or a shower, a basin, a toilet."""
    rng = f.rng
    if rng.random() < 0.7:
        f.against(fittings.bathtub(rng), 0.0, 0.3)
    else:
        f.against(fittings.shower(), 0.0, 0.3)
    f.against(fittings.washbasin(rng), 0.0, 0.4)
    f.against(fittings.toilet(), 0.0, 0.3)
    if rng.random() < 0.4:
        f.against(fittings.shower(), 0.0, 0.3)
    f.against(fittings.radiator(0.7))
    rug(f, 0.9, 0.6)


def dining_room(f: Furnisher) -> None:
    """Add a large table with chairs, a sideboard."""
    rng = f.rng
    for wide in (2.2, 1.8, 1.4):
        if f.free(furniture.dining_table(rng, wide), 0.3, 80):
            middle = f.on_floor[-1].mean(0)
            ceiling = f.room.shell.ceiling_at(*middle) - f.room.shell.floor
            f.add(pendant(WARM, 200.0 if lit(f) else 2.0, ceiling, min(1.65, ceiling - 0.7), 0.2), middle)
            break
    f.against(furniture.cabinet(rng, "a sideboard", 1.6, 0.85, 0.45), 0.0, 0.5)
    f.against(furniture.cabinet(rng, "a china cabinet", 1.1, 1.9, 0.42), 0.0, 0.5)
    if rng.random() < 0.4:
        f.against(furniture.fireplace(rng, lit(f)), 0.0, 0.4)
    each(f, 1, furniture.plant, 0.1)
    pictures(f, 4)


def office(f: Furnisher) -> None:
    """Add desks with computers, book shelves, a board."""
    each(f, int(f.rng.integers(3, 8)), furniture.desk, 0.2)
    for _ in range(int(f.rng.integers(1, 5))):
        f.free(furniture.desk(f.rng), 0.3)
    f.hang(fittings.board(f.rng, 1.8))
    each(f, int(f.rng.integers(1, 3)), furniture.bookshelf, 0.4)
    each(f, 1, furniture.plant, 0.1)
    f.hang(fittings.clock())


def classroom(f: Furnisher) -> None:
    """Add rows of desks before a board."""
    rng, walls = f.rng, f.room.shell.walls
    wide = float(rng.uniform(2.8, 3.8))
    wall = int(
        np.argmin(
            [
                w.length
                if f.free_on_wall(i, w.length / 2 - wide / 2, w.length / 2 + wide / 2, 0.5, 2.1)
                and w.length > wide + 0.5
                else 99
                for i, w in enumerate(walls)
            ]
        )
    )
    front = walls[wall]
    board = fittings.board(rng, wide)
    f.claim(wall, front.length / 2, board)
    f.add(board, front.point(front.length / 2, 0.0, 0.0)[[0, 2]], front.yaw)
    f.put(furniture.desk(rng), front, front.length * 0.3, 0.7)
    wood, seat = draw_wood(rng, "light", "brown"), draw_wood(rng)
    table = furniture.school_desk(rng, wood, seat)
    for away in np.arange(3.0, 12, 1.35):
        for at in np.arange(0.95, front.length - 0.6, 1.75):
            f.stand(table, front.point(float(at), float(away) + 0.98, 0.0)[[0, 2]], front.yaw + np.pi)
    f.hang(fittings.clock())
    each(f, 1, furniture.bookshelf, 0.3)
    pictures(f, 4, "a poster")


def library(f: Furnisher) -> None:
    """Add walls of books, reading tables, armchairs."""
    rng, high = f.rng, float(f.rng.uniform(2.0, 2.35))
    for _ in range(int(rng.integers(5, 10))):
        f.against(furniture.bookshelf(rng, float(rng.uniform(1.2, 2.2)), high), 0.0, 0.5)
    for _ in range(int(rng.integers(2, 5))):
        f.free(furniture.dining_table(rng), 0.5)
    each(f, 2, furniture.armchair, 0.3)
    f.against(floor_lamp(WARM, 90.0 if lit(f) else 1.0), 0.1)
    rug(f, 3.0, 2.0)


def attic(f: Furnisher) -> None:
    """Add a bed or boxes and low shelves under the roof."""
    rng = f.rng
    if rng.random() < 0.6:
        bedroom(f)
    else:
        f.free(equipment.storage(rng), 0.3)
    for _ in range(int(rng.integers(1, 4))):
        f.against(equipment.crates(rng), 0.1)
    f.against(furniture.cabinet(rng, "a low chest", 1.2, 0.6, 0.45), 0.05, 0.3)


def empty_room(f: Furnisher) -> None:
    """Add nothing but radiators."""
    each(f, int(f.rng.integers(1, 3)), lambda rng: fittings.radiator(float(rng.uniform(0.6, 1.4))), 0.0)
    if f.rng.random() < 0.3:
        f.against(equipment.crates(f.rng), 0.1)


def lit(f: Furnisher) -> bool:
    return f.room.sky.weather in ("twilight", "night", "overcast")
