"""ICC profiles, which say what the numbers of a file mean. LittleCMS applies them, or this file where 8 bits are too
few.

Format: ICC.1:2022. LittleCMS, as Pillow has it, converts 8 bits a channel. For 16 bits, profiles with three primaries
and curves, or with one curve for grey, are read here.
"""

import io
import struct
from typing import Any

import numpy as np
from PIL import Image, ImageCms

from aognet.io.colour import ColourSpace, Curve, pcs_to_rec709

MAX_BYTES = 1 << 23
_MAX_TAGS, _MAX_POINTS = 256, 1 << 16
# Numbers of a parametric curve's parameters by its type (table 68).
_PARAMETERS = {0: 1, 1: 3, 2: 4, 3: 5, 4: 7}


def read_space(profile: bytes) -> ColourSpace | None:
    """Return the colour space of a profile with primaries and curves, or with a grey curve; None for one with tables.

    :raises ValueError: for a damaged profile.
    """
    try:
        tags = _tags(profile)
        kind = profile[16:20]
        if kind == b"GRAY" and b"kTRC" in tags:
            curve = _curve(tags[b"kTRC"])
            return ColourSpace((curve, curve, curve), np.eye(3))
        wanted = [letter + name for name in (b"XYZ", b"TRC") for letter in (b"r", b"g", b"b")]
        if kind != b"RGB " or profile[20:24] != b"XYZ " or b"A2B0" in tags or not set(wanted) <= set(tags):
            return None
        columns = [np.array(struct.unpack(">3i", tags[name][8:20])) / 65536 for name in wanted[:3]]
        red, green, blue = (_curve(tags[name]) for name in wanted[3:])
        return ColourSpace((red, green, blue), pcs_to_rec709() @ np.stack(columns, -1))
    except struct.error as error:
        raise ValueError(f"its tags are cut off ({error})") from error


def fits(profile: bytes, channels: int) -> bool:
    """Return whether a profile fits an image of 1 (grey), 3 (RGB) or 4 (CMYK) channels."""
    return profile[16:20] in {1: (b"GRAY", b"RGB "), 3: (b"RGB ",), 4: (b"CMYK",)}[channels]


def _tags(profile: bytes) -> dict[bytes, bytes]:
    if profile[36:40] != b"acsp":
        raise ValueError("it has no ICC header")
    (count,) = struct.unpack(">I", profile[128:132])
    if count > _MAX_TAGS:
        raise ValueError(f"it claims {count} tags")
    entries = struct.iter_unpack(">4sII", profile[132 : 132 + 12 * count])
    return {name: profile[offset : offset + length] for name, offset, length in entries}


def _curve(tag: bytes) -> Curve:
    """Return a curveType or parametricCurveType (sections 10.6 and 10.18): values to light, both in [0, 1]."""
    if tag[:4] == b"curv":
        (count,) = struct.unpack(">I", tag[8:12])
        if count > _MAX_POINTS:
            raise ValueError(f"a curve of {count} points")
        points = np.array(struct.unpack(f">{count}H", tag[12 : 12 + 2 * count]), np.float64)
        if count == 0:
            return np.asarray
        if count == 1:
            return lambda values: np.asarray(values) ** (points[0] / 256)
        return lambda values: np.interp(values, np.linspace(0, 1, count), points / 65535)
    if tag[:4] != b"para":
        raise ValueError(f"a curve of type {tag[:4]!r}")
    (kind,) = struct.unpack(">H", tag[8:10])
    if kind not in _PARAMETERS:
        raise ValueError(f"a parametric curve of type {kind}")
    count = _PARAMETERS[kind]
    return _parametric(kind, [value / 65536 for value in struct.unpack(f">{count}i", tag[12 : 12 + 4 * count])])


def _parametric(kind: int, parameters: list[float]) -> Curve:
    """Return a curve of table 68: above the break (a x + b)^g + e, below it c x + f. Missing parameters are 0, or the
    break.
    """
    g, a, b, c, d, e, f = 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0
    if kind == 0:
        (g,) = parameters
    elif kind in (1, 2):
        g, a, b, *rest = parameters
        e = f = rest[0] if rest else 0.0
        if a == 0:
            raise ValueError("a parametric curve without a slope")
        d = -b / a
    else:
        g, a, b, c, d, *rest = parameters
        e, f = rest if rest else (0.0, 0.0)

    def curve(values: np.ndarray) -> np.ndarray:
        values = np.asarray(values, np.float64)
        with np.errstate(all="ignore"):  # of a hostile profile anything may come; it is clipped
            return np.where(values >= d, np.maximum(a * values + b, 0) ** g + e, c * values + f)

    return curve


def convert(image: Image.Image, profile: bytes) -> Image.Image:
    """Convert an image of 8 bits a channel to sRGB with LittleCMS.

    :raises ValueError: for a profile that cannot be used, or does not fit the image's channels.
    """
    if not fits(profile, len(image.getbands())):
        raise ValueError(f"it speaks of {profile[16:20].decode(errors='replace').strip()}, the image is {image.mode}")
    if image.mode == "L" and profile[16:20] == b"RGB ":
        image = image.convert("RGB")
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        found: Any = ImageCms.profileToProfile(image, source, ImageCms.createProfile("sRGB"), outputMode="RGB")
    except (ImageCms.PyCMSError, OSError, TypeError) as error:
        raise ValueError(str(error)) from error
    return found
