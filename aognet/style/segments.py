"""Soft segments of a panorama and of a photograph, and which belongs to which: sky to sky, ground to ground.

No network names them. Pixels are clustered by colour and height, each measured against its own image, so that the
brightest upper part of one fits the brightest upper part of the other, whatever their colours are.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from aognet.geometry.sphere import pixel_latitudes, pixel_solid_angles

IMPORTANCE = torch.tensor([1.0, 0.5, 0.5, 1.2], dtype=torch.float64)
"""Of lightness, both coordinates of colour, and height, where pixels are clustered."""
LIKENESS = torch.tensor([0.7, 0.7, 0.7, 1.5], dtype=torch.float64)
"""Times as much of each where clusters of two images are compared: ground stays ground, in the dark and under snow."""
ROUNDS = 30
SOFTNESS = 0.6
"""How far from its centre a segment fades, in standard deviations of a segment."""
TEMPERATURE, LOYALTY = 0.5, 0.5
"""How freely segments share each other, and how far all of the photograph is used in its own amounts, up to 1."""
FLAT = 1e-4
"""The least deviation that a feature is divided by."""


@dataclass(frozen=True)
class Features:
    """What pixels are clustered by: `IMPORTANCE` times standard scores, and how much each pixel counts (sum 1)."""

    values: Float[Tensor, "4 points"]
    weights: Float[Tensor, "points"]


@dataclass(frozen=True)
class Clusters:
    """``shares``: how much each pixel belongs to each cluster, adding up to 1. ``masses`` of clusters, too."""

    shares: Float[Tensor, "clusters points"]
    centres: Float[Tensor, "4 clusters"]
    masses: Float[Tensor, "clusters"]


def panorama_features(lab: Float[Tensor, "3 height width"]) -> Features:
    """Return the features of a panorama in Oklab: its heights are sines of latitude, its weights solid angles."""
    height, width = lab.shape[-2:]
    heights = pixel_latitudes(height).sin()[:, None].expand(-1, width)
    weights = pixel_solid_angles(height, width)[:, None].expand(-1, width)
    return _features(lab, heights.to(lab.device), weights.to(lab.device))


def photo_features(lab: Float[Tensor, "3 rows columns"]) -> Features:
    """Return the features of a photograph in Oklab: its heights run evenly from its lower edge to its upper one."""
    rows, columns = lab.shape[-2:]
    heights = torch.linspace(1, -1, rows, dtype=torch.float64, device=lab.device)[:, None].expand(-1, columns)
    return _features(lab, heights, torch.ones_like(heights))


def _features(lab: Tensor, heights: Tensor, weights: Tensor) -> Features:
    values = torch.cat([lab.double(), heights[None]]).flatten(1)
    weights = weights.flatten() / weights.sum()
    values = values - (values @ weights)[:, None]
    deviations = (values.square() @ weights).sqrt()
    colour = deviations[1:3].square().sum().div(2).sqrt()  # both coordinates keep their proportion
    scales = torch.stack([deviations[0], colour, colour, deviations[3]]).clamp_min(FLAT)
    return Features(values / scales[:, None] * IMPORTANCE.to(values)[:, None], weights)


def clusters(features: Features, count: int) -> Clusters:
    """Return ``count`` soft clusters (k-means, then shares that fade with the squared distance).

    They begin as layers of equal weight along height and lightness. So they depend on no random numbers, and not on the
    order of pixels.
    """
    values, weights = features.values, features.weights
    order = (values[0] + values[3]).argsort(stable=True)
    layer = (weights[order].cumsum(0) * count).floor().clamp_max(count - 1).long()
    owner = torch.empty_like(layer).index_put_((order,), layer)
    for _ in range(ROUNDS):
        centres = _centres(torch.nn.functional.one_hot(owner, count).T.double(), features)
        before, owner = owner, _distances(values, centres).argmin(0)
        if torch.equal(owner, before):
            break
    centres = _centres(torch.nn.functional.one_hot(owner, count).T.double(), features)
    squared = _distances(values, centres)
    spread = (squared.amin(0) @ weights).clamp_min(FLAT)
    shares = (-squared / (2 * SOFTNESS**2 * spread)).softmax(0)
    return Clusters(shares, _centres(shares, features), shares @ weights)


def _centres(shares: Tensor, features: Features) -> Float[Tensor, "4 clusters"]:
    masses = (shares @ features.weights).clamp_min(1e-12)
    return (features.values * features.weights) @ shares.T / masses


def _distances(values: Tensor, centres: Tensor) -> Float[Tensor, "clusters points"]:
    return torch.stack([(values - centre[:, None]).square().sum(0) for centre in centres.unbind(1)])


def coupling(ours: Clusters, theirs: Clusters) -> Float[Tensor, "clusters others"]:
    """Return how much of each of their clusters each of ours takes. Rows add up to the masses of ours.

    Entropic optimal transport of the centres; their side is relaxed (Chizat et al. 2018, algorithm 1), so that a sky of
    half a sphere may be a sky that fills little of the photograph.
    """
    like = LIKENESS.to(ours.centres)[:, None]
    cost = _distances(theirs.centres * like, ours.centres * like)
    kernel = (-cost / TEMPERATURE).exp().clamp_min(1e-30)
    right = torch.ones_like(theirs.masses)
    for _ in range(100):
        left = ours.masses / (kernel @ right)
        right = (theirs.masses / (kernel.T @ left)) ** LOYALTY
    left = ours.masses / (kernel @ right)
    return left[:, None] * kernel * right


def style_weights(ours: Clusters, theirs: Clusters, of_photo: Features) -> Float[Tensor, "clusters points"]:
    """Return how much each pixel of the photograph counts in the style of each of our segments; rows add up to 1."""
    each = theirs.shares * of_photo.weights / theirs.masses.clamp_min(1e-12)[:, None]
    plan = coupling(ours, theirs)
    weights = plan / plan.sum(1, keepdim=True) @ each
    return weights / weights.sum(1, keepdim=True)
