"""EXIF data of a photograph: how the camera was held, its focal length and its colours (EXIF 2.32, DCF 2.0)."""

import logging
import math
import struct
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

log = logging.getLogger(__name__)

_ORIENTATION, _EXIF, _INTEROPERABILITY = 0x0112, 0x8769, 0xA005
_FOCAL, _FOCAL_35MM, _COLOUR_SPACE, _WIDTH, _HEIGHT = 0x920A, 0xA405, 0xA001, 0xA002, 0xA003
_PLANE_X, _PLANE_UNIT = 0xA20E, 0xA210
_MILLIMETRES = {
    2: 25.4,
    3: 10.0,
    4: 1.0,
    5: 0.001,
}  # of FocalPlaneResolutionUnit; the last two beside the standard
_MAX_ENTRIES = 512
_FILM = math.hypot(36, 24)
# What makes pixels upright by the value of the orientation tag.
_TURNS: dict[int, Callable[[np.ndarray], np.ndarray]] = {
    2: lambda pixels: pixels[:, ::-1],
    3: lambda pixels: pixels[::-1, ::-1],
    4: lambda pixels: pixels[::-1],
    5: lambda pixels: pixels.swapaxes(0, 1),
    6: lambda pixels: pixels[::-1].swapaxes(0, 1),
    7: lambda pixels: pixels[::-1, ::-1].swapaxes(0, 1),
    8: lambda pixels: pixels[:, ::-1].swapaxes(0, 1),
}


@dataclass(frozen=True)
class Exif:
    """What a camera wrote about its photograph.

    ``orientation`` is 1 to 8. ``focal_35mm`` and ``focal`` are millimetres, or None. ``pixel`` is the size in
    millimetres on the sensor of one pixel of the recorded ``size`` (width and height), or None. ``adobe_rgb`` says
    whether the colours are Adobe RGB.
    """

    orientation: int = 1
    focal_35mm: float | None = None
    focal: float | None = None
    pixel: float | None = None
    size: tuple[float, float] | None = None
    adobe_rgb: bool = False

    def fov_degrees(self, columns: int, rows: int) -> tuple[float, str] | None:
        """Return the horizontal field of view of the upright image, and where it comes from; None if it is unknown.

        The 35 mm focal length refers to the diagonal. The focal length itself refers to the sensor, whose size follows
        from the resolution of the focal plane.
        """
        diagonal = math.hypot(columns, rows)
        if self.focal_35mm is not None:
            # Focal length in pixels: the film's diagonal is that of the picture.
            focal, how = self.focal_35mm / _FILM * diagonal, f"EXIF focal length of {self.focal_35mm:g} mm"
        elif self.focal is not None and self.pixel is not None:
            focal, how = self.focal / self.pixel, f"EXIF focal length of {self.focal:g} mm and the size of its sensor"
            if self.size is not None:
                longer, shorter = max(self.size), min(self.size)
                # A picture of another shape was cropped; one of the same shape may have been resized.
                if abs(longer / shorter * min(columns, rows) / max(columns, rows) - 1) < 0.02:
                    focal *= max(columns, rows) / longer
        else:
            return None
        fov = math.degrees(2 * math.atan(columns / 2 / focal))
        return (fov, how) if 1 <= fov <= 170 else None


def upright(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """Return the pixels [rows, columns, ...] of an image turned as its viewer holds it."""
    return np.ascontiguousarray(_TURNS[orientation](pixels)) if orientation in _TURNS else pixels


def read_exif(image: Image.Image, name: str) -> Exif:
    """Return what an image says about its camera. A damaged tag counts as missing; the log names ``name`` then."""

    data = image.info.get("exif")
    try:
        if isinstance(data, bytes) and data:
            tags, camera, related = _directories(data.removeprefix(b"Exif\0\0").removeprefix(b"Exif\0\0"))
        else:
            tags, camera, related = {}, image.getexif().get_ifd(_EXIF), image.getexif().get_ifd(_INTEROPERABILITY)
        # XMP and, of TIFF files, the file itself may say it, too.
        orientation = tags.get(_ORIENTATION) or image.getexif().get(_ORIENTATION, 1)
    # Pillow raises many kinds for broken metadata; the picture beside it may still be good.
    except Exception as error:
        log.warning("%s: its EXIF data is left aside (%s)", name, " ".join(str(error).split()) or type(error).__name__)
        return Exif()
    adobe_rgb = camera.get(_COLOUR_SPACE) == 2 or str(related.get(1, "")).strip("\0 ") == "R03"
    return Exif(
        orientation if orientation in _TURNS else 1,
        _number(camera, _FOCAL_35MM, 5.0, 2000.0),
        _number(camera, _FOCAL, 0.5, 5000.0),
        _pixel(camera),
        _size(camera),
        adobe_rgb,
    )


def _directories(data: bytes) -> list[dict[int, Any]]:
    """Return the tags of EXIF data (a TIFF header and what follows), of its camera part and of its interoperability
    part.

    Pillow stops at the first entry whose value lies outside, and loses the entries behind it.
    """
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(data[:4])
    if order is None or len(data) < 8:
        return [{}, {}, {}]
    found = [_directory(data, order, *struct.unpack_from(order + "I", data, 4))]
    for tag in (_EXIF, _INTEROPERABILITY):
        place = found[-1].get(tag)
        found.append(_directory(data, order, place) if isinstance(place, int) else {})
    return found


def _directory(data: bytes, order: str, place: int) -> dict[int, Any]:
    """Return the first value of each entry, by tag. Entries that are damaged or of other types are missing."""
    kinds = {3: "H", 4: "I", 5: "II", 8: "h", 9: "i", 10: "ii", 11: "f", 12: "d"}
    found: dict[int, Any] = {}
    with suppress(struct.error):  # entries that are cut off
        (count,) = struct.unpack_from(order + "H", data, place)
        for at in range(place + 2, place + 2 + 12 * min(count, _MAX_ENTRIES), 12):
            tag, kind, number = struct.unpack_from(order + "HHI", data, at)
            size = number if kind == 2 else struct.calcsize(order + kinds.get(kind, "")) * number
            (value,) = struct.unpack_from(order + "I", data, at + 8)
            at = at + 8 if size <= 4 else value
            if kind == 2:
                found[tag] = data[at : at + min(number, 64)].decode("latin-1")
            elif kind in kinds and number:
                with suppress(struct.error):
                    values = struct.unpack_from(order + kinds[kind], data, at)
                    found[tag] = values[0] / values[1] if len(values) == 2 and values[1] else values[0]
    return found


def _number(tags: Mapping[int, Any], tag: int, least: float, most: float) -> float | None:
    """Return a tag's finite number if it is in a range, else None."""
    convert: Callable[[Any], float] = float
    try:
        value = convert(tags[tag])
    except (KeyError, TypeError, ValueError, ZeroDivisionError, OverflowError):
        return None
    return value if least <= value <= most else None


def _pixel(exif: Mapping[int, Any]) -> float | None:
    resolution = _number(exif, _PLANE_X, 1e-3, 1e9)
    unit = _MILLIMETRES.get(int(_number(exif, _PLANE_UNIT, 0.0, 10.0) or 2))
    pixel = None if resolution is None or unit is None else unit / resolution
    return pixel if pixel is not None and 1e-4 < pixel < 1 else None


def _size(exif: Mapping[int, Any]) -> tuple[float, float] | None:
    width, height = (_number(exif, tag, 1.0, 1e6) for tag in (_WIDTH, _HEIGHT))
    return None if width is None or height is None else (width, height)
