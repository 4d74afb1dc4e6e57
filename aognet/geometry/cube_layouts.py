"""The six faces of a cubemap in one picture: side by side, or as a cube that is unfolded."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from aognet.geometry.cubemap import FACES


@dataclass(frozen=True)
class CubeLayout:
    """Which face lies where: names of `aognet.geometry.cubemap.FACES` row by row, ``""`` where none lies.

    ``turned``: the faces that lie upside down.
    """

    rows: tuple[tuple[str, ...], ...]
    turned: tuple[str, ...] = ()


STRIP = CubeLayout((("right", "left", "up", "down", "front", "back"),))
"""6:1. The order +X -X +Y -Y +Z -Z of Direct3D's and Unity's cubes, in which +X is right, +Y is up and +Z is ahead."""
CROSS = CubeLayout((("", "up", "", ""), ("left", "front", "right", "back"), ("", "down", "", "")))
"""4:3. A cube that is unfolded around its front."""
VERTICAL_CROSS = CubeLayout((("", "up", ""), ("left", "front", "right"), ("", "down", ""), ("", "back", "")), ("back",))
"""3:4. The same with the back below *down*, where it lies upside down."""


def laid_out(
    faces: Float[Tensor, "batch 6 channels size size"], layout: CubeLayout
) -> Float[Tensor, "batch channels rows columns"]:
    """Return the faces of a cubemap, in the order of ``FACES``, as one picture. Where no face lies, it is 0."""
    nothing = torch.zeros_like(faces[:, 0])

    def cell(name: str) -> Tensor:
        if not name:
            return nothing
        face = faces[:, FACES.index(name)]
        return face.rot90(2, (-2, -1)) if name in layout.turned else face

    return torch.cat([torch.cat([cell(name) for name in row], -1) for row in layout.rows], -2)
