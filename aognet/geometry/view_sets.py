"""Sets of views that are made together, and the panorama that they show."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from aognet.errors import UserError
from aognet.geometry import sphere
from aognet.geometry.camera import MAX_PIXELS, Camera, Weighting
from aognet.geometry.perspective import project
from aognet.geometry.plans import MAX_SIZE

# Yaw and pitch of the 16 views of the published Ganorama.
PUBLISHED = (
    *((yaw, 45.0) for yaw in (0.0, 90.0, 180.0, 270.0)),
    *((yaw, -45.0) for yaw in (0.0, 90.0, 180.0, 270.0)),
    *((45.0 * turn, 0.0) for turn in range(8)),
)
LEAST_OVERLAP = 0.25  # of neighbours on one ring


@dataclass(frozen=True)
class ViewSetConfig:
    """Which views of the sphere are made together.

    ``kind`` is one of:

    - ``cover``: rings of views half a view apart, from pole to pole: 18 of 90 degrees.
    - ``published``: the 16 views of Ganorama. The poles lie on their edges.

    ``fov_degrees`` and ``size`` describe the square views. ``yaw_degrees`` turns them all.
    """

    kind: Literal["cover", "published"] = "cover"
    fov_degrees: float = 90.0
    size: int = 256
    yaw_degrees: float = 0.0

    def __post_init__(self) -> None:
        if self.kind not in ("cover", "published"):
            raise UserError("must be cover or published", key="kind", value=self.kind)
        if not 30 <= self.fov_degrees <= 150:
            raise UserError("must lie in [30, 150]", key="fov_degrees", value=self.fov_degrees)
        if self.kind == "published" and self.fov_degrees < 90:
            raise UserError("must be at least 90 for the published views", key="fov_degrees", value=self.fov_degrees)
        if type(self.size) is not int or not 1 <= self.size <= MAX_SIZE:
            raise UserError(f"must be a whole number in [1, {MAX_SIZE}]", key="size", value=self.size)
        if not math.isfinite(self.yaw_degrees):
            raise UserError("must be a finite number", key="yaw_degrees", value=self.yaw_degrees)


def make_views(config: ViewSetConfig) -> tuple[Camera, ...]:
    """Return the cameras of a set. Together they see every direction.

    :raises UserError: if they have more than ``MAX_PIXELS`` pixels together.
    """
    aims = PUBLISHED if config.kind == "published" else _rings(config.fov_degrees)
    if len(aims) * config.size**2 > MAX_PIXELS:
        raise UserError(f"makes {len(aims)} views of more than {MAX_PIXELS} pixels", key="size", value=config.size)
    return tuple(
        Camera(yaw + config.yaw_degrees, pitch, 0.0, config.fov_degrees, config.size, config.size)
        for yaw, pitch in aims
    )


def _rings(fov_degrees: float) -> list[tuple[float, float]]:
    """Return yaw and pitch of views in rings at most half a view apart. A quarter turn about the poles changes no ring;
    at a pole there is one view.
    """
    steps = math.ceil(180 / fov_degrees)
    aims = []
    for number in sorted(range(-steps, steps + 1), key=abs):
        pitch = 90 * number / steps
        around = 360 * math.cos(math.radians(pitch)) / ((1 - LEAST_OVERLAP) * fov_degrees)
        count = 1 if abs(number) == steps else 4 * math.ceil(around / 4)
        aims += [(360 * turn / count, pitch) for turn in range(count)]
    return aims


def panorama_of(
    shown: Float[Tensor, "views channels rows columns"],
    cameras: Sequence[Camera],
    height: int,
    weighting: Weighting = "centre",
) -> Float[Tensor, "1 channels height width"]:
    """Return the panorama (``height`` x ``2 height``) that views show: their weighted mean along every ray.

    :raises ValueError: if there are not as many images as cameras, or no view shows a pixel.
    """
    precision = torch.promote_types(shown.dtype, torch.float32)
    total = torch.zeros(shown.shape[1], 2 * height * height, dtype=precision, device=shown.device)
    sums = torch.zeros(2 * height * height, dtype=precision, device=shown.device)
    for image, camera in zip(shown, cameras, strict=True):
        index, values = project(image[None], camera, height)
        places = camera.image_positions(_directions(index, height))[0]
        weights = camera.weights(places, weighting).to(sums)
        total.index_add_(1, index, values[0].to(precision) * weights)
        sums.index_add_(0, index, weights)
    if not bool((sums > 0).all()):
        raise ValueError(f"the views do not show {int((sums == 0).sum())} pixels of the panorama")
    return (total / sums).reshape(1, -1, height, 2 * height).to(shown.dtype)


def _directions(index: Tensor, height: int) -> Float[Tensor, "pixels 3"]:
    latitudes, longitudes = sphere.pixel_latitudes(height), sphere.pixel_longitudes(2 * height)
    index = index.cpu()
    return sphere.directions(longitudes[index % (2 * height)], latitudes[index // (2 * height)])
