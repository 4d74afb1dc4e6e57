"""Layouts of towns: rows of houses and blocks, cars, lamps, skylines. They are lists of solids with nouns."""

from dataclasses import dataclass, field

import numpy as np

from aognet.scenes.outdoors.film import EYE
from aognet.scenes.rays import jitter, rgb
from aognet.scenes.solids import Solid, box, column, gable
from aognet.scenes.words import pick
from aognet.scenes.world import LUX

_WALLS = {
    "brick": ((0.6, 0.36, 0.28), (0.52, 0.3, 0.25), (0.66, 0.48, 0.38)),
    "plaster": ((0.88, 0.84, 0.74), (0.82, 0.72, 0.56), (0.9, 0.9, 0.87), (0.78, 0.6, 0.5), (0.65, 0.72, 0.76)),
    "concrete": ((0.62, 0.61, 0.59), (0.5, 0.5, 0.5), (0.7, 0.67, 0.62)),
    "glass": ((0.4, 0.46, 0.5), (0.35, 0.4, 0.46)),
}
_PAINTS = ((0.7, 0.1, 0.1), (0.85, 0.85, 0.85), (0.15, 0.15, 0.17), (0.2, 0.3, 0.5), (0.55, 0.56, 0.58))


@dataclass
class TownPlan:
    """Solids, the noun of each, and lamps (place, radiant intensity / pi)."""

    solids: list[Solid] = field(default_factory=list)
    nouns: list[str] = field(default_factory=list)
    lamps: list[tuple[np.ndarray, np.ndarray]] = field(default_factory=list)

    def add(self, noun: str, *solids: Solid) -> None:
        self.solids += solids
        self.nouns += [noun] * len(solids)


def _wall(rng, *materials: str) -> tuple[np.ndarray, str]:
    name = pick(rng, *materials)
    colors = _WALLS[name]
    return jitter(rng, rgb(*colors[int(rng.integers(len(colors)))]), 0.15), name


def street(rng, plan: TownPlan, half: float, tall: bool) -> str:
    """Add two rows of buildings along z. Return their noun."""
    materials = ("glass", "concrete", "brick") if tall else pick(rng, "brick", "plaster", "mixed")
    if isinstance(materials, str):
        noun = {"brick": "brick buildings", "plaster": "plastered houses", "mixed": "apartment buildings"}[materials]
        materials = ("brick", "plaster") if materials == "mixed" else (materials,)
    else:
        noun = "tall buildings"
    edge = half + rng.uniform(2, 4.5)
    for side in (-1, 1):
        along = -160.0 + rng.uniform(0, 10)
        while along < 160:
            wide, deep = rng.uniform(10, 24), rng.uniform(12, 18)
            high = rng.uniform(22, 60) if tall else rng.uniform(9, 20)
            x = side * (edge + deep / 2 + rng.uniform(0, 0.8))
            block(rng, plan, noun, (x, along + wide / 2), (deep, high, wide), materials)
            along += wide + (rng.uniform(4, 9) if rng.random() < 0.15 else 0.0)
    return noun


def block(rng, plan: TownPlan, noun: str, place, size, materials) -> None:
    """Add a building with a ledge, and a smaller storey or a box of machines on its roof."""
    color, name = _wall(rng, *materials)
    (x, z), (deep, high, wide) = place, size
    plan.add(noun, box((x, high / 2 - EYE, z), (deep, high, wide), color, name))
    ledge = rgb(0.7, 0.68, 0.65) * 0.8
    plan.add(noun, box((x, high + 0.2 - EYE, z), (deep + 0.6, 0.45, wide + 0.02), ledge))
    if rng.random() < 0.5:
        top = rng.uniform(1.5, 3.5)
        plan.add(noun, box((x, high + top / 2 - EYE, z), (deep * 0.45, top, wide * 0.4), color * 0.8))


def cars(rng, plan: TownPlan, half: float) -> None:
    """Add cars parked along both kerbs."""
    for number in range(9):
        side, along = 1 if rng.random() < 0.5 else -1, -44 + number * 10.5 + rng.uniform(0, 3)
        if abs(along) < 4:
            continue
        paint = jitter(rng, rgb(*_PAINTS[int(rng.integers(len(_PAINTS)))]))
        x, glass = side * (half - 1.1), rgb(0.12, 0.14, 0.17)
        plan.add("parked cars", box((x, 0.62 - EYE, along), (1.75, 0.55, 4.2), paint))
        plan.add("parked cars", box((x, 0.85 - EYE, along + 0.1), (1.7, 0.3, 3.7), paint))
        plan.add("parked cars", box((x, 1.2 - EYE, along - 0.25), (1.45, 0.42, 2.0), glass))
        plan.add("parked cars", box((x, 1.43 - EYE, along - 0.25), (1.4, 0.06, 1.8), paint))
        for z in (-1.3, 1.3):
            plan.add("parked cars", column((x, 0.32 - EYE, along + z), 0.33, 0.5, rgb(0.08, 0.08, 0.08)))


def street_lamps(plan: TownPlan, places, reach: float = 0.5) -> None:
    """Add lamp posts at (x, z), with arms towards x = 0."""
    for x, z in places:
        side = float(np.sign(x)) or 1.0
        plan.add("street lamps", column((x, 2.8 - EYE, z), 0.07, 5.6, rgb(0.25, 0.26, 0.27), sides=6))
        head = (x - side * reach, 5.6 - EYE, z)
        plan.add("street lamps", box(head, (1.2, 0.12, 0.3), rgb(0.9, 0.88, 0.8), "lamp"))
        power = rgb(1.0, 0.8, 0.55) * np.float32(25 * LUX * 5.5**2)
        plan.lamps.append((np.array([head[0], head[1] - 0.1, z], np.float32), power))


def village(rng, plan: TownPlan, snow: bool = False) -> str:
    """Add gabled houses on both sides of a road along z. Return words for their roofs."""
    red = rng.random() < 0.6
    roof = rgb(0.6, 0.3, 0.22) if red else rgb(0.33, 0.33, 0.36)
    noun = "snowy houses" if snow else "houses"
    for side in (-1, 1):
        along = rng.uniform(-62, -54)
        while along < 60:
            wide, deep, high = rng.uniform(7, 10), rng.uniform(8, 12), rng.uniform(3.2, 6.0)
            place = side * rng.uniform(11, 16), along + deep / 2
            house(rng, plan, noun, place, (wide, high, deep), roof, float(rng.choice([0.0, np.pi / 2])), snow)
            along += max(wide, deep) + rng.uniform(3, 10)
    if snow:
        return "snow on their roofs"
    return pick(rng, "red roofs", "red tiled roofs") if red else pick(rng, "grey roofs", "dark roofs")


def house(rng, plan: TownPlan, noun: str, place, size, roof, yaw: float, snow: bool = False) -> None:
    """Add a house with a gabled roof and a chimney."""
    color, name = _wall(rng, "plaster", "plaster", "brick")
    (x, z), (wide, high, deep) = place, size
    tall, tile = wide * 0.42, jitter(rng, roof)
    kind = "snowy roof" if snow else "roof"
    plan.add(noun, box((x, high / 2 - EYE, z), (wide, high, deep), color, name, yaw))
    plan.add(noun, gable((x, high - 0.15 - EYE, z), (wide + 0.9, tall, deep + 0.8), tile, kind, yaw))
    # The wall of the gable under the roof's edge.
    plan.add(noun, gable((x, high - EYE, z), (wide, tall * 0.97 - 0.1, deep + 0.84), color, "plain", yaw))
    plan.add(noun, box((x, high + tall * 0.85 - EYE, z + 0.8), (0.6, 1.6, 0.6), rgb(0.5, 0.33, 0.28)))


def square(rng, plan: TownPlan) -> str:
    """Add buildings around a square and a fountain or a column in it. Return the noun of what stands there."""
    half, materials = rng.uniform(24, 36), ("plaster", "plaster", "brick")
    for axis in (0, 2):
        for side in (-1, 1):
            along = -half - 4
            while along < half + 4:
                wide, high = rng.uniform(9, 18), rng.uniform(10, 17)
                if abs(along + wide / 2) > 4 or rng.random() < 0.7:
                    place, deep = side * (half + 8), 14.0
                    if axis == 0:
                        block(rng, plan, "old town houses", (place, along + wide / 2), (deep, high, wide), materials)
                    else:
                        block(rng, plan, "old town houses", (along + wide / 2, place), (wide, high, deep), materials)
                along += wide
    stone, x, z = rgb(0.7, 0.67, 0.62), rng.uniform(7, 11) * rng.choice([-1, 1]), rng.uniform(-9, 9)
    noun = pick(rng, "a fountain", "a monument")
    plan.add(noun, column((x, 0.2 - EYE, z), 3.2, 0.4, stone * 0.9, sides=16))
    if noun == "a fountain":
        plan.add(noun, column((x, 0.45 - EYE, z), 2.9, 0.12, rgb(0.3, 0.42, 0.47), sides=16))
        plan.add(noun, column((x, 1.0 - EYE, z), 0.35, 1.6, stone), column((x, 1.8 - EYE, z), 1.1, 0.2, stone))
    else:
        plan.add(noun, box((x, 1.1 - EYE, z), (1.8, 1.6, 1.8), stone), column((x, 4.0 - EYE, z), 0.5, 5.0, stone))
        plan.add(noun, column((x, 7.0 - EYE, z), 0.35, 1.2, rgb(0.3, 0.38, 0.33)))
    return noun


def skyline(rng, plan: TownPlan, noun: str, far: float, count: int) -> None:
    """Add high buildings on the far side of a water, around +z."""
    for _ in range(count):
        angle = float(np.clip(rng.normal(0, 0.55), -1.25, 1.25))
        away = far * rng.uniform(1.0, 1.5)
        tall = rng.uniform(25, 70) + 150 * rng.random() ** 3 * np.exp(-((angle / 0.5) ** 2))
        wide = rng.uniform(18, 34)
        color, name = _wall(rng, "glass", "concrete", "concrete")
        x, z = away * np.sin(angle), away * np.cos(angle)
        plan.add(noun, box((x, tall / 2 - EYE, z), (wide, tall, wide), color, name, angle))
        if tall > 130:
            plan.add(noun, column((x, tall + 9 - EYE, z), 0.8, 18.0, rgb(0.5, 0.5, 0.52), sides=6))


def boats(rng, plan: TownPlan, places) -> None:
    """Add small boats at (x, z) on the water, which lies ``EYE`` below the camera."""
    for x, z in places:
        yaw, long = rng.uniform(0, np.pi), rng.uniform(4, 8)
        hull = jitter(rng, rgb(*_PAINTS[int(rng.choice([0, 1, 1, 3]))]))
        plan.add("boats", box((x, 0.35 - EYE, z), (long * 0.3, 0.8, long), hull, "plain", yaw))
        plan.add("boats", box((x, 1.0 - EYE, z), (long * 0.22, 0.7, long * 0.35), rgb(0.88, 0.87, 0.84), "plain", yaw))
        if rng.random() < 0.6:
            plan.add("boats", column((x, long * 0.6 - EYE, z), 0.06, long * 1.2, rgb(0.8, 0.78, 0.74), sides=6))
