"""All flat faces of a room in one table (shell, openings and furniture): where rays meet them, and where on a face."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np

from aognet.scenes.indoors.finishes import Finish
from aognet.scenes.rays import dot
from aognet.scenes.solids import Solid, cone, enter


@dataclass(frozen=True)
class Piece:
    """A solid with its finish and the number of its label (0: not worth naming)."""

    solid: Solid
    finish: Finish
    label: int = 0
    shades: bool = True  # whether it stands in the way of soft light
    thing: int = 0  # pieces next to each other in the list with the same number are close together


@dataclass(frozen=True)
class Frame:
    """A rectangle around a flat face: a corner, two unit sides, the normal towards the viewer, its size in metres."""

    origin: np.ndarray
    u: np.ndarray
    v: np.ndarray
    normal: np.ndarray
    size: tuple[float, float]

    def point(self, a: float, b: float, out: float = 0.0) -> np.ndarray:
        """Return the place ``a`` along, ``b`` up and ``out`` metres in front of the face."""
        return self.origin + self.u * a + self.v * b + self.normal * out


@dataclass(frozen=True)
class Frames:
    """Many frames: origins, sides and normals (n, 3), sizes (n, 2)."""

    origins: np.ndarray
    us: np.ndarray
    vs: np.ndarray
    normals: np.ndarray
    sizes: np.ndarray

    def __len__(self) -> int:
        return len(self.origins)

    def one(self, number: int) -> Frame:
        """Return one frame."""
        rows = (part[number].astype(float) for part in (self.origins, self.us, self.vs, self.normals))
        width, height = self.sizes[number].tolist()
        return Frame(*rows, size=(width, height))

    @staticmethod
    def join(parts: Sequence["Frames"]) -> "Frames":
        """Return all frames in one."""
        names = ("origins", "us", "vs", "normals", "sizes")
        return Frames(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))


def frames_of(normals: np.ndarray, points: np.ndarray, on: np.ndarray) -> Frames:
    """Return the frames of faces with normals (n, 3). A face has the ``points`` (n, m, 3) where ``on`` (n, m); v points
    up.
    """
    normals = np.asarray(normals, float)
    flat = np.abs(normals[:, 1]) > 0.95
    up = np.where(flat[:, None], [0.0, 0.0, 1.0], [0.0, 1.0, 0.0])
    v = up - normals * dot(normals, up)[:, None]
    v /= np.linalg.norm(v, axis=1, keepdims=True)
    u = np.stack([v[:, i] * normals[:, j] - v[:, j] * normals[:, i] for i, j in ((1, 2), (2, 0), (0, 1))], 1)
    extents = []
    for side in (u, v):
        along = np.einsum("nmk,nk->nm", points, side)
        extents.append((np.where(on, along, np.inf).min(1), np.where(on, along, -np.inf).max(1)))
    (left, right), (low, high) = extents
    level = np.where(on, np.einsum("nmk,nk->nm", points, normals), -np.inf).max(1)
    origins = u * left[:, None] + v * low[:, None] + normals * level[:, None]
    return Frames(origins, u, v, normals, np.stack([right - left, high - low], 1))


def corners_of(normals: np.ndarray, offsets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the corners (m, 3) of a convex polyhedron, and which faces (m, faces) each lies on."""
    normals, offsets = normals.astype(float), offsets.astype(float)
    numbers = range(len(normals))
    triples = [(i, j, k) for i in numbers for j in numbers[i + 1 :] for k in numbers[j + 1 :]]
    i, j, k = np.array(triples).T
    cross = np.cross(normals[j], normals[k])
    volume = dot(normals[i], cross)
    good = np.abs(volume) > 1e-6
    i, j, k, cross, volume = i[good], j[good], k[good], cross[good], volume[good]
    points = offsets[i, None] * cross + offsets[j, None] * np.cross(normals[k], normals[i])
    points = (points + offsets[k, None] * np.cross(normals[i], normals[j])) / volume[:, None]
    points = points[(points @ normals.T <= offsets + 1e-4).all(1)]
    return points, np.abs(points @ normals.T - offsets) < 1e-3


def shell_frames(normals: np.ndarray, offsets: np.ndarray) -> Frames:
    """Return the frames of a convex polyhedron's faces seen from inside."""
    corners, on = corners_of(normals, offsets)
    return frames_of(-normals, np.broadcast_to(corners, (len(normals), *corners.shape)), on.T)


def _solid_frames(solids: Sequence[Solid]) -> Frames:
    """Return the frames of all faces of solids, in their order."""
    places: dict[tuple[int, int], list[int]] = {}
    for number, solid in enumerate(solids):
        places.setdefault((len(solid.normals), len(solid.corners)), []).append(number)
    firsts = np.concatenate([[0], np.cumsum([len(solid.normals) for solid in solids])]).astype(int)
    order, parts = [], []
    for (faces, count), numbers in places.items():
        normals = np.stack([solids[i].normals for i in numbers]).astype(float)
        offsets = np.stack([solids[i].offsets for i in numbers])
        corners = np.stack([solids[i].corners for i in numbers]).astype(float)
        on = np.abs(np.einsum("sck,sfk->sfc", corners, normals) - offsets[..., None]) < 2e-3
        spread = np.broadcast_to(corners[:, None], (len(numbers), faces, count, 3)).reshape(-1, count, 3)
        parts.append(frames_of(normals.reshape(-1, 3), spread, on.reshape(-1, count)))
        order.append((firsts[numbers][:, None] + np.arange(faces)).ravel())
    joined, rank = Frames.join(parts), np.argsort(np.concatenate(order))
    return Frames(*(part[rank] for part in (joined.origins, joined.us, joined.vs, joined.normals, joined.sizes)))


@dataclass(frozen=True)
class Met:
    """For every ray, the face that it meets and the distance."""

    face: np.ndarray
    distance: np.ndarray


class Surfaces:
    """Faces of the shell (seen from inside), then of its openings, then of the pieces (seen from outside)."""

    def __init__(self, normals: np.ndarray, offsets: np.ndarray, openings: Sequence[Frames], pieces: Sequence[Piece]):
        self.shell_normals, self.shell_offsets = normals, offsets
        self.solids = [piece.solid for piece in pieces]
        parts = [shell_frames(normals, offsets), *openings]
        count = sum(len(part) for part in parts)
        self.first = (count + np.concatenate([[0], np.cumsum([len(s.normals) for s in self.solids])])).astype(int)
        frames = Frames.join([*parts, _solid_frames(self.solids)] if self.solids else parts)
        self.frames = frames
        self.normals = frames.normals.astype(np.float32)
        self.sides = np.concatenate([frames.us, frames.vs], 1).astype(np.float32)
        self.starts = np.stack([dot(frames.origins, frames.us), dot(frames.origins, frames.vs)], 1).astype(np.float32)
        self._groups = self._group(pieces)

    def _group(self, pieces: Sequence[Piece]) -> list[tuple[range, np.ndarray, float]]:
        """Return the pieces of each thing, and the cone around them."""
        groups, last = [], 0
        for _, members in groupby(pieces, lambda piece: piece.thing):
            solids = [piece.solid for piece in members]
            first, last = last, last + len(solids)
            centers, radii = np.stack([solid.center for solid in solids]), np.array([solid.radius for solid in solids])
            middle = ((centers - radii[:, None]).min(0) + (centers + radii[:, None]).max(0)) / 2
            reach = float((np.linalg.norm(centers - middle, axis=1) + radii).max())
            groups.append((range(first, last), *cone(middle, reach)))
        return groups

    def shell(self, directions: np.ndarray) -> Met:
        """Return where rays from the camera leave the shell."""
        along = self.shell_normals @ directions.T
        with np.errstate(divide="ignore"):
            times = np.where(along > 1e-7, self.shell_offsets[:, None] / along, np.float32(np.inf))
        face = times.argmin(0)
        return Met(face, np.take_along_axis(times, face[None], 0)[0])

    def furniture(self, directions: np.ndarray, met: Met) -> None:
        """Put the pieces that stand in the way into ``met``."""
        if not self.solids:
            return
        columns = np.ascontiguousarray(directions.T)
        slope = columns[1] / np.maximum(np.hypot(columns[0], columns[2]), 1e-4)
        # Rays come in rows of the panorama: most things are wholly above or below a batch of them.
        lowest, highest = np.arcsin(np.clip([columns[1].min(), columns[1].max()], -1, 1))
        for members, group_heading, group_bound in self._groups:
            rise, reach = np.arcsin(np.clip(group_heading[1], -1, 1)), np.arccos(np.clip(group_bound, -1, 1)) + 1e-3
            if rise + reach < lowest or rise - reach > highest:
                continue
            around = np.flatnonzero(group_heading @ columns > group_bound)
            if not around.size:
                continue
            own, rises = columns[:, around], slope[around]
            for number in members:
                solid = self.solids[number]
                (heading, bound), (least, most) = solid.cone, solid.slopes
                inside = np.flatnonzero(heading @ own > bound)
                inside = inside[(rises[inside] > least) & (rises[inside] < most)]
                if inside.size:
                    near = around[inside]
                    face, entry = enter(solid, own[:, inside])
                    hit = np.flatnonzero(entry < met.distance[near])
                    met.distance[near[hit]] = entry[hit]
                    met.face[near[hit]] = self.first[number] + face[hit]

    def places(self, face: np.ndarray, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the coordinates (n,), along and up the frame of the face, at which each point lies."""
        sides, starts = self.sides[face], self.starts[face]
        return dot(sides[:, :3], points) - starts[:, 0], dot(sides[:, 3:], points) - starts[:, 1]
