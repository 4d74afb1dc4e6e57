"""Captioned panoramas without end: outdoor scenes and rooms drawn from a seed, with no asset.

``make_scene(seed)`` gives the same pixels and caption for the same seed. A scene is a function from view directions to
linear colour; this file samples it on the panorama, more densely at edges, and makes it displayable.
"""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np

from aognet.data.synthetic.interiors import ROOMS, indoors
from aognet.data.synthetic.outdoors import BUILDERS, outdoors
from aognet.data.synthetic.rays import Rays, encode_srgb
from aognet.errors import UserError
from aognet.geometry.sphere import pixel_directions, rotation

KINDS: tuple[str, ...] = (*BUILDERS, *ROOMS)
_CHUNK = 1 << 16  # rays at a time, so that the arrays stay in the processor's cache
_EDGE, _EDGE_PART = 0.1, 0.15  # contrast from which pixels are sampled again, and how many at most


@dataclass(frozen=True)
class Scene:
    """A panorama (height, 2 * height, 3) float32, sRGB in [0, 1], what it shows in words, and its kind."""

    image: np.ndarray
    caption: str
    kind: str


@runtime_checkable
class World(Protocol):
    """What can be seen from the camera."""

    caption: str

    def radiance(self, rays: Rays) -> np.ndarray:
        """Linear colour (n, 3) along every ray."""


def make_scene(seed: int, height: int = 512, kind: str | None = None) -> Scene:
    """The scene of a seed, of a random kind unless one of ``KINDS`` is asked for.

    Raises:
        UserError: for a kind that does not exist or a height below 8.
    """
    if height < 8:
        raise UserError(f"height must be at least 8, got {height}")
    world, kind, turn = _draw(seed, kind)
    return Scene(_render(world, height, turn), world.caption, kind)


def describe_scene(seed: int, kind: str | None = None) -> str:
    """The caption of ``make_scene(seed, kind=kind)`` without making its image."""
    return _draw(seed, kind)[0].caption


def _draw(seed: int, kind: str | None) -> tuple[World, str, np.ndarray]:
    """The world of a seed, its kind, and the rotation about the vertical axis that it is seen with."""
    if kind is not None and kind not in KINDS:
        raise UserError(f"unknown kind of scene {kind!r}; known: {', '.join(KINDS)}")
    rng = np.random.default_rng(seed)
    drawn = str(rng.choice(KINDS))
    kind = kind or drawn
    turn = rotation(float(rng.uniform(0, 360))).numpy()
    return outdoors(rng, kind) if kind in BUILDERS else indoors(rng, kind), kind, turn


def _render(world: World, height: int, turn: np.ndarray) -> np.ndarray:
    width = 2 * height
    pixel = np.pi / height
    directions = pixel_directions(height, width).numpy().reshape(-1, 3)
    exposure = _exposure(world, turn)
    image = _shade(world, directions @ turn.T, pixel, exposure)
    edges = _edges(image.reshape(height, width, 3))
    rows, columns = np.divmod(edges, width)
    # A rotated square of samples around each pixel's centre.
    for right, down in ((-0.125, -0.375), (0.375, -0.125), (0.125, 0.375), (-0.375, 0.125)):
        longitudes = ((columns + 0.5 + right) / width - 0.5) * 2 * np.pi
        latitudes = (0.5 - (rows + 0.5 + down) / height) * np.pi
        flat = np.cos(latitudes)
        around = np.stack([flat * np.sin(longitudes), np.sin(latitudes), flat * np.cos(longitudes)], 1)
        image[edges] += _shade(world, around @ turn.T, pixel, exposure)
    image[edges] /= 5
    return image.reshape(height, width, 3)


def _exposure(world: World, turn: np.ndarray) -> float:
    """What a camera's automatic exposure would do: bring the geometric mean part of the way to a mid-grey."""
    height = 24
    directions = pixel_directions(height, 2 * height).numpy()
    weights = np.repeat(np.hypot(directions[:, 0, 0], directions[:, 0, 2]), 2 * height)
    rays = Rays((directions.reshape(-1, 3) @ turn.T).astype(np.float32), np.pi / height)
    light = np.log(np.clip(world.radiance(rays).mean(-1), 1e-3, 2.0))
    mean = float(np.exp((light * weights).sum() / weights.sum()))
    return float(np.clip((0.33 / mean) ** (0.6 if mean > 0.33 else 0.4), 0.35, 2.0))


def _shade(world: World, directions: np.ndarray, pixel: float, exposure: float) -> np.ndarray:
    """Display-referred colours (n, 3) along directions."""
    directions = np.ascontiguousarray(directions, np.float32)
    image = np.empty_like(directions)
    for start in range(0, len(directions), _CHUNK):
        part = slice(start, start + _CHUNK)
        linear = np.maximum(world.radiance(Rays(directions[part], pixel)), 0) * np.float32(exposure)
        # Straight up to 0.6, then a shoulder that reaches 1 at infinity.
        bent = np.where(linear < 0.6, linear, 1 - 0.4 * np.exp(-(np.maximum(linear, 0.6) - 0.6) / 0.4))
        image[part] = np.clip(encode_srgb(bent), 0, 1)
    return image


def _edges(image: np.ndarray) -> np.ndarray:
    """Flat indices of the pixels that differ most from a neighbour."""
    value = image.mean(-1)
    across, down = np.abs(np.roll(value, -1, 1) - value), np.abs(np.diff(value, axis=0))
    contrast = np.maximum(across, np.roll(across, 1, 1))
    contrast[1:] = np.maximum(contrast[1:], down)
    contrast[:-1] = np.maximum(contrast[:-1], down)
    contrast = contrast.ravel()
    most = int(contrast.size * _EDGE_PART)
    limit = max(_EDGE, float(np.partition(contrast, -most)[-most]))
    return np.flatnonzero(contrast >= limit)
