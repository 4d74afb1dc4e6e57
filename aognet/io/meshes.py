"""A panorama as a mesh around the viewer, on the sphere or as far away as a depth map says, in PLY and glTF files."""

from dataclasses import dataclass
from pathlib import Path

from jaxtyping import Float
from torch import Tensor

from aognet.errors import Setting, UserError
from aognet.geometry.mesh import LEAST_ROWS, MOST_ROWS, SphereMesh, at_vertices, is_jump, sphere_mesh, vertex_normals
from aognet.io.depth_maps import DepthKind
from aognet.io.distances import check_range, load_distances
from aognet.io.gltf import write_glb
from aognet.io.images import jpeg_bytes, merged, resize_panorama
from aognet.io.panorama_files import display_levels
from aognet.io.ply import write_ply

PLY, GLB = ".ply", ".glb"
MESH_SUFFIXES = (PLY, GLB)
MOST_TEXTURE_ROWS = 4096  # twice as many columns are what most graphics cards take
_FINE, _ROUND = 512, 128


@dataclass(frozen=True)
class MeshShape:
    """How fine a mesh is, and how far its vertices are.

    ``mesh_rows``: rows of vertices, twice as many in each; default: those of the panorama, at most 512, and 128 for a
    glTF sphere, whose picture is a texture. ``points``: PLY files have no triangles. ``displace``: a file of depth,
    with ``depth_kind``, ``near`` and ``far`` as in `aognet.io.distances.load_distances`; None: distance 1 everywhere.
    ``cut``: triangles are left out whose farthest vertex is more than so many times as far as their nearest.
    """

    mesh_rows: int | None = None
    points: bool = False
    displace: Path | None = None
    depth_kind: DepthKind = "auto"
    near: float | None = None
    far: float | None = None
    cut: float | None = None

    def __post_init__(self) -> None:
        if self.mesh_rows is not None and not LEAST_ROWS <= self.mesh_rows <= MOST_ROWS:
            raise UserError(f"must be from {LEAST_ROWS} to {MOST_ROWS}", key="mesh_rows", value=self.mesh_rows)
        if self.cut is not None and not self.cut > 1:
            raise UserError("must be more than 1", key="cut", value=self.cut)
        of_depth = {"depth_kind": "auto", "near": None, "far": None, "cut": None}
        for key, default in of_depth.items():
            if self.displace is None and getattr(self, key) != default:
                raise UserError("changes nothing without ", Setting("displace"), key=key, value=getattr(self, key))
        check_range(self.near, self.far)

    def rows_of(self, suffix: str, height: int) -> int:
        """Return how many rows a file's mesh has, from the suffix and the rows of the panorama."""
        if self.mesh_rows is not None:
            return self.mesh_rows
        if suffix == GLB and self.displace is None:
            return _ROUND
        return max(min(height, _FINE), LEAST_ROWS)


@dataclass(frozen=True)
class PlacedMesh:
    """A mesh with the positions of its vertices. ``kept``: the triangles that are left, by numbers of corners."""

    mesh: SphereMesh
    positions: Float[Tensor, "vertices 3"]
    kept: Tensor


def placed_mesh(rows: int, shape: MeshShape) -> PlacedMesh:
    """Return the mesh of a sphere of radius 1, or at the distances of a depth map in metres.

    :raises UserError: naming a file of depth that cannot be used, or if every triangle would be cut.
    """
    mesh = sphere_mesh(rows)
    if shape.displace is None:
        return PlacedMesh(mesh, mesh.directions, mesh.triangles)
    distances = at_vertices(load_distances(shape.displace, rows, shape.depth_kind, shape.near, shape.far)[None])
    kept = mesh.triangles
    if shape.cut is not None:
        kept = kept[~is_jump(mesh.closed_triangles, distances[:, 0], shape.cut)]
        if len(kept) == 0:
            raise UserError("leaves no triangle", key="cut", value=shape.cut)
    return PlacedMesh(mesh, mesh.directions * distances, kept)


def write_mesh(shown: Float[Tensor, "3 height width"], placed: PlacedMesh, path: Path, points: bool = False) -> None:
    """Write a panorama of display values in [0, 1] on a mesh, as PLY or glTF by the suffix, atomically.

    PLY: each vertex has the colour of its pixel, after the panorama is resized to the rows of the mesh. glTF: the
    panorama is the texture (JPEG, at most 4096 rows), unlit. ``points``: a PLY file gets no triangles.

    :raises UserError: naming the file, if it cannot be written.
    """
    mesh = placed.mesh
    if path.suffix.lower() == PLY:
        coloured = at_vertices(resize_panorama(shown[None], mesh.rows)[0])
        colours = display_levels(coloured.T[:, None])[:, 0].T.numpy()
        write_ply(placed.positions.numpy(), colours, path, None if points else mesh.corners[placed.kept].numpy())
        return
    picture = resize_panorama(shown[None], min(shown.shape[-2], MOST_TEXTURE_ROWS))[0]
    normals = vertex_normals(placed.positions, mesh.corners[placed.kept])
    positions, directions = (values[mesh.corners].numpy() for values in (placed.positions, normals))
    texture = jpeg_bytes(merged(display_levels(picture)))
    write_glb(positions, directions, mesh.texture.numpy(), placed.kept.numpy(), texture, path)
