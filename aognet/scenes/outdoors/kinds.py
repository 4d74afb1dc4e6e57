"""All kinds of outdoor scenes: who builds them, in which weathers."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from aognet.scenes.outdoors import landscapes, settled
from aognet.scenes.outdoors.scene import Outdoors
from aognet.scenes.sky.sky import Weather, draw_sky

_DAY: dict[Weather, float] = {"clear": 0.34, "cloudy": 0.36, "overcast": 0.1, "sunset": 0.2}
_ANY: dict[Weather, float] = {**_DAY, "twilight": 0.06, "night": 0.06}
_MIST: dict[Weather, float] = {**_ANY, "foggy": 0.1}


@dataclass(frozen=True)
class Kind:
    """``weathers`` by how often they are drawn."""

    build: Callable[[Outdoors], None]
    weathers: dict[Weather, float]


OUTDOORS: dict[str, Kind] = {
    "meadow": Kind(landscapes.meadow, _MIST),
    "hills": Kind(landscapes.hills, _ANY),
    "steppe": Kind(landscapes.steppe, _ANY),
    "dunes": Kind(landscapes.dunes, _ANY),
    "rocky desert": Kind(landscapes.rocky_desert, _ANY),
    "snow field": Kind(landscapes.snow_field, _MIST),
    "snowy mountains": Kind(landscapes.snowy_mountains, _ANY),
    "mountains": Kind(landscapes.mountains, _DAY),
    "sea": Kind(landscapes.sea, _ANY),
    "beach": Kind(landscapes.beach, _ANY),
    "lake": Kind(landscapes.lake, _MIST),
    "mountain lake": Kind(landscapes.mountain_lake, _ANY),
    "river": Kind(landscapes.river, _MIST),
    "forest": Kind(landscapes.forest, _DAY),
    "autumn forest": Kind(landscapes.autumn_forest, _MIST),
    "winter forest": Kind(landscapes.winter_forest, _MIST),
    "foggy forest": Kind(landscapes.forest, {"foggy": 1.0}),
    "field rows": Kind(landscapes.field_rows, _MIST),
    "country road": Kind(landscapes.country_road, _MIST),
    "desert road": Kind(landscapes.desert_road, _ANY),
    "village": Kind(settled.village, _MIST),
    "winter village": Kind(settled.winter_village, _MIST),
    "city street": Kind(settled.city_street, _DAY),
    "city square": Kind(settled.city_square, _DAY),
    "park": Kind(settled.park, _MIST),
    "harbour": Kind(settled.harbour, _ANY),
    "skyline": Kind(settled.skyline, _DAY),
    "night city": Kind(settled.city_street, {"night": 0.8, "twilight": 0.2}),
    "night skyline": Kind(settled.skyline, {"night": 0.7, "twilight": 0.3}),
    "night mountains": Kind(landscapes.night_mountains, {"night": 1.0}),
    "sunset sea": Kind(landscapes.sea, {"sunset": 0.7, "twilight": 0.3}),
}


def outdoors(rng: np.random.Generator, kind: str, weather: Weather | None = None) -> Outdoors:
    """A random scene of one of the kinds in ``OUTDOORS``."""
    chosen = OUTDOORS[kind]
    names, parts = list(chosen.weathers), np.array(list(chosen.weathers.values()))
    drawn = names[int(rng.choice(len(names), p=parts / parts.sum()))]
    scene = Outdoors(rng, draw_sky(rng, weather or drawn))
    chosen.build(scene)
    scene.finish()
    return scene
