"""The depth of a panorama from networks that see one view at a time: overlapping views, aligned and merged.

Such a network returns inverse depth along the axis of a view, up to a scale and a shift that differ from view to view.
With the angle between a direction and the axis, inverse distance is cosine * (scale * estimate + shift). Scales and
shifts of all views are those with which overlapping views agree best. Unlike those of single views they are unique up
to one common scale, because the cosines differ. No distance is negative, so scales and shifts, counted from a view's
farthest point, are not either. (After Rey-Area et al. 2022, 360MonoDepth, which aligns disparities of tangent images.)
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Float64, Int
from torch import Tensor

from aognet.canvas import Canvas, filled
from aognet.geometry import sphere
from aognet.geometry.camera import Camera
from aognet.geometry.cubemap import face_cameras
from aognet.geometry.perspective import project
from aognet.io.depth_maps import DepthMap, spread_out

Estimate = Callable[[Float[Tensor, "1 3 rows columns"]], Float[Tensor, "1 1 rows columns"]]
FOV_DEGREES = 100.0
ROWS = 128  # of the panorama on which views are compared
MOST_ROWS = 1024  # of the panorama on which they are merged: views have no finer details
CERTAIN = 1e4  # the weight of what must hold
FAINT = 1e-4  # of what holds where nothing else says anything
_SEEN, _ENOUGH = 0.999, 0.2


@dataclass(frozen=True)
class View:
    """What a network estimates of the view of a camera, and which pixels of the view were seen."""

    camera: Camera
    inverse_depth: Float[Tensor, "1 1 rows columns"]
    seen: Bool[Tensor, "1 1 rows columns"]


@dataclass(frozen=True)
class _Layer:
    """A view on a panorama: the pixels it covers, its estimates there, their weights and their cosines."""

    index: Int[Tensor, "pixels"]
    estimate: Float64[Tensor, "pixels"]
    weight: Float64[Tensor, "pixels"]
    cosine: Float64[Tensor, "pixels"]


def surrounding_cameras(size: int) -> list[Camera]:
    """Return 14 cameras that see every direction several times: at the faces and at the corners of a cube."""
    up = math.degrees(math.atan(math.sqrt(0.5)))
    corners = [
        Camera(45.0 + 90 * turn, pitch, 0.0, FOV_DEGREES, size, size) for pitch in (up, -up) for turn in range(4)
    ]
    return [*face_cameras(size, FOV_DEGREES), *corners]


def estimate_panorama(canvas: Canvas, cameras: Sequence[Camera], estimate: Estimate) -> DepthMap:
    """Return the depth of what a canvas knows, from views of it through ``cameras``.

    Where a view shows unknown pixels, the known ones are continued smoothly for the network, and only these count.
    """
    seen = [canvas.look(camera) for camera in cameras]
    shares = [float(view.known.float().mean()) for view in seen]
    views = [
        View(camera, estimate(filled(view)), view.known)
        for camera, view, share in zip(cameras, seen, shares, strict=True)
        if share >= min(_ENOUGH, max(shares))
    ]
    depth = merged(views, min(canvas.height, MOST_ROWS))
    return depth if canvas.height <= MOST_ROWS else depth.resized(canvas.height)


def merged(views: Sequence[View], height: int) -> DepthMap:
    """Return one depth of a panorama from the estimates of overlapping views, known where any of them was seen."""
    layers = [_layer(view, min(height, ROWS)) for view in views]
    views = [view for view, layer in zip(views, layers, strict=True) if layer.weight.any()]
    layers = [layer for layer in layers if layer.weight.any()]
    if not layers:
        nothing = torch.zeros(1, height, 2 * height)
        return DepthMap(nothing, nothing > 0)
    least = torch.stack([layer.estimate[layer.weight > 0].min() for layer in layers])
    spread = torch.stack([layer.estimate[layer.weight > 0].std(correction=0) for layer in layers]).clamp_min(1e-12)
    scales, shifts = _aligned(layers, least, spread, min(height, ROWS))
    total, weights = torch.zeros(2, 2 * height * height, dtype=torch.float64)
    for number, view in enumerate(views):
        layer = _layer(view, height)
        estimate = (layer.estimate - least[number]).clamp_min(0) / spread[number]
        inverse = layer.cosine * (scales[number] * estimate + shifts[number])
        total.index_add_(0, layer.index, layer.weight * inverse)
        weights.index_add_(0, layer.index, layer.weight)
    known = (weights > 0).view(1, height, 2 * height)
    inverse = (total / weights.clamp_min(1e-12)).view_as(known)
    return DepthMap(spread_out(inverse, known).float(), known)


def _layer(view: View, height: int) -> _Layer:
    """Return a view on a panorama of ``height`` rows. Its weight falls from its middle to nothing at its edges."""
    both = torch.cat([view.inverse_depth, view.seen.to(view.inverse_depth)], dim=1)
    index, values = project(both, view.camera, height)
    directions = sphere.pixel_directions(height, 2 * height).flatten(0, 1)[index]
    places, _ = view.camera.image_positions(directions)
    size = torch.tensor([view.camera.width, view.camera.height], dtype=torch.float64)
    inwards = 1 - ((places + 0.5) / size * 2 - 1).abs()
    weight = inwards.clamp_min(1e-6).prod(-1) * (values[0, 1] > _SEEN)
    return _Layer(index, values[0, 0].double(), weight, directions @ view.camera.forward)


def _aligned(
    layers: Sequence[_Layer], least: Tensor, spread: Tensor, height: int
) -> tuple[Float64[Tensor, "views"], Float64[Tensor, "views"]]:
    """Return the scales and shifts of all views with which they differ least from their weighted mean.

    The scales are 1 in the mean. The squared differences are weighed by the views' weights and by solid angle.
    """
    from scipy.optimize import nnls

    count, pixels = len(layers), 2 * height * height
    terms = torch.zeros(count, 2, pixels, dtype=torch.float64)  # of each view's scale and shift
    weights = torch.zeros(count, pixels, dtype=torch.float64)
    for number, layer in enumerate(layers):
        estimate = (layer.estimate - least[number]) / spread[number]
        terms[number][:, layer.index] = torch.stack([layer.cosine * estimate, layer.cosine])
        weights[number, layer.index] = layer.weight
    area = sphere.pixel_latitudes(height).cos().repeat_interleave(2 * height)
    shares = weights / weights.sum(0).clamp_min(1e-12)
    mean = (shares[:, None] * terms).flatten(0, 1)
    squares = torch.zeros(2 * count, 2 * count, dtype=torch.float64)
    for number in range(count):
        difference = -mean
        difference[2 * number : 2 * number + 2] += terms[number]
        squares += (difference * (shares[number] * area / area.sum())) @ difference.T
    values, vectors = torch.linalg.eigh(squares)
    # Rows of least squares: the differences, the mean of the scales, and faintly scales of 1 and shifts of 0.
    scale_of_all = torch.tensor([1.0, 0.0], dtype=torch.float64).repeat(count)
    rows = [values.clamp_min(0).sqrt()[:, None] * vectors.T, CERTAIN * scale_of_all[None] / count]
    rows.append(FAINT * torch.eye(2 * count, dtype=torch.float64))
    wanted = torch.cat([torch.zeros(2 * count), torch.tensor([CERTAIN]), FAINT * scale_of_all])
    found, _ = nnls(torch.cat(rows).numpy(), wanted.double().numpy())
    scales, shifts = torch.from_numpy(found).view(count, 2).unbind(-1)
    return scales, shifts
