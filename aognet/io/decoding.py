"""Decoding of image files to upright sRGB levels, bounded and checked whatever else the file says."""

import io
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8, UInt16
from PIL import Image, ImageFile, UnidentifiedImageError

from aognet.errors import UserError
from aognet.io import icc, png
from aognet.io.colour import ADOBE_RGB, ColourSpace, coded_space, gamma_curve, space, tagged_space
from aognet.io.exif import Exif, read_exif, upright
from aognet.io.formats import HEIF_HINT, KINDS, decoders, lacks_decoder
from aognet.io.hdr import MAX_PIXELS
from aognet.io.photosphere import SphereArea, sphere_area
from aognet.io.pillow_warnings import as_log_lines

log = logging.getLogger(__name__)

Levels = UInt8[np.ndarray, "_ _ _"] | UInt16[np.ndarray, "_ _ _"]  # rows, columns, channels
_GREY_16 = ("I", "I;16", "I;16B", "I;16L")


@dataclass(frozen=True)
class DecodedImage:
    """What a file shows, upright.

    ``levels`` are sRGB, 1 channel of grey or 3, with 8 or 16 bits. ``alpha`` is one channel with 8 or 16 bits, or None
    if all is opaque. ``exif`` is what the camera wrote. ``area`` is the part of a sphere that the file says it shows,
    or None.
    """

    levels: Levels
    alpha: Levels | None
    exif: Exif
    area: SphereArea | None


def decode_file(file: Path | bytes, name: str) -> DecodedImage:
    """Return the image of a file, or of the content of a file. ``name`` is used in messages.

    Colours are converted to sRGB by cICP, an ICC profile, or gAMA and cHRM, or Adobe RGB by EXIF. Odd metadata never
    makes an image unreadable: what cannot be used is logged.

    :raises UserError: naming the file, if it is missing, damaged, of another format or has too many pixels.
    """
    if lacks_decoder(name):
        raise UserError(f"{name}: HEIC and HEIF files are read with pillow-heif: {HEIF_HINT}")
    with as_log_lines(name):
        try:
            with io.BytesIO(file) if isinstance(file, bytes) else file.open("rb") as opened:
                return _decode(opened, name)
        except UserError:
            raise
        # Pillow raises many kinds for broken files: OSError, SyntaxError, ValueError, struct.error, bombs.
        except Exception as error:
            reason = f"none of {KINDS}" if isinstance(error, UnidentifiedImageError) else " ".join(str(error).split())
            raise UserError(f"{name}: not a readable image ({reason})") from error


def open_image(file: Path | io.BytesIO | io.BufferedReader, formats: Sequence[str] = ()) -> Image.Image:
    """Open an image without decoding it, with all decoders in use or with the named ones.

    Raises what Pillow raises, also above twice the number of pixels that Pillow warns of.
    """
    with as_log_lines(str(file) if isinstance(file, Path) else "an image"):
        try:
            return Image.open(file, formats=tuple(formats) or decoders())
        except (ValueError, SyntaxError, OSError):
            with file.open("rb") if isinstance(file, Path) else nullcontext(file) as opened:
                content, _ = png.bare(opened, 0)
            if len(content) == len(png.SIGNATURE):
                raise
            return Image.open(io.BytesIO(content), formats=tuple(formats) or decoders())


def _decode(file: io.BytesIO | io.BufferedReader, name: str) -> DecodedImage:
    try:
        return _picture(file, name)
    # Limits and check sums of texts and profiles, and whatever else Pillow minds that no pixel is made of.
    except (ValueError, SyntaxError, OSError) as error:
        if isinstance(error, UserError) or not any(png.chunks(file)):
            raise
        content, profile = png.bare(file, icc.MAX_BYTES)
        picture = _picture(io.BytesIO(content), name, profile)
        log.warning("%s: its metadata is left aside (%s)", name, error)
        return picture


def _picture(file: io.BytesIO | io.BufferedReader, name: str, profile: bytes | None = None) -> DecodedImage:
    coded = png.coding_points(file)
    file.seek(0)
    with Image.open(file, formats=decoders()) as image:
        if image.width * image.height > MAX_PIXELS:
            raise UserError(f"{name}: {image.width}x{image.height} pixels are more than the limit of {MAX_PIXELS}")
        # OpenCV turns some TIFF files upright, and some not.
        deep = has_16_bits(image) and (image.format == "PNG" or read_exif(image, name).orientation == 1)
        image.load()  # checks the whole file, and PNG has metadata behind its pixels
        profile = image.info.get("icc_profile") or profile
        exif, packet = read_exif(image, name), image.info.get("xmp", b"")
        found = _grey_16(image) if image.mode in _GREY_16 else _deep(file) if deep else None
        levels, alpha = found or _plain(image, name)
        info = image.info
    del image  # its pixels were copied
    if alpha is not None and alpha.min() == np.iinfo(alpha.dtype).max:
        alpha = None
    for what, convert in _ways_to_srgb(profile, coded, info, exif, name):
        try:
            levels = convert(levels)
            break
        except ValueError as error:
            log.warning("%s: its %s is left aside (%s)", name, what, error)
    levels = upright(levels, exif.orientation)
    alpha = None if alpha is None else upright(alpha, exif.orientation)
    return DecodedImage(levels, alpha, exif, sphere_area(packet, levels.shape[1], levels.shape[0], name))


def has_16_bits(image: Image.Image) -> bool:
    """Return whether the file, which is not decoded yet, has 16 bits a channel."""
    tiles = image.tile if isinstance(image, ImageFile.ImageFile) else ()
    arguments = tiles[0][3] if tiles else ""
    return "16" in str(arguments[0] if isinstance(arguments, tuple) else arguments)


def _grey_16(image: Image.Image) -> tuple[Levels, Levels | None]:
    grey = np.asarray(image)
    if grey.dtype != np.uint16:
        grey = grey.clip(0, 65535).astype(np.uint16)
    clear = image.info.get("transparency")
    alpha = np.where(grey == clear, 0, 65535).astype(np.uint16)[..., None] if isinstance(clear, int) else None
    return grey[..., None], alpha


def _deep(file: io.BytesIO | io.BufferedReader) -> tuple[Levels, Levels | None] | None:
    """Read 16 bits a colour, of which Pillow keeps 8, from a file that Pillow has decoded; None if OpenCV cannot."""
    import cv2

    content, _ = png.bare(file, 0)  # without what libpng would warn of on the terminal
    if len(content) == len(png.SIGNATURE):
        file.seek(0)
        content = file.read()
    pixels = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)
    if pixels is None or pixels.dtype != np.uint16 or pixels.ndim != 3:
        return None
    if pixels.shape[-1] == 3:
        return cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB, dst=pixels), None
    return np.ascontiguousarray(pixels[..., 2::-1]), pixels[..., 3:]


def _plain(image: Image.Image, name: str) -> tuple[Levels, Levels | None]:
    """Read 8 bits a channel; 4 channels are CMYK."""
    if image.mode == "F":
        raise UserError(f"{name}: holds floating-point values; give linear light as EXR or HDR")
    alpha = None
    if image.has_transparency_data:
        image = image.convert("RGBA")
        alpha = np.asarray(image.getchannel("A"))[..., None]
    mode = "L" if image.mode in ("1", "L") else image.mode if image.mode == "CMYK" else "RGB"
    pixels = np.asarray(image if image.mode == mode else image.convert(mode))
    return pixels[..., None] if mode == "L" else pixels, alpha


def _ways_to_srgb(
    profile: bytes | None, coded: tuple[int, int] | None, info: Mapping[Any, Any], exif: Exif, name: str
) -> Iterator[tuple[str, Callable[[Levels], Levels]]]:
    """Yield the sources of colour information by precedence, each with its conversion to sRGB, which may raise
    ValueError.
    """
    if coded is not None:
        yield "cICP chunk", lambda levels: _by_space(coded_space(*coded), levels)
    if profile:
        yield "ICC profile", lambda levels: _by_profile(profile, levels, name)
    gamma, chromaticity = info.get("gamma"), info.get("chromaticity")
    if not profile and "srgb" not in info and not (gamma is None and chromaticity is None):
        yield "colour chunk", lambda levels: _by_space(tagged_space(gamma, chromaticity), levels)
    if not profile and exif.adobe_rgb:
        yield "EXIF colour space", lambda levels: _by_space(space(ADOBE_RGB, gamma_curve(563 / 256)), levels)
    yield "colours", _as_they_are


def _as_they_are(levels: Levels) -> Levels:
    if levels.shape[-1] != 4:
        return levels
    return np.asarray(_as_image(levels).convert("RGB"))


def _by_space(space: ColourSpace, levels: Levels) -> Levels:
    if levels.shape[-1] == 4:
        raise ValueError("it speaks of RGB, the image is CMYK")
    return levels if space.is_srgb() else space.to_srgb(levels)


def _by_profile(profile: bytes, levels: Levels, name: str) -> Levels:
    if len(profile) > icc.MAX_BYTES:
        raise ValueError(f"{len(profile)} bytes, more than the limit of {icc.MAX_BYTES}")
    try:
        found = icc.read_space(profile)
    except ValueError:
        found = None  # LittleCMS says what is wrong, or does with less
    if found is not None and found.is_srgb():
        return levels
    if levels.dtype == np.uint16 and found is not None and icc.fits(profile, levels.shape[-1]):
        return found.to_srgb(levels)
    deep = levels.dtype == np.uint16
    levels = ((levels.astype(np.uint32) + 128) // 257).astype(np.uint8) if deep else levels
    converted = np.asarray(icc.convert(_as_image(levels), profile))
    if deep:
        log.warning("%s: has an ICC profile of tables; its 16 bits were converted as 8", name)
    return converted[..., None] if converted.ndim == 2 else converted


def _as_image(levels: Levels) -> Image.Image:
    """Return levels of 8 bits as a Pillow image that shares their memory."""
    rows, columns, channels = levels.shape
    mode = {1: "L", 3: "RGB", 4: "CMYK"}[channels]
    return Image.frombuffer(mode, (columns, rows), np.ascontiguousarray(levels), "raw", mode, 0, 1)
