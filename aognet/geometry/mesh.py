"""The sphere around a viewer as triangles, seen from inside.

Files of meshes have right-handed axes: +x is right, +y is up and -z is ahead, as glTF's cameras look. The world's axes
(`aognet.geometry.sphere`) are left-handed, so z changes its sign; without that every mesh would be mirrored.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional

from aognet.geometry.sphere import pixel_directions

LEAST_ROWS, MOST_ROWS = 4, 2048
_MIRROR = (1.0, 1.0, -1.0)


@dataclass(frozen=True)
class SphereMesh:
    """A closed mesh, and how a panorama lies on it.

    ``directions``: unit vectors of the vertices in right-handed axes, float64. They are the pixel centres of a panorama
    of ``rows`` rows, row by row, then the upper and the lower pole. A texture needs its own number for a vertex at each
    place where it shows it: once more where the panorama's edges meet, and at a pole once for each triangle.
    ``corners`` has the vertices of these, and ``texture`` their columns and rows in shares of the panorama (0, 0: its
    upper left); beyond 1 it begins again. ``triangles`` has numbers of corners, counter-clockwise as seen from the
    centre.
    """

    rows: int
    directions: Float[Tensor, "vertices 3"]
    corners: Int[Tensor, "corners"]
    texture: Float[Tensor, "corners 2"]
    triangles: Int[Tensor, "triangles 3"]

    @property
    def closed_triangles(self) -> Int[Tensor, "triangles 3"]:
        """The triangles by the numbers of vertices: each edge belongs to two of them."""
        return self.corners[self.triangles]


def sphere_mesh(rows: int) -> SphereMesh:
    """Return the mesh whose vertices are the pixels of a panorama of ``rows`` x ``2 rows``, and the poles.

    :raises ValueError: for less than 4 or more than 2048 rows.
    """
    if not LEAST_ROWS <= rows <= MOST_ROWS:
        raise ValueError(f"a mesh has {LEAST_ROWS} to {MOST_ROWS} rows, got {rows}")
    columns = 2 * rows
    poles = torch.tensor([[0.0, 1.0, 0.0], [0.0, -1.0, 0.0]], dtype=torch.float64)
    ahead = pixel_directions(rows, columns).flatten(0, 1)
    directions = torch.cat([ahead, poles]) * torch.tensor(_MIRROR, dtype=torch.float64)
    row, column = torch.meshgrid(torch.arange(rows), torch.arange(columns + 1), indexing="ij")
    around = torch.arange(columns)
    north, south = (torch.full_like(around, rows * columns + number) for number in (0, 1))
    corners = torch.cat([(row * columns + column % columns).flatten(), north, south])
    across = torch.cat([column.flatten() + 0.5, around + 1, around + 1]) / columns
    down = torch.cat([(row.flatten() + 0.5) / rows, torch.zeros(columns), torch.ones(columns)])
    return SphereMesh(rows, directions, corners, torch.stack([across, down], -1), _triangles(rows, columns))


def _triangles(rows: int, columns: int) -> Int[Tensor, "triangles 3"]:
    """Return two triangles between four neighbours, and a fan around each pole, by the numbers of corners."""
    left = torch.arange(rows)[:, None] * (columns + 1) + torch.arange(columns)
    right, around = left + 1, torch.arange(columns)
    north = rows * (columns + 1) + around
    upper = torch.stack([left[:-1], left[1:], right[:-1]], -1).flatten(0, 1)
    lower = torch.stack([right[:-1], left[1:], right[1:]], -1).flatten(0, 1)
    fans = torch.stack([north, left[0], right[0]], -1), torch.stack([left[-1], north + columns, right[-1]], -1)
    return torch.cat([fans[0], upper, lower, fans[1]])


def at_vertices(panorama: Float[Tensor, "channels rows columns"]) -> Float[Tensor, "vertices channels"]:
    """Return what a panorama shows at the vertices of the mesh with as many rows. A pole has the mean around it."""
    poles = [panorama[:, row].mean(-1, keepdim=True) for row in (0, -1)]
    return torch.cat([panorama.flatten(1), *poles], dim=1).T


def is_jump(
    triangles: Int[Tensor, "triangles 3"], distances: Float[Tensor, "vertices"], ratio: float
) -> Bool[Tensor, "triangles"]:
    """Return which triangles reach from one thing to another behind it: their farthest vertex is more than ``ratio``
    times as far as their nearest.
    """
    least, most = distances[triangles].aminmax(dim=-1)
    return most > ratio * least


def vertex_normals(
    positions: Float[Tensor, "vertices 3"], triangles: Int[Tensor, "triangles 3"]
) -> Float[Tensor, "vertices 3"]:
    """Return unit normals on the side of the viewer: the mean of the triangles around each vertex, by their areas.

    A vertex without a triangle faces the centre.
    """
    first, second, third = positions[triangles].unbind(1)
    across = torch.linalg.cross(second - first, third - first)
    summed = torch.zeros_like(positions).index_add_(0, triangles.flatten(), across.repeat_interleave(3, 0))
    inward = functional.normalize(-positions, dim=-1)
    return torch.where(summed.norm(dim=-1, keepdim=True) > 0, functional.normalize(summed, dim=-1, eps=0.0), inward)
