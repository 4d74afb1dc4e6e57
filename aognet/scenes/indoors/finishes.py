"""How the surfaces of a room look: wood, tiles, carpet, plaster, marble, cloth, rows of books."""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from aognet.scenes.rays import Noise, blend, cell_values, rgb, smooth, stripes

_NONE = np.zeros(3, np.float32)


@dataclass(frozen=True)
class Finish:
    """A surface: one of ``FINISHES`` or "plain", its two colours (linear), the size of its parts in metres."""

    kind: str
    color: np.ndarray
    second: np.ndarray | None = None
    size: float = 0.3
    glow: np.ndarray = field(default_factory=lambda: _NONE)  # radiance of its own
    gloss: float = 0.0  # 0: matte, 1: polished

    @property
    def other(self) -> np.ndarray:
        """The second colour, by default a darker first one."""
        return self.color * np.float32(0.7) if self.second is None else self.second


@dataclass(frozen=True)
class SurfacePoints:
    """Points (n, 3) of surfaces of one kind, where on their face, and the colours and sizes of their finish."""

    points: np.ndarray
    a: np.ndarray  # metres along the face
    b: np.ndarray  # and up or across it
    wide: np.ndarray  # metres of the face
    high: np.ndarray
    face: np.ndarray  # its number
    footprint: np.ndarray  # metres that a pixel covers
    color: np.ndarray
    second: np.ndarray
    size: np.ndarray

    @property
    def edge(self) -> np.ndarray:
        """Metres to the nearest edge of the face."""
        return np.minimum(np.minimum(self.a, self.wide - self.a), np.minimum(self.b, self.high - self.b))


class Grains:
    """The noises that all surfaces of a room share."""

    def __init__(self, rng: np.random.Generator):
        self.fiber, self.grain = Noise(rng, 0.006), Noise(rng, 0.02)
        self.cloud, self.stain = Noise(rng, 0.35, "cloud"), Noise(rng, 1.4, "cloud")
        self.veins, self.shapes, self.leaf = Noise(rng, 0.7), Noise(rng, 0.3), Noise(rng, 0.05)

    def albedo(self, kind: str, spots: SurfacePoints) -> np.ndarray:
        """Return colour (n, 3) of surfaces of a kind."""
        paint = FINISHES.get(kind)
        return np.clip(spots.color if paint is None else paint(self, spots), 0, 0.95)


def _wood(grains: Grains, s: SurfacePoints) -> np.ndarray:
    """Return the colours of planks along b, each of another tone, with grain along them."""
    plank, length = np.floor(s.a / s.size), 1.7
    shift = cell_values(plank, plank * 0 + 1)
    tone = cell_values(plank, np.floor(s.b / length + shift))
    places = np.stack([s.a, s.b * np.float32(0.08), plank * np.float32(0.37)], 1)
    veins = grains.grain(places, s.footprint) * 0.1 + grains.cloud(places * np.float32(3)) * 0.06
    gaps = stripes(s.a, s.size, 0.005 / s.size, s.footprint) + stripes(s.b + shift * length, length, 0.003, s.footprint)
    return s.color * ((0.84 + 0.32 * tone + veins) * (1 - 0.5 * np.clip(gaps, 0, 1)))[:, None]


def _herringbone(grains: Grains, s: SurfacePoints) -> np.ndarray:
    """Return the colours of parquet of short blocks laid at right angles."""
    x, y = (s.a + s.b) / s.size * 0.7071, (s.b - s.a) / s.size * 0.7071
    i, j = np.floor(x), np.floor(y)
    # Blocks 1 x 4: which way a cell lies repeats along the diagonal.
    lies = (i - j) % 8 < 4
    start = np.where(lies, i - (i - j) % 4, j - (j - i - 1) % 4)
    other = np.where(lies, j, i)
    tone = cell_values(start, other, lies.astype(np.float32))
    along = np.where(lies, x, y)
    places = np.stack([other * np.float32(0.31), along * s.size * np.float32(0.08), np.where(lies, y, x) * s.size], 1)
    veins = grains.grain(places.astype(np.float32), s.footprint) * 0.08
    width = s.footprint / s.size
    gaps = stripes(np.where(lies, y, x), 1.0, 0.05, width)
    fade = 1 / (1 + (0.8 * width) ** 2)
    return s.color * ((1 + (0.4 * tone - 0.2) * fade + veins) * (1 - 0.4 * gaps))[:, None]


def _tiles(grains: Grains, s: SurfacePoints) -> np.ndarray:
    lines = stripes(s.a, s.size, 0.006 / s.size, s.footprint) + stripes(s.b, s.size, 0.006 / s.size, s.footprint)
    fade = 1 / (1 + (1.2 * s.footprint / s.size) ** 2)
    tone = 1 + (0.1 * cell_values(np.floor(s.a / s.size), np.floor(s.b / s.size)) - 0.05) * fade
    tone = tone + 0.02 * grains.cloud(s.points)
    return blend(s.color * tone[:, None], s.second * np.float32(0.8), np.clip(lines, 0, 1) * 0.75)


def _subway(grains: Grains, s: SurfacePoints) -> np.ndarray:
    """Return the colours of flat glazed tiles in running bond."""
    return _bond(s, s.size * 0.5, 0.004, 0.06, 0.6)


def _brick(grains: Grains, s: SurfacePoints) -> np.ndarray:
    rough = 1 + 0.1 * grains.grain(s.points, s.footprint) + 0.06 * grains.cloud(s.points)
    return _bond(s, s.size * 0.32, 0.011, 0.45, 0.85) * rough[:, None]


def _bond(s: SurfacePoints, high: np.ndarray, joint: float, vary: float, depth: float) -> np.ndarray:
    row = np.floor(s.b / high)
    moved = s.a + (row % 2) * s.size / 2
    lines = stripes(moved, s.size, joint / s.size, s.footprint) + stripes(s.b, high, joint / high, s.footprint)
    fade = 1 / (1 + (1.2 * s.footprint / high) ** 2)
    tone = 1 + vary * (cell_values(np.floor(moved / s.size), row) - 0.5) * fade
    return blend(s.color * tone[:, None], s.second, np.clip(lines, 0, 1) * depth)


def _checker(grains: Grains, s: SurfacePoints) -> np.ndarray:
    # The product of two square waves, each as smooth as the pixel is wide.
    soft = np.maximum(s.footprint / s.size, 1e-4)
    wave = [np.clip((np.abs((x / s.size) % 2 - 1) - 0.5) / soft, -0.5, 0.5) * 2 for x in (s.a, s.b)]
    fade = 1 / (1 + soft**4)
    veins = 1 + 0.05 * grains.cloud(s.points)
    return blend(s.color, s.second, 0.5 + 0.5 * wave[0] * wave[1] * fade) * veins[:, None]


def _carpet(grains: Grains, s: SurfacePoints) -> np.ndarray:
    pile = 0.16 * grains.fiber(s.points, s.footprint) + 0.12 * grains.grain(s.points, s.footprint)
    return s.color * (1 + pile + 0.05 * grains.cloud(s.points))[:, None]


def _rug(grains: Grains, s: SurfacePoints) -> np.ndarray:
    """Return the colours of a border, an inner field with a lattice, fringes left out."""
    edge = s.edge
    border = np.clip((0.16 - edge) / s.footprint + 0.5, 0, 1) * np.clip((edge - 0.05) / s.footprint + 0.5, 0, 1)
    lattice = stripes(s.a + s.b, s.size, 0.2, s.footprint) + stripes(s.a - s.b, s.size, 0.2, s.footprint)
    color = blend(s.color, s.second, np.clip(lattice, 0, 1) * 0.3 * (edge > 0.2))
    color = blend(color, s.second, border)
    return color * (1 + 0.14 * grains.fiber(s.points, s.footprint))[:, None]


def _paper(grains: Grains, s: SurfacePoints) -> np.ndarray:
    return blend(s.color, s.second, stripes(s.a, s.size, 0.5, s.footprint) * 0.8)


def _flowers(grains: Grains, s: SurfacePoints) -> np.ndarray:
    """Return the colours of wallpaper with a small ornament in every other cell."""
    row = np.floor(s.b / s.size)
    x, y = (s.a / s.size + 0.5 * (row % 2)) % 1 - 0.5, s.b / s.size - row - 0.5
    petals = 0.24 + 0.09 * np.cos(5 * np.arctan2(y, x))
    inside = np.clip((petals - np.hypot(x, y)) / np.maximum(s.footprint / s.size, 1e-4) + 0.5, 0, 1)
    return blend(s.color, s.second, inside * 0.8 / (1 + (1.5 * s.footprint / s.size) ** 2))


def _half(grains: Grains, s: SurfacePoints) -> np.ndarray:
    """Return the colours of panelling in the second colour below a rail at 95 cm."""
    low = np.clip((0.95 - s.b) / s.footprint + 0.5, 0, 1)
    grooves = stripes(s.a, 0.12, 0.05, s.footprint) * 0.3
    rail = np.clip((0.03 - np.abs(s.b - 0.95)) / s.footprint + 0.5, 0, 1) * 0.12
    return blend(s.color, s.second * (1 - grooves)[:, None], low) * (1 + rail)[:, None]


def _plaster(grains: Grains, s: SurfacePoints) -> np.ndarray:
    return s.color * (1 + 0.018 * grains.stain(s.points) + 0.014 * grains.grain(s.points, s.footprint))[:, None]


def _marble(grains: Grains, s: SurfacePoints) -> np.ndarray:
    veins = np.abs(grains.veins(s.points) + 0.3 * grains.cloud(s.points))
    lines = stripes(s.a, 0.8, 0.005, s.footprint) + stripes(s.b, 0.8, 0.005, s.footprint)
    return blend(s.color, s.second, np.clip(np.exp(-veins * 9) * 0.65 + 0.3 * lines, 0, 1))


def _concrete(grains: Grains, s: SurfacePoints) -> np.ndarray:
    tone = 1 + 0.06 * grains.grain(s.points, s.footprint) + 0.05 * grains.cloud(s.points)
    joints = stripes(s.a, 2.4, 0.004, s.footprint) + stripes(s.b, 2.4, 0.004, s.footprint)
    return s.color * ((tone + 0.06 * grains.stain(s.points)) * (1 - 0.3 * joints))[:, None]


def _stone(grains: Grains, s: SurfacePoints) -> np.ndarray:
    """Return the colours of ashlar: large blocks in courses."""
    rough = 1 + 0.07 * grains.grain(s.points, s.footprint) + 0.06 * grains.cloud(s.points)
    return _bond(s, s.size * 0.5, 0.012, 0.16, 0.45) * rough[:, None]


def _veneer(grains: Grains, s: SurfacePoints) -> np.ndarray:
    """Return the colours of wood without planks, its grain along the longer side, each face of another tone."""
    upright = s.high > s.wide
    across, along = np.where(upright, s.a, s.b), np.where(upright, s.b, s.a)
    places = np.stack([across, along * np.float32(0.1), s.face * np.float32(0.173)], 1).astype(np.float32)
    grain = 0.09 * grains.grain(places * np.float32(0.7), s.footprint) + 0.06 * grains.cloud(places)
    return s.color * (0.96 + 0.08 * cell_values(s.face) + grain)[:, None]


def _cloth(grains: Grains, s: SurfacePoints) -> np.ndarray:
    fiber = 0.08 * grains.fiber(s.points, s.footprint)
    # Seams are darker, as cushions bend away there.
    seam = 1 - 0.16 * np.exp(-np.maximum(s.edge, 0) / 0.025)
    return s.color * ((1 + 0.06 * grains.cloud(s.points) + fiber) * seam)[:, None]


def _drape(grains: Grains, s: SurfacePoints) -> np.ndarray:
    """Return the colours of cloth in upright folds."""
    folds = np.sin(2 * np.pi * (s.a / 0.11) + 1.5 * grains.shapes(s.points * np.array([1, 0.2, 1], np.float32)))
    return s.color * (0.85 + 0.2 * folds / (1 + (20 * s.footprint) ** 2))[:, None]


def _books(grains: Grains, s: SurfacePoints) -> np.ndarray:
    """Return the colours of rows of spines of many colours and heights; the second colour is the wood of the shelf."""
    spine, shelf = np.floor(s.a / 0.042), np.floor(s.b / 0.33)
    dice = [cell_values(spine, shelf, s.face + channel) for channel in range(4)]
    hue = _SPINES[(dice[0] * len(_SPINES)).astype(int)] * (0.7 + 0.6 * dice[3])[:, None]
    fade = (1 / (1 + (2.0 * s.footprint / 0.042) ** 2))[:, None]
    # From afar the sets that stand together still differ.
    series = np.stack([cell_values(np.floor(spine / 7), shelf, s.face + channel) for channel in (5, 6, 7)], 1)
    far = np.array([0.1, 0.07, 0.055], np.float32) + np.array([0.14, 0.1, 0.08], np.float32) * series
    color = far + (hue - far) * fade
    gap = np.clip(((s.b / 0.33) % 1 - 0.72 - 0.18 * dice[1]) * 0.33 / s.footprint + 0.5, 0, 1)
    color = color * (1 - 0.85 * gap * np.minimum(fade[:, 0] + 0.3, 1))[:, None]
    color = color * (1 - 0.5 * stripes(s.a, 0.042, 0.12, s.footprint))[:, None]
    board = np.maximum(stripes(s.b, 0.33, 0.1, s.footprint), np.clip((0.03 - s.edge) / s.footprint + 0.5, 0, 1))
    return blend(color, s.second, board)


_SPINES = np.stack(
    [rgb(*color) for color in (
        (0.45, 0.13, 0.12), (0.16, 0.22, 0.36), (0.17, 0.3, 0.2), (0.38, 0.25, 0.16), (0.62, 0.47, 0.24),
        (0.8, 0.75, 0.62), (0.12, 0.12, 0.13), (0.3, 0.42, 0.5), (0.65, 0.32, 0.2), (0.5, 0.5, 0.48),
    )]
)  # fmt: skip


def _picture(grains: Grains, s: SurfacePoints) -> np.ndarray:
    """Return the colours of a framed painting: land under a sky, an abstract of fields, or a portrait's dark shape, by
    its face's number.
    """
    turn = cell_values(s.face)
    x, y = s.a / s.wide - 0.5, s.b / s.high - 0.5
    wave = 0.25 * grains.shapes(s.points)
    light, dark = 0.3 + 0.6 * s.color[:, ::-1], s.color * np.float32(0.6)
    land = blend(dark, light, smooth(y + 0.25 * wave - 0.05, -0.04, 0.04)) * (1 + 0.5 * y)[:, None]
    blocks = cell_values(np.floor(x * 3 + 0.2), np.floor(y * 4), s.face)
    fields = blend(light, dark, blocks) * (0.7 + 0.5 * cell_values(np.floor(x * 3 + 0.2), np.floor(y * 4)))[:, None]
    body = np.minimum(np.hypot(x / 0.16, (y - 0.12) / 0.2), np.hypot(x / 0.33, (y + 0.5) / 0.42))
    person = blend(
        s.color * np.float32(0.9), s.second * np.float32(0.5), smooth(1.05 + 0.15 * wave - body, -0.05, 0.05)
    )
    color = np.where((turn < 0.45)[:, None], land, np.where((turn < 0.8)[:, None], fields, person))
    color = color * (1 + 0.1 * grains.cloud(s.points))[:, None]
    mat = np.clip((0.08 - s.edge) / s.footprint + 0.5, 0, 1)
    color = blend(color, rgb(0.92, 0.91, 0.88), mat * (cell_values(s.face + 7) < 0.5))
    return blend(color, s.second * np.float32(0.6), np.clip((0.03 - s.edge) / s.footprint + 0.5, 0, 1))


def _leaves(grains: Grains, s: SurfacePoints) -> np.ndarray:
    tone = 0.8 + 0.5 * np.clip(grains.leaf(s.points, s.footprint), -1.2, 1.5)
    return s.color * tone[:, None]


def _slats(grains: Grains, s: SurfacePoints) -> np.ndarray:
    """Return the colours of grooves across, as of a radiator, a shutter or a garage door."""
    return blend(s.color, s.second, stripes(s.b, s.size, 0.16, s.footprint))


def _boards(grains: Grains, s: SurfacePoints) -> np.ndarray:
    """Return the colours of boards along a, as of a wooden ceiling."""
    board = np.floor(s.b / s.size)
    places = np.stack([s.b, s.a * np.float32(0.08), board], 1)
    tone = 0.86 + 0.28 * cell_values(board) + 0.1 * grains.grain(places, s.footprint)
    return s.color * (tone * (1 - 0.6 * stripes(s.b, s.size, 0.01 / s.size, s.footprint)))[:, None]


def _drawers(grains: Grains, s: SurfacePoints) -> np.ndarray:
    """Return the colours of fronts ``size`` high (or wide, on low wide faces) with dark gaps."""
    lines = stripes(s.b, s.size, 0.012 / s.size, s.footprint)
    return _veneer(grains, s) * (1 - 0.7 * np.clip(lines, 0, 1))[:, None]


def _door(grains: Grains, s: SurfacePoints) -> np.ndarray:
    """Return the colours of two sunk panels."""
    middle = 0.45 * s.high
    x = np.minimum(s.a, s.wide - s.a) - 0.13
    y = np.where(s.b > middle, np.minimum(s.b - middle, s.high - s.b), np.minimum(s.b, middle - s.b)) - 0.1
    groove = np.clip((0.012 - np.abs(np.minimum(x, y))) / s.footprint + 0.5, 0, 1)
    return _veneer(grains, s) * (1 - 0.4 * groove * (s.wide > 0.5))[:, None]


def _screen(grains: Grains, s: SurfacePoints) -> np.ndarray:
    return blend(s.color, s.second, np.clip((0.02 - s.edge) / s.footprint + 0.5, 0, 1))


Paint = Callable[[Grains, SurfacePoints], np.ndarray]
FINISHES: dict[str, Paint] = {
    "wood": _wood,
    "herringbone": _herringbone,
    "tiles": _tiles,
    "subway": _subway,
    "checker": _checker,
    "brick": _brick,
    "carpet": _carpet,
    "rug": _rug,
    "paper": _paper,
    "flowers": _flowers,
    "half": _half,
    "plaster": _plaster,
    "marble": _marble,
    "concrete": _concrete,
    "stone": _stone,
    "veneer": _veneer,
    "cloth": _cloth,
    "drape": _drape,
    "books": _books,
    "picture": _picture,
    "leaves": _leaves,
    "slats": _slats,
    "boards": _boards,
    "drawers": _drawers,
    "door": _door,
    "screen": _screen,
}
