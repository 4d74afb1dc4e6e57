"""What the inputs of a panorama show, as one picture that CLIP can look at."""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from aognet.canvas import Canvas
from aognet.geometry.camera import Camera
from aognet.geometry.sphere import pixel_directions, pixel_solid_angles
from aognet.geometry.surface import PLANE

SIZE = 224
MOST_DEGREES = 120.0


def photographed(canvas: Canvas) -> Float[Tensor, "1 3 size size"]:
    """Return a view of all that is known of a canvas, or of as much as 120 degrees show, continued to its edges."""
    camera = camera_of(canvas)
    seen = canvas.look(camera)
    known = seen.known.float()
    if not known.any():
        return seen.image
    return torch.where(seen.known, seen.image, PLANE.extended(seen.image, known))


def camera_of(canvas: Canvas) -> Camera:
    """Return the camera that looks at the middle of what is known, wide enough for most of it."""
    height = canvas.height
    known = canvas.known[0, 0].cpu()
    areas = pixel_solid_angles(height, 2 * height)[:, None] * known
    directions = pixel_directions(height, 2 * height).to(areas)
    middle = (directions * areas[..., None]).sum((0, 1))
    if float(middle.norm()) <= 1e-6 * float(areas.sum()):  # what is known lies all around
        return Camera(0.0, 0.0, 0.0, MOST_DEGREES, SIZE, SIZE)
    middle = middle / middle.norm()
    apart = (directions @ middle).clamp(-1, 1).acos()
    mean = float((apart * areas).sum() / areas.sum())
    # A disc's mean distance from its middle is two thirds of its radius.
    fov = min(max(2 * 1.5 * math.degrees(mean), 20.0), MOST_DEGREES)
    x, y, z = middle.tolist()
    yaw, pitch = math.degrees(math.atan2(x, z)), math.degrees(math.asin(min(max(y, -1.0), 1.0)))
    return Camera(yaw, pitch, 0.0, fov, SIZE, SIZE)
