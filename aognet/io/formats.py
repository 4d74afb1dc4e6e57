"""Which image files are read: their suffixes, and the decoders that Pillow may use for them."""

from functools import cache
from importlib.util import find_spec

LIGHT_SUFFIXES = (".exr", ".hdr")
"""Files of linear light, which Pillow does not read."""
HEIF_SUFFIXES = (".heic", ".heif", ".hif")
"""Files that Pillow reads with the package pillow-heif alone."""
SUFFIXES = (
    *(".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".mpo"),
    *(".webp", ".tif", ".tiff", ".bmp", ".jp2", ".avif"),
    *HEIF_SUFFIXES,
    *LIGHT_SUFFIXES,
)
"""Of all image files, in small letters."""
KINDS = "PNG, JPEG, WebP, TIFF, BMP, JPEG 2000, AVIF, HEIC, EXR or HDR"
HEIF_HINT = "pip install pillow-heif"
_DECODERS = ("PNG", "JPEG", "WEBP", "TIFF", "BMP", "JPEG2000", "AVIF")


def has_heif() -> bool:
    """Return whether HEIC and HEIF files can be read here."""
    return find_spec("pillow_heif") is not None


def lacks_decoder(name: str) -> bool:
    """Return whether a file of that name needs a package that is not installed (`HEIF_HINT`)."""
    return name.lower().endswith(HEIF_SUFFIXES) and not has_heif()


def without_suffix(name: str) -> str:
    """Return a name or path without the suffix of an image. Names with other dots keep them."""
    base, dot, suffix = name.rpartition(".")
    return base if f"{dot}{suffix}".lower() in SUFFIXES and base and not base.endswith("/") else name


@cache
def decoders() -> tuple[str, ...]:
    """Return the decoders of Pillow that may open files. All others are never used."""
    if not has_heif():
        return _DECODERS
    from pillow_heif import register_heif_opener

    register_heif_opener()
    return (*_DECODERS, "HEIF")
