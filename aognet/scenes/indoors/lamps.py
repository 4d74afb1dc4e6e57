"""Lamps: on the ceiling, hanging, standing and on tables; their power in lux at one metre."""

import numpy as np

from aognet.scenes.indoors.finishes import Finish
from aognet.scenes.indoors.furnisher import Part, Thing
from aognet.scenes.indoors.furniture import pole, slab
from aognet.scenes.indoors.palette import BRASS, DARK, STEEL, shining
from aognet.scenes.world import LUX


def _shining(tint: np.ndarray, lux: float, radius: float) -> tuple[Finish, np.ndarray]:
    """Return the finish of a round lamp of that radius, and the light it throws at one metre."""
    power = tint * np.float32(lux * LUX)
    return shining(power / radius**2), power


def pendant(tint: np.ndarray, lux: float, ceiling: float, bottom: float, radius: float = 0.16) -> Thing:
    """Return a round lamp hanging from the ceiling; heights above the floor."""
    glass, power = _shining(tint, lux, radius)
    bottom = min(bottom, ceiling - 1.1 * radius - 0.1)
    parts = (
        Part("column", (0.0, bottom, 0.0), (2 * radius, radius * 1.1, 2 * radius), glass),
        pole(0.0, bottom + radius * 1.1, 0.0, 0.01, ceiling - bottom - radius * 1.1, DARK),
        pole(0.0, ceiling - 0.04, 0.0, 0.05, 0.04, DARK),
    )
    return Thing("a pendant lamp", parts, 0.3, 0.3, ceiling, (((0.0, bottom - 0.12, 0.0), power),))


def chandelier(tint: np.ndarray, lux: float, ceiling: float, bottom: float) -> Thing:
    """Return a ring of candles under the ceiling."""
    glass, _ = _shining(tint, lux / 8, 0.05)
    rod = ceiling - bottom - 0.35
    parts = [pole(0.0, bottom, 0.0, 0.06, 0.35, BRASS), pole(0.0, bottom + 0.35, 0.0, 0.012, rod, BRASS)]
    for number in range(8):
        angle = number * np.pi / 4
        x, z = 0.5 * np.sin(angle), 0.5 * np.cos(angle)
        parts.append(Part("box", (x / 2, bottom + 0.08, z / 2), (0.025, 0.025, 0.5), BRASS, angle))
        parts.append(pole(x, bottom + 0.08, z, 0.035, 0.09, BRASS))
        parts.append(Part("column", (x, bottom + 0.17, z), (0.1, 0.13, 0.1), glass))
    return Thing(
        "a chandelier", tuple(parts), 1.1, 1.1, ceiling, (((0.0, bottom - 0.2, 0.0), tint * np.float32(lux * LUX)),)
    )


def flush(tint: np.ndarray, lux: float, ceiling: float) -> Thing:
    """Return a round lamp on the ceiling."""
    glass, power = _shining(tint, lux, 0.2)
    parts = (Part("column", (0.0, ceiling - 0.09, 0.0), (0.4, 0.09, 0.4), glass),)
    return Thing("a ceiling lamp", parts, 0.4, 0.4, ceiling, (((0.0, ceiling - 0.3, 0.0), power),))


def panel(tint: np.ndarray, lux: float, ceiling: float, wide: float = 0.6, deep: float = 1.2) -> Thing:
    """Return a light panel or tube flush with the ceiling."""
    power = tint * np.float32(lux * LUX)
    parts = (
        Part("box", (0.0, ceiling - 0.03, 0.0), (wide, 0.05, deep), shining(power * np.float32(np.pi / (wide * deep)))),
        Part("box", (0.0, ceiling - 0.022, 0.0), (wide + 0.06, 0.05, deep + 0.06), STEEL),
    )
    return Thing("ceiling lights", parts, wide, deep, ceiling, (((0.0, ceiling - 0.2, 0.0), power),))


def floor_lamp(tint: np.ndarray, lux: float) -> Thing:
    """Return a shade on a tall stand."""
    glass, power = _shining(tint, lux, 0.17)
    parts = (
        pole(0.0, 0.0, 0.2, 0.14, 0.03, DARK),
        pole(0.0, 0.03, 0.2, 0.014, 1.45, DARK),
        Part("column", (0.0, 1.4, 0.2), (0.36, 0.26, 0.36), glass),
    )
    return Thing("a floor lamp", parts, 0.4, 0.4, 1.7, (((0.0, 1.53, 0.2), power),))


def table_lamp(tint: np.ndarray, lux: float, stand: Finish, high: float = 0.5) -> Thing:
    """Return a night table with a small lamp on it."""
    glass, power = _shining(tint, lux, 0.11)
    parts = (
        slab(0.0, 0.08, 0.0, 0.45, high - 0.08, 0.4, stand),
        slab(0.0, 0.0, 0.03, 0.4, 0.08, 0.34, DARK),
        slab(0.0, high * 0.35, 0.4, 0.4, 0.02, 0.012, DARK),
        pole(0.0, high, 0.18, 0.05, 0.02, BRASS),
        pole(0.0, high, 0.18, 0.015, 0.22, BRASS),
        Part("column", (0.0, high + 0.2, 0.18), (0.24, 0.2, 0.24), glass),
    )
    return Thing("a table lamp", parts, 0.45, 0.42, high + 0.4, (((0.0, high + 0.3, 0.18), power),))
