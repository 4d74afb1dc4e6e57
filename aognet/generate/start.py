"""What is known when a panorama is begun: the files of its request on a canvas."""

from dataclasses import dataclass
from pathlib import Path

from aognet.canvas import Canvas
from aognet.errors import UserError
from aognet.generate.photos import read_photo
from aognet.generate.pixels import round_
from aognet.generate.spheres import read_panorama, read_partial
from aognet.geometry.camera import Camera
from aognet.geometry.perspective import look
from aognet.io.value_range import Encoding
from aognet.request import Request


@dataclass(frozen=True)
class Start:
    """What is known at the beginning, the ground truth if there is one, and the first photograph's camera."""

    canvas: Canvas
    truth: Canvas | None = None
    camera: Camera | None = None


def read_start(request: Request, height: int, encoding: Encoding = "srgb") -> Start:
    """Read a request's files onto a canvas of ``height`` rows, with the values that a file of the run keeps.

    Raises UserError naming the file.
    """
    start = _read_start(request, height, encoding)
    round_(start.canvas)
    return start


def _read_start(request: Request, height: int, encoding: Encoding) -> Start:
    if request.truth is not None:
        truth = read_panorama(Path(request.truth), height, encoding)
        camera = request.pose.camera(height // 2, height // 2, 90.0)
        canvas = Canvas.empty(height, encoding=encoding).paint(look(truth.image, camera), camera)
        return Start(Canvas.of(truth.image, canvas.known & truth.known, encoding), truth, camera)
    if request.panorama is not None:
        mask = None if request.mask is None else Path(request.mask)
        return Start(read_partial(Path(request.panorama), mask, height, encoding))
    canvas, first = Canvas.empty(height, encoding=encoding), None
    for photo in request.photos:
        image, camera, opacity = read_photo(photo, height, encoding)
        if not canvas.paint_(image, camera, opacity).known.any():
            raise UserError(f"{photo.image}: with fov {camera.fov_degrees:g} it covers no pixel of {height} rows")
        first = first or camera
    return Start(canvas, camera=first)
