"""Strokes of a brush on the sphere, kept as vectors, and the mask that they make. ``strokes.js`` of the studio's page
is the same formula.

A stroke is the set of directions within an angle r of a path of great-circle arcs through its points. For the arc from
a to b with the normal n = a x b, a direction d that lies between the arc's ends, d . (n x a) >= 0 and d . (b x n) >= 0,
is within r if |d . n| / |n| <= sin r (always, if r is 90 degrees or more). Every direction within r of an end,
d . a >= cos r, is inside, too. An arc of no length (|n| < 1e-9) is its end alone.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from aognet.geometry.sphere import directions, pixel_directions, pixel_latitudes

SHORTEST = 1e-9


@dataclass(frozen=True)
class BrushStroke:
    """A path (yaw and pitch of its points, degrees) and the angle around it. ``erase``: it takes away."""

    radius_degrees: float
    points: Sequence[tuple[float, float]]
    erase: bool = False


def stroke_mask(strokes: Sequence[BrushStroke], height: int) -> Bool[Tensor, "height width"]:
    """Return the pixels of a panorama whose centres the strokes cover, drawn one after the other."""
    mask = torch.zeros(height, 2 * height, dtype=torch.bool)
    grid = pixel_directions(height, 2 * height)
    for stroke in strokes:
        angles = torch.tensor([tuple(point) for point in stroke.points], dtype=torch.float64) * (math.pi / 180)
        points = directions(angles[:, 0], angles[:, 1])
        radius = math.radians(stroke.radius_degrees)
        for first, last in _arcs(points):
            rows = _rows(first, last, radius, height)
            inside = _near(grid[rows], first, last, radius)
            mask[rows] = mask[rows] & ~inside if stroke.erase else mask[rows] | inside
    return mask


def _arcs(points: Float[Tensor, "points 3"]) -> list[tuple[Tensor, Tensor]]:
    """Return the ends of each arc of a path; for a single point, twice the point."""
    return list(zip(points, points[1:], strict=False)) or [(points[0], points[0])]


def _near(grid: Float[Tensor, "rows width 3"], a: Tensor, b: Tensor, radius: float) -> Bool[Tensor, "rows width"]:
    """Return where the directions are within an angle (radians) of an arc."""
    least = math.cos(radius)
    inside = (grid @ a >= least) | (grid @ b >= least)
    normal = torch.linalg.cross(a, b)
    length = float(normal.norm())
    if length < SHORTEST:
        return inside
    between = (grid @ torch.linalg.cross(normal, a) >= 0) & (grid @ torch.linalg.cross(b, normal) >= 0)
    if radius < math.pi / 2:
        between &= (grid @ normal).abs() <= length * math.sin(radius)
    return inside | between


def _rows(a: Tensor, b: Tensor, radius: float, height: int) -> slice:
    """Return the rows of a panorama that an arc's surroundings can touch: those near the cap around all of them."""
    middle = a + b
    if float(middle.norm()) < SHORTEST:
        return slice(0, height)
    middle = middle / middle.norm()
    reach = radius + math.acos(min(max(float(middle @ a), -1.0), 1.0)) + 1e-6
    latitudes, centre = pixel_latitudes(height), math.asin(min(max(float(middle[1]), -1.0), 1.0))
    touched = ((latitudes - centre).abs() <= reach).nonzero().flatten()
    return slice(int(touched[0]), int(touched[-1]) + 1) if len(touched) else slice(0, 0)
