"""What covers floors, walls and ceilings, with the words for it."""

import numpy as np

from aognet.scenes.indoors.finishes import Finish
from aognet.scenes.indoors.palette import WOODS, draw_color
from aognet.scenes.rays import jitter, rgb
from aognet.scenes.words import article, pick


def floor_of(rng: np.random.Generator, kind: str) -> tuple[Finish, str]:
    """Return the finish of a floor and its name."""
    if kind in ("wood", "herringbone"):
        tone = pick(rng, *WOODS)
        color = jitter(rng, rgb(*WOODS[tone]), 0.12)
        name = "parquet floor" if kind == "herringbone" else "wooden floor"
        size = 0.09 if kind == "herringbone" else float(rng.uniform(0.09, 0.2))
        return Finish(kind, color, color, size, gloss=0.35), article({"brown": name}.get(tone, f"{tone} {name}"))
    if kind == "carpet":
        tint, color = draw_color(rng, "grey", "beige", "blue", "red", "green", "dark grey")
        return Finish("carpet", color), f"{article(tint)} carpet"
    if kind == "checker":
        dark = pick(rng, "black", "black", "red", "dark green")
        first, second = rgb(0.88, 0.87, 0.83), draw_color(rng, dark)[1]
        return Finish(
            "checker", first, second, float(rng.uniform(0.3, 0.5)), gloss=0.5
        ), f"a {dark} and white tiled floor"
    if kind == "concrete":
        return Finish("concrete", jitter(rng, rgb(0.6, 0.59, 0.57)), rgb(0.5, 0.5, 0.5)), "a concrete floor"
    if kind == "marble":
        return Finish("marble", jitter(rng, rgb(0.86, 0.83, 0.79)), rgb(0.55, 0.5, 0.46), gloss=0.7), "a marble floor"
    if kind == "stone":
        return Finish("stone", jitter(rng, rgb(0.62, 0.58, 0.52)), rgb(0.4, 0.38, 0.35), 0.9), "a stone floor"
    if kind == "rubber":
        return Finish("carpet", jitter(rng, rgb(0.22, 0.22, 0.24))), "a black rubber floor"
    if kind == "lino":
        tint, color = draw_color(rng, "green", "blue", "beige", "grey")
        return Finish("plaster", color, color, gloss=0.4), f"{article(tint)} floor"
    tint, color = draw_color(rng, "white", "grey", "beige", "brown", "dark grey")
    return Finish(
        "tiles", color, color * np.float32(0.55), float(rng.uniform(0.3, 0.6)), gloss=0.4
    ), f"{article(tint)} tiled floor"


def walls_of(rng: np.random.Generator, kind: str) -> tuple[Finish, str]:
    """Return the finish of the walls and its name."""
    if kind == "white":
        return Finish("plaster", jitter(rng, rgb(0.93, 0.92, 0.91), 0.04)), "white walls"
    if kind == "brick":
        if rng.random() < 0.3:
            return Finish("brick", rgb(0.86, 0.84, 0.81), rgb(0.76, 0.74, 0.7), 0.23), "white brick walls"
        return Finish("brick", jitter(rng, rgb(0.56, 0.31, 0.23)), rgb(0.66, 0.62, 0.57), 0.23), "brick walls"
    if kind == "concrete":
        return Finish("concrete", jitter(rng, rgb(0.62, 0.61, 0.6)), rgb(0.5, 0.5, 0.5)), "concrete walls"
    if kind == "stone":
        return Finish("stone", jitter(rng, rgb(0.7, 0.65, 0.57)), rgb(0.5, 0.46, 0.4), 0.8), "stone walls"
    if kind == "marble":
        return Finish("marble", jitter(rng, rgb(0.84, 0.8, 0.75)), rgb(0.55, 0.5, 0.46)), "marble walls"
    if kind == "boards":
        return Finish("boards", jitter(rng, rgb(0.72, 0.56, 0.38)), None, 0.12), "wooden walls"
    if kind in ("tiles", "subway"):
        tint, color = draw_color(rng, "white", "white", "beige", "blue", "green", "pink", "grey")
        size = float(rng.uniform(0.15, 0.3)) if kind == "tiles" else 0.2
        return Finish(kind, color, color * np.float32(0.75), size), f"{tint} wall tiles"
    tint, color = draw_color(rng, "white", "white", "cream", "beige", "grey", "blue", "green", "yellow", "pink")
    if kind == "half":
        low, second = draw_color(rng, "white", "dark green", "brown", "navy", "grey", "cream")
        return Finish("half", color, second), f"{tint} walls" if low == tint else f"{tint} walls above {low} panelling"
    if kind == "paper":
        return Finish("paper", color, color * np.float32(0.84), 0.2), f"{tint} striped wallpaper"
    if kind == "flowers":
        second = draw_color(rng, "white", "green", "red", "blue", "yellow")[1]
        return Finish("flowers", color, second, float(rng.uniform(0.14, 0.26))), f"patterned {tint} wallpaper"
    return Finish("plaster", color), f"{tint} walls"


def ceiling_of(rng: np.random.Generator, kind: str) -> tuple[Finish, list[str]]:
    """Return the finish of a ceiling, and its name where it is worth saying."""
    if kind == "boards":
        return Finish("boards", jitter(rng, rgb(0.7, 0.53, 0.35)), None, 0.13), ["a wooden ceiling"]
    if kind == "concrete":
        return Finish("concrete", jitter(rng, rgb(0.66, 0.65, 0.64)), rgb(0.5, 0.5, 0.5)), ["a concrete ceiling"]
    white = jitter(rng, rgb(0.93, 0.92, 0.9), 0.04)
    if kind == "panels":
        return Finish("tiles", white, white * np.float32(0.8), 0.6), []
    return Finish("plaster", white), []
