"""All kinds of outdoor scenes: their builders, and their weathers."""

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
class OutdoorKind:
    """A kind of outdoor scene. ``weathers`` says how often each is drawn."""

    build: Callable[[Outdoors], None]
    weathers: dict[Weather, float]


OUTDOORS: dict[str, OutdoorKind] = {
    "meadow": OutdoorKind(landscapes.meadow, _MIST),
    "hills": OutdoorKind(landscapes.hills, _ANY),
    "steppe": OutdoorKind(landscapes.steppe, _ANY),
    "dunes": OutdoorKind(landscapes.dunes, _ANY),
    "rocky desert": OutdoorKind(landscapes.rocky_desert, _ANY),
    "snow field": OutdoorKind(landscapes.snow_field, _MIST),
    "snowy mountains": OutdoorKind(landscapes.snowy_mountains, _ANY),
    "mountains": OutdoorKind(landscapes.mountains, _DAY),
    "sea": OutdoorKind(landscapes.sea, _ANY),
    "beach": OutdoorKind(landscapes.beach, _ANY),
    "lake": OutdoorKind(landscapes.lake, _MIST),
    "mountain lake": OutdoorKind(landscapes.mountain_lake, _ANY),
    "river": OutdoorKind(landscapes.river, _MIST),
    "forest": OutdoorKind(landscapes.forest, _DAY),
    "autumn forest": OutdoorKind(landscapes.autumn_forest, _MIST),
    "winter forest": OutdoorKind(landscapes.winter_forest, _MIST),
    "foggy forest": OutdoorKind(landscapes.forest, {"foggy": 1.0}),
    "field rows": OutdoorKind(landscapes.field_rows, _MIST),
    "country road": OutdoorKind(landscapes.country_road, _MIST),
    "desert road": OutdoorKind(landscapes.desert_road, _ANY),
    "village": OutdoorKind(settled.village, _MIST),
    "winter village": OutdoorKind(settled.winter_village, _MIST),
    "city street": OutdoorKind(settled.city_street, _DAY),
    "city square": OutdoorKind(settled.city_square, _DAY),
    "park": OutdoorKind(settled.park, _MIST),
    "harbour": OutdoorKind(settled.harbour, _ANY),
    "skyline": OutdoorKind(settled.skyline, _DAY),
    "night city": OutdoorKind(settled.city_street, {"night": 0.8, "twilight": 0.2}),
    "night skyline": OutdoorKind(settled.skyline, {"night": 0.7, "twilight": 0.3}),
    "night mountains": OutdoorKind(landscapes.night_mountains, {"night": 1.0}),
    "sunset sea": OutdoorKind(landscapes.sea, {"sunset": 0.7, "twilight": 0.3}),
}


def outdoors(rng: np.random.Generator, kind: str, weather: Weather | None = None) -> Outdoors:
    """Return a random scene of one of the kinds in ``OUTDOORS``."""
    chosen = OUTDOORS[kind]
    names, parts = list(chosen.weathers), np.array(list(chosen.weathers.values()))
    drawn = names[int(rng.choice(len(names), p=parts / parts.sum()))]
    scene = Outdoors(rng, draw_sky(rng, weather or drawn))
    chosen.build(scene)
    scene.finish()
    return scene
