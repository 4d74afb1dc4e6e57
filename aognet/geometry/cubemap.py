"""Six square 90-degree views that tile the sphere, both ways."""

from functools import lru_cache

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from aognet.geometry import sphere
from aognet.geometry.camera import Camera
from aognet.geometry.perspective import look_all
from aognet.geometry.sphere import Mode

LATERAL, POLAR = ("front", "right", "back", "left"), ("up", "down")
FACES = (*LATERAL, *POLAR)
# Up and down join the front face: their bottom and top edge, respectively, touch it.
YAW_PITCH = ((0.0, 0.0), (90.0, 0.0), (180.0, 0.0), (-90.0, 0.0), (0.0, 90.0), (0.0, -90.0))


@lru_cache(maxsize=16)
def face_cameras(size: int) -> tuple[Camera, ...]:
    """The cameras of the six faces, in the order of ``FACES``."""
    return tuple(Camera(yaw, pitch, 0.0, 90.0, size, size) for yaw, pitch in YAW_PITCH)


def faces_of(
    panorama: Float[Tensor, "batch channels height width"], size: int, mode: Mode = "bilinear"
) -> Float[Tensor, "batch 6 channels size size"]:
    """The cubemap of a panorama."""
    return look_all(panorama, face_cameras(size), mode)


def panorama_of(
    faces: Float[Tensor, "batch 6 channels size size"], height: int
) -> Float[Tensor, "batch channels height width"]:
    """The panorama (``height`` x ``2 height``) of a cubemap, sampled across face edges without a seam."""
    batch, count, channels, size, _ = faces.shape
    if count != 6:
        raise ValueError(f"a cubemap has 6 faces, got {count}")
    padded = pad_faces(faces)
    column, row, face = _positions_on_faces(height, size, faces.device)
    # All faces side by side make one image; the pad keeps bilinear samples on their own face.
    strip = padded.permute(0, 2, 3, 1, 4).reshape(batch, channels, size + 2, 6 * (size + 2))
    span = torch.tensor([6 * (size + 2), size + 2], dtype=torch.float64, device=faces.device)
    positions = torch.stack([column + 1 + face * (size + 2), row + 1], dim=-1)
    grid = (positions + 0.5) * 2 / span - 1
    return sphere.sample_grid(strip, grid.expand(batch, -1, -1, -1), "bilinear")


def pad_faces(faces: Float[Tensor, "batch 6 channels size size"]) -> Float[Tensor, "batch 6 channels padded padded"]:
    """The faces with a border of one pixel, taken from the neighbouring faces where the sphere goes on."""
    size = faces.shape[-1]
    padded = functional.pad(faces.flatten(0, 1), (1, 1, 1, 1), mode="replicate").unflatten(0, faces.shape[:2])
    for index in range(6):
        column, row, owner, outside = _border_of_face(index, size, faces.device)
        for neighbour in owner.unique().tolist():
            mine = owner == neighbour
            grid = torch.stack([column[mine], row[mine]], dim=-1)
            grid = ((grid + 0.5) * 2 / size - 1).expand(len(faces), 1, -1, -1)
            values = sphere.sample_grid(faces[:, neighbour], grid, "bilinear")
            rows, columns = outside[0][mine], outside[1][mine]
            padded[:, index, :, rows, columns] = values[:, :, 0]
    return padded


def _owner(vectors: Float[Tensor, "*grid 3"]) -> Tensor:
    """Which face shows each direction: the one whose axis it follows most."""
    axes = torch.stack([camera.forward for camera in face_cameras(1)])
    return (vectors @ axes.T).argmax(-1)


def _on_faces(vectors: Tensor, size: int) -> tuple[Tensor, Tensor, Tensor]:
    """Fractional column and row on the owning face, and the face, of world directions."""
    owner = _owner(vectors)
    positions = torch.zeros(*vectors.shape[:-1], 2, dtype=torch.float64)
    for index, camera in enumerate(face_cameras(size)):
        mine = owner == index
        positions[mine] = camera.image_positions(vectors[mine])[0]
    return positions[..., 0], positions[..., 1], owner


@lru_cache(maxsize=16)
def _positions_on_faces(height: int, size: int, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    column, row, owner = _on_faces(sphere.pixel_directions(height, 2 * height), size)
    return column.to(device), row.to(device), owner.to(device)


@lru_cache(maxsize=64)
def _border_of_face(
    index: int, size: int, device: torch.device
) -> tuple[Tensor, Tensor, Tensor, tuple[Tensor, Tensor]]:
    """Where on other faces the border pixels of a padded face lie, and their rows and columns in the padded face."""
    edge = torch.arange(size + 2)
    rows = torch.cat([torch.zeros_like(edge), torch.full_like(edge, size + 1), edge[1:-1], edge[1:-1]])
    columns = torch.cat([edge, edge, torch.zeros(size, dtype=edge.dtype), torch.full((size,), size + 1)])
    x = (columns - 0.5) / size * 2 - 1
    y = 1 - (rows - 0.5) / size * 2
    local = torch.stack([x, y, torch.ones_like(x)], dim=-1).double()
    column, row, owner = _on_faces(local @ face_cameras(size)[index].rotation.T, size)
    return column.to(device), row.to(device), owner.to(device), (rows.to(device), columns.to(device))
