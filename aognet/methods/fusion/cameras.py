"""Sets of views that see the whole sphere, the poles too."""

import torch

from aognet.errors import UserError
from aognet.geometry.camera import Camera
from aognet.geometry.cubemap import face_cameras
from aognet.geometry.sphere import pixel_directions
from aognet.geometry.view_sets import ViewSetConfig, make_views
from aognet.methods.fusion.settings import ViewsConfig, WayName

PUBLISHED = ((0.0, 4), (60.0, 4), (-60.0, 4), (90.0, 1), (-90.0, 1))
"""Pitch and number of the views of each ring (Linear Fusion, arXiv 2609.01997). Of 90 degrees, as there, the level ones
only touch.
"""
CHECKED_ROWS = 90
OWN_KIND = {"mean": "published", "linear": "published", "shift": "cube"}


def camera_set(config: ViewsConfig, way: WayName, size: int) -> tuple[Camera, ...]:
    """Return the views of a configuration, ``size`` pixels wide and high.

    :raises UserError: if they leave something of the sphere unseen.
    """
    kind = config.kind or OWN_KIND[way]
    fov = config.fov_degrees or (90.0 if kind == "cover" else 100.0)
    if kind == "cover":
        cameras = make_views(ViewSetConfig("cover", fov, size))
    elif kind == "cube":
        cameras = face_cameras(size, fov)
    else:
        cameras = tuple(
            Camera((number * 360 / count + 180) % 360 - 180, pitch, 0.0, fov, size, size)
            for pitch, count in PUBLISHED
            for number in range(count)
        )
    if unseen := _unseen(cameras):
        said = f"is too small: {kind} views leave {unseen:.1%} of the sphere unseen"
        raise UserError(said, key="views.fov_degrees", value=fov)
    return cameras


def _unseen(cameras: tuple[Camera, ...]) -> float:
    """Return the share of the sphere that no camera sees."""
    vectors = pixel_directions(CHECKED_ROWS, 2 * CHECKED_ROWS)
    seen = torch.stack([camera.image_positions(vectors)[1] for camera in cameras]).any(0)
    areas = vectors[..., 1].square().neg().add(1).clamp_min(0).sqrt()
    return float((areas * ~seen).sum() / areas.sum())
