"""The way ``colour``: each soft segment of a panorama gets the colours of its counterpart in a photograph."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from aognet.geometry.sphere import pixel_solid_angles
from aognet.style.local_affine import LocalAffine
from aognet.style.oklab import from_oklab, to_oklab
from aognet.style.segments import Clusters, clusters, panorama_features, photo_features, style_weights
from aognet.style.sphere_windows import radius_of
from aognet.style.transport import linear_map, moments, sliced_transport

LEAST_VARIANCE = 1e-5
GAINS = (0.6, 2.5)
"""How many times differences of colours may become as large."""
SHARE_DEGREES, SHARE_EPSILON = 3.0, 1e-4
"""Of the windows that smooth the borders of segments."""
KNEE = 0.15
"""The share of the range of lightness in which what would be too light or too dark is compressed."""
EXTREME = 0.002
"""The share of the sphere that may be lighter (or darker) than what is compressed."""


@dataclass(frozen=True)
class Segmented:
    """Soft segments of a panorama, and how much each pixel of the photograph counts in the style of each."""

    shares: Float[Tensor, "segments height width"]
    of_photo: Float[Tensor, "segments rows columns"]

    @classmethod
    def of(
        cls, panorama: Float[Tensor, "3 height width"], photo: Float[Tensor, "3 rows columns"], count: int
    ) -> "Segmented":
        """Return ``count`` segments of a panorama and a photograph in Oklab. Their borders follow the panorama's
        edges.
        """
        theirs_features = photo_features(photo)
        ours, theirs = clusters(panorama_features(panorama), count), clusters(theirs_features, count)
        shares = ours.shares.view(-1, *panorama.shape[-2:])
        if count > 1:
            radius = radius_of(SHARE_DEGREES, panorama.shape[-2])
            shares = LocalAffine.fit(panorama, shares, radius, SHARE_EPSILON).here(panorama).clamp_min(0)
            shares = shares / shares.sum(0).clamp_min(1e-6)
        smooth = Clusters(shares.flatten(1), ours.centres, ours.masses)
        return cls(shares, style_weights(smooth, theirs, theirs_features).view(-1, *photo.shape[-2:]))


def moved_colours(
    panorama: Float[Tensor, "3 height width"],
    photo: Float[Tensor, "3 rows columns"],
    segments: Segmented,
    transport: str,
) -> Float[Tensor, "3 height width"]:
    """Return a panorama in Oklab, each segment of which has the photograph's mean and covariance (``linear``) or its
    whole distribution (``sliced``) of colours, as far as `GAINS` allow.
    """
    height, width = panorama.shape[-2:]
    angles = pixel_solid_angles(height, width)[:, None].expand(-1, width).flatten().to(panorama.device)
    colours, wanted = panorama.double().flatten(1), photo.double().flatten(1)
    moved = torch.zeros_like(colours)
    for share, of_photo in zip(segments.shares.flatten(1).double(), segments.of_photo.flatten(1), strict=True):
        own, theirs = moments(colours, angles * share), moments(wanted, of_photo)
        matrix = linear_map(own, theirs, LEAST_VARIANCE, GAINS)
        found = matrix @ (colours - own.mean[:, None]) + theirs.mean[:, None]
        if transport == "sliced":
            found = sliced_transport(found, angles * share, wanted, of_photo)
        moved += share * found
    return moved.view_as(panorama)


def within_display(lab: Float[Tensor, "3 height width"]) -> Float[Tensor, "3 height width"]:
    """Return a panorama in Oklab whose lightness a display can show, compressed where it is too light or too dark, and
    whose colours, too.
    """
    height, width = lab.shape[-2:]
    weights = pixel_solid_angles(height, width)[:, None].expand(-1, width).flatten().to(lab.device)
    values, order = lab[0].flatten().sort()
    below = weights[order].cumsum(0) / weights.sum()
    low, high = (
        float(values[torch.searchsorted(below, share).clamp_max(len(values) - 1)])
        for share in torch.tensor([EXTREME, 1 - EXTREME], dtype=below.dtype, device=lab.device)
    )
    light = _compressed(lab[0], high)
    light = 1 - _compressed(1 - light, 1 - low)
    return to_oklab(from_oklab(torch.cat([light[None], lab[1:]])))


def _compressed(values: Tensor, most: float) -> Tensor:
    """Return numbers up to ``most`` with those of the last `KNEE` below 1 and all above put into it, smoothly."""
    if most <= 1:
        return values
    start, reach = 1 - KNEE, most - 1 + KNEE
    beyond = ((values - start) / reach).clamp_min(0)
    # Slope 1 where it begins, and KNEE at the most: x / (1 + (reach / KNEE - 1) x).
    return torch.where(values > start, start + reach * beyond / (1 + (reach / KNEE - 1) * beyond), values)
