"""Photographs with poses, as files have them."""

import logging
import math
from dataclasses import dataclass
from pathlib import Path

from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from aognet.errors import UserError
from aognet.geometry.camera import Camera
from aognet.io.exif import Exif
from aognet.io.images import load

log = logging.getLogger(__name__)

# Photographs are shrunk to at most this many of their pixels per panorama pixel; more would only cost time.
MAX_PHOTO_DENSITY = 2.0


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
            key = error.key.removesuffix("_degrees")
            raise UserError(*error.args, key=key, value=error.value) from error

    def camera(self, width: int, height: int, default_fov: float) -> Camera:
        """The camera of a photograph of ``width`` x ``height`` pixels."""
        fov = default_fov if self.fov is None else self.fov
        return Camera(self.yaw, self.pitch, self.roll, fov, width, height)


@dataclass(frozen=True)
class PhotoConfig(Pose):
    """A photograph and its pose."""

    image: str = "???"


def read_photo(
    photo: PhotoConfig, height: int
) -> tuple[Float[Tensor, "1 3 rows columns"], Camera, Float[Tensor, "1 1 rows columns"] | None]:
    """A photograph, no finer than a panorama of ``height`` rows can show, its camera, and how opaque it is.

    Opacity in [0, 1], None where all is opaque. Raises UserError naming the file: also for a panorama.
    """
    path = Path(photo.image)
    loaded = load(path)
    if loaded.area is not None:
        how = "inputs.panoramas or --panorama" if loaded.area.whole else "--panorama"
        raise UserError(f"{path}: is {loaded.area}, as its GPano metadata says, and no photograph: give it with {how}")
    image, opacity = loaded.image[None], None if loaded.weight is None else loaded.weight[None]
    if opacity is not None and not (opacity > 0.5).any():
        raise UserError(f"{path}: is transparent throughout, so nothing of it is known")
    rows, columns = image.shape[-2:]
    try:
        camera = photo.camera(columns, rows, 90.0 if photo.fov else exif_fov(loaded.exif, columns, rows, path))
    except UserError as error:
        raise UserError(f"{path}: {error}") from error
    shrink = height / math.pi * MAX_PHOTO_DENSITY / camera.focal_pixels
    if shrink < 1:
        size = (max(round(rows * shrink), 1), max(round(columns * shrink), 1))
        image, opacity = _shrunk(image, opacity, size)
        camera = camera.sized(size[1], size[0])
    return image, camera, opacity


def _shrunk(image: Tensor, opacity: Tensor | None, size: tuple[int, int]) -> tuple[Tensor, Tensor | None]:
    """Both in another size, colours weighed by opacity: those of transparent pixels show nowhere."""
    if opacity is None:
        return functional.interpolate(image, size=size, mode="bicubic", antialias=True).clamp_(-1, 1), None
    colours, opacity = (
        functional.interpolate(part, size=size, mode="bicubic", antialias=True)
        for part in (image.mul_(opacity), opacity)
    )
    return (colours / opacity.clamp_min(1e-3)).clamp_(-1, 1), opacity.clamp(0, 1)


def exif_fov(exif: Exif, columns: int, rows: int, path: Path) -> float:
    """Horizontal field of view in degrees as a photograph's camera tells it, or 90; says which."""
    found = exif.fov_degrees(columns, rows)
    if found is None:
        log.info("%s: its EXIF data tells no field of view; 90 degrees are assumed (--fov says another)", path)
        return 90.0
    log.info("%s: field of view %.1f degrees, from its %s", path, *found)
    return found[0]
