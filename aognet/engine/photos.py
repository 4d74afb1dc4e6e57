"""Photographs with poses and partly known panoramas, as files have them."""

import logging
import math
from dataclasses import dataclass
from pathlib import Path

from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from aognet.canvas import Canvas
from aognet.data.exif import Exif
from aognet.data.images import load, load_image, load_panorama, resize_panorama
from aognet.errors import UserError
from aognet.geometry.camera import Camera

log = logging.getLogger(__name__)

# Photographs are shrunk to at most this many of their pixels per panorama pixel; more would only cost time.
MOST_PHOTO_DENSITY = 2.0


@dataclass(frozen=True)
class Pose:
    """Where a photograph looks, in degrees. ``fov`` null: from the EXIF focal length, or 90 without one."""

    yaw: float = 0.0
    pitch: float = 0.0
    roll: float = 0.0
    fov: float | None = None

    def __post_init__(self) -> None:
        try:
            self.camera(1, 1, 90.0)
        except UserError as error:
            raise UserError(str(error).replace("_degrees", "", 1)) from error  # the keys here are shorter

    def camera(self, width: int, height: int, default_fov: float) -> Camera:
        """The camera of a photograph of ``width`` x ``height`` pixels."""
        fov = default_fov if self.fov is None else self.fov
        return Camera(self.yaw, self.pitch, self.roll, fov, width, height)


@dataclass(frozen=True)
class PhotoConfig(Pose):
    """A photograph and its pose."""

    image: str = "???"


def read_photo(photo: PhotoConfig, height: int) -> tuple[Float[Tensor, "1 3 rows columns"], Camera]:
    """A photograph, no finer than a panorama of ``height`` rows can show, and its camera."""
    path = Path(photo.image)
    loaded = load(path)
    image = loaded.image[None]
    rows, columns = image.shape[-2:]
    try:
        camera = photo.camera(columns, rows, 90.0 if photo.fov else exif_fov(loaded.exif, columns, rows, path))
    except UserError as error:
        raise UserError(f"{path}: {error}") from error
    shrink = height / math.pi * MOST_PHOTO_DENSITY / camera.focal_pixels
    if shrink < 1:
        size = (max(round(rows * shrink), 1), max(round(columns * shrink), 1))
        image = functional.interpolate(image, size=size, mode="bicubic", antialias=True).clamp(-1, 1)
        camera = camera.sized(size[1], size[0])
    return image, camera


def exif_fov(exif: Exif, columns: int, rows: int, path: Path) -> float:
    """Horizontal field of view in degrees as a photograph's camera tells it, or 90; says which."""
    found = exif.fov_degrees(columns, rows)
    if found is None:
        log.info("%s: its EXIF data tells no field of view; 90 degrees are assumed (--fov says another)", path)
        return 90.0
    log.info("%s: field of view %.1f degrees, from its %s", path, *found)
    return found[0]


def read_partial(path: Path, mask_path: Path, height: int) -> Canvas:
    image = load_panorama(path, height)[None]
    mask = load_image(mask_path)[None]
    rows, columns = mask.shape[-2:]
    if abs(columns - 2 * rows) > 1:
        raise UserError(f"{mask_path}: a panorama's mask is twice as wide as high, this image is {columns}x{rows}")
    # A pixel is known only where the mask is black throughout, so that nothing to be replaced shines through.
    known = resize_panorama(mask.mean(1, keepdim=True), height) < -0.99
    return Canvas.of(image, known)
