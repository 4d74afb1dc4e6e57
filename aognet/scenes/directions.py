"""Captions by direction: which labels a 90 degree view shows, measured on what the world really shows there."""

from functools import lru_cache

import numpy as np

from aognet.geometry.sphere import rotation
from aognet.scenes.render import disc_samples, look
from aognet.scenes.world import MIN_SHARE, SceneView, Sight, World

YAWS: tuple[float, ...] = tuple(float(yaw) for yaw in range(0, 360, 30))
_ROWS, _COLUMNS = 45, 180  # of the band of rays, from which each view takes its part
_SIZE = 40  # pixels across each view


def captions_at(world: World, turn: np.ndarray) -> dict[float, str]:
    """Return the caption of the view at every yaw of ``YAWS``. ``turn`` is the matrix from the panorama's axes to the
    world's.
    """
    return {yaw: world.tell(view) for yaw, view in views_of(world, turn).items()}


def views_of(world: World, turn: np.ndarray) -> dict[float, SceneView]:
    """Return what is seen in the view at every yaw of ``YAWS``."""
    band = _band()
    labels = look(world, band @ turn.T, np.pi / 180).label.astype(int)
    cells, across = _pixels()
    discs = [disc for disc in world.discs if disc_samples(world, disc)[1].mean() > 0.1]
    views = {}
    for number, yaw in enumerate(YAWS):
        found = labels[cells[number]]
        shares = np.bincount(found, minlength=len(world.labels)) / found.size
        middles = np.bincount(found, across, minlength=len(world.labels)) / np.maximum(shares * found.size, 1)
        order = [int(index) for index in np.argsort(-shares, kind="stable") if shares[index] > MIN_SHARE]
        sights = tuple(
            Sight(world.labels[index], index, float(shares[index]), float(middles[index]))
            for index in order
            if world.labels[index]
        )
        own = turn @ rotation(yaw).numpy()
        views[yaw] = SceneView(own, sights, tuple(place for disc in discs if (place := _place(disc.direction @ own))))
    return views


def _place(direction: np.ndarray) -> float | None:
    """Return where across the picture (-1 to 1) a direction in the camera's axes appears; None outside, never 0."""
    x, y, z = (float(value) for value in direction)
    if z <= 0 or abs(x) > z or abs(y) > z:
        return None
    return x / z or 1e-9


@lru_cache(maxsize=1)
def _band() -> np.ndarray:
    """Return directions (rows * columns, 3) all around, up to the corners of level views."""
    longitudes = ((np.arange(_COLUMNS) + 0.5) / _COLUMNS - 0.5) * 2 * np.pi
    latitudes = (0.5 - (np.arange(_ROWS) + 0.5) / _ROWS) * np.pi / 2
    latitude, longitude = np.meshgrid(latitudes, longitudes, indexing="ij")
    flat = np.cos(latitude)
    return np.stack([flat * np.sin(longitude), np.sin(latitude), flat * np.cos(longitude)], -1).reshape(-1, 3)


@lru_cache(maxsize=1)
def _pixels() -> tuple[np.ndarray, np.ndarray]:
    """Return, for every view, the band's cell that each of its pixels looks at, and how far across each pixel is."""
    places = (np.arange(_SIZE) + 0.5) / _SIZE * 2 - 1
    down, across = np.meshgrid(places, places, indexing="ij")
    latitude = np.arctan2(-down, np.hypot(across, 1)).ravel()
    rows = np.clip(((0.5 - latitude / (np.pi / 2)) * _ROWS).astype(int), 0, _ROWS - 1)
    cells = []
    for yaw in YAWS:
        longitude = np.arctan2(across, 1).ravel() + np.radians(yaw)
        columns = np.floor((longitude / (2 * np.pi) + 0.5) * _COLUMNS).astype(int) % _COLUMNS
        cells.append(rows * _COLUMNS + columns)
    return np.stack(cells), across.ravel()
