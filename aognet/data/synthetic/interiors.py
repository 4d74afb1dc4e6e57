"""Furnished rooms by kind: their sizes, finishes, furniture and view, and the captions that are true of them."""

from collections.abc import Callable

import numpy as np

from aognet.data.synthetic.finishes import Finish
from aognet.data.synthetic.furnisher import WOODS, Furnisher, draw_color, draw_wood
from aognet.data.synthetic.furniture import (
    bathroom_fittings,
    bed,
    ceiling_lights,
    cupboard,
    desk,
    door,
    kitchen_units,
    pictures,
    sofa,
    table_with_chairs,
    windows,
)
from aognet.data.synthetic.land import Ground, Ridge, Soil, Trees
from aognet.data.synthetic.rays import Rays, jitter, rgb
from aognet.data.synthetic.rooms import Indoors, Room
from aognet.data.synthetic.sky import Sky, draw_sky
from aognet.data.synthetic.words import article, listing, pick, sentence


def _outside(rng, sky: Sky) -> Callable[[Rays], np.ndarray]:
    """What is seen through windows: the sky, a ridge, trees, a lawn some metres below."""
    layers = [
        Ridge(rng, sky, rgb(0.35, 0.42, 0.3), 1500.0, 0.01, rng.uniform(0.05, 0.2), 0.4),
        Ground(rng, sky, Soil(rgb(0.36, 0.48, 0.2), rgb(0.42, 0.5, 0.25), (0.0, 0.2, 0.1, 0.1)), rng.uniform(1.8, 6)),
        Trees(rng, sky, "round", rgb(0.34, 0.47, 0.2), 28.0, 8.0, 40, 0.5),
    ]

    def look(rays: Rays) -> np.ndarray:
        color = sky.radiance(rays).astype(np.float32)
        for layer in layers:
            layer.paint(rays, color)
        return color

    return look


def _floor(rng, *kinds: str) -> tuple[Finish, str]:
    kind = pick(rng, *kinds)
    if kind == "wood":
        tone = pick(rng, *WOODS)
        color = jitter(rng, rgb(*WOODS[tone]), 0.12)
        word = {"light": "a light wooden floor", "brown": "a wooden floor", "dark": "a dark wooden floor"}[tone]
        return Finish("wood", color, color, rng.uniform(0.09, 0.2)), word
    if kind == "carpet":
        tint, color = draw_color(rng, "grey", "beige", "blue", "red", "green")
        return Finish("carpet", color * 0.85, color), f"{article(tint)} carpet"
    if kind == "checker":
        return Finish("checker", rgb(0.88, 0.87, 0.84), rgb(0.15, 0.15, 0.16), 0.4), "a black and white tiled floor"
    if kind == "concrete":
        return Finish("concrete", jitter(rng, rgb(0.6, 0.59, 0.57)), rgb(0.5, 0.5, 0.5)), "a concrete floor"
    if kind == "marble":
        return Finish("marble", rgb(0.87, 0.85, 0.82), rgb(0.6, 0.57, 0.54)), "a marble floor"
    tint, color = draw_color(rng, "white", "grey", "beige", "brown")
    return Finish("tiles", color, color * 0.6, rng.uniform(0.25, 0.6)), pick(
        rng, "a tiled floor", f"{tint} floor tiles"
    )


def _walls(rng, kind: str) -> tuple[list[Finish], str]:
    tint, color = draw_color(rng, "white", "white", "beige", "grey", "blue", "green", "yellow", "pink")
    word = f"{tint} walls"
    if kind == "bathroom":
        tint, color = draw_color(rng, "white", "beige", "blue", "green")
        return [Finish("tiles", color, color * 0.8, rng.uniform(0.15, 0.3))] * 4, f"{tint} wall tiles"
    style = pick(rng, "plain", "plain", "plain", "paper", "half") if kind != "gallery" else "plain"
    if style == "paper":
        word = pick(rng, "striped wallpaper", f"{tint} striped wallpaper")
    second = color * 0.86 if style == "paper" else color * 0.6
    walls = [Finish(style, color, second, 0.24)] * 4
    if style == "plain" and rng.random() < 0.25 and kind != "gallery":
        side, (name, accent) = int(rng.integers(4)), draw_color(rng, "blue", "green", "red", "grey", "brown")
        brick = name == "red"
        walls[side] = Finish("brick" if brick else "plain", accent, rgb(0.7, 0.66, 0.6), 0.24)
        if name != tint:
            word += ", a brick wall" if brick else f", one {name} wall"
    return walls, word


def _books(f: Furnisher) -> None:
    name = pick(f.rng, "a bookshelf", "shelves full of books")
    cupboard(f, name, (f.rng.uniform(0.9, 1.9), 1.9, 0.3), draw_wood(f.rng), "books")


def _lounge(f: Furnisher) -> None:
    if f.rng.random() < 0.6:
        _books(f)
    cupboard(f, "a low cabinet", (1.6, 0.55, 0.42), draw_wood(f.rng))


def _workplaces(f: Furnisher) -> None:
    for _ in range(int(f.rng.integers(1, 4))):
        desk(f)
    _books(f)


def _wardrobe(f: Furnisher) -> None:
    cupboard(f, "a wardrobe", (f.rng.uniform(1.2, 1.9), 2.05, 0.6), draw_wood(f.rng))


def _sideboard(f: Furnisher) -> None:
    cupboard(f, "a sideboard", (1.6, 0.85, 0.45), draw_wood(f.rng))


# What a kind of room must have goes in before its windows, the rest after them.
_FIRST = {"bedroom": bed, "living room": sofa, "bathroom": bathroom_fittings, "dining room": table_with_chairs}
_THEN = {
    "bedroom": _wardrobe,
    "living room": _lounge,
    "dining room": _sideboard,
    "office": _workplaces,
    "kitchen": kitchen_units,
}


def _furnish(f: Furnisher, kind: str) -> None:
    rng = f.rng
    if kind in _FIRST:
        _FIRST[kind](f)
    if kind != "corridor" and rng.random() < (0.6 if f.room.sky.is_dark else 0.95):
        most = 1 if kind == "bathroom" else 3
        windows(f, int(rng.integers(1, most + 1)), kind in ("gallery", "living room", "office"))
    if kind in _THEN:
        _THEN[kind](f)
    for _ in range(5 if kind == "corridor" else 1):
        door(f)
    if kind not in ("bathroom", "kitchen"):
        pictures(f, {"gallery": 9, "corridor": 4}.get(kind, 3), "paintings" if kind == "gallery" else "pictures")
    ceiling_lights(f, kind in ("office", "corridor", "gallery"))


_SIZES = {  # shorter and longer side, height
    "bedroom": ((3.2, 4.5), (3.8, 5.5), (2.4, 2.8)),
    "living room": ((4.0, 6.0), (5.0, 8.0), (2.4, 3.2)),
    "kitchen": ((3.0, 4.5), (3.6, 5.5), (2.4, 2.9)),
    "dining room": ((4.2, 5.5), (4.6, 6.5), (2.4, 3.1)),
    "office": ((4.0, 7.0), (5.0, 10.0), (2.6, 3.1)),
    "corridor": ((1.8, 2.6), (9.0, 18.0), (2.4, 3.0)),
    "bathroom": ((2.4, 3.4), (2.8, 4.2), (2.3, 2.7)),
    "gallery": ((6.0, 10.0), (8.0, 16.0), (3.4, 5.0)),
}
ROOMS = tuple(_SIZES)
_FLOORS = {
    "kitchen": ("tiles", "checker", "wood"),
    "bathroom": ("tiles", "tiles", "checker", "marble"),
    "office": ("carpet", "carpet", "wood", "concrete"),
    "corridor": ("tiles", "carpet", "wood", "checker"),
    "gallery": ("wood", "concrete", "marble"),
}


def indoors(rng: np.random.Generator, kind: str) -> Indoors:
    """A random room of one of the kinds in ``ROOMS``."""
    weather = pick(rng, "clear", "clear", "cloudy", "overcast", "sunset", "night")
    sky = draw_sky(rng, weather)
    short, long, tall = (rng.uniform(*bounds) for bounds in _SIZES[kind])
    size = np.array([short, tall, long] if rng.random() < 0.5 else [long, tall, short])
    # A bed is long: the camera stands in another corner.
    near, far = (0.2, 0.3) if kind == "bedroom" else (0.3, 0.5)
    spot = rng.uniform(near, far, 3)
    spot = np.where(rng.random(3) < 0.5, spot, 1 - spot)
    low = -(size * spot)
    low[1] = -rng.uniform(1.35, 1.65)
    floor, floor_word = _floor(rng, *_FLOORS.get(kind, ("wood", "wood", "carpet")))
    walls, wall_word = _walls(rng, kind)
    white = jitter(rng, rgb(0.92, 0.91, 0.89), 0.05)
    ceiling = Finish("panels" if kind in ("office", "corridor") else "plain", white, white * 0.85, 0.6)
    room = Room(low.astype(np.float32), (low + size).astype(np.float32), floor, walls, ceiling, sky)
    furnisher = Furnisher(rng, room)
    _furnish(furnisher, kind)
    caption = _caption(rng, kind, [floor_word, wall_word], furnisher.seen, sky)
    return Indoors(rng, room, _outside(rng, sky), caption)


def _caption(rng, kind: str, surfaces: list[str], seen: list[str], sky: Sky) -> str:
    things = list(dict.fromkeys(seen))
    if seen.count("a desk with a computer") + seen.count("a desk and a chair") > 1:
        things = ["desks with computers"] + [thing for thing in things if "desk" not in thing]
    doors = [thing for thing in things if thing.endswith("door")]
    if len([thing for thing in seen if thing.endswith("door")]) > 1:
        things = [thing for thing in things if thing not in doors] + ["doors"]
    # The first thing is what makes the room what it is: it is nearly always named.
    rest = [int(i) for i in rng.permutation(np.arange(1, len(things)))[: int(rng.integers(0, 4))]]
    things = [things[i] for i in sorted([0, *rest] if rng.random() < 0.8 else rest) if i < len(things)]
    first = pick(rng, "{}", "{}", "the inside of {}", "a view of {}").format(article(kind))
    if sky.is_dark and rng.random() < 0.6:
        first += pick(rng, " at night", " in the evening")
    parts = [surfaces[i] for i in sorted(rng.permutation(2)[: int(rng.integers(1, 3))])]
    if things and rng.random() < 0.25:
        parts = []
    return sentence(f"{first} with {listing(things + parts if rng.random() < 0.4 else parts + things)}")
