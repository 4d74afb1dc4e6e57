"""The light that falls on every face of a room, computed once per room and looked up per pixel.

Faces have a coarse grid of nodes. A node's light is the sum of windows (tiles of the rectangle, as area lights), lamps,
and what the coarse patches of the shell reflect (radiosity: Goral et al., "Modeling the Interaction of Light Between
Diffuse Surfaces", SIGGRAPH 1984), each dimmed by the furniture on the way. All values are irradiance / pi: the radiance
of a white matte surface.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from aognet.scenes.indoors.surfaces import Frames
from aognet.scenes.indoors.voxels import Voxels
from aognet.scenes.rays import dot

_SHELL_NODES = 4500  # at most about so many on walls, floor and ceiling
_COARSER = 3.0  # how much further apart the nodes of furniture are
_PATCHES = 48  # of the shell, that throw light back


@dataclass(frozen=True)
class Tile:
    """A piece of a window or a ceiling panel that shines into the room with radiance ``down`` and ``up`` (3,)."""

    place: np.ndarray
    normal: np.ndarray
    area: float
    down: np.ndarray  # seen from below it: light that falls, from the sky
    up: np.ndarray  # seen from above it: light that rises, from the ground


@dataclass(frozen=True)
class Lamp:
    """A small lamp that shines in all directions. A white surface that faces it at 1 m gets ``power`` (3,)."""

    place: np.ndarray
    power: np.ndarray


@dataclass(frozen=True)
class Patch:
    """A coarse piece of the shell that reflects light."""

    places: np.ndarray  # (m, 3)
    normals: np.ndarray
    areas: np.ndarray
    albedo: np.ndarray
    share: np.ndarray  # (m, shell nodes) averages the nodes' light


class Lightmap:
    """Grids of nodes over faces and the light at each of them."""

    def __init__(self, frames: Frames, shell: int):
        """Make the grids of ``frames``, of which the first ``shell`` bound the room."""
        step = float(np.clip(np.sqrt(frames.sizes[:shell].prod(1).sum() / _SHELL_NODES), 0.12, 0.6))
        steps, most = (
            np.full((len(frames), 1), _COARSER * step),
            np.full((len(frames), 1), 6 if len(frames) < 1000 else 4),
        )
        steps[:shell], most[:shell] = step, 90
        self.counts = np.clip(np.ceil(frames.sizes / steps).astype(int) + 1, 2, most)
        sizes = self.counts.prod(1)
        self.starts = np.concatenate([[0], np.cumsum(sizes)])
        self.scale = ((self.counts - 1) / np.maximum(frames.sizes, 1e-6)).astype(np.float32)
        self.shell_nodes = int(self.starts[shell])
        self.shell = shell
        self.frames = frames
        face = np.repeat(np.arange(len(frames)), sizes)
        rank = np.arange(len(face)) - self.starts[face]
        place = np.stack([rank % self.counts[face, 0], rank // self.counts[face, 0]], 1) / (self.counts[face] - 1)
        # The outermost nodes stand a little inside, or corners would be black.
        place = (place * 0.98 + 0.01) * frames.sizes[face]
        points = frames.origins[face] + place[:, :1] * frames.us[face] + place[:, 1:] * frames.vs[face]
        self.points = points.astype(np.float32)
        self.normals = frames.normals[face].astype(np.float32)
        self.values = np.zeros((len(points), 3), np.float32)

    def bake(
        self,
        voxels: Voxels,
        tiles: Sequence[Tile],
        lamps: Sequence[Lamp],
        sun: Callable[[np.ndarray, np.ndarray], np.ndarray],
        albedo: np.ndarray,
    ) -> None:
        """Fill the nodes. ``sun(points, normals)`` is direct sunlight (n, 3); ``albedo`` is (shell faces, 3)."""
        starts = self.points + self.normals * np.float32(1.3 * voxels.side)
        direct = np.zeros_like(self.values)
        for tile in tiles:
            light = _from_tile(tile, self.points, self.normals)
            near = np.flatnonzero(light[:, 1])
            direct[near] += light[near] * voxels.passing(starts[near], tile.place)[:, None]
        for lamp in lamps:
            offset = lamp.place - self.points
            square = np.maximum(dot(offset, offset), 0.02)
            strength = np.maximum(dot(offset, self.normals), 0) / square**1.5
            near = np.flatnonzero(strength)
            direct[near] += (strength[near] * voxels.passing(starts[near], lamp.place))[:, None] * lamp.power
        self.values = direct + self._bounced(voxels, starts, direct, sun, albedo)
        self._smooth()

    def _bounced(self, voxels, starts, direct, sun, albedo) -> np.ndarray:
        patch = self._patches(albedo)
        inner = slice(0, self.shell_nodes)
        emitted = patch.share @ (direct[inner] + sun(self.points[inner], self.normals[inner]))
        form = _forms(patch.places, patch.normals, patch)
        radiance = emitted * patch.albedo
        for _ in range(6):
            radiance = patch.albedo * (emitted + form @ radiance)
        total = np.zeros_like(direct)
        mean = (patch.areas @ radiance / patch.areas.sum()).astype(np.float32)
        form = _forms(self.points, self.normals, patch)
        for number, place in enumerate(patch.places):
            inside = place + patch.normals[number] * np.float32(1.3 * voxels.side)
            near = np.flatnonzero(form[:, number] > 1e-4)
            passing = voxels.passing(starts[near], inside, 10)
            # What stands in the way throws some light back itself.
            light = passing[:, None] * radiance[number] + (1 - passing)[:, None] * (0.25 * mean)
            total[near] += form[near, number, None] * light
        return total

    def _patches(self, albedo: np.ndarray) -> Patch:
        places, normals, areas, colors, owners = [], [], [], [], []
        step = float(np.sqrt(self.frames.sizes[: self.shell].prod(1).sum() / _PATCHES))
        for face in range(self.shell):
            frame = self.frames.one(face)
            across, up = (max(1, round(length / step)) for length in frame.size)
            first, (nodes_a, nodes_b) = self.starts[face], self.counts[face]
            a = np.minimum(np.arange(nodes_a) * across // nodes_a, across - 1)
            b = np.minimum(np.arange(nodes_b) * up // nodes_b, up - 1)
            cells = (b[:, None] * across + a).ravel()
            for cell in range(across * up):
                x, y = (cell % across + 0.5) / across * frame.size[0], (cell // across + 0.5) / up * frame.size[1]
                places.append(frame.point(x, y))
                normals.append(frame.normal)
                areas.append(frame.size[0] * frame.size[1] / (across * up))
                colors.append(albedo[face])
                owners.append(first + np.flatnonzero(cells == cell))
        share = np.zeros((len(places), self.shell_nodes), np.float32)
        for number, nodes in enumerate(owners):
            share[number, nodes] = 1 / max(len(nodes), 1)
        stacked = (np.array(part, np.float32) for part in (places, normals, areas, colors))
        return Patch(*stacked, share=share)

    def _smooth(self) -> None:
        """Average neighbours, to hide the steps of the voxels."""
        for face in np.flatnonzero((self.counts >= 4).all(1)):
            across, up = self.counts[face]
            first, last = self.starts[face], self.starts[face + 1]
            grid = np.pad(self.values[first:last].reshape(up, across, 3), ((1, 1), (1, 1), (0, 0)), mode="edge")
            grid = (grid[:-2] + 2 * grid[1:-1] + grid[2:]) / 4
            self.values[first:last] = ((grid[:, :-2] + 2 * grid[:, 1:-1] + grid[:, 2:]) / 4).reshape(-1, 3)

    def fill(self, face: int, light: np.ndarray) -> None:
        """Give a whole face the same light (3,)."""
        self.values[self.starts[face] : self.starts[face + 1]] = light

    def mean(self) -> np.ndarray:
        """Return the mean light (3,) of the shell's nodes."""
        return self.values[: self.shell_nodes].mean(0)

    def light(self, face: np.ndarray, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        """Return the light (n, 3) at coordinates on faces, between the nodes."""
        scale, counts = self.scale[face], self.counts[face]
        x = np.clip(a * scale[:, 0], 0, counts[:, 0] - 1.001)
        y = np.clip(b * scale[:, 1], 0, counts[:, 1] - 1.001)
        i, j = x.astype(np.int32), y.astype(np.int32)
        right, up = (x - i).astype(np.float32)[:, None], (y - j).astype(np.float32)[:, None]
        index = self.starts[face] + j * counts[:, 0] + i
        above = index + counts[:, 0]
        lower = self.values[index] * (1 - right) + self.values[index + 1] * right
        return lower * (1 - up) + (self.values[above] * (1 - right) + self.values[above + 1] * right) * up


def _from_tile(tile: Tile, points: np.ndarray, normals: np.ndarray) -> np.ndarray:
    offset = tile.place - points
    square = dot(offset, offset)
    leaving, arriving = -(offset @ tile.normal), dot(offset, normals)
    # The area in the denominator keeps a tile near the point from shining brighter than if it filled the view.
    form = tile.area * np.maximum(leaving, 0) * np.maximum(arriving, 0)
    form /= np.maximum(square, 1e-4) * (np.pi * square + tile.area)
    rising = np.clip(0.5 - 1.6 * offset[:, 1] / np.sqrt(np.maximum(square, 1e-4)), 0, 1)
    return form[:, None] * (tile.down + rising[:, None] * (tile.up - tile.down))


def _forms(points: np.ndarray, normals: np.ndarray, patch: Patch) -> np.ndarray:
    """Return the form factors (n, m) of patches seen from points. Rows sum to one, since the shell is closed."""
    square = (points**2).sum(1)[:, None] + (patch.places**2).sum(1) - 2 * points @ patch.places.T
    square = np.maximum(square, 1e-4)
    arriving = normals @ patch.places.T - dot(points, normals)[:, None]
    leaving = points @ patch.normals.T - dot(patch.places, patch.normals)
    form = patch.areas * np.maximum(arriving, 0) * np.maximum(leaving, 0) / (square * (np.pi * square + patch.areas))
    return form / np.maximum(form.sum(1, keepdims=True), 1e-6)
