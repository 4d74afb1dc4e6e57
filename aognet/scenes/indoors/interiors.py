"""How a room of a kind is drawn from a seed: plan, weather, windows, furniture, lamps, and its caption."""

from collections.abc import Sequence

import numpy as np

from aognet.scenes.indoors.coverings import ceiling_of, floor_of, walls_of
from aognet.scenes.indoors.fittings import door
from aognet.scenes.indoors.furnisher import Furnisher
from aognet.scenes.indoors.glazing import STYLES, doorway, glaze, skylight
from aognet.scenes.indoors.illumination import light_up
from aognet.scenes.indoors.room_captions import tell_room, tell_view
from aognet.scenes.indoors.room_kinds import KINDS, RoomKind
from aognet.scenes.indoors.rooms import Indoors, Room
from aognet.scenes.indoors.shells import Shell, draw_shell
from aognet.scenes.indoors.surfaces import Piece
from aognet.scenes.outdoors.garden import garden
from aognet.scenes.sky.sky import Weather, draw_sky
from aognet.scenes.words import article, pick
from aognet.scenes.world import Disc, SceneView

ROOMS: tuple[str, ...] = tuple(KINDS)
_TRIES = 6  # at most so many plans until the thing that makes the room finds its place
_WHEN = {
    "clear": ("in daylight", "on a sunny day", "by day"),
    "cloudy": ("in daylight", "by day"),
    "overcast": ("on an overcast day", "in soft daylight"),
    "sunset": ("in the evening sun", "at sunset"),
    "twilight": ("at dusk", "in the evening, lit by lamps"),
    "night": ("at night", "at night, lit by lamps"),
}


class FurnishedRoom(Indoors):
    """A room that can describe what is in it."""

    def __init__(self, rng: np.random.Generator, room: Room, name: str, caption: str):
        super().__init__(rng, room)
        self.name, self.caption = name, caption
        self.labels: Sequence[str] = room.labels
        self.discs: Sequence[Disc] = room.sky.discs

    def tell(self, view: SceneView) -> str:
        """Return a caption that is true of the view."""
        return tell_view(self.name, view)


def indoors(rng: np.random.Generator, kind: str) -> FurnishedRoom:
    """Return a random room of one of the kinds in ``ROOMS``."""
    spec = KINDS[kind]
    weather: Weather = pick(rng, "clear", "clear", "clear", "cloudy", "overcast", "sunset", "twilight", "night")
    f, surfaces = _furnished(rng, spec, weather)
    for _ in range(_TRIES - 1):
        if any(spec.must in noun for noun in f.seen) or not spec.must:
            break
        f, surfaces = _furnished(rng, spec, weather)
    # What makes the room what it is comes first.
    things = sorted(f.seen, key=lambda noun: not spec.must or spec.must not in noun)
    light = _WHEN[weather] if any(opening.kind == "window" for opening in f.room.openings) else ()
    caption = tell_room(rng, article(kind), things or ["bare walls"], surfaces, light)
    return FurnishedRoom(rng, f.room, article(kind), caption)


def _furnished(rng: np.random.Generator, spec: RoomKind, weather: Weather) -> tuple[Furnisher, list[str]]:
    """Return a room with all that stands in it, and words for what covers it."""
    form, ceiling = pick(rng, *spec.forms), pick(rng, *spec.ceilings)
    form = form if ceiling == "flat" else "box"
    short, long, high = (float(rng.uniform(*bounds)) for bounds in (spec.short, spec.long, spec.high))
    shell = draw_shell(rng, (short, long, high), form, ceiling, float(rng.uniform(1.45, 1.65)), spec.aside)
    sides = _window_walls(rng, shell, spec)
    sky = draw_sky(rng, weather, azimuth=_azimuth(rng, shell, sides))
    floor, floor_word = floor_of(rng, pick(rng, *spec.floors))
    walls, wall_word = walls_of(rng, pick(rng, *spec.walls))
    above, above_word = ceiling_of(rng, pick(rng, *spec.overhead))
    finishes = [walls] * shell.floor_face + [floor] + [above] * (len(shell.normals) - shell.floor_face - 1)
    room = Room(shell, finishes, sky, garden(rng, sky, float(rng.choice([1.9, 1.9, 4.5, 8.0]))))
    room.pieces += [Piece(block, walls, thing=-1 - number) for number, block in enumerate(shell.blocks)]
    f = Furnisher(rng, room)
    _fill(f, spec, sides)
    return f, [floor_word, wall_word, *above_word]


def _window_walls(rng: np.random.Generator, shell: Shell, spec: RoomKind) -> list[int]:
    """Return the outer walls that get windows, rather the longer ones."""
    count = int(rng.integers(spec.walls_with_windows[0], spec.walls_with_windows[1] + 1))
    outer = [i for i, wall in enumerate(shell.walls) if wall.face >= 0 and wall.length > 1.0]
    if spec.windows == ("lancet",):
        return sorted(outer, key=lambda i: -shell.walls[i].length)[:2]
    weights = np.array([shell.walls[i].length for i in outer])
    return [int(i) for i in rng.choice(outer, min(count, len(outer)), replace=False, p=weights / weights.sum())]


def _azimuth(rng: np.random.Generator, shell: Shell, sides: list[int]) -> float | None:
    """Return an azimuth for the sun. Mostly, it shines in through the first of the window walls."""
    if not sides or rng.random() < 0.2:
        return None
    out = -shell.walls[sides[0]].inward
    return float(np.degrees(np.arctan2(out[0], out[1])) + rng.uniform(-55, 55))


def _fill(f: Furnisher, spec: RoomKind, sides: list[int]) -> None:
    rng = f.rng
    style = STYLES[pick(rng, *spec.windows)]
    for wall in sides:
        glaze(f, style, wall, 9 if style.arch else 4)
    if f.room.shell.ceiling in ("gable", "attic", "shed") and f.room.shell.top - f.room.shell.floor < 5:
        for _ in range(int(rng.integers(0, 3))):
            skylight(f)
    if rng.random() < 0.3 and spec.doors:
        doorway(f, float(rng.uniform(0.9, 1.6)), 2.1)
    opened, f.seen = f.seen, []
    spec.furnish(f)
    for _ in range(spec.doors):
        wide = 0.88 if f.room.shell.top - f.room.shell.floor < 3.4 else 1.5
        f.against(door(rng, wide, 2.05 if wide < 1 else 2.3), 0.0, 0.4)
    f.seen += opened
    sky = f.room.sky.weather
    on = {"twilight": 1.0, "night": 1.0, "overcast": 0.7}.get(sky, 0.6 if rng.random() < 0.3 else 0.0)
    if not any(opening.kind == "window" for opening in f.room.openings):
        on = 1.0
    light_up(f, pick(rng, *spec.lights), on)
