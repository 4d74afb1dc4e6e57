"""Scenes under the sky: which layers make a meadow, a desert, a city..., and the captions that are true of them."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np

from aognet.data.synthetic.buildings import Buildings, city_blocks, village_houses
from aognet.data.synthetic.land import Ground, Ridge, Soil, Trees, Water, road_overlay
from aognet.data.synthetic.rays import Rays, jitter, rgb, smooth
from aognet.data.synthetic.sky import Sky, Weather, draw_sky
from aognet.data.synthetic.solids import ground_shadow
from aognet.data.synthetic.words import listing, pick, sentence


@dataclass
class Outdoors:
    """Layers from far to near over a sky; what they show, for the caption."""

    rng: np.random.Generator
    sky: Sky
    layers: list = field(default_factory=list)
    subject: str = ""
    details: list[str] = field(default_factory=list)
    caption: str = ""

    def radiance(self, rays: Rays) -> np.ndarray:
        """Linear colour (n, 3) along every ray."""
        return self._paint(rays, self.layers)

    def backdrop(self) -> Callable[[Rays], np.ndarray]:
        """What water mirrors: the sky and the layers added so far."""
        behind = list(self.layers)
        return lambda rays: self._paint(rays, behind)

    def _paint(self, rays: Rays, layers: list) -> np.ndarray:
        color = self.sky.radiance(rays).astype(np.float32)
        for layer in layers:
            layer.paint(rays, color)
        return color

    def describe(self) -> str:
        """A caption of what was added."""
        rng, sky = self.rng, self.sky
        above = {
            "clear": pick(rng, "under a clear blue sky", "on a sunny day", "in bright sunlight", "with a blue sky"),
            "cloudy": pick(
                rng, "under a blue sky with white clouds", "with clouds in the sky", "under scattered clouds"
            ),
            "overcast": pick(rng, "under an overcast sky", "on a grey cloudy day", "under a grey sky"),
            "sunset": pick(rng, "at sunset", "with the sun low over the horizon", "in warm evening light"),
            "night": pick(rng, "at night", "under a starry night sky", "at night with the moon in the sky"),
            "foggy": pick(rng, "in thick fog", "on a foggy day", "in the mist"),
        }[sky.weather]
        details = self.details
        if sky.weather == "foggy":
            details = [part for part in details if "distance" not in part and "horizon" not in part]
        if not details:
            return sentence(f"{self.subject} {above}")
        if rng.random() < 0.5 and not above.startswith("with"):
            return sentence(f"{self.subject} with {listing(details)} {above}")
        if above.startswith("with"):
            return sentence(f"{self.subject} {listing([above, *details])}")
        return sentence(f"{self.subject} {above}, with {listing(details)}")

    def add_ridges(self, color, low: float, high: float, count: int, jagged: float, snow: float | None = None) -> None:
        """Ridges one before the other, nearer ones lower and less hazy."""
        for number in range(count):
            part = 1 - number / (count + 0.5)
            tint = jitter(self.rng, color, 0.15)
            away = {True: 5000.0, False: 1800.0}[jagged > 0.6] * part
            line = snow if snow is not None and number < count - 1 else None
            self.layers.append(Ridge(self.rng, self.sky, tint, away, low, high * part, jagged, line))

    def add_trees(self, distances, part: float, shape: str | None = None, height: float = 9.0) -> str:
        """Rows of trees from far to near; returns what to call them."""
        rng = self.rng
        shape = shape or pick(rng, "cone", "round", "round")
        green = {"cone": rgb(0.24, 0.38, 0.24), "round": rgb(0.36, 0.5, 0.2), "bare": rgb(0.35, 0.3, 0.26)}[shape]
        name = {"cone": pick(rng, "pine trees", "fir trees", "conifers"), "round": "trees", "bare": "bare trees"}[shape]
        if shape == "round" and rng.random() < 0.3:
            green, name = rgb(0.72, 0.47, 0.16), pick(rng, "autumn trees", "orange autumn trees")
        elif shape == "round":
            name = pick(rng, "trees", "green trees", "leafy trees")
        for distance in sorted(distances, reverse=True):
            spacing = height * {"cone": 0.33, "round": 0.6, "bare": 0.6}[shape]
            count = max(int(2 * np.pi * distance / spacing), 5)
            self.layers.append(Trees(rng, self.sky, shape, jitter(rng, green), float(distance), height, count, part))
        return name


def _grass(rng) -> tuple[Soil, str]:
    choice = int(rng.integers(3))
    first, second = [
        (rgb(0.36, 0.5, 0.19), rgb(0.45, 0.56, 0.24)),
        (rgb(0.30, 0.44, 0.17), rgb(0.52, 0.55, 0.27)),
        (rgb(0.62, 0.56, 0.33), rgb(0.52, 0.52, 0.28)),
    ][choice]
    soil = Soil(jitter(rng, first), jitter(rng, second), (0.32, 0.2, 0.1, 0.08), bump=0.12)
    return soil, pick(rng, "green", "green", "lush") if choice < 2 else pick(rng, "dry", "yellow")


def _meadow(scene: Outdoors) -> None:
    rng = scene.rng
    soil, word = _grass(rng)
    if rng.random() < 0.45:
        petals = pick(rng, "yellow", "red", "white", "purple")
        tone = {"yellow": (0.95, 0.8, 0.1), "red": (0.8, 0.12, 0.1), "white": (0.95,) * 3, "purple": (0.5, 0.3, 0.7)}
        soil = Soil(soil.first, soil.second, soil.grain, soil.bump, flowers=rgb(*tone[petals]))
        scene.details.append(f"{petals} flowers")
    scene.subject = pick(rng, f"a {word} meadow", f"a wide {word} field", f"a {word} grass field")
    if rng.random() < 0.7:
        scene.add_ridges(rgb(0.33, 0.42, 0.25), 0.01, rng.uniform(0.08, 0.2), 2, 0.2)
        scene.details.append(pick(rng, "low hills in the distance", "hills on the horizon"))
    scene.layers.append(Ground(rng, scene.sky, soil))
    if rng.random() < 0.7:
        scene.details.append(f"{scene.add_trees((60, 35), 0.4)}")


def _hills(scene: Outdoors) -> None:
    rng = scene.rng
    soil, word = _grass(rng)
    scene.subject = pick(rng, f"{word} rolling hills", f"{word} hills", f"a landscape of {word} hills")
    scene.add_ridges(soil.first, 0.05, rng.uniform(0.3, 0.5), 4, 0.12)
    scene.layers.append(Ground(scene.rng, scene.sky, soil))
    if scene.rng.random() < 0.5:
        scene.details.append(f"a few {scene.add_trees((45,), 0.2)}")


def _desert(scene: Outdoors) -> None:
    rng = scene.rng
    sand = jitter(rng, [rgb(0.82, 0.66, 0.44), rgb(0.76, 0.52, 0.33), rgb(0.85, 0.76, 0.6)][int(rng.integers(3))])
    dunes = rng.random() < 0.6
    scene.subject = pick(rng, "a sandy desert", "a desert", "an empty desert landscape")
    if dunes:
        scene.add_ridges(sand, 0.03, rng.uniform(0.25, 0.45), 4, 0.08)
        scene.details.append(pick(rng, "sand dunes", "large dunes", "dunes on the horizon"))
    else:
        scene.add_ridges(rgb(0.55, 0.36, 0.27), 0.04, 0.35, 2, 0.9)
        scene.details.append(pick(rng, "rocky mountains in the distance", "red rocks on the horizon"))
    scene.layers.append(Ground(rng, scene.sky, Soil(sand, sand * 0.9, (0.08, 0.05, 0.05, 0.08), 0.5, 0.07)))


def _snow(scene: Outdoors) -> None:
    rng = scene.rng
    white = rgb(0.9, 0.92, 0.96)
    scene.subject = pick(rng, "a snow-covered field", "a snowy landscape", "a field of snow")
    if rng.random() < 0.75:
        scene.add_ridges(rgb(0.4, 0.42, 0.45), 0.05, 0.5, 3, 0.8, snow=0.05)
        scene.details.append(pick(rng, "snowy mountains in the distance", "white mountains on the horizon"))
    scene.layers.append(Ground(rng, scene.sky, Soil(white, white * 0.93, (0.035, 0.03, 0.03, 0.04), 0.35)))
    if rng.random() < 0.6:
        scene.details.append(scene.add_trees((70, 40), 0.4, pick(rng, "cone", "bare")))


def _mountains(scene: Outdoors) -> None:
    rng = scene.rng
    soil, word = _grass(rng)
    snow = rng.random() < 0.6
    scene.subject = pick(rng, "a mountain landscape", "a valley between mountains", "high mountains around a valley")
    scene.add_ridges(rgb(0.42, 0.4, 0.38), 0.12, rng.uniform(0.6, 0.95), 3, 1.0, 0.3 if snow else None)
    scene.add_ridges(soil.first * 0.8, 0.02, 0.1, 1, 0.4)
    scene.layers.append(Ground(rng, scene.sky, soil))
    if snow:
        scene.details.append(pick(rng, "snow on the peaks", "snow-capped peaks"))
    scene.details.append(pick(rng, f"{word} grass in the valley", f"{word} grass in the foreground"))
    if rng.random() < 0.6:
        scene.details.append(scene.add_trees((80, 50), 0.5, "cone"))


def _sea(scene: Outdoors) -> None:
    rng = scene.rng
    calm = rng.random() < 0.5
    scene.subject = (
        pick(rng, "the open sea", "the ocean", "a wide sea") if not calm else pick(rng, "a calm sea", "calm water")
    )
    if rng.random() < 0.35:
        scene.add_ridges(rgb(0.35, 0.38, 0.36), -0.03, 0.08, 1, 0.6)
        scene.details.append(pick(rng, "islands on the horizon", "land on the horizon"))
    deep = jitter(rng, pick_color(rng, (0.1, 0.28, 0.38), (0.08, 0.3, 0.34), (0.12, 0.24, 0.34)))
    scene.layers.append(Water(rng, scene.sky, deep, 0.025 if calm else 0.09, background=scene.backdrop()))


def pick_color(rng, *colors) -> np.ndarray:
    """One of the sRGB colours, linear."""
    return rgb(*colors[int(rng.integers(len(colors)))])


def _beach(scene: Outdoors) -> None:
    rng = scene.rng
    sand = jitter(rng, pick_color(rng, (0.84, 0.75, 0.58), (0.78, 0.68, 0.52), (0.9, 0.85, 0.75)))
    away = rng.uniform(4, 10)
    scene.subject = pick(rng, "a sandy beach", "a beach", "a wide beach")
    if rng.random() < 0.4:
        scene.add_ridges(rgb(0.36, 0.42, 0.3), 0.0, 0.12, 2, 0.4)
        scene.details.append(pick(rng, "hills along the coast", "green hills in the distance"))
    ground = Ground(rng, scene.sky, Soil(sand, sand * 0.9, (0.1, 0.07, 0.06, 0.06), 0.3))

    def wet(rays, points, footprint, albedo):
        return albedo * (1 - 0.45 * smooth(points[:, 2] - away, -3.5, 0.5))[:, None]

    ground.overlays.append(wet)
    backdrop = scene.backdrop()
    scene.layers.append(ground)
    deep = jitter(rng, pick_color(rng, (0.1, 0.4, 0.45), (0.1, 0.32, 0.42)))

    def shore(points):
        return points[:, 2] - away + 1.2 * np.sin(points[:, 0] * 0.15)

    scene.layers.append(Water(rng, scene.sky, deep, 0.07, shore, backdrop, foam=True))
    scene.details.append(pick(rng, "waves rolling in", "white foam along the shore", "blue water", "the sea"))


def _lake(scene: Outdoors) -> None:
    rng = scene.rng
    soil, word = _grass(rng)
    scene.subject = pick(rng, "a lake", "a calm lake", "a quiet lake")
    if rng.random() < 0.6:
        scene.add_ridges(rgb(0.4, 0.4, 0.4), 0.08, rng.uniform(0.4, 0.75), 2, 1.0, pick_snow(rng))
        scene.details.append(pick(rng, "mountains around it", "mountains behind it", "high mountains in the distance"))
    else:
        scene.details.append(pick(rng, "hills around it", "low hills around it"))
    scene.add_ridges(rgb(0.24, 0.36, 0.22), 0.02, 0.09, 2, 0.7)
    backdrop = scene.backdrop()
    pebbles = rng.random() < 0.4
    stones = Soil(rgb(0.55, 0.53, 0.5), rgb(0.45, 0.43, 0.4), (0.35, 0.3, 0.1, 0.05))
    scene.layers.append(Ground(rng, scene.sky, stones if pebbles else soil))
    near, far = rng.uniform(1.5, 4), rng.uniform(150, 400)

    def shore(points):
        bent = points[:, 2] - near + 1.5 * np.sin(points[:, 0] * 0.12)
        return np.minimum(bent, far - np.hypot(points[:, 0], points[:, 2] - near))

    scene.layers.append(Water(rng, scene.sky, rgb(0.1, 0.25, 0.27), rng.uniform(0.012, 0.04), shore, backdrop))
    scene.details.append(
        pick(rng, "a stony shore", "pebbles on the shore") if pebbles else f"{word} grass on the shore"
    )


def pick_snow(rng) -> float | None:
    """A snow line for ridges of middle height, or none."""
    return 0.25 if rng.random() < 0.5 else None


def _forest(scene: Outdoors) -> None:
    rng = scene.rng
    floor = Soil(
        jitter(rng, rgb(0.33, 0.3, 0.18)), jitter(rng, rgb(0.34, 0.42, 0.2)), (0.35, 0.25, 0.15, 0.1), bump=0.25
    )
    ground = Ground(rng, scene.sky, floor)
    scene.layers.append(ground)
    path = rng.random() < 0.5
    if path:
        ground.overlays.append(road_overlay(rng, jitter(rng, rgb(0.5, 0.42, 0.32)), 1.1, False, 2.0, 0.2))
        scene.details.append(pick(rng, "a dirt path", "a narrow path"))
    shape = pick(rng, "cone", "round")
    name = scene.add_trees((48, 34, 25, 18), 0.95, shape, rng.uniform(11, 16))
    if shape == "cone":
        scene.add_trees((11,), 0.5, shape, 14.0)
    scene.subject = pick(rng, f"a forest of {name}", f"a clearing surrounded by {name}", f"tall {name} in a forest")


def _path(scene: Outdoors) -> None:
    rng = scene.rng
    soil, word = _grass(rng)
    if rng.random() < 0.6:
        scene.add_ridges(rgb(0.33, 0.42, 0.27), 0.02, 0.14, 2, 0.3)
        scene.details.append(pick(rng, "hills in the distance", "hills on the horizon"))
    ground = Ground(rng, scene.sky, soil)
    scene.layers.append(ground)
    if rng.random() < 0.5:
        ground.overlays.append(road_overlay(rng, rgb(0.36, 0.36, 0.38), 3.2, True, 4.0, 0.02))
        scene.subject = pick(rng, "an empty road", "a country road", "an asphalt road")
    else:
        ground.overlays.append(road_overlay(rng, jitter(rng, rgb(0.62, 0.52, 0.38)), 1.3, False, 4.0))
        scene.subject = pick(rng, "a dirt path", "a narrow dirt road", "a gravel path")
    scene.subject += pick(rng, f" through a {word} field", f" across a {word} field")
    if rng.random() < 0.7:
        scene.details.append(pick(rng, "{} beside it", "{} on both sides").format(scene.add_trees((55, 30), 0.35)))


def _city(scene: Outdoors) -> None:
    rng = scene.rng
    half = rng.uniform(3.5, 6.0)
    if scene.sky.is_dark:
        # Street lamps and windows light the street more than the moon does.
        glow = rgb(1.0, 0.8, 0.58) * np.float32(rng.uniform(0.12, 0.2))
        scene.sky = replace(scene.sky, ambient=scene.sky.ambient + glow)
    pavement = Soil(rgb(0.6, 0.59, 0.57), rgb(0.55, 0.54, 0.53), (0.1, 0.06, 0.05, 0.05))
    ground = Ground(rng, scene.sky, pavement)
    ground.overlays.append(road_overlay(rng, jitter(rng, rgb(0.33, 0.33, 0.35)), half, True, 0.0, 0.0))
    solids, words = city_blocks(rng, half, scene.sky)
    ground.shadow = lambda points: ground_shadow(points, solids, scene.sky.light)
    scene.layers += [ground, Buildings(rng, scene.sky, solids)]
    scene.subject = pick(rng, "a city street", "a street in a city", "an empty city street")
    scene.details += words


def _village(scene: Outdoors) -> None:
    rng = scene.rng
    soil, word = _grass(rng)
    if rng.random() < 0.6:
        scene.add_ridges(rgb(0.33, 0.42, 0.27), 0.02, 0.16, 2, 0.4)
        scene.details.append(pick(rng, "hills in the distance", "hills behind them"))
    ground = Ground(rng, scene.sky, soil)
    ground.overlays.append(road_overlay(rng, jitter(rng, rgb(0.45, 0.43, 0.4)), 2.4, False, 0.0, 0.1))
    solids, words = village_houses(rng, scene.sky)
    ground.shadow = lambda points: ground_shadow(points, solids, scene.sky.light)
    scene.layers.append(ground)
    scene.details.append(scene.add_trees((60, 40), 0.5, "round"))
    scene.layers.append(Buildings(rng, scene.sky, solids))
    scene.subject = pick(rng, "a village street with houses", "houses along a road", "small houses in a village")
    scene.details += words


BUILDERS: dict[str, Callable[[Outdoors], None]] = {
    "meadow": _meadow,
    "hills": _hills,
    "desert": _desert,
    "snow": _snow,
    "mountains": _mountains,
    "sea": _sea,
    "beach": _beach,
    "lake": _lake,
    "forest": _forest,
    "path": _path,
    "city": _city,
    "village": _village,
}
_WEATHERS: dict[Weather, float] = {
    "clear": 0.27,
    "cloudy": 0.27,
    "overcast": 0.14,
    "sunset": 0.16,
    "night": 0.09,
    "foggy": 0.07,
}


def outdoors(rng: np.random.Generator, kind: str) -> Outdoors:
    """A random scene of one of the kinds in ``BUILDERS``."""
    names = list(_WEATHERS)
    weather = names[int(rng.choice(len(names), p=list(_WEATHERS.values())))]
    if weather == "foggy" and kind in ("hills", "mountains", "desert", "sea"):
        weather = "overcast"  # fog would hide what the caption names
    scene = Outdoors(rng, draw_sky(rng, weather))
    BUILDERS[kind](scene)
    scene.caption = scene.describe()
    return scene
