"""From the content of a PNG or JPEG file to pixels: bounded, checked and upright."""

import io
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from aognet.data.hdr import MOST_PIXELS
from aognet.errors import UserError

FORMATS = ("PNG", "JPEG")


def decode_file(file: Path | io.BytesIO, name: str) -> np.ndarray:
    """Pixels [height, width, 3] of a PNG or JPEG, in the range of uint8; ``name`` is what errors say."""
    try:
        with open_image(file) as image:
            if image.width * image.height > MOST_PIXELS:
                raise UserError(f"{name}: {image.width}x{image.height} pixels are more than the limit of {MOST_PIXELS}")
            return _rgb(ImageOps.exif_transpose(image))
    except UserError:
        raise
    # Pillow raises many kinds for broken files: OSError, SyntaxError, ValueError, struct.error, decompression bombs.
    except Exception as error:
        raise UserError(f"{name}: not a readable PNG or JPEG image ({error})") from error


def open_image(file: Path | io.BytesIO, formats: Sequence[str] = FORMATS) -> Image.Image:
    """An image that is not decoded yet. Raises what Pillow raises, above twice the pixels that it warns of, too."""
    # Pillow warns of half the pixels that are allowed here.
    with warnings.catch_warnings(action="ignore", category=Image.DecompressionBombWarning):
        return Image.open(file, formats=formats)


def _rgb(image: Image.Image) -> np.ndarray:
    """The image as uint8-scaled [height, width, 3]; 16-bit grey keeps its range (Pillow would clip it)."""
    if image.mode in ("I", "I;16", "I;16B", "F"):
        grey = np.asarray(image, dtype=np.float32) / 257
        return np.repeat(grey[..., None], 3, axis=-1)
    return np.array(image.convert("RGB"))
