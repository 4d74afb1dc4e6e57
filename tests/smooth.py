"""A colour for every direction, smooth on the whole sphere: what geometry is measured with."""

import torch
from torch import Tensor

from aognet.geometry import sphere
from aognet.geometry.camera import Camera


def colour(vectors: Tensor) -> Tensor:
    """RGB in [-1, 1] of directions [..., 3] of any length, as float32 [3, ...]."""
    x, y, z = (vectors / vectors.norm(dim=-1, keepdim=True)).unbind(-1)
    return torch.stack([0.6 * x + 0.3 * y * z, 0.7 * torch.sin(2 * y + x), 0.9 * z * x + 0.2 * y]).float()


def smooth_panorama(height: int) -> Tensor:
    """[1, 3, height, 2 height]: the colour of every pixel centre."""
    return colour(sphere.pixel_directions(height, 2 * height))[None]


def smooth_view(camera: Camera) -> Tensor:
    """[1, 3, rows, columns]: what a camera sees, without any panorama between."""
    return colour(camera.pixel_directions())[None]
