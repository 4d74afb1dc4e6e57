"""Builders of scenes where people live: streets, squares, villages, parks, harbours, skylines."""

from dataclasses import replace

import numpy as np

from aognet.scenes.outdoors import nature, towns
from aognet.scenes.outdoors.buildings import Buildings
from aognet.scenes.outdoors.ground import Ground, Soil, road
from aognet.scenes.outdoors.scene import Outdoors
from aognet.scenes.outdoors.towns import TownPlan
from aognet.scenes.outdoors.water import Water
from aognet.scenes.rays import jitter, rgb
from aognet.scenes.words import pick
from aognet.scenes.world import LUX

_PAVING = Soil(rgb(0.58, 0.57, 0.55), rgb(0.52, 0.51, 0.5), (0.1, 0.06, 0.05, 0.05))


def _light_up(scene: Outdoors, lux: float) -> None:
    """Add town lights by night: a glow in the low sky, and light from everywhere in the streets."""
    if scene.sky.is_dark:
        warm = rgb(1.0, 0.8, 0.58)
        scene.sky = replace(
            scene.sky,
            town=warm * np.float32(5e-6),
            ambient=scene.sky.ambient + warm * np.float32(lux * LUX),
        )


def _erect(scene: Outdoors, plan: TownPlan, ground: Ground | None, reach: float = 70.0) -> None:
    labels = [scene.label(noun) for noun in plan.nouns]
    lamps = plan.lamps if scene.sky.is_dark else []
    if ground is not None:
        if ground.shadow is not None:
            close = [solid for solid in plan.solids if np.hypot(*solid.center[::2]) < 2 * reach]
            ground.shadow.add_solids(close)
        ground.lamps += lamps
    scene.layers.append(Buildings(scene.rng, scene.sky, plan.solids, labels, lamps))


def city_street(scene: Outdoors) -> None:
    rng, plan = scene.rng, TownPlan()
    half, tall = rng.uniform(3.5, 6.0), rng.random() < 0.5
    _light_up(scene, 2.0)
    ground = nature.add_ground(scene, _PAVING, "the pavement")
    lane = rng.choice([-1.7, 1.7])
    asphalt = jitter(rng, rgb(0.34, 0.34, 0.35))
    ground.overlays.append(road(rng, asphalt, half, scene.label("a street", ground=True), True, 0.0, 0.0, lane))
    noun = towns.street(rng, plan, half + 2, tall)
    if rng.random() < 0.7:
        towns.cars(rng, plan, half)
        scene.details.append(("parked cars", "parked cars"))
    if rng.random() < 0.6 or scene.sky.is_dark:
        towns.street_lamps(plan, [(s * (half + 2.4), z) for s in (-1, 1) for z in (-42.0, -21.0, 7.0, 28.0, 49.0)])
        scene.details.append(("street lamps", pick(rng, "street lamps", "lamp posts")))
    _erect(scene, plan, ground)
    scene.subject = pick(rng, "a city street", "a street in a city", "an empty city street")
    scene.details.insert(0, (noun, noun + pick(rng, " on both sides", "")))


def city_square(scene: Outdoors) -> None:
    rng, plan = scene.rng, TownPlan()
    _light_up(scene, 2.0)
    ground = nature.add_ground(scene, _PAVING, "a paved square")
    ground.overlays.append(nature.slabs(rng, rng.uniform(0.5, 1.0)))
    noun = towns.square(rng, plan)
    towns.street_lamps(plan, [(-14.0, -13.0), (14.0, -13.0), (-14.0, 14.0), (14.0, 14.0)])
    if rng.random() < 0.6:
        nature.add_trees(scene, "trees", (19,), 0.25, 6.0, ground=ground)
        scene.details.append(("trees", "a few trees"))
    _erect(scene, plan, ground)
    scene.subject = pick(rng, "a city square", "a paved square in an old town", "an empty town square")
    scene.details = [("old town houses", "old houses around it"), (noun, noun), *scene.details]


def village(scene: Outdoors, snow: bool = False) -> None:
    rng, plan = scene.rng, TownPlan()
    _light_up(scene, 0.3)
    soil = nature.snow_soil() if snow else nature.grass(rng)
    hills = "snowy hills" if snow else "hills"
    nature.add_hills(scene, hills, rgb(0.88, 0.9, 0.94) if snow else rgb(0.33, 0.39, 0.22), 170.0, 260.0, 0.5)
    ground = nature.add_ground(scene, soil, "snow" if snow else "grass")
    tone = rgb(0.84, 0.84, 0.86) if snow else jitter(rng, rgb(0.45, 0.43, 0.4))
    noun = "a snowy road" if snow else "a village road"
    ground.overlays.append(road(rng, tone, 2.4, scene.label(noun, ground=True), False, 0.0, 0.1))
    wood = pick(rng, "snowy trees", "bare trees") if snow else "trees"
    nature.add_trees(scene, wood, (75, 55, 42), 0.45, 9.0, ground=ground)
    roofs = towns.village(rng, plan, snow)
    if scene.sky.is_dark:
        towns.street_lamps(plan, [(3.2, -36.0), (-3.2, -12.0), (3.2, 11.0), (-3.2, 35.0)], 0.4)
        scene.details.append(("street lamps", "street lamps"))
    _erect(scene, plan, ground)
    houses = "snowy houses" if snow else "houses"
    scene.subject = (
        pick(rng, "a village in winter", "a snow-covered village")
        if snow
        else pick(rng, "a village street with houses", "houses along a village road", "small houses in a village")
    )
    scene.details += [(houses, roofs), (wood, wood), (hills, f"{hills} behind them" if not snow else hills)]


def winter_village(scene: Outdoors) -> None:
    village(scene, snow=True)


def park(scene: Outdoors) -> None:
    rng, plan = scene.rng, TownPlan()
    _light_up(scene, 0.4)
    autumn = rng.random() < 0.35
    towns.skyline(rng, plan, "buildings", 210.0, 14)
    _erect(scene, plan, None)
    ground = nature.add_ground(scene, nature.grass(rng), "a lawn")
    path = "a gravel path"
    ground.overlays.append(road(rng, rgb(0.66, 0.6, 0.5), 1.5, scene.label(path, ground=True), False, 3.0, 0.06))
    wood = "autumn trees" if autumn else "trees"
    nature.add_trees(scene, wood, (100, 75, 50, 32, 20), 0.45, 11.0, ground=ground)
    near = TownPlan()
    for z in (-6.0, 8.0, 17.0):
        _bench(near, float(rng.choice([-2.4, 2.4])), z + rng.uniform(-1, 1))
    towns.street_lamps(near, [(-2.2, -16.0), (2.2, 3.0), (-2.2, 22.0)], 0.2)
    _erect(scene, near, ground)
    scene.subject = pick(rng, "a park", "a city park", "a quiet park") + (" in autumn" if autumn else "")
    scene.details += [(wood, wood), (path, path), ("benches", "benches"), ("buildings", "buildings behind the trees")]


def _bench(plan: TownPlan, x: float, z: float) -> None:
    wood, iron, side = rgb(0.5, 0.34, 0.22), rgb(0.15, 0.16, 0.16), float(np.sign(x))
    base = -towns.EYE
    plan.add("benches", towns.box((x, base + 0.45, z), (0.45, 0.06, 1.7), wood))
    plan.add("benches", towns.box((x + side * 0.25, base + 0.72, z), (0.06, 0.35, 1.7), wood))
    for end in (-0.75, 0.75):
        plan.add("benches", towns.box((x + side * 0.05, base + 0.22, z + end), (0.5, 0.44, 0.07), iron))


def harbour(scene: Outdoors) -> None:
    rng, plan = scene.rng, TownPlan()
    _light_up(scene, 1.0)
    nature.add_hills(scene, "hills along the coast", rgb(0.36, 0.4, 0.24), 260.0, 300.0, 0.4)
    ground = nature.add_ground(scene, _PAVING, "a quay")
    ground.overlays.append(nature.slabs(rng, 1.4))
    houses, roof = TownPlan(), rgb(0.58, 0.3, 0.22)
    for number, along in enumerate(np.arange(-52.0, 52.0, 9.5)):
        size = (9.0, rng.uniform(6, 10), 9.2)
        towns.house(rng, houses, "harbour houses", (along, -20.0 - 3 * (number % 2)), size, roof, 0.0)
    lamps = [(-24.0, 1.5), (-8.0, 1.5), (9.0, 1.5), (26.0, 1.5)]
    backdrop = scene.backdrop()

    def shore(points):
        return points[:, 2] - 3.0

    deep = jitter(rng, rgb(0.09, 0.24, 0.27))
    label = scene.label("the harbour water", ground=True)
    scene.layers.append(Water(rng, scene.sky, deep, 0.03, label, backdrop, shore))
    places = [(rng.uniform(-38, 38), rng.uniform(9, 40)) for _ in range(9)]
    towns.boats(rng, plan, places)
    towns.street_lamps(plan, lamps, 0.0)
    plan.add("harbour houses", *houses.solids)
    _erect(scene, plan, ground)
    scene.subject = pick(rng, "a small harbour", "a harbour with boats", "a fishing harbour")
    scene.details += [("harbour houses", "houses along the quay"), ("boats", "boats on the water"),
                      ("hills along the coast", "hills along the coast")]  # fmt: skip


def skyline(scene: Outdoors) -> None:
    rng, plan = scene.rng, TownPlan()
    _light_up(scene, 0.5)
    noun = "a city skyline"
    towns.skyline(rng, plan, noun, rng.uniform(330, 520), 60)
    ground = nature.add_ground(scene, nature.grass(rng), "grass")
    ground.overlays.append(nature.slabs(rng, 0.8, rgb(0.55, 0.54, 0.52), 3.2))
    _erect(scene, plan, None)
    scene.layers[-2:] = [ground, scene.layers[-1]]
    backdrop = scene.backdrop()

    def shore(points):
        return np.minimum(points[:, 2] - 4.0, 300.0 - points[:, 2])

    label = scene.label("a river", ground=True)
    scene.layers.append(Water(rng, scene.sky, rgb(0.08, 0.16, 0.2), 0.045, label, backdrop, shore))
    # The city stands behind the water, which must not be painted over its feet.
    scene.layers.append(scene.layers.pop(-2))
    nature.add_shore_trees(scene, "trees", 9.0, ground)
    scene.subject = pick(rng, "a city skyline across the water", "high buildings behind a river")
    scene.details += [("a river", "lights reflected in the river" if scene.sky.is_dark else "a wide river")]
