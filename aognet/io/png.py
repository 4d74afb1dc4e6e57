"""The chunks of PNG files: those that Pillow does not report, and files that are good except for their metadata.

Format: PNG specification, third edition, sections 5 and 11.
"""

import io
import struct
import zlib
from collections.abc import Iterator

SIGNATURE = b"\x89PNG\r\n\x1a\n"
# What pixels are made of; a frame of an animation beyond the first is no part of the picture.
_PIXELS = (b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND")
_COLOURS = {b"cHRM": 32, b"gAMA": 4, b"sRGB": 1, b"cICP": 4}  # with their lengths
_KEPT, _XMP, _MAX_KEPT = (*_COLOURS, b"eXIf", b"iTXt"), b"XML:com.adobe.xmp\0\0", 1 << 20
_MAX_CHUNKS = 1 << 16


def chunks(file: io.BytesIO | io.BufferedReader) -> Iterator[tuple[bytes, int, int]]:
    """Yield the kind, place and length of the data of each chunk; nothing for a file that is no PNG."""
    file.seek(0)
    place = len(SIGNATURE)
    if file.read(place) != SIGNATURE:
        return
    for _ in range(_MAX_CHUNKS):
        file.seek(place)
        head = file.read(8)
        if len(head) < 8:
            return
        length, kind = struct.unpack(">I4s", head)
        yield kind, place + 8, length
        place += length + 12


def coding_points(file: io.BytesIO | io.BufferedReader) -> tuple[int, int] | None:
    """Return the colour primaries and transfer function of a cICP chunk (section 11.3.2.6), as ITU-T H.273 numbers
    them.
    """
    for kind, place, length in chunks(file):
        if kind == b"IDAT":
            return None
        if kind == b"cICP" and length == 4:
            file.seek(place)
            primaries, transfer, *_ = file.read(4).ljust(4, b"\0")
            return primaries, transfer
    return None


def bare(file: io.BytesIO | io.BufferedReader, most_profile: int) -> tuple[bytes, bytes | None]:
    """Return a PNG with the pixels of another, its undamaged colours, EXIF data and XMP; and its ICC profile.

    ``most_profile`` limits the bytes of a profile that is unpacked. A larger or damaged one is left out.
    """
    parts, profile = [SIGNATURE], None
    for kind, place, length in chunks(file):
        file.seek(place)
        if kind == b"iCCP":
            profile = _unpacked(file.read(min(length, most_profile)), most_profile)
        elif kind in _PIXELS or (length <= _MAX_KEPT and _COLOURS.get(kind, length) == length and kind in _KEPT):
            data, check = file.read(length), file.read(4)
            if kind in _PIXELS or _is_sound(kind, data, check):
                parts.append(struct.pack(">I4s", length, kind) + data + check)
        if kind == b"IEND":
            break
    return b"".join(parts), profile


def _is_sound(kind: bytes, data: bytes, check: bytes) -> bool:
    """Return whether a chunk is undamaged and, if it is a text, plain XMP."""
    return check == struct.pack(">I", zlib.crc32(kind + data)) and (kind != b"iTXt" or data.startswith(_XMP))


def _unpacked(data: bytes, most: int) -> bytes | None:
    unpacker = zlib.decompressobj()
    try:
        profile = unpacker.decompress(data.partition(b"\0")[2][1:], most)
    except zlib.error:
        return None
    return None if unpacker.unconsumed_tail else profile
