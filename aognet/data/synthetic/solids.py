"""Convex solids (boxes, gabled roofs, round columns) and where rays from the camera meet them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from aognet.data.synthetic.rays import Rays, dot


@dataclass(frozen=True)
class Solid:
    """The points p with normals @ p <= offsets; ``material`` names how its surface looks."""

    normals: np.ndarray  # (faces, 3), outward
    offsets: np.ndarray  # (faces,)
    low: np.ndarray  # corners of the box around it
    high: np.ndarray
    radius: float  # of the sphere around it
    color: np.ndarray
    material: str = "plain"

    @property
    def center(self) -> np.ndarray:
        """Middle of the box around it."""
        return (self.low + self.high) / 2

    def gap(self, points: np.ndarray) -> np.ndarray:
        """About how far outside the solid points (n, 3) are; negative inside."""
        return (self.normals @ points.T - self.offsets[:, None]).max(0)


@dataclass(frozen=True)
class Hits:
    """For every ray the solid it meets first (-1: none), how far away, and the outward normal there."""

    index: np.ndarray
    distance: np.ndarray
    normals: np.ndarray


def _solid(normals, points, corners, color, material) -> Solid:
    normals = np.asarray(normals, np.float32)
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    offsets = (normals * np.asarray(points, np.float32)).sum(1)
    corners = np.asarray(corners, np.float32)
    low, high = corners.min(0), corners.max(0)
    radius = float(np.linalg.norm(corners - (low + high) / 2, axis=1).max())
    return Solid(normals, offsets.astype(np.float32), low, high, radius, np.asarray(color, np.float32), material)


def _turn(vectors: ArrayLike, yaw: float) -> np.ndarray:
    """Vectors (n, 3) turned about the vertical axis by ``yaw`` radians."""
    c, s = np.cos(yaw), np.sin(yaw)
    return np.asarray(vectors) @ np.array([[c, 0, -s], [0, 1, 0], [s, 0, c]])


def box(center, size, color, material: str = "plain", yaw: float = 0.0) -> Solid:
    """A box of ``size`` (x, y, z) around ``center``, turned about the vertical axis."""
    signs = np.concatenate([np.eye(3), -np.eye(3)])
    corners = np.array([[x, y, z] for x in (-0.5, 0.5) for y in (-0.5, 0.5) for z in (-0.5, 0.5)]) * size
    places = _turn(signs * np.asarray(size) / 2, yaw) + center
    return _solid(_turn(signs, yaw), places, _turn(corners, yaw) + center, color, material)


def gable(center, size, color, material: str = "roof", yaw: float = 0.0) -> Solid:
    """A roof prism on a base of ``size`` (x, height, z) whose ridge runs along z; ``center`` is the base's centre."""
    wide, high, long = size
    normals = [[high, wide / 2, 0], [-high, wide / 2, 0], [0, -1, 0], [0, 0, 1], [0, 0, -1]]
    places = [[0, high, 0], [0, high, 0], [0, 0, 0], [0, 0, long / 2], [0, 0, -long / 2]]
    corners = [[x, 0, z] for x in (-wide / 2, wide / 2) for z in (-long / 2, long / 2)]
    corners += [[0, high, -long / 2], [0, high, long / 2]]
    turned = [_turn(part, yaw) for part in (normals, places, corners)]
    return _solid(turned[0], turned[1] + center, turned[2] + center, color, material)


def column(center, radius: float, height: float, color, material: str = "plain", sides: int = 10) -> Solid:
    """An upright prism with many sides."""
    angles = np.arange(sides) * (2 * np.pi / sides)
    around = np.stack([np.sin(angles), np.zeros(sides), np.cos(angles)], 1)
    ends = np.array([[0, 1.0, 0], [0, -1.0, 0]])
    rims = [around * radius / np.cos(np.pi / sides) + [0, y, 0] for y in (-height / 2, height / 2)]
    places = np.concatenate([around * radius, ends * height / 2]) + center
    return _solid(np.concatenate([around, ends]), places, np.concatenate(rims) + center, color, material)


def trace(rays: Rays, solids: Sequence[Solid]) -> Hits:
    """The first solid along every ray."""
    count = len(rays.directions)
    hits = Hits(np.full(count, -1, np.int32), np.full(count, np.inf, np.float32), np.zeros((count, 3), np.float32))
    if not solids:
        return hits
    centers = np.stack([solid.center for solid in solids])
    far = np.linalg.norm(centers, axis=1)
    spread = np.array([solid.radius for solid in solids]) / np.maximum(far, 1e-6)
    # Only rays inside the cone around a solid's bounding sphere can meet it.
    bounds = np.where(spread < 1, np.sqrt(np.maximum(1 - spread**2, 0)), -1.1)
    cosines = (centers / np.maximum(far, 1e-6)[:, None]).astype(np.float32) @ rays.directions.T
    for number, solid in enumerate(solids):
        near = np.flatnonzero(cosines[number] > bounds[number])
        if not near.size:
            continue
        along = solid.normals @ rays.directions[near].T
        along[along == 0] = 1e-9
        times = solid.offsets[:, None] / along
        entries = np.where(along < 0, times, -np.inf)
        face = entries.argmax(0)
        entry = np.take_along_axis(entries, face[None], 0)[0]
        leave = np.where(along > 0, times, np.inf).min(0)
        met = (entry < leave) & (entry > 0) & (entry < hits.distance[near])
        chosen = near[met]
        hits.index[chosen] = number
        hits.distance[chosen] = entry[met]
        hits.normals[chosen] = solid.normals[face[met]]
    return hits


def ground_shadow(points: np.ndarray, solids: Sequence[Solid], light: np.ndarray) -> np.ndarray:
    """Which of the points (n, 3) lie in the shadow of a solid; the light comes from the unit vector ``light``."""
    dark = np.zeros(len(points), bool)
    for solid in solids:
        # A solid shades only what lies within its bounding sphere swept along the light.
        offset = points - solid.center
        beside = offset - (offset @ light)[:, None] * light
        near = np.flatnonzero((dot(beside, beside) < solid.radius**2) & ~dark)
        if not near.size:
            continue
        along = (solid.normals @ light)[:, None]
        along = np.where(along == 0, np.float32(1e-9), along)
        times = (solid.offsets[:, None] - solid.normals @ points[near].T) / along
        entry = np.where(along < 0, times, -np.inf).max(0)
        leave = np.where(along > 0, times, np.inf).min(0)
        dark[near] = (entry < leave) & (leave > 0)
    return dark
