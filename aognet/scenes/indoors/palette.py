"""Colours by name, and the finishes that furniture is drawn in."""

import numpy as np

from aognet.scenes.indoors.finishes import Finish
from aognet.scenes.rays import jitter, rgb
from aognet.scenes.words import pick

COLORS = {
    "white": (0.9, 0.89, 0.86),
    "cream": (0.91, 0.87, 0.76),
    "beige": (0.82, 0.75, 0.63),
    "grey": (0.62, 0.62, 0.62),
    "dark grey": (0.3, 0.31, 0.33),
    "blue": (0.36, 0.5, 0.66),
    "navy": (0.15, 0.2, 0.33),
    "green": (0.46, 0.58, 0.44),
    "dark green": (0.16, 0.3, 0.23),
    "yellow": (0.9, 0.77, 0.42),
    "orange": (0.82, 0.48, 0.25),
    "pink": (0.85, 0.66, 0.65),
    "red": (0.6, 0.18, 0.15),
    "brown": (0.42, 0.28, 0.19),
    "black": (0.11, 0.11, 0.12),
}
WOODS = {"light": (0.76, 0.6, 0.42), "brown": (0.56, 0.38, 0.24), "dark": (0.33, 0.21, 0.14)}
STEEL, DARK = Finish("plain", rgb(0.66, 0.67, 0.68)), Finish("plain", rgb(0.13, 0.13, 0.14))
WHITE = Finish("plain", rgb(0.92, 0.92, 0.91))
BRASS = Finish("plain", rgb(0.68, 0.56, 0.34))
WARM, NEUTRAL = np.array([1.0, 0.78, 0.52], np.float32), np.array([1.0, 0.95, 0.88], np.float32)


def draw_color(rng: np.random.Generator, *names: str) -> tuple[str, np.ndarray]:
    """Return one of the colours of ``COLORS`` by name, a little varied."""
    name = pick(rng, *names)
    return name, jitter(rng, rgb(*COLORS[name]), 0.12)


def draw_wood(rng: np.random.Generator, *names: str) -> Finish:
    """Return veneer of some wood."""
    return Finish("veneer", jitter(rng, rgb(*WOODS[pick(rng, *(names or WOODS))]), 0.15))


def draw_cloth(rng: np.random.Generator, *names: str) -> tuple[str, Finish]:
    """Return upholstery and the name of its colour."""
    name, color = draw_color(rng, *names)
    return name, Finish("cloth", color)


def shade(finish: Finish, factor: float) -> Finish:
    """Return the same finish, brighter or darker."""
    return Finish(finish.kind, finish.color * np.float32(factor), finish.second, finish.size, finish.glow)


def plain(red: float, green: float, blue: float) -> Finish:
    """Return smooth paint of an sRGB colour."""
    return Finish("plain", rgb(red, green, blue))


def shining(radiance: np.ndarray) -> Finish:
    """Return a surface that shines with this radiance (3,)."""
    return Finish("plain", np.full(3, 0.8, np.float32), glow=np.asarray(radiance, np.float32))
