"""Photographs in files as images with cameras."""

import logging
import math
from pathlib import Path

from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from aognet.errors import Setting, UserError
from aognet.geometry.camera import Camera
from aognet.io.exif import Exif
from aognet.io.images import load
from aognet.io.value_range import Encoding, bounded_
from aognet.request import Photo

log = logging.getLogger(__name__)

# Photographs are shrunk to at most this many of their pixels per panorama pixel; more would only cost time.
MAX_PHOTO_DENSITY = 2.0


def read_photo(
    photo: Photo, height: int, encoding: Encoding = "srgb"
) -> tuple[Float[Tensor, "1 3 rows columns"], Camera, Float[Tensor, "1 1 rows columns"] | None]:
    """Return a photograph (no finer than a panorama of ``height`` rows can show), its camera, and its opacity.

    Opacity is in [0, 1], or None if all is opaque. Raises UserError naming the file, also for a panorama.
    """
    path = Path(photo.image)
    loaded = load(path, encoding)
    if loaded.area is not None:
        said = f"{path}: is {loaded.area}, as its GPano metadata says, and no photograph: give it with "
        raise UserError(said, "inputs.panoramas or " if loaded.area.whole else "", Setting("panorama"))
    image, opacity = loaded.image[None], None if loaded.weight is None else loaded.weight[None]
    if opacity is not None and not (opacity > 0.5).any():
        raise UserError(f"{path}: is transparent throughout, so nothing of it is known")
    rows, columns = image.shape[-2:]
    try:
        camera = photo.camera(columns, rows, 90.0 if photo.fov else exif_fov(loaded.exif, columns, rows, path))
    except UserError as error:
        raise error.at(str(path)) from error
    shrink = height / math.pi * MAX_PHOTO_DENSITY / camera.focal_pixels
    if shrink < 1:
        size = (max(round(rows * shrink), 1), max(round(columns * shrink), 1))
        image, opacity = _shrunk(image, opacity, size, encoding)
        camera = camera.sized(size[1], size[0])
    return image, camera, opacity


def _shrunk(
    image: Tensor, opacity: Tensor | None, size: tuple[int, int], encoding: Encoding
) -> tuple[Tensor, Tensor | None]:
    """Return both in another size, with colours weighted by opacity: those of transparent pixels show nowhere."""
    if opacity is None:
        return bounded_(functional.interpolate(image, size=size, mode="bicubic", antialias=True), encoding), None
    colours, opacity = (
        functional.interpolate(part, size=size, mode="bicubic", antialias=True)
        for part in (image.mul_(opacity), opacity)
    )
    return bounded_(colours / opacity.clamp_min(1e-3), encoding), opacity.clamp(0, 1)


def exif_fov(exif: Exif, columns: int, rows: int, path: Path) -> float:
    """Return the horizontal field of view in degrees from a photograph's EXIF data, or 90. The log says which."""
    found = exif.fov_degrees(columns, rows)
    if found is None:
        said = "%s: its EXIF data tells no field of view; 90 degrees are assumed (%s says another)"
        log.info(said, path, Setting("fov"))
        return 90.0
    log.info("%s: field of view %.1f degrees, from its %s", path, *found)
    return found[0]
