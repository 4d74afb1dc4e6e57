"""Cubemaps: six square 90-degree views that tile the sphere, from a panorama and back."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import torch
from jaxtyping import Bool, Float, Int64
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


@lru_cache(maxsize=64)
def face_cameras(size: int, fov_degrees: float = 90.0) -> tuple[Camera, ...]:
    """Return the cameras of the six faces, in the order of ``FACES``. With more than 90 degrees, neighbours overlap."""
    return tuple(Camera(yaw, pitch, 0.0, fov_degrees, size, size) for yaw, pitch in YAW_PITCH)


def faces_of(
    panorama: Float[Tensor, "batch channels height width"], size: int, mode: Mode = "bilinear"
) -> Float[Tensor, "batch 6 channels size size"]:
    """Return the cubemap of a panorama."""
    return look_all(panorama, face_cameras(size), mode)


def panorama_of(
    faces: Float[Tensor, "batch 6 channels size size"], height: int
) -> Float[Tensor, "batch channels height width"]:
    """Return the panorama (``height`` x ``2 height``) of a cubemap, sampled across face edges without a seam."""
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


def pad_faces(
    faces: Float[Tensor, "batch 6 channels size size"], border: int = 1, fov_degrees: float = 90.0
) -> Float[Tensor, "batch 6 channels padded padded"]:
    """Return the faces with a border of pixels that continue the sphere, taken from the neighbouring faces.

    Each border pixel is sampled bilinearly from the neighbour that shows its direction. Beyond the corners, where two
    neighbours show it, it is their mean. Turning the cube by 90 degrees turns the result.
    """
    around = _border(faces.shape[-1], border, fov_degrees, faces.device)
    return _with(around, functional.pad(faces, (border,) * 4), faces)


def blend_faces(
    faces: Float[Tensor, "batch 6 channels size size"], fov_degrees: float
) -> Float[Tensor, "batch 6 channels size size"]:
    """Make overlapping faces (of more than 90 degrees) agree: where several faces show a direction, take the weighted
    mean.

    The weight of a face falls evenly from 1, where no neighbour shows the same direction, to 0 at its edge.
    """
    shared = _overlap(faces.shape[-1], fov_degrees, faces.device)
    return _with(shared, faces.clone(), faces)


def crop_faces(
    faces: Float[Tensor, "batch 6 channels size size"], fov_degrees: float
) -> Float[Tensor, "batch 6 channels size size"]:
    """Make overlapping faces (of more than 90 degrees) agree: take each direction from the face that owns it.

    Each face keeps its middle 90 degrees. Around them it shows what its neighbours show.
    """
    shared = _overlap(faces.shape[-1], fov_degrees, faces.device, cropped=True)
    return _with(shared, faces.clone(), faces)


def shown_alone(size: int, fov_degrees: float) -> Bool[Tensor, "size size"]:
    """Return which pixels of a face no neighbour shows."""
    # A neighbour's edge, seen from here, lies as far from the middle as its cotangent.
    edge = math.tan(math.radians(fov_degrees) / 2)
    across = ((torch.arange(size, dtype=torch.float64) + 0.5) / size * 2 - 1).abs() * edge <= 1 / edge
    return across[:, None] & across


def _owner(vectors: Float[Tensor, "*grid 3"]) -> Tensor:
    """Return the face that owns each direction: the one whose axis is nearest."""
    axes = torch.stack([camera.forward for camera in face_cameras(1)])
    return (vectors @ axes.T).argmax(-1)


def _on_faces(vectors: Tensor, size: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return the fractional column and row on the owning face, and that face, for each world direction."""
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


@dataclass(frozen=True)
class _Mixture:
    """Some pixels of every face, and the weights with which the pixels of all faces make them."""

    rows: Int64[Tensor, "cells"]
    columns: Int64[Tensor, "cells"]
    pixels: Int64[Tensor, "6 cells taps"]
    weights: Float[Tensor, "6 cells taps"]


def _with(mixture: _Mixture, target: Tensor, faces: Tensor) -> Tensor:
    """Return ``target`` with the pixels of a mixture of ``faces`` written into it."""
    weights = mixture.weights.to(torch.promote_types(faces.dtype, torch.float32))
    values = (faces.transpose(1, 2).flatten(2)[..., mixture.pixels] * weights).sum(-1)
    target[..., mixture.rows, mixture.columns] = values.transpose(1, 2).to(faces.dtype)
    return target


@lru_cache(maxsize=64)
def _border(size: int, border: int, fov_degrees: float, device: torch.device) -> _Mixture:
    count = size + 2 * border
    outside = torch.ones(count, count, dtype=torch.bool)
    outside[border:-border, border:-border] = False
    wider = math.degrees(2 * math.atan(math.tan(math.radians(fov_degrees) / 2) * count / size))
    cells = [camera.pixel_directions()[outside] for camera in face_cameras(count, wider)]
    return _mixture(outside, [(vectors, _owners(vectors)) for vectors in cells], size, fov_degrees, device)


@lru_cache(maxsize=16)
def _overlap(size: int, fov_degrees: float, device: torch.device, cropped: bool = False) -> _Mixture:
    edge = math.tan(math.radians(fov_degrees) / 2)
    cameras = face_cameras(size, fov_degrees)
    near_edge = ~shown_alone(size, fov_degrees)
    cells = [camera.pixel_directions()[near_edge] for camera in cameras]
    if cropped:
        return _mixture(near_edge, [(vectors, _owners(vectors)) for vectors in cells], size, fov_degrees, device)
    weights = [torch.stack([(edge - _offsets(other, vectors)).clamp_min(0) for other in cameras]) for vectors in cells]
    weights = [weight.clamp_max(edge - 1 / edge) for weight in weights]
    return _mixture(near_edge, list(zip(cells, weights, strict=True)), size, fov_degrees, device)


def _offsets(camera: Camera, vectors: Float[Tensor, "*cells 3"]) -> Float[Tensor, "*cells"]:
    """Return how far from a face's middle it shows directions, as a tangent: the larger of across and down. Behind it:
    inf.
    """
    x, y, z = (vectors @ camera.rotation).unbind(-1)
    return torch.where(z > 1e-9, torch.maximum(x.abs(), y.abs()) / z.clamp_min(1e-9), torch.inf)


def _owners(vectors: Float[Tensor, "cells 3"]) -> Float[Tensor, "6 cells"]:
    """Return 1 for the face that shows a direction best, 0 for the others. Where two show it equally well, both
    have 1.
    """
    nearness = torch.stack([camera.forward for camera in face_cameras(1)]) @ vectors.T
    return (nearness > nearness.amax(0) - 1e-9).double()


def _mixture(
    chosen: Bool[Tensor, "rows columns"],
    cells: Sequence[tuple[Tensor, Tensor]],
    size: int,
    fov_degrees: float,
    device: torch.device,
) -> _Mixture:
    """Return the mixture of the chosen pixels.

    ``cells`` has, for each face, the directions of its chosen pixels and the weight of each face there.
    """
    taps = [_taps(vectors, weights, size, fov_degrees) for vectors, weights in cells]
    pixels, weights = (torch.stack(parts).to(device) for parts in zip(*taps, strict=True))
    rows, columns = chosen.nonzero().to(device).unbind(1)
    return _Mixture(rows, columns, pixels, weights)


def _taps(
    vectors: Float[Tensor, "cells 3"], weights: Float[Tensor, "6 cells"], size: int, fov_degrees: float
) -> tuple[Int64[Tensor, "cells taps"], Float[Tensor, "cells taps"]]:
    """Return which pixels of all faces make the colour of a direction, and their weights: bilinear, on up to three
    faces.
    """
    shares, owners = (weights / weights.sum(0)).topk(3, dim=0)
    positions = torch.stack([camera.image_positions(vectors)[0] for camera in face_cameras(size, fov_degrees)])
    places = positions[owners, torch.arange(len(vectors))].clamp(0, size - 1)
    first = places.floor().clamp(max=size - 2)
    corners = torch.tensor([[0, 0], [1, 0], [0, 1], [1, 1]])
    columns, rows = (first[..., None, :].long() + corners).unbind(-1)
    rest = (places - first)[..., None, :]
    parts = torch.where(corners.bool(), rest, 1 - rest).prod(-1) * shares[..., None]
    pixels = (owners[..., None] * size + rows) * size + columns
    return pixels.transpose(0, 1).flatten(1), parts.transpose(0, 1).flatten(1)
