"""The sphere as triangles: closed, seen from inside, and not mirrored."""

import pytest
import torch
from torch.testing import assert_close

from aognet.geometry.mesh import at_vertices, is_jump, sphere_mesh, vertex_normals
from aognet.geometry.sphere import pixel_directions


@pytest.mark.parametrize("rows", [4, 5, 16])
def test_the_sphere_is_closed_and_faces_its_centre(rows: int):
    mesh = sphere_mesh(rows)
    triangles, vertices = mesh.closed_triangles, len(mesh.directions)
    assert vertices == 2 * rows**2 + 2
    assert_close(mesh.directions.norm(dim=-1), torch.ones(vertices, dtype=torch.float64))
    edges = torch.cat([triangles[:, pair] for pair in ([0, 1], [1, 2], [2, 0])])
    directed = edges[:, 0] * vertices + edges[:, 1]
    # Each edge belongs to two triangles, which run along it in opposite directions.
    assert len(directed.unique()) == len(directed)
    assert torch.equal(directed.sort().values, (edges[:, 1] * vertices + edges[:, 0]).sort().values)
    assert vertices - len(edges) // 2 + len(triangles) == 2  # Euler: a sphere
    first, second, third = mesh.directions[triangles].unbind(1)
    # The signed volumes towards the centre are positive, and together they are nearly the ball's.
    volumes = -(first * torch.linalg.cross(second, third)).sum(-1) / 6
    assert bool((volumes > 0).all()) and 0.55 < float(volumes.sum() / (4 / 3 * torch.pi)) < 1
    normals = vertex_normals(mesh.directions, triangles)
    assert float((normals * mesh.directions).sum(-1).max()) < -0.9


def test_textures_lie_where_the_panorama_is():
    mesh = sphere_mesh(8)
    across, down = mesh.texture.double().unbind(-1)
    longitude, latitude = (across - 0.5) * 2 * torch.pi, (0.5 - down) * torch.pi
    flat = latitude.cos()
    ahead = torch.stack([flat * longitude.sin(), latitude.sin(), -flat * longitude.cos()], -1)
    assert_close(mesh.directions[mesh.corners], ahead, atol=1e-6, rtol=0)
    # No triangle runs backwards across the panorama.
    assert float((across[mesh.triangles].amax(-1) - across[mesh.triangles].amin(-1)).max()) < 1 / 15


def test_vertices_are_pixels():
    values = at_vertices(pixel_directions(6, 12).permute(2, 0, 1))
    mirrored = torch.tensor([1.0, 1.0, -1.0], dtype=torch.float64)
    assert_close(values[:-2] * mirrored, sphere_mesh(6).directions[:-2])
    assert_close(values[-2:, [0, 2]], torch.zeros(2, 2, dtype=torch.float64))


def test_jumps_are_told_by_their_ratio():
    mesh = sphere_mesh(8)
    distances = torch.where(mesh.directions[:, 0] > 0, 4.0, 1.0)
    across = (mesh.directions[mesh.closed_triangles][..., 0] > 0).float().mean(-1)
    assert torch.equal(is_jump(mesh.closed_triangles, distances, 3.9), (across > 0) & (across < 1))
    assert not is_jump(mesh.closed_triangles, distances, 4.0).any()


def test_sizes_are_bounded():
    for rows in (3, 2049):
        with pytest.raises(ValueError, match="4 to 2048 rows"):
            sphere_mesh(rows)
