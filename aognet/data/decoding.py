"""From the content of a file that Pillow reads to pixels: bounded, checked and upright."""

import io
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from aognet.data.formats import HEIF_HINT, decoders, lacks_decoder
from aognet.data.hdr import MOST_PIXELS
from aognet.errors import UserError


def decode_file(file: Path | io.BytesIO, name: str) -> np.ndarray:
    """Pixels [height, width, 3] of a file that Pillow reads, in the range of uint8; ``name`` is what errors say."""
    if lacks_decoder(name):
        raise UserError(f"{name}: HEIC and HEIF files are read with pillow-heif: {HEIF_HINT}")
    try:
        with open_image(file) as image:
            if image.width * image.height > MOST_PIXELS:
                raise UserError(f"{name}: {image.width}x{image.height} pixels are more than the limit of {MOST_PIXELS}")
            return _rgb(ImageOps.exif_transpose(image))
    except UserError:
        raise
    # Pillow raises many kinds for broken files: OSError, SyntaxError, ValueError, struct.error, decompression bombs.
    except Exception as error:
        raise UserError(f"{name}: not a readable image ({error})") from error


def open_image(file: Path | io.BytesIO, formats: Sequence[str] = ()) -> Image.Image:
    """An image that is not decoded yet, by all decoders that are used or by those named alone.

    Raises what Pillow raises, above twice the pixels that it warns of, too."""
    # Pillow warns of half the pixels that are allowed here.
    with warnings.catch_warnings(action="ignore", category=Image.DecompressionBombWarning):
        return Image.open(file, formats=formats or decoders())


def _rgb(image: Image.Image) -> np.ndarray:
    """The image as uint8-scaled [height, width, 3]; 16-bit grey keeps its range (Pillow would clip it)."""
    if image.mode in ("I", "I;16", "I;16B", "F"):
        grey = np.asarray(image, dtype=np.float32) / 257
        return np.repeat(grey[..., None], 3, axis=-1)
    return np.array(image.convert("RGB"))
