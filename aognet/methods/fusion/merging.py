"""Views merged to a panorama."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from aognet.geometry import perspective
from aognet.geometry.camera import Camera
from aognet.geometry.sphere import pixel_directions

OWNER = 1e-3
"""A ``tau`` so small that every ray belongs to the view in which it is most central."""


def merged(
    views: Float[Tensor, "views channels rows columns"], cameras: Sequence[Camera], height: int, tau: float
) -> Float[Tensor, "1 channels height width"]:
    """Return the panorama of views that see the whole sphere: their mean by weights exp(-r / tau).

    r is the distance from a view's centre: 0 there, 1 at the middle of an edge (Linear Fusion, arXiv 2609.01997).
    """
    seen = [perspective.project(views[i : i + 1], camera, height) for i, camera in enumerate(cameras)]
    distances = [_distances(camera, height, index) for camera, (index, _) in zip(cameras, seen, strict=True)]
    nearest = torch.full((2 * height * height,), torch.inf)
    for (index, _), distance in zip(seen, distances, strict=True):
        nearest[index] = torch.minimum(nearest[index], distance)
    total, panorama = torch.zeros_like(nearest), torch.zeros(views.shape[1], len(nearest))
    for (index, values), distance in zip(seen, distances, strict=True):
        # Against the nearest view, so that no sum of weights is too small to divide by.
        weight = ((nearest[index] - distance) / tau).exp()
        total.index_add_(0, index, weight)
        panorama.index_add_(1, index, values[0].float() * weight)
    return (panorama / total).unflatten(-1, (height, 2 * height))[None]


def _distances(camera: Camera, height: int, index: Tensor) -> Float[Tensor, "pixels"]:
    """Return how far pixels of a panorama lie from a view's centre, in half widths of the view."""
    positions, _ = camera.image_positions(pixel_directions(height, 2 * height).flatten(0, 1)[index])
    centre = torch.tensor([camera.width - 1, camera.height - 1], dtype=torch.float64) / 2
    return ((positions - centre).norm(dim=-1) / (camera.width / 2)).float()
