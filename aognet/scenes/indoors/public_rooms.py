"""How public rooms and places of work are furnished."""

import numpy as np

from aognet.scenes.indoors import equipment, fittings, furniture
from aognet.scenes.indoors.arrangements import each, pictures, rug
from aognet.scenes.indoors.finishes import Finish
from aognet.scenes.indoors.furnisher import Furnisher, Thing
from aognet.scenes.indoors.palette import draw_color, draw_wood
from aognet.scenes.rays import jitter, rgb


def corridor(f: Furnisher) -> None:
    """Add doors on both sides, pictures, a narrow cabinet."""
    for _ in range(int(f.rng.integers(3, 8))):
        f.against(fittings.door(f.rng), 0.0, 0.4)
    pictures(f, 5)
    f.against(furniture.cabinet(f.rng, "a narrow cabinet", 0.9, 0.8, 0.25), 0.0)
    f.against(fittings.radiator(0.8))
    f.against(furniture.plant(f.rng))


def gallery(f: Furnisher) -> None:
    """Add white walls full of paintings, a bench."""
    for _ in range(3):
        pictures(f, 9, "a painting", float(f.rng.uniform(1.0, 1.9)), 1.7)
    for _ in range(int(f.rng.integers(1, 4))):
        f.free(equipment.seat(f.rng), 1.0)


def museum(f: Furnisher) -> None:
    """Add statues and display cases."""
    _columns(f)
    for _ in range(int(f.rng.integers(4, 9))):
        f.free(equipment.statue(f.rng), 0.6)
    for _ in range(int(f.rng.integers(2, 5))):
        f.free(equipment.showcase(f.rng), 0.6)
    pictures(f, 4, "a painting", 1.5, 1.9)


def cafe(f: Furnisher) -> None:
    """Add a bar with bottles and stools, small tables."""
    rng = f.rng
    f.against(equipment.bar(rng, float(rng.uniform(2.4, 3.6))), 0.0, 0.4)
    wood, chairs = draw_wood(rng), draw_wood(rng)
    for _ in range(int(rng.integers(5, 10))):
        f.free(furniture.cafe_table(rng, wood, chairs), 0.25)
    pictures(f, 4, "a poster")
    each(f, 2, furniture.plant, 0.1)


def gym(f: Furnisher) -> None:
    """Add treadmills in a row, benches, weights, a wall of mirrors."""
    rng = f.rng
    for _ in range(int(rng.integers(2, 5))):
        f.against(equipment.treadmill(), 0.2, 0.4)
    f.against(equipment.weights(rng), 0.05, 0.6)
    f.against(equipment.weights(rng), 0.05, 0.6)
    for _ in range(int(rng.integers(2, 5))):
        f.free(equipment.bench_press(rng), 0.4)
    mats = Finish("plain", draw_color(rng, "blue", "green", "red", "orange")[1])
    for _ in range(3):
        f.free(Thing("exercise mats", (furniture.slab(0.0, 0.0, 0.0, 0.65, 0.02, 1.8, mats),), 0.7, 1.8, 0.03), 0.4)


def workshop(f: Furnisher) -> None:
    """Add workbenches, shelves, boxes."""
    each(f, int(f.rng.integers(2, 4)), equipment.workbench, 0.6)
    each(f, int(f.rng.integers(1, 4)), equipment.storage, 0.5)
    f.free(equipment.workbench(f.rng), 0.8) if f.rng.random() < 0.3 else None
    each(f, 2, equipment.crates, 0.2)


def garage(f: Furnisher) -> None:
    """Add a car, a wide door, shelves."""
    rng, walls = f.rng, f.room.shell.walls
    for wall in np.repeat(rng.permutation(len(walls)), 8):
        place = walls[int(wall)]
        wide = min(2.8, place.length - 0.5)
        gate = equipment.garage_door(rng, wide)
        at = float(rng.uniform(gate.wide / 2 + 0.05, max(place.length - gate.wide / 2, gate.wide / 2) - 0.04))
        if place.height > 2.4 and wide > 2.3 and f.free_on_wall(int(wall), at - wide / 2, at + wide / 2, 0.0, 2.3):
            car = equipment.car(rng)
            if f.put(car, place, at, 0.6):
                f.claim(int(wall), at, gate)
                f.add(gate, place.point(at, 0.0, 0.0)[[0, 2]], place.yaw)
                break
    each(f, int(rng.integers(1, 4)), equipment.storage, 0.3)
    f.against(equipment.workbench(rng), 0.0, 0.4)
    each(f, 2, equipment.crates, 0.1)


def church(f: Furnisher) -> None:
    """Add columns along the nave, pews on both sides of the aisle, an altar at the end."""
    walls = f.room.shell.walls
    end = int(np.argmin([wall.length for wall in walls]))
    front = walls[end]
    altar = equipment.altar()
    f.put(altar, front, front.length / 2, 0.1)
    f.claim(end, front.length / 2, altar)
    wood = draw_wood(f.rng, "brown", "dark")
    half = front.length / 2
    wide = half - 2.3
    stone = f.room.finishes[front.face]
    reach = max(wall.length for wall in walls)
    for away in np.arange(3.4, reach - 1.0, 3.6):
        for side in (-1, 1):
            high = front.height + 0.2
            column = equipment.pillar(Finish("stone", stone.color, stone.other, 0.7), 0.26, high)
            f.stand(column, front.point(half + side * (half - 1.3), float(away), 0.0)[[0, 2]], front.yaw)
    bench = equipment.pew(wood, wide)
    for away in np.arange(4.2, reach - 1.2, 1.25):
        for side in (-1, 1):
            place = front.point(half + side * (0.75 + wide / 2), float(away) + 0.55, 0.0)[[0, 2]]
            f.stand(bench, place, front.yaw + np.pi, clear=0.35)
    runner = Finish("carpet", rgb(0.5, 0.1, 0.1))
    long = reach - 3.5
    f.add(
        Thing("", (furniture.slab(0.0, 0.0, 0.0, 1.1, 0.01, long, runner),), 1.1, long, 0.01),
        front.point(half, 2.7, 0.0)[[0, 2]],
        front.yaw,
    )


def lobby(f: Furnisher) -> None:
    """Add a reception desk, sofas, columns, plants."""
    rng = f.rng
    f.against(equipment.reception(rng), 0.0, 0.5)
    _columns(f)
    for _ in range(int(rng.integers(2, 4))):
        f.free(furniture.sofa(rng), 0.5)
    for _ in range(int(rng.integers(1, 3))):
        f.free(furniture.low_table(rng), 0.5)
    each(f, 2, furniture.armchair, 0.3)
    each(f, 4, furniture.plant, 0.1)
    rug(f, 4.0, 2.8)
    pictures(f, 3, "a painting", 1.6, 1.8)


def _columns(f: Furnisher) -> None:
    """Add two rows of columns."""
    shell = f.room.shell
    if f.rng.random() < 0.6:
        stone = Finish("marble", rgb(0.86, 0.84, 0.8), rgb(0.6, 0.56, 0.5))
    else:
        stone = Finish("plaster", jitter(f.rng, rgb(0.88, 0.86, 0.82)))
    size = shell.high - shell.low
    long = int(np.argmax(size))
    for part in (np.arange(int(size[long] // 3.2)) + 0.5) / max(1, int(size[long] // 3.2)):
        for across in (0.22, 0.78):
            place = shell.low + size * (np.array([part, across]) if long == 0 else np.array([across, part]))
            high = shell.ceiling_at(*place) - shell.floor
            f.stand(equipment.pillar(stone, 0.22, high), place - np.array([0, 0.3]), 0.0, clear=0.6)
