"""Shadows on level ground around the camera, drawn once for every scene as a map seen from above."""

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFilter
from torch.nn import functional

from aognet.scenes.outdoors.film import EYE
from aognet.scenes.solids import Solid

_SIZE = 1024


class ShadowMap:
    """Shadows within ``reach`` metres of the camera, cast along the unit vector ``light``."""

    def __init__(self, light: np.ndarray, reach: float):
        self.light, self.reach = light, reach
        self._image = Image.new("L", (_SIZE, _SIZE))
        self._draw = ImageDraw.Draw(self._image)
        self._tensor: torch.Tensor | None = None

    def add_solids(self, solids: list[Solid]) -> None:
        """Add the shadows of convex solids: the hulls of their corners' shadows."""
        for solid in solids:
            self._polygon(_hull(self._drop(solid.corners)))

    def add_tree(self, x: float, z: float, height: float, wide: float, low: float) -> None:
        """Add the shadow of a crown, ``wide`` metres across from ``low`` to the top of a tree, and of its trunk."""
        length = height * float(np.hypot(*self.light[::2])) / max(float(self.light[1]), 0.03)
        if np.hypot(x, z) - length > 1.5 * self.reach:
            return
        angles = np.arange(10) * (2 * np.pi / 10)
        middle, tall = (height + low) / 2, (height - low) / 2
        ring = np.stack([np.sin(angles) * wide / 2, np.zeros(10), np.cos(angles) * wide / 2], 1)
        rise = np.array([[0, tall * 0.85, 0], [0, 0, 0], [0, -tall * 0.85, 0]])[:, None]
        scale = np.array([0.35, 1.0, 0.5])[:, None, None]
        corners = (ring * scale + rise).reshape(-1, 3) + np.array([x, middle - EYE, z])
        self._polygon(_hull(self._drop(corners)))
        side = np.array([self.light[2], 0, -self.light[0]]) * 0.02 * height
        foot = np.array([x, -EYE, z])
        self._polygon(self._drop(np.stack([foot - side, foot + side, foot + [0, middle, 0]])))

    def __call__(self, points: np.ndarray) -> np.ndarray:
        """Return how dark the shadow is at points (n, 3), in [0, 1]."""
        if self._tensor is None:
            soft = self._image.filter(ImageFilter.GaussianBlur(1.0))
            self._tensor = torch.from_numpy(np.asarray(soft, np.float32) / 255)[None, None]
        grid = torch.from_numpy(np.ascontiguousarray(points[:, ::2] / np.float32(self.reach)))[None, None]
        found = functional.grid_sample(self._tensor, grid, mode="bilinear", padding_mode="zeros", align_corners=False)
        return found.numpy().reshape(-1)

    def _drop(self, corners: np.ndarray) -> np.ndarray:
        """Return where (n, 2) the shadows of points above the ground fall."""
        above = np.maximum(corners[:, 1] + EYE, 0)
        return corners[:, ::2] - self.light[::2] * (above / max(float(self.light[1]), 0.03))[:, None]

    def _polygon(self, places: np.ndarray) -> None:
        if np.abs(places).min(0).max() < self.reach * 3:
            pixels = (places / self.reach + 1) / 2 * _SIZE - 0.5
            self._draw.polygon([(float(x), float(y)) for x, y in pixels], fill=255)


def _hull(places: np.ndarray) -> np.ndarray:
    """Return the convex hull of points (n, 2), by Andrew's monotone chain."""
    ordered = sorted({(float(x), float(y)) for x, y in places})
    chains: list[list[tuple[float, float]]] = []
    for path in (ordered, ordered[::-1]):
        chain: list[tuple[float, float]] = []
        for point in path:
            while len(chain) > 1 and _turn(chain[-2], chain[-1], point) <= 0:
                chain.pop()
            chain.append(point)
        chains.append(chain[:-1])
    return np.array(chains[0] + chains[1])


def _turn(a: tuple[float, float], b: tuple[float, float], c: tuple[float, float]) -> float:
    return (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])
