"""Where an implicit image function is asked: the two nearest cells of a position on each axis, and their shares.

Chen et al., "Learning Continuous Image Representation with Local Implicit Image Function" (LIIF), arXiv 2012.09161,
section 3.2, "local ensemble".
"""

from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor

# Of a half-cell shift, in [-1, 1] across the image, as published: a position on a cell's centre belongs to that cell.
_NUDGE = 1e-6
_LEAST_AREA = 1e-9


@dataclass(frozen=True)
class Neighbours:
    """The cells before and after each position on one axis.

    ``cells``: their numbers. ``offsets``: the position less the cell's centre, in halves of a cell, as the network is
    told; of a cell across the edge, from where it would lie beyond.
    """

    cells: Int[Tensor, "2 *points"]
    offsets: Float[Tensor, "2 *points"]

    def to(self, device: torch.device) -> "Neighbours":
        """Return them on a device, with the offsets in float32."""
        return Neighbours(self.cells.to(device), self.offsets.to(device, torch.float32))

    def part(self, begin: int, end: int) -> "Neighbours":
        """Return those of some of the positions of one axis."""
        return Neighbours(self.cells[:, begin:end], self.offsets[:, begin:end])


def pixel_centres(count: int, cells: int) -> Float[Tensor, "count"]:
    """Return the centres of ``count`` pixels over ``cells`` cells, in cells from the first one's centre, float64."""
    return (torch.arange(count, dtype=torch.float64) + 0.5) * cells / count - 0.5


Edge = Literal["wraps", "repeats", "published"]
"""What lies beyond the edges of an axis: the other side; the edge's cell, as if it lay there; or, as published, the
edge's cell in its own place, by which shares on its centre are even, also on the other axis.
"""


def neighbours(positions: Float[Tensor, "*points"], cells: int, edge: Edge) -> Neighbours:
    """Return the neighbours of positions (float64, in cells from the first one's centre)."""
    before = torch.floor(positions + _NUDGE * cells / 2).long()
    both = torch.stack([before, before + 1])
    found = both % cells if edge == "wraps" else both.clamp(0, cells - 1)
    return Neighbours(found, 2 * (positions - (found if edge == "published" else both)))


def shares(down: Float[Tensor, "2 *#points"], across: Float[Tensor, "2 *#points"]) -> Float[Tensor, "2 2 *all"]:
    """Return the weight of each of the four cells, [above or below, left or right], from offsets that broadcast.

    It is the area between the position and the opposite cell's centre, as a share of all four.
    """
    areas = (down[:, None] * across[None]).abs() + _LEAST_AREA
    return areas.flip(0, 1) / areas.sum((0, 1))
