"""Whether the edges of the cube show in a panorama that was made of its faces.

This is a definition of our own: it compares differences of neighbouring pixels across the twelve edges with those a
little beside the edges.
"""

from functools import lru_cache

import torch
from jaxtyping import Float, Int
from torch import Tensor

from aognet.errors import UserError
from aognet.geometry import sphere
from aognet.geometry.cubemap import face_cameras
from aognet.metrics.seam import ratio

# Every edge is crossed by rows of eight pixels, an edge between the fourth and the fifth. Of the seven differences one
# lies across it; the two next to that one are left out, since interpolation carries a seam into them.
AHEAD = range(-3, 5)
ACROSS, BESIDE = 3, [0, 1, 5, 6]
FEWEST_ROWS = 32


def cube_edge_ratio(panorama: Float[Tensor, "batch channels height width"]) -> Float[Tensor, "batch"]:
    """Return the mean absolute difference of pixels across the edges of the six 90-degree faces, divided by that beside
    the edges.

    The four upright edges are crossed along rows, the eight others along columns (they are never steeper than 45
    degrees). Beside the edge there are two pairs of neighbours on either side, in the same row or column. The ratio is
    1 where the edges are like any other place (also in a panorama of one colour), and more where neighbouring faces do
    not meet. Yaws by quarter turns change nothing.

    :raises UserError: below 32 rows, where the edges lie too close together.
    """
    height, width = panorama.shape[-2:]
    if height < FEWEST_ROWS:
        raise UserError(f"cube edges are measured on at least {FEWEST_ROWS} rows, got a panorama of {width}x{height}")
    crossings = panorama.flatten(-2)[..., _crossings(height, width, panorama.device)]
    differences = crossings.diff(dim=-2).abs_().mean((1, 3))
    return ratio(differences[:, ACROSS], differences[:, BESIDE].mean(-1))


@lru_cache(maxsize=16)
def _crossings(height: int, width: int, device: torch.device) -> Int[Tensor, "8 crossings"]:
    """Return the flat numbers of eight pixels in a row or column, for every place where one crosses an edge."""
    axes = torch.stack([camera.forward for camera in face_cameras(1)])
    face = (sphere.pixel_directions(height, width) @ axes.T).argmax(-1)
    right = face.roll(-1, -1)
    row, column = ((face != right) & (face < 4) & (right < 4)).nonzero().unbind(-1)
    upper_row, upper_column = (face[1:] != face[:-1]).nonzero().unbind(-1)
    along_rows = [row * width + (column + step) % width for step in AHEAD]
    along_columns = [(upper_row + step) * width + upper_column for step in AHEAD]
    return torch.cat([torch.stack(along_rows), torch.stack(along_columns)], dim=1).to(device)
