"""Small pictures for lists, and of views that are being painted."""

import io
from pathlib import Path

from PIL import Image

from aognet.io.files import write_atomically
from aognet.studio.storage import BinaryFile

WIDTH = 512


def small_jpeg(file: Path | BinaryFile, width: int) -> bytes:
    """Return a picture of ours as the content of a JPEG file of at most this width."""
    with Image.open(file) as image:
        image.draft("RGB", (width, width))
        small = image.convert("RGB")
        small.thumbnail((width, width))
        buffer = io.BytesIO()
        small.save(buffer, "JPEG", quality=85)
        return buffer.getvalue()


def write_thumbnail(path: Path, target: Path) -> None:
    """Write a panorama as a small JPEG file."""
    write_atomically(target, small_jpeg(path, WIDTH))
