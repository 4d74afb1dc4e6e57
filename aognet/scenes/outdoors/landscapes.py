"""Builders of scenes in nature."""

import numpy as np

from aognet.scenes.outdoors.ground import Ground, GroundPoints, Soil, furrows, road
from aognet.scenes.outdoors.nature import (
    WOODS,
    add_ground,
    add_hills,
    add_mesas,
    add_mountains,
    add_shore_trees,
    add_trees,
    grass,
    pick_color,
    sand_material,
    sand_soil,
    slope_material,
    snow_soil,
)
from aognet.scenes.outdoors.scene import Outdoors
from aognet.scenes.outdoors.terrain import Shape, Terrain
from aognet.scenes.outdoors.trees import Trees
from aognet.scenes.outdoors.water import Water
from aognet.scenes.rays import jitter, rgb, smooth
from aognet.scenes.words import pick


def meadow(scene: Outdoors) -> None:
    rng = scene.rng
    soil = grass(rng)
    if rng.random() < 0.6:
        petals = pick(rng, "yellow", "red", "white", "purple")
        tone = {"yellow": (0.95, 0.8, 0.1), "red": (0.8, 0.12, 0.1), "white": (0.95,) * 3, "purple": (0.5, 0.3, 0.7)}
        soil = Soil(soil.first, soil.second, soil.grain, soil.bump, flowers=rgb(*tone[petals]))
        scene.details.append((f"a meadow with {petals} flowers", f"{petals} flowers"))
        noun = f"a meadow with {petals} flowers"
    else:
        noun = "a green meadow"
    scene.subject = pick(rng, "a green meadow", "a wide meadow", "a grassy meadow")
    add_hills(scene, "low hills", soil.first, 130.0, 150.0)
    scene.details.append(("low hills", pick(rng, "low hills in the distance", "hills on the horizon")))
    ground = add_ground(scene, soil, noun)
    wood = pick(rng, "trees", "poplars", "trees")
    add_trees(scene, wood, (110, 75, 50, 30), 0.4, 11.0, ground=ground)
    scene.details.append((wood, wood))


def hills(scene: Outdoors) -> None:
    rng = scene.rng
    soil = grass(rng, dry=rng.random() < 0.3)
    noun = "grassy hills"
    label = scene.label(noun, ground=True)
    material = slope_material(rng, soil.first * 0.9, soil.first, (label, label), None, rng.uniform(0.1, 0.4))
    shape = Shape("rolling", 1500.0, rng.uniform(70, 130), (0.0, 0.0), 9000.0)
    scene.layers.append(Terrain(rng, scene.sky, shape, material, stand=True))
    scene.subject = pick(rng, "rolling grassy hills", "a landscape of rolling hills", "green rolling hills")
    if soil.first[0] > soil.first[1]:
        scene.subject = pick(rng, "dry rolling hills", "yellow grassy hills")


def steppe(scene: Outdoors) -> None:
    rng = scene.rng
    soil = grass(rng, dry=True)
    add_hills(scene, "distant hills", rgb(0.55, 0.5, 0.33), 900.0, 120.0, 0.0, 5000.0)
    ground = add_ground(scene, soil, "dry grass")
    add_trees(scene, "bushes", (60, 30, 17), 0.15, 1.5, ground=ground)
    scene.subject = pick(rng, "a dry steppe", "a wide steppe of dry grass", "a dry grassy plain")
    scene.details += [("distant hills", "hills in the distance"), ("bushes", "a few bushes")]


def dunes(scene: Outdoors) -> None:
    rng = scene.rng
    sand = jitter(rng, pick_color(rng, (0.84, 0.66, 0.44), (0.8, 0.55, 0.35), (0.87, 0.76, 0.58)), 0.08)
    shape = Shape("dunes", 1300.0, rng.uniform(34, 52), (0.0, 0.0), 9000.0)
    scene.layers.append(Terrain(rng, scene.sky, shape, sand_material(rng, scene, "sand dunes", sand), stand=True))
    scene.subject = pick(rng, "a sandy desert with dunes", "large sand dunes", "desert dunes")


def _rocky_ground(scene: Outdoors, red, noun: str = "stony desert ground") -> Ground:
    soil = Soil(red * 1.1, red * 0.85, (0.3, 0.28, 0.07, 0.05), 0.06)
    return add_ground(scene, soil, noun)


def rocky_desert(scene: Outdoors) -> None:
    rng = scene.rng
    red = jitter(rng, pick_color(rng, (0.7, 0.44, 0.31), (0.72, 0.52, 0.37), (0.66, 0.4, 0.28)), 0.08)
    add_mesas(scene, red)
    ground = _rocky_ground(scene, red)
    add_trees(scene, "dry bushes", (45, 24, 14), 0.25, 1.1, "bushes", ground)
    scene.subject = pick(rng, "a rocky desert", "a stony desert", "a red rock desert")
    scene.details += [("red rocks", pick(rng, "red table mountains", "red rocks")), ("dry bushes", "dry bushes")]


def snow_field(scene: Outdoors) -> None:
    rng = scene.rng
    white = rgb(0.9, 0.91, 0.95)
    add_hills(scene, "snowy hills", white, 150.0, 190.0, 0.3)
    ground = add_ground(scene, snow_soil(), "snow")
    wood = pick(rng, "bare trees", "snowy trees")
    add_trees(scene, wood, (90, 55, 32), 0.4, 8.0, ground=ground)
    scene.subject = pick(rng, "a snow-covered field", "a field of snow", "a snowy plain")
    scene.details += [("snowy hills", "snowy hills in the distance"), (wood, wood)]


def snowy_mountains(scene: Outdoors) -> None:
    rng = scene.rng
    add_mountains(scene, "snowy mountains", 0.05, 420.0, 2300.0, 0.12, rgb(0.86, 0.88, 0.92))
    ground = add_ground(scene, snow_soil(), "snow")
    if rng.random() < 0.7:
        add_trees(scene, "snowy trees", (120, 75, 48), 0.6, 11.0, ground=ground)
        scene.details.append(("snowy trees", "snowy fir trees"))
    scene.subject = pick(rng, "snowy mountains", "a snow-covered valley between mountains", "white mountains in winter")


def mountains(scene: Outdoors) -> None:
    rng = scene.rng
    soil = grass(rng)
    snow = rng.uniform(0.5, 0.75) if rng.random() < 0.7 else None
    noun = "snow-capped mountains" if snow else "mountains"
    add_mountains(scene, noun, snow)
    ground = add_ground(scene, soil, "a grassy valley")
    add_trees(scene, "pine trees", (140, 90, 60), 0.5, 13.0, ground=ground)
    scene.subject = pick(rng, "a mountain landscape", "a valley between mountains", "a green valley in the mountains")
    scene.details += [(noun, noun if snow else "rocky peaks"), ("pine trees", pick(rng, "pine trees", "fir trees"))]


def sea(scene: Outdoors) -> None:
    rng = scene.rng
    calm = rng.random() < 0.5
    if rng.random() < 0.4:
        add_hills(scene, "islands", rgb(0.36, 0.38, 0.3), 1500.0, 260.0, 0.4, 9000.0)
        scene.layers[-1] = Terrain(
            rng, scene.sky, Shape("rolling", 9000.0, 420.0, (1200.0, 4000.0), 14000.0, rise=-260.0),
            slope_material(rng, rgb(0.42, 0.4, 0.36), rgb(0.36, 0.4, 0.26), (1, 1), None, 0.4),
        )  # fmt: skip
        scene.details.append(("islands", pick(rng, "islands on the horizon", "land on the horizon")))
    deep = jitter(rng, pick_color(rng, (0.08, 0.22, 0.3), (0.06, 0.24, 0.28), (0.1, 0.2, 0.3)))
    label = scene.label("the sea", ground=True)
    waves = rng.uniform(0.02, 0.04) if calm else rng.uniform(0.08, 0.13)
    scene.layers.append(Water(rng, scene.sky, deep, waves, label, scene.backdrop(), height=3.0))
    scene.subject = pick(rng, "a calm sea", "a calm ocean") if calm else pick(rng, "the open sea", "a rough sea")


def beach(scene: Outdoors) -> None:
    rng = scene.rng
    soil = sand_soil(rng)
    away = rng.uniform(5, 9)
    if rng.random() < 0.5:
        add_hills(scene, "green hills", rgb(0.36, 0.42, 0.24), 150.0, 140.0, 0.5)
        scene.details.append(("green hills", "green hills behind it"))
    ground = add_ground(scene, soil, "a sandy beach")

    def wet(spots: GroundPoints) -> None:
        spots.albedo[:] *= (1 - 0.45 * smooth(spots.points[:, 2] - away, -3.5, 0.5))[:, None]

    ground.overlays.append(wet)
    backdrop = scene.backdrop()
    deep = jitter(rng, pick_color(rng, (0.1, 0.4, 0.45), (0.1, 0.32, 0.42)))

    def shore(points):
        return points[:, 2] - away + 1.2 * np.sin(points[:, 0] * 0.15)

    water = Water(rng, scene.sky, deep, 0.06, scene.label("the sea", ground=True), backdrop, shore, foam=True)
    scene.layers.append(water)
    if rng.random() < 0.5:
        add_shore_trees(scene, "palm trees", 7.0, ground)
    scene.subject = pick(rng, "a sandy beach", "a beach", "a wide beach")
    blue = "the blue sea" if scene.sky.weather == "clear" else "the sea"
    scene.details.append(("the sea", pick(rng, "waves rolling in", blue)))


def _bay(near: float, far: float):
    """Return the shore of a lake that begins ``near`` metres ahead and is ``far`` metres across."""

    def shore(points):
        bent = points[:, 2] - near + 1.5 * np.sin(points[:, 0] * 0.12)
        return np.minimum(bent, far - np.hypot(points[:, 0], points[:, 2] - near))

    return shore


def lake(scene: Outdoors) -> None:
    rng = scene.rng
    autumn = rng.random() < 0.3
    add_hills(scene, "wooded hills", rgb(0.45, 0.36, 0.18) if autumn else rgb(0.3, 0.38, 0.2), 200.0, 300.0, 0.8)
    wood = "autumn trees" if autumn else pick(rng, "trees", "pine trees")
    _lake(scene, wood)
    scene.subject = pick(rng, "a calm lake", "a quiet lake", "a lake between hills")
    scene.details += [("wooded hills", "wooded hills around it"), (wood, f"{wood} on the shore")]


def mountain_lake(scene: Outdoors) -> None:
    rng = scene.rng
    noun = "snow-capped mountains"
    add_mountains(scene, noun, rng.uniform(0.4, 0.65), 450.0, 2400.0)
    _lake(scene, "pine trees")
    scene.subject = pick(rng, "a mountain lake", "a clear lake in the mountains", "a lake below high mountains")
    scene.details += [(noun, "snow on the peaks"), ("pine trees", "pine trees on the shore")]


def _lake(scene: Outdoors, wood: str) -> None:
    rng = scene.rng
    stones = Soil(rgb(0.52, 0.5, 0.47), rgb(0.44, 0.42, 0.4), (0.3, 0.28, 0.1, 0.05))
    pebbles = rng.random() < 0.4
    far = rng.uniform(150, 330)
    add_trees(scene, wood, (far * 1.45, far * 1.3), 0.95, 12.0)
    ground = add_ground(scene, stones if pebbles else grass(rng), "a stony shore" if pebbles else "grass")
    # The far trees stand behind the water but before the ground beyond it.
    scene.layers[-2:] = [ground, scene.layers[-2]]
    backdrop = scene.backdrop()
    deep = jitter(rng, rgb(0.09, 0.22, 0.24))
    water = scene.label("a lake", ground=True)
    scene.layers.append(
        Water(rng, scene.sky, deep, rng.uniform(0.01, 0.035), water, backdrop, _bay(rng.uniform(1.5, 4), far))
    )
    ring = Trees(rng, scene.sky, WOODS[wood], 30.0, 9.0, 0.5, scene.label(wood))
    ring.heights[np.cos((np.arange(ring.count) + 0.5) / ring.count * 2 * np.pi) > -0.1] = 0
    if ground.shadow is not None:
        ring.cast(ground.shadow)
    scene.layers.append(ring)


def river(scene: Outdoors) -> None:
    rng = scene.rng
    wide, phase = rng.uniform(8, 16), rng.uniform(0, 6.28)
    near = rng.uniform(2.5, 5)
    add_hills(scene, "green hills", rgb(0.33, 0.41, 0.2), 150.0, 220.0, 0.6)
    ground = add_ground(scene, grass(rng), "grass")
    wood = pick(rng, "trees", "poplars", "autumn trees")
    add_trees(scene, wood, (90, 62), 0.6, 10.0, ground=ground)
    backdrop = scene.backdrop()

    def shore(points):
        middle = near + wide / 2 + 7 * (np.sin(points[:, 0] * 0.035 + phase) - np.sin(phase))
        return wide / 2 - np.abs(points[:, 2] - middle)

    label = scene.label("a river", ground=True)
    scene.layers.append(Water(rng, scene.sky, rgb(0.14, 0.22, 0.18), 0.035, label, backdrop, shore))
    scene.subject = pick(rng, "a river through green land", "a river bank", "a slow river")
    scene.details += [(wood, wood), ("green hills", "green hills")]


def _woods(scene: Outdoors, noun: str, kind: str, floor: Soil, floor_noun: str, height: float) -> Ground:
    rng = scene.rng
    ground = add_ground(scene, floor, floor_noun)
    if rng.random() < 0.6:
        path = "a trodden path" if kind == "snowy trees" else pick(rng, "a dirt path", "a narrow path")
        label = scene.label(path, ground=True)
        tone = rgb(0.8, 0.8, 0.82) if kind == "snowy trees" else jitter(rng, rgb(0.5, 0.42, 0.32))
        ground.overlays.append(road(rng, tone, 1.1, label, False, 2.0, 0.12))
        scene.details.append((path, path))
    add_trees(scene, noun, (95, 70, 52, 40, 30, 22, 16), 0.95, height, kind, ground)
    if kind in ("pine trees", "snowy trees"):
        add_trees(scene, noun, (11,), 0.5, height, kind, ground)
    return ground


def forest(scene: Outdoors) -> None:
    rng = scene.rng
    noun = pick(rng, "trees", "pine trees")
    floor = Soil(jitter(rng, rgb(0.33, 0.29, 0.18)), jitter(rng, rgb(0.3, 0.37, 0.18)), (0.3, 0.22, 0.12, 0.06), 0.1)
    _woods(scene, noun, noun, floor, "the forest floor", rng.uniform(12, 17))
    scene.subject = pick(rng, f"a forest of {noun}", "a clearing in a forest", "a green forest")


def autumn_forest(scene: Outdoors) -> None:
    rng = scene.rng
    floor = Soil(rgb(0.55, 0.34, 0.15), rgb(0.42, 0.3, 0.16), (0.35, 0.3, 0.12, 0.06), 0.1)
    _woods(scene, "autumn trees", "autumn trees", floor, "fallen leaves", rng.uniform(11, 15))
    scene.subject = pick(rng, "a forest in autumn", "an autumn forest", "orange autumn woods")
    scene.details.append(("fallen leaves", "fallen leaves on the ground"))


def winter_forest(scene: Outdoors) -> None:
    rng = scene.rng
    _woods(scene, "snowy fir trees", "snowy trees", snow_soil(), "snow", rng.uniform(12, 16))
    scene.subject = pick(rng, "a snowy forest", "a forest in winter", "a winter forest of fir trees")
    scene.details.append(("snow", "snow on the ground"))


def field_rows(scene: Outdoors) -> None:
    rng = scene.rng
    crop = pick_color(rng, (0.36, 0.47, 0.18), (0.45, 0.5, 0.22))
    soil = pick_color(rng, (0.47, 0.36, 0.26), (0.4, 0.3, 0.22))
    add_hills(scene, "low hills", rgb(0.34, 0.39, 0.2), 200.0, 160.0)
    noun = "rows of crops"
    ground = add_ground(scene, Soil(soil, soil, (0.0, 0.0, 0.0, 0.0)), noun)
    label = scene.label(noun)
    ground.overlays.append(furrows(rng, rng.uniform(0.9, 1.6), crop, soil, label, rng.uniform(0, np.pi)))
    wood = pick(rng, "trees", "poplars")
    add_trees(scene, wood, (140, 110), 0.5, 11.0, ground=ground)
    scene.subject = pick(rng, "a field with rows of crops", "farmland with green crops", "a vegetable field")
    scene.details += [(wood, f"{wood} at its edge"), ("low hills", "low hills in the distance")]


def country_road(scene: Outdoors) -> None:
    rng = scene.rng
    soil = grass(rng, dry=rng.random() < 0.25)
    asphalt = rng.random() < 0.5
    add_hills(scene, "hills", soil.first, 120.0, 190.0)
    ground = add_ground(scene, soil, "grass")
    noun = pick(rng, "a country road", "an asphalt road") if asphalt else pick(rng, "a dirt road", "a gravel road")
    label = scene.label(noun, ground=True)
    if asphalt:
        ground.overlays.append(road(rng, rgb(0.36, 0.36, 0.37), 3.2, label, True, 4.0, 0.02, rng.choice([-1.6, 1.6])))
    else:
        ground.overlays.append(road(rng, jitter(rng, rgb(0.6, 0.52, 0.4)), 1.7, label, False, 4.0))
    wood = pick(rng, "trees", "poplars", "autumn trees")
    add_trees(scene, wood, (85, 55, 30), 0.4, 9.0, ground=ground)
    land = "green land" if soil.first[1] > soil.first[0] else "dry land"
    scene.subject = f"{noun} through {pick(rng, 'the fields', 'open country', land)}"
    scene.details += [(wood, pick(rng, f"{wood} beside it", wood)), ("hills", "hills in the distance")]


def desert_road(scene: Outdoors) -> None:
    rng = scene.rng
    red = jitter(rng, pick_color(rng, (0.74, 0.53, 0.38), (0.78, 0.62, 0.44)), 0.08)
    add_mesas(scene, red * rgb(0.98, 0.9, 0.88), near=600.0)
    ground = _rocky_ground(scene, red, "desert sand")
    label = scene.label("a straight highway", ground=True)
    ground.overlays.append(road(rng, rgb(0.38, 0.37, 0.37), 3.7, label, True, 0.0, 0.03, rng.choice([-1.8, 1.8])))
    add_trees(scene, "dry bushes", (45, 24, 14), 0.2, 0.9, "bushes", ground)
    scene.subject = pick(rng, "a highway through the desert", "a straight desert road", "an empty road in the desert")
    scene.details += [("red rocks", "red rocks on the horizon"), ("dry bushes", "dry bushes beside it")]


def night_mountains(scene: Outdoors) -> None:
    mountains(scene)
    scene.subject = pick(scene.rng, "mountains by moonlight", "a moonlit mountain valley")
