"""Where the faces of a cube do not meet in a panorama: the edges across which it changes most, as strokes.

A definition of our own: along each of the twelve edges, the change over one pixel across the edge less the mean change
over one pixel beside it, on either side.
"""

import math
from itertools import combinations, product

import torch
from jaxtyping import Float
from torch import Tensor

from aognet.geometry.sphere import pixel_positions, sample
from aognet.geometry.strokes import BrushStroke

SAMPLES = 128
BESIDE = (-3, -2, 2, 3)  # pixels from the edge


def cube_edges() -> list[tuple[Tensor, Tensor]]:
    """Return the corners (unit vectors) at both ends of each of the twelve edges."""
    corners = [torch.tensor(signs, dtype=torch.float64) / math.sqrt(3) for signs in product((-1.0, 1.0), repeat=3)]
    return [(a, b) for a, b in combinations(corners, 2) if int((a.sign() != b.sign()).sum()) == 1]


def edge_steps(panorama: Float[Tensor, "1 channels height width"]) -> Float[Tensor, "12"]:
    """Return how much more a panorama changes across each edge than beside it, in the order of `cube_edges`."""
    height, width = panorama.shape[-2:]
    pixel = math.pi / height
    found = []
    for a, b in cube_edges():
        shares = (torch.arange(SAMPLES, dtype=torch.float64) + 0.5) / SAMPLES
        along = a + shares[:, None] * (b - a)
        along = along / along.norm(dim=-1, keepdim=True)
        aside = torch.linalg.cross(a, b)
        aside = aside / aside.norm()

        def change(offset: float, along: Tensor = along, aside: Tensor = aside) -> Tensor:
            ends = []
            for angle in ((offset - 0.5) * pixel, (offset + 0.5) * pixel):
                turned = along * math.cos(angle) + aside * math.sin(angle)
                ends.append(sample(panorama, pixel_positions(turned, height, width).float()[None]))
            return (ends[1] - ends[0]).abs().mean()

        beside = torch.stack([change(float(offset)) for offset in BESIDE]).mean()
        found.append(change(0.0) - beside)
    return torch.stack(found)


def seam_strokes(
    panorama: Float[Tensor, "1 channels height width"], count: int, width_degrees: float
) -> tuple[list[BrushStroke], list[float]]:
    """Return strokes along the edges that show most, at most ``count``, and their steps. Edges that show no more than
    their surroundings are left out, but for the worst.
    """
    steps = edge_steps(panorama)
    edges, chosen = cube_edges(), steps.argsort(descending=True)[:count].tolist()
    chosen = [number for number in chosen if float(steps[number]) > 0] or chosen[:1]
    strokes = [BrushStroke(width_degrees / 2, [_yaw_pitch(end) for end in edges[number]]) for number in chosen]
    return strokes, [round(float(steps[number]), 5) for number in chosen]


def _yaw_pitch(direction: Tensor) -> tuple[float, float]:
    x, y, z = direction.tolist()
    return math.degrees(math.atan2(x, z)), math.degrees(math.asin(y))
