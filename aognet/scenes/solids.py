"""Convex solids (boxes, gabled roofs, round columns), and where rays from the camera meet them."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike

from aognet.scenes.rays import Rays


@dataclass(frozen=True)
class Solid:
    """The points p with normals @ p <= offsets. ``material`` names how its surface looks."""

    normals: np.ndarray  # (faces, 3), outward
    offsets: np.ndarray  # (faces,)
    low: np.ndarray  # corners of the box around it
    high: np.ndarray
    radius: float  # of the sphere around it
    color: np.ndarray
    material: str
    corners: np.ndarray  # (n, 3)

    @property
    def center(self) -> np.ndarray:
        """The middle of the box around it."""
        return (self.low + self.high) / 2

    @cached_property
    def front(self) -> np.ndarray:
        """The faces that are seen from the origin. There are none if the origin is inside."""
        return np.flatnonzero(self.offsets < 0)

    @cached_property
    def back(self) -> np.ndarray:
        """The faces that are not seen from the origin."""
        return np.flatnonzero(self.offsets >= 0)

    @cached_property
    def cone(self) -> tuple[np.ndarray, float]:
        """The unit direction to the sphere around it, and the cosine of the angle that the sphere fills."""
        return cone(self.center, self.radius)

    @cached_property
    def slopes(self) -> tuple[float, float]:
        """The least and the greatest tangent of elevation at which it is seen from the origin."""
        beside = np.maximum(np.maximum(self.low, -self.high), 0)[::2]
        away = 0.999 * float(np.hypot(*beside))
        if away < 1e-3:
            return -np.inf, np.inf
        low, high = float(self.low[1]), float(self.high[1])
        # A part below the eye is seen steepest where it is nearest; one above it, flattest where it is farthest.
        return (low / away if low < 0 else -1e-3), (high / away if high > 0 else 1e-3)

    def gap(self, points: np.ndarray) -> np.ndarray:
        """Return roughly how far outside the solid points (n, 3) are; negative inside."""
        return (self.normals @ points.T - self.offsets[:, None]).max(0)


@dataclass(frozen=True)
class Hits:
    """For every ray, the solid that it meets first (-1: none), the distance, and the outward normal there."""

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
    return Solid(
        normals, offsets.astype(np.float32), low, high, radius, np.asarray(color, np.float32), material, corners
    )


def _turn(vectors: ArrayLike, yaw: float) -> np.ndarray:
    """Return vectors (n, 3) turned about the vertical axis by ``yaw`` radians."""
    c, s = np.cos(yaw), np.sin(yaw)
    return np.asarray(vectors) @ np.array([[c, 0, -s], [0, 1, 0], [s, 0, c]])


def box(center, size, color, material: str = "plain", yaw: float = 0.0) -> Solid:
    """Return a box of ``size`` (x, y, z) around ``center``, turned about the vertical axis."""
    signs = np.concatenate([np.eye(3), -np.eye(3)])
    corners = np.array([[x, y, z] for x in (-0.5, 0.5) for y in (-0.5, 0.5) for z in (-0.5, 0.5)]) * size
    places = _turn(signs * np.asarray(size) / 2, yaw) + center
    return _solid(_turn(signs, yaw), places, _turn(corners, yaw) + center, color, material)


def gable(center, size, color, material: str = "roof", yaw: float = 0.0) -> Solid:
    """Return a roof prism on a base of ``size`` (x, height, z). Its ridge runs along z; ``center`` is the base's
    centre.
    """
    wide, high, long = size
    normals = [[high, wide / 2, 0], [-high, wide / 2, 0], [0, -1, 0], [0, 0, 1], [0, 0, -1]]
    places = [[0, high, 0], [0, high, 0], [0, 0, 0], [0, 0, long / 2], [0, 0, -long / 2]]
    corners = [[x, 0, z] for x in (-wide / 2, wide / 2) for z in (-long / 2, long / 2)]
    corners += [[0, high, -long / 2], [0, high, long / 2]]
    turned = [_turn(part, yaw) for part in (normals, places, corners)]
    return _solid(turned[0], turned[1] + center, turned[2] + center, color, material)


def column(center, radius: float, height: float, color, material: str = "plain", sides: int = 10) -> Solid:
    """Return an upright prism with many sides."""
    angles = np.arange(sides) * (2 * np.pi / sides)
    around = np.stack([np.sin(angles), np.zeros(sides), np.cos(angles)], 1)
    ends = np.array([[0, 1.0, 0], [0, -1.0, 0]])
    rims = [around * radius / np.cos(np.pi / sides) + [0, y, 0] for y in (-height / 2, height / 2)]
    places = np.concatenate([around * radius, ends * height / 2]) + center
    return _solid(np.concatenate([around, ends]), places, np.concatenate(rims) + center, color, material)


def cone(center: np.ndarray, radius: float) -> tuple[np.ndarray, float]:
    """Return the unit direction from the origin to a sphere, and the cosine of the angle around it that the sphere
    fills.
    """
    far = max(float(np.linalg.norm(center)), 1e-6)
    spread = radius / far
    # Rays are float32: one that touches the sphere must not be lost to rounding.
    return (center / far).astype(np.float32), np.sqrt(1 - spread**2) - 1e-6 if spread < 1 else -1.1


def trace(rays: Rays, solids: Sequence[Solid]) -> Hits:
    """Return the first solid along every ray."""
    count = len(rays.directions)
    hits = Hits(np.full(count, -1, np.int32), np.full(count, np.inf, np.float32), np.zeros((count, 3), np.float32))
    if not solids:
        return hits
    columns, slope = np.ascontiguousarray(rays.directions.T), rays.slope
    flattest, steepest = slope.min(initial=np.inf), slope.max(initial=-np.inf)
    for number, solid in enumerate(solids):
        # Rays come in rows of the panorama: most solids are wholly above or below a batch of them.
        least, most = solid.slopes
        if least > steepest or most < flattest:
            continue
        # Only rays inside the cone around a solid's bounding sphere can meet it.
        heading, bound = solid.cone
        near = np.flatnonzero(heading @ columns > bound)
        near = near[(slope[near] > least) & (slope[near] < most)]
        if not near.size:
            continue
        face, entry = enter(solid, columns[:, near])
        met = np.flatnonzero(entry < hits.distance[near])
        chosen = near[met]
        hits.index[chosen] = number
        hits.distance[chosen] = entry[met]
        hits.normals[chosen] = solid.normals[face[met]]
    return hits


def enter(solid: Solid, columns: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the face through which rays (3, n) from the origin enter a solid, and the distance; inf where they miss
    it.
    """
    face = np.zeros(columns.shape[1], np.int32)
    entry, leave = np.zeros(columns.shape[1], np.float32), np.full(columns.shape[1], np.inf, np.float32)
    with np.errstate(divide="ignore", invalid="ignore"):
        # Only faces that look at the origin let rays in, at the last of them; only the others let them out.
        for number in solid.front:
            along = solid.normals[number] @ columns
            times = np.where(along < 0, solid.offsets[number] / along, np.float32(np.inf))
            face[times > entry] = number
            np.maximum(entry, times, out=entry)
        for number in solid.back:
            along = solid.normals[number] @ columns
            np.minimum(leave, np.where(along > 0, solid.offsets[number] / along, np.float32(np.inf)), out=leave)
    entry[(entry >= leave) | (entry == 0)] = np.inf
    return face, entry


def shadowed(points: np.ndarray, solids: Sequence[Solid], light: np.ndarray) -> np.ndarray:
    """Return which of the points (n, 3) lie in the shadow of a solid. The light comes from the unit vector
    ``light``.
    """
    dark = np.zeros(len(points), bool)
    side = np.cross(light, [1.0, 0.0, 0.0] if abs(light[0]) < 0.7 else [0.0, 0.0, 1.0])
    side /= np.linalg.norm(side)
    basis = np.stack([side, np.cross(light, side), light]).astype(np.float32)
    columns = np.ascontiguousarray(points.T, np.float32)
    places = basis @ columns
    lowest, highest = (end(places, axis=1, initial=start) for end, start in ((np.min, np.inf), (np.max, -np.inf)))
    for solid in solids:
        # Seen along the light, a solid shades only what lies within the box around its corners, and behind them.
        corners = basis @ solid.corners.T
        (left, low, _), (right, high, top) = corners.min(1), corners.max(1)
        if left > highest[0] or right < lowest[0] or low > highest[1] or high < lowest[1] or top < lowest[2]:
            continue
        x, y, z = places
        near = np.flatnonzero((x > left) & (x < right) & (y > low) & (y < high) & (z < top) & ~dark)
        if near.size:
            dark[near] = _crosses(solid, columns[:, near], light)
    return dark


def _crosses(solid: Solid, columns: np.ndarray, light: np.ndarray) -> np.ndarray:
    """Return which rays from points (3, n) towards the light meet a solid."""
    along = solid.normals @ light.astype(np.float32)
    along[along == 0] = 1e-9
    entry, leave = np.full(columns.shape[1], -np.inf, np.float32), np.full(columns.shape[1], np.inf, np.float32)
    for number, slope in enumerate(along):
        times = (solid.offsets[number] - solid.normals[number] @ columns) / slope
        if slope < 0:
            np.maximum(entry, times, out=entry)
        else:
            np.minimum(leave, times, out=leave)
    return (entry < leave) & (leave > 0)
