"""How much of the light between two points of a room passes its furniture: a coarse grid of opacities."""

from collections.abc import Sequence

import numpy as np

from aognet.scenes.solids import Solid

_MOST = 150_000  # voxels


class Voxels:
    """Opacity in [0, 1] of cubes that fill the box from ``low`` to ``high``."""

    def __init__(self, low: np.ndarray, high: np.ndarray, solids: Sequence[Solid]):
        size = np.asarray(high, float) - low
        self.side = max(0.11, float((size.prod() / _MOST) ** (1 / 3)))
        self.low = np.asarray(low, np.float32)
        self.shape = np.maximum(np.ceil(size / self.side).astype(int), 1)
        self.opacity = np.zeros(self.shape, np.float32)
        for solid in solids:
            self._fill(solid)
        self.empty = not self.opacity.any()
        self._flat = 1 - self.opacity.ravel()

    def _fill(self, solid: Solid) -> None:
        side, low = self.side, self.low
        first = np.clip(np.floor((solid.low - low) / side - 0.6).astype(int), 0, self.shape - 1)
        last = np.clip(np.ceil((solid.high - low) / side + 0.6).astype(int), first + 1, self.shape)
        axes = [low[i] + (np.arange(first[i], last[i]) + 0.5) * side for i in range(3)]
        centers = np.stack(np.meshgrid(*axes, indexing="ij"), -1).reshape(-1, 3).astype(np.float32)
        # A leg thinner than a cube lets most of the light pass, a thin board does not.
        thick = min(1.0, float(np.sort(solid.high - solid.low)[1]) / side)
        inside = thick * np.clip(1 - solid.gap(centers) / (0.6 * side), 0, 1)
        part = self.opacity[tuple(slice(a, b) for a, b in zip(first, last, strict=True))]
        np.maximum(part, inside.reshape(part.shape), out=part)

    def passing(self, starts: np.ndarray, end: np.ndarray, most: int = 24) -> np.ndarray:
        """Return the part (n,) in [0, 1] of the light that passes from points (n, 3) to ``end`` (3,), looked up
        ``most`` times.
        """
        left = np.ones(len(starts), np.float32)
        if self.empty or not len(starts):
            return left
        scale = np.float32(1 / self.side)
        origin = (starts - self.low) * scale
        way = (end - self.low).astype(np.float32) * scale - origin
        longest = float(np.sqrt((way * way).sum(1).max()))
        steps = int(np.clip(longest / 1.5, 2, most))
        limits = (self.shape - 1).astype(np.int32)
        stride = (int(self.shape[1] * self.shape[2]), int(self.shape[2]), 1)
        columns = [np.ascontiguousarray(origin[:, i]) for i in range(3)]
        ways = [np.ascontiguousarray(way[:, i]) for i in range(3)]
        for number in range(steps):
            part = np.float32((number + 0.5) / steps)
            index = np.zeros(len(starts), np.int32)
            for axis in range(3):
                cell = (columns[axis] + ways[axis] * part).astype(np.int32)
                np.minimum(np.maximum(cell, 0, out=cell), limits[axis], out=cell)
                cell *= stride[axis]
                index += cell
            left *= self._flat[index]
        return left
