"""What is known when a panorama is begun: the files of its request on a canvas."""

from dataclasses import dataclass, replace
from pathlib import Path

from aognet.canvas import Canvas
from aognet.errors import UserError
from aognet.generate.photos import read_photo
from aognet.generate.pixels import round_
from aognet.generate.spheres import read_panorama, read_partial
from aognet.geometry.camera import Camera
from aognet.geometry.perspective import look
from aognet.io.depth_maps import DepthMap, load_depth
from aognet.io.images import load_panorama
from aognet.io.value_range import Encoding
from aognet.request import AUTO, Request


@dataclass(frozen=True)
class Start:
    """What is known at the beginning, the ground truth and the depth if there are such, and the cameras of the
    photographs.
    """

    canvas: Canvas
    truth: Canvas | None = None
    cameras: tuple[Camera, ...] = ()
    depth: DepthMap | None = None

    @property
    def camera(self) -> Camera | None:
        """That of the first photograph."""
        return self.cameras[0] if self.cameras else None


def read_start(request: Request, height: int, encoding: Encoding = "srgb") -> Start:
    """Read a request's files onto a canvas of ``height`` rows, with the values that a file of the run keeps.

    Raises UserError naming the file.
    """
    start = _read_start(request, height, encoding)
    round_(start.canvas)
    for control in request.controls:  # whoever makes the panorama reads it again
        load_panorama(Path(control.image), height)
    return replace(start, depth=read_depth(request))


def read_depth(request: Request) -> DepthMap | None:
    """Read the depth map of a resolved request; None for one without, and where it is to be estimated.

    Raises UserError naming the file.
    """
    if request.depth is None or request.depth == AUTO:
        return None
    return load_depth(Path(request.depth), request.rows, request.depth_kind)


def _read_start(request: Request, height: int, encoding: Encoding) -> Start:
    if request.truth is not None:
        truth = read_panorama(Path(request.truth), height, encoding)
        camera = request.pose.camera(height // 2, height // 2, 90.0)
        canvas = Canvas.empty(height, encoding=encoding).paint(look(truth.image, camera), camera)
        return Start(Canvas.of(truth.image, canvas.known & truth.known, encoding), truth, (camera,))
    if request.panorama is not None:
        mask = None if request.mask is None else Path(request.mask)
        return Start(read_partial(Path(request.panorama), mask, height, encoding))
    canvas, cameras = Canvas.empty(height, encoding=encoding), []
    for photo in request.photos:
        image, camera, opacity = read_photo(photo, height, encoding)
        if not canvas.paint_(image, camera, opacity).known.any():
            raise UserError(f"{photo.image}: with fov {camera.fov_degrees:g} it covers no pixel of {height} rows")
        cameras.append(camera)
    return Start(canvas, cameras=tuple(cameras))
