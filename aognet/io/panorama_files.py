"""Panoramas in files that other programs read: PNG and JPEG for the eye, OpenEXR and Radiance HDR for light.

A panorama is a float32 tensor with an encoding. ``srgb``: display values in [0, 1], as of a PNG file. ``linear``: light
in [0, inf), where 1 is white. The suffix of a file says which of the two it holds, and everything is converted to that.
"""

import logging
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, UInt8
from PIL import Image
from torch import Tensor

from aognet.errors import UserError
from aognet.geometry.cubemap import FACES, faces_of
from aognet.io.files import write_atomically
from aognet.io.formats import LIGHT_SUFFIXES
from aognet.io.gpano import save_panorama
from aognet.io.hdr import MAX_PIXELS, read_radiance, write_exr
from aognet.io.images import (
    CACHED_VALUES,
    check_shape,
    check_whole,
    jpeg_bytes,
    load,
    merged,
    png_bytes,
    resize_panorama,
)
from aognet.io.rgbe import write_rgbe
from aognet.io.srgb import decode_srgb
from aognet.io.tonemap import ToneMap, clean, tone_map
from aognet.io.value_range import Encoding

log = logging.getLogger(__name__)
WRITTEN_SUFFIXES = (".png", ".jpg", ".jpeg", *LIGHT_SUFFIXES)
"""Of the files that are written here, in small letters."""
AS_READ = ToneMap()
"""How `aognet.io.images.load` shows the light of EXR and HDR files."""


def encoding_of(path: Path) -> Encoding:
    """Return the encoding of a file by its suffix: EXR and HDR hold linear light, all others sRGB."""
    return "linear" if path.suffix.lower() in LIGHT_SUFFIXES else "srgb"


def read_panorama(path: Path, height: int | None = None) -> tuple[Float[Tensor, "3 height width"], Encoding]:
    """Return a panorama as it is in its file (light stays light), of ``height`` x ``2 height``, and its encoding.

    Without ``height`` it keeps its own. What is transparent keeps the colour that it has in the file, and the log says
    so. Invalid light (NaN, negative) is black.

    :raises UserError: naming the file: missing, damaged, too large, not twice as wide as high, or part of a sphere.
    """
    encoding = encoding_of(path)
    if encoding == "linear":
        image = torch.from_numpy(clean(read_radiance(path, MAX_PIXELS))).permute(2, 0, 1)
    else:
        loaded = load(path)
        check_whole(loaded.area, str(path))
        if loaded.opacity is not None and bool((loaded.opacity < 1).any()):
            log.warning("%s: is transparent in places; they keep the colours that the file has there", path)
        image = loaded.image.add_(1).div_(2)
    check_shape(*image.shape[-2:], name=str(path))
    return resize_panorama(image[None], height or image.shape[-2])[0], encoding


def encoded(
    image: Float[Tensor, "3 height width"], encoding: Encoding, wanted: Encoding, tone: ToneMap = AS_READ
) -> Float[Tensor, "3 height width"]:
    """Return an image in the ``wanted`` encoding.

    Light is tone-mapped by ``tone``. Display values become light by the sRGB curve (IEC 61966-2-1), so that 1 stays 1.
    """
    if encoding == wanted:
        return image
    pixels = image.detach().float().cpu().permute(1, 2, 0).numpy()
    found = tone_map(pixels, tone) if wanted == "srgb" else decode_srgb(pixels.clip(0, 1)).astype(np.float32)
    return torch.from_numpy(found).permute(2, 0, 1)


def write_panorama(
    image: Float[Tensor, "3 height width"],
    path: Path,
    encoding: Encoding,
    *,
    description: str = "",
    tone: ToneMap = AS_READ,
) -> None:
    """Write a panorama as PNG, JPEG, EXR or HDR (by suffix), atomically.

    PNG and JPEG get 8 bits a channel and the metadata of a sphere (`aognet.io.gpano`) with the ``description``; linear
    light is tone-mapped for them by ``tone``, by default as EXR files are when they are read. EXR files get float32,
    HDR files RGBE; sRGB becomes linear light for them.

    :raises UserError: the suffix is none of these, the image is not twice as wide as high, or it cannot be written.
    """
    _, height, width = image.shape
    if width != 2 * height:
        raise UserError(f"{path}: a panorama must be twice as wide as high, got {width}x{height}")
    image = encoded(image, encoding, encoding_of(path), tone)
    if path.suffix.lower() in (".png", ".jpg", ".jpeg"):
        save_panorama(merged(display_levels(image)), path, description=description)
    else:
        write_image(image, path)


def write_faces(
    image: Float[Tensor, "3 height width"],
    folder: Path,
    encoding: Encoding,
    *,
    suffix: str = ".png",
    size: int | None = None,
    tone: ToneMap = AS_READ,
) -> None:
    """Write the cubemap of a panorama to ``folder``: ``front.png``, ``right.png``, ..., six views of 90 degrees.

    ``size``: rows of a face, by default half as many as of the panorama. Encodings, ``tone`` and errors are those of
    `write_panorama`; light is measured for its tone mapping on the whole panorama, so that the faces fit each other.
    """
    paths = [folder / f"{name}{suffix}" for name in FACES]
    image = encoded(image, encoding, encoding_of(paths[0]), tone)
    for path, face in zip(paths, faces_of(image[None], size or image.shape[-2] // 2)[0], strict=True):
        write_image(face, path)


def write_image(image: Float[Tensor, "3 height width"], path: Path) -> None:
    """Write an image that is in the encoding of its file already, without metadata, atomically."""
    suffix = path.suffix.lower()
    if suffix not in WRITTEN_SUFFIXES:
        raise UserError(f"{path}: images are written as {', '.join(WRITTEN_SUFFIXES)}, got {suffix or 'no suffix'!r}")
    if suffix not in LIGHT_SUFFIXES:
        picture = merged(display_levels(image))
        write_atomically(path, png_bytes(picture) if suffix == ".png" else jpeg_bytes(picture))
        return
    light = clean(image.detach().float().cpu().permute(1, 2, 0).numpy())
    if suffix == ".exr":
        write_exr({letter: light[..., number] for number, letter in enumerate("RGB")}, path)
    else:
        write_rgbe(light, path)


def write_light(light: Float[Tensor, "3 height width"], path: Path) -> None:
    """Write light of a panorama atomically: an EXR file in float16, by which it ends at 65504, or Radiance HDR."""
    values = clean(light.detach().float().cpu().permute(1, 2, 0).numpy())
    if path.suffix.lower() == ".hdr":
        write_rgbe(values, path)
        return
    half = np.minimum(values, np.finfo(np.float16).max).astype(np.float16)
    write_exr({letter: half[..., number] for number, letter in enumerate("RGB")}, path)


def picture(image: Float[Tensor, "3 height width"], encoding: Encoding, tone: ToneMap = AS_READ) -> Image.Image:
    """Return an image as a Pillow image of 8 bits a channel, in sRGB."""
    return merged(display_levels(encoded(image, encoding, "srgb", tone)))


def display_levels(image: Float[Tensor, "3 rows columns"]) -> UInt8[Tensor, "3 rows columns"]:
    """Return display values in [0, 1] as the bytes of a file, on the CPU; those outside are clipped."""
    levels = torch.empty(image.shape, dtype=torch.uint8)
    # A few rows at a time: fresh memory for whole panoramas takes longer than the arithmetic.
    few = max(CACHED_VALUES * image.shape[-2] // max(image.numel(), 1), 1)
    for some, bytes_ in zip(image.detach().split(few, -2), levels.split(few, -2), strict=True):
        bytes_.copy_(some.float().clamp(0, 1).mul_(255).round_())
    return levels
