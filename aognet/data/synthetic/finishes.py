"""How the surfaces of a room look: wood, tiles, carpet, plaster, marble, cloth, rows of books."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from aognet.data.synthetic.rays import Noise, blend, cell_values, stripes


@dataclass(frozen=True)
class Finish:
    """A surface: one of ``FINISHES`` or "plain", its two colours, the size of its planks or tiles in metres."""

    kind: str
    color: np.ndarray
    second: np.ndarray
    size: float = 0.3


@dataclass(frozen=True)
class Spots:
    """Points (n, 3) of one surface, their coordinates a (along) and b (up or across) on it in metres, pixel sizes."""

    points: np.ndarray
    a: np.ndarray
    b: np.ndarray
    footprint: np.ndarray

    def take(self, chosen: np.ndarray) -> "Spots":
        """The spots at some indices."""
        return Spots(self.points[chosen], self.a[chosen], self.b[chosen], self.footprint[chosen])


class Grains:
    """The noises that all surfaces of a room share."""

    def __init__(self, rng: np.random.Generator):
        self.fiber, self.grain = Noise(rng, 0.006), Noise(rng, 0.02)
        self.cloud, self.stain = Noise(rng, 0.35, "cloud"), Noise(rng, 1.4, "cloud")
        self.veins, self.shapes = Noise(rng, 0.7), Noise(rng, 0.3)

    def albedo(self, finish: Finish, spots: Spots) -> np.ndarray:
        """Colour (n, 3) of the surface."""
        color = np.broadcast_to(finish.color, spots.points.shape).astype(np.float32)
        paint = FINISHES.get(finish.kind)
        return color if paint is None else paint(self, finish, spots, color)


Paint = Callable[[Grains, Finish, Spots, np.ndarray], np.ndarray]


def _wood(grains: Grains, finish: Finish, spots: Spots, color: np.ndarray) -> np.ndarray:
    """Planks along b, each of another tone, with grain along them."""
    plank, length = np.floor(spots.a / finish.size), 1.7
    shift = cell_values(plank, plank * 0 + 1)
    tone = cell_values(plank, np.floor(spots.b / length + shift))
    long = spots.points * np.array([1, 1, 0.08], np.float32)
    veins = grains.grain(long, spots.footprint) * 0.09 + grains.cloud(long * np.float32(3)) * 0.05
    gaps = stripes(spots.a, finish.size, 0.006 / finish.size, spots.footprint)
    gaps = gaps + stripes(spots.b + shift * length, length, 0.004, spots.footprint)
    return color * ((0.82 + 0.36 * tone + veins) * (1 - 0.55 * np.clip(gaps, 0, 1)))[:, None]


def _tiles(grains: Grains, finish: Finish, spots: Spots, color: np.ndarray, vary: float = 0.1) -> np.ndarray:
    lines = stripes(spots.a, finish.size, 0.008 / finish.size, spots.footprint)
    lines = lines + stripes(spots.b, finish.size, 0.008 / finish.size, spots.footprint)
    tone = 0.92 + vary * cell_values(np.floor(spots.a / finish.size), np.floor(spots.b / finish.size))
    return blend(color * tone[:, None], finish.second * 0.75, np.clip(lines, 0, 1) * 0.6)


def _checker(grains: Grains, finish: Finish, spots: Spots, color: np.ndarray) -> np.ndarray:
    odd = (np.floor(spots.a / finish.size) + np.floor(spots.b / finish.size)) % 2
    fade = 1 / (1 + (1.5 * spots.footprint / finish.size) ** 2)
    return _tiles(grains, finish, spots, blend(color, finish.second, 0.5 + (odd - 0.5) * fade))


def _brick(grains: Grains, finish: Finish, spots: Spots, color: np.ndarray) -> np.ndarray:
    high = finish.size / 3
    row = np.floor(spots.b / high)
    moved = spots.a + (row % 2) * finish.size / 2
    lines = stripes(moved, finish.size, 0.012 / finish.size, spots.footprint)
    lines = lines + stripes(spots.b, high, 0.012 / high, spots.footprint)
    tone = 0.85 + 0.3 * cell_values(np.floor(moved / finish.size), row)
    return blend(color * tone[:, None], finish.second * 0.75, np.clip(lines, 0, 1) * 0.7)


def _carpet(grains: Grains, finish: Finish, spots: Spots, color: np.ndarray) -> np.ndarray:
    pile = 0.16 * grains.fiber(spots.points, spots.footprint) + 0.12 * grains.grain(spots.points, spots.footprint)
    return color * (1 + pile + 0.04 * grains.cloud(spots.points))[:, None]


def _paper(grains: Grains, finish: Finish, spots: Spots, color: np.ndarray) -> np.ndarray:
    return blend(color, finish.second, stripes(spots.a, finish.size, 0.5, spots.footprint) * 0.8)


def _half(grains: Grains, finish: Finish, spots: Spots, color: np.ndarray) -> np.ndarray:
    """Another colour below 95 cm."""
    return blend(color, finish.second, np.clip((0.95 - spots.b) / spots.footprint + 0.5, 0, 1))


def _marble(grains: Grains, finish: Finish, spots: Spots, color: np.ndarray) -> np.ndarray:
    veins = np.abs(grains.veins(spots.points) + 0.25 * grains.cloud(spots.points))
    return blend(color, finish.second, np.exp(-veins * 9) * 0.6)


def _concrete(grains: Grains, finish: Finish, spots: Spots, color: np.ndarray) -> np.ndarray:
    grain = 0.05 * grains.grain(spots.points, spots.footprint)
    return color * (1 + 0.035 * grains.cloud(spots.points) + grain)[:, None]


def _veneer(grains: Grains, finish: Finish, spots: Spots, color: np.ndarray) -> np.ndarray:
    """Wood without planks, its grain upright."""
    long = spots.points * np.array([1, 0.1, 1], np.float32)
    grain = 0.07 * grains.grain(long * np.float32(0.7), spots.footprint)
    return color * (1 + grain + 0.05 * grains.cloud(long))[:, None]


def _cloth(grains: Grains, finish: Finish, spots: Spots, color: np.ndarray) -> np.ndarray:
    fiber = 0.08 * grains.fiber(spots.points, spots.footprint)
    return color * (1 + 0.06 * grains.cloud(spots.points) + fiber)[:, None]


def _books(grains: Grains, finish: Finish, spots: Spots, color: np.ndarray) -> np.ndarray:
    spine, shelf, wide = np.floor(spots.a / 0.045), np.floor(spots.b / 0.34), 0.045
    hue = np.stack([cell_values(spine, shelf, spine * 0 + channel) for channel in range(3)], 1)
    fade = 1 / (1 + (2.5 * spots.footprint / wide) ** 2)
    books = 0.35 + (hue * 0.6 - 0.2) * fade[:, None]
    return blend(books, color, stripes(spots.b, 0.34, 0.09, spots.footprint))


FINISHES: dict[str, Paint] = {
    "wood": _wood,
    "tiles": _tiles,
    "panels": _tiles,
    "checker": _checker,
    "brick": _brick,
    "carpet": _carpet,
    "paper": _paper,
    "half": _half,
    "marble": _marble,
    "concrete": _concrete,
    "veneer": _veneer,
    "cloth": _cloth,
    "books": _books,
}
