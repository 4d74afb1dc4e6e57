"""Stars: points with their true brightness, spread over a pixel so that their light is the same at every size."""

import numpy as np

from aognet.scenes.rays import Rays, cell_values

_CELLS = 22  # along each edge of a cube around the camera
_FIRST = 6.0e-11  # irradiance / pi of a star of magnitude 0, in parts of the sun's


class Stars:
    """At most one star in every cell of a cube's faces, away from the cell's rim."""

    def __init__(self, rng: np.random.Generator):
        self.salt = int(rng.integers(1, 1 << 20))
        turn, _ = np.linalg.qr(rng.standard_normal((3, 3)))
        self.turn = turn.astype(np.float32)

    def __call__(self, rays: Rays) -> np.ndarray:
        """Return the radiance (n, 3) along rays."""
        color = np.zeros_like(rays.directions)
        above = np.flatnonzero(rays.directions[:, 1] > 0)
        if not above.size:
            return color
        directions = rays.directions[above] @ self.turn
        axis = np.abs(directions).argmax(1)
        rows = np.arange(len(axis))
        major = directions[rows, axis]
        a, b = directions[rows, (axis + 1) % 3] / major, directions[rows, (axis + 2) % 3] / major
        cells = [axis * 2 + (major > 0), np.floor((a + 1) / 2 * _CELLS), np.floor((b + 1) / 2 * _CELLS)]
        dice = [cell_values(*cells, np.full(len(axis), self.salt + number)) for number in range(4)]
        place = np.ones_like(directions)
        place[rows, (axis + 1) % 3] = (cells[1] + 0.2 + 0.6 * dice[0]) * 2 / _CELLS - 1
        place[rows, (axis + 2) % 3] = (cells[2] + 0.2 + 0.6 * dice[1]) * 2 / _CELLS - 1
        place *= np.sign(major)[:, None]
        place /= np.linalg.norm(place, axis=1, keepdims=True)
        square = ((directions - place) ** 2).sum(1)
        # Three times as many stars for every magnitude fainter, down to 5.
        magnitude = 5 + np.log(np.maximum(dice[2], 1e-5)) / 1.1
        width = max(0.55 * rays.pixel, 6e-4)
        light = _FIRST * np.pi * 10 ** (-0.4 * magnitude) / (2 * np.pi * width**2) * np.exp(-square / (2 * width**2))
        rise = np.clip(rays.directions[above, 1] * 6, 0, 1)
        warm = dice[3] - 0.5
        tint = np.stack([1 + 0.35 * warm, np.ones_like(warm), 1 - 0.45 * warm], 1)
        color[above] = tint * (light * rise * 3)[:, None]
        return color
