"""Radiance HDR files (RGBE, ``.hdr``). This file reads the header, flat pixels and old run lengths; OpenCV reads new
run lengths and writes files.

Format: Ward, "Real Pixels", Graphics Gems II (1991), and the file format page of the Radiance manual.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float, Float32

from aognet.errors import UserError
from aognet.io.colour import REC709, known_primaries, light_to_rec709
from aognet.io.files import write_atomically

_MAX_HEADER = 1 << 16
_MAX_LIGHT = 1.7e38  # the largest exponent, with room for rounding
_HEADER = re.compile(rb"(#\?.*?)\r?\n\r?\n([+-])([XY]) +(\d{1,9}) +([+-])([XY]) +(\d{1,9})[ \t\r]*\n", re.DOTALL)


@dataclass(frozen=True)
class _Header:
    """What precedes the pixels: where they begin, and ``lines`` of ``length``, along axes such as ``-Y +X``."""

    begin: int
    lines: int
    length: int
    axes: str
    exposure: np.ndarray
    primaries: Sequence[float]


def read_rgbe(path: Path, most_pixels: int) -> Float[np.ndarray, "height width 3"]:
    """Return linear RGB of a Radiance HDR file, float32, upright whatever its scan order. Its exposures are divided
    out.

    Primaries that it names are converted to those of Rec. 709, which other files have by custom.

    :raises UserError: naming the file: no RGBE file, damaged, or more pixels than ``most_pixels``.
    """
    try:
        with path.open("rb") as file:
            header = _read_header(path, file.read(_MAX_HEADER))
            if not 0 < header.lines * header.length <= most_pixels:
                size = f"{header.length}x{header.lines}"
                raise UserError(f"{path}: its header claims {size} pixels; at most {most_pixels} are read")
            file.seek(header.begin)
            # Four bytes a pixel, and what run lengths may add where they save nothing.
            pixels = file.read(header.lines * header.length * 5 + header.lines * 4)
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror or error})") from error
    decode = _by_opencv if _has_new_runs(pixels, header.length) else _flat
    light = decode(path, header, pixels)
    light = light / header.exposure if (header.exposure != 1).any() else light
    return _upright(light_to_rec709(light, header.primaries), header.axes)


def write_rgbe(light: Float32[np.ndarray, "height width 3"], path: Path) -> None:
    """Write linear RGB of Rec. 709 primaries, finite and not negative, atomically.

    The format keeps 8 bits of each channel, and one exponent, that of the largest.

    :raises UserError: naming the file, if it cannot be written.
    """
    import cv2

    bright = cv2.cvtColor(np.minimum(light, np.float32(_MAX_LIGHT)), cv2.COLOR_RGB2BGR)
    write_atomically(path, cv2.imencode(".hdr", bright)[1].tobytes())


def _has_new_runs(pixels: bytes, length: int) -> bool:
    """Return whether the first line has the run lengths of 1991, which name its length. Older and flat files do not."""
    return 8 <= length < 1 << 15 and pixels[:4] == bytes([2, 2, length >> 8, length & 255])


def _by_opencv(path: Path, header: "_Header", pixels: bytes) -> Float32[np.ndarray, "lines length 3"]:
    import cv2

    # OpenCV reads one scan order only, and stumbles over headers that it does not expect.
    plain = b"#?RADIANCE\nFORMAT=32-bit_rle_rgbe\n\n-Y %d +X %d\n" % (header.lines, header.length)
    try:
        light = cv2.imdecode(np.frombuffer(plain + pixels, np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error as error:
        raise UserError(f"{path}: not a readable HDR file ({error.err})") from error
    if light is None or light.shape != (header.lines, header.length, 3) or light.dtype != np.float32:
        raise UserError(f"{path}: not a readable HDR file (its pixels are damaged or cut off)")
    return cv2.cvtColor(light, cv2.COLOR_BGR2RGB)


def _flat(path: Path, header: "_Header", pixels: bytes) -> Float32[np.ndarray, "lines length 3"]:
    """Read four bytes a pixel. A pixel 1 1 1 n repeats the one before n times, and after another such pixel n * 256
    times (`oldreadcolrs` in Radiance's color.c).
    """
    wanted = header.lines * header.length
    quads = np.frombuffer(pixels, np.uint8, len(pixels) // 4 * 4).reshape(-1, 4)
    repeats = (quads[:, :3] == 1).all(1)
    if repeats[:wanted].any():
        quads = _unrolled(quads, repeats, wanted)
    if quads is None or len(quads) < wanted:
        raise UserError(f"{path}: not a readable HDR file (its pixels are damaged or cut off)")
    quads = quads[:wanted]
    # An exponent of 0 is black; mantissas are 256ths, exponents have an offset of 128.
    scales = np.ldexp(np.float32(1), np.arange(256) - 136).astype(np.float32)
    scales[0] = 0
    light = quads[:, :3].astype(np.float32)
    light *= scales[quads[:, 3]][:, None]
    return light.reshape(header.lines, header.length, 3)


def _unrolled(quads: np.ndarray, repeats: np.ndarray, wanted: int) -> np.ndarray | None:
    """Return the first ``wanted`` pixels; None if a repeat has nothing to repeat, or is too long."""
    if repeats[0]:
        return None
    number = np.arange(len(quads))
    # How many repeats in a row precede each: the place behind the last pixel that is none.
    order = number - np.maximum.accumulate(np.where(repeats, 0, number)) - 1
    if (order[repeats] > 3).any():
        return None
    counts = np.where(repeats, quads[:, 3].astype(np.int64) << (8 * np.clip(order, 0, 3)), 1)
    ends = np.cumsum(counts)
    used = int(np.searchsorted(ends, wanted)) + 1
    if used > len(quads) or ends[used - 1] != wanted:
        return None
    sources = np.maximum.accumulate(np.where(repeats, 0, number))[:used]
    return quads[np.repeat(sources, counts[:used])]


def _read_header(path: Path, head: bytes) -> _Header:
    found = _HEADER.match(head)
    if not found or found[3] == found[6]:
        raise UserError(f"{path}: not a Radiance HDR file (it has no such header)")
    exposure, primaries = np.ones(3), REC709
    for line in found[1].split(b"\n")[1:]:
        name, _, value = line.partition(b"=")
        if name.strip() == b"FORMAT" and value.strip() != b"32-bit_rle_rgbe":
            raise UserError(f"{path}: holds {value.strip().decode(errors='replace')}, not 32-bit_rle_rgbe")
        if name.strip() in (b"EXPOSURE", b"COLORCORR"):
            exposure = exposure * _positive(path, value)
        if name.strip() == b"PRIMARIES":
            primaries = _primaries(path, value)
    axes = (found[2] + found[3] + b" " + found[5] + found[6]).decode()
    return _Header(found.end(), int(found[4]), int(found[7]), axes, exposure.astype(np.float32), primaries)


def _primaries(path: Path, text: bytes) -> Sequence[float]:
    """Return the chromaticities of red, green, blue and white."""
    try:
        values = [float(word) for word in text.split()]
    except ValueError:
        values = []
    if len(values) != 8:
        raise UserError(
            f"{path}: its header says PRIMARIES {text.decode(errors='replace')!r}, which are no eight numbers"
        )
    return known_primaries(values, f"{path}: its PRIMARIES")


def _positive(path: Path, text: bytes) -> np.ndarray:
    try:
        values = np.array([float(word) for word in text.split()])
    except ValueError:
        values = np.zeros(1)
    if len(values) not in (1, 3) or not (np.isfinite(values) & (values > 0)).all():
        raise UserError(f"{path}: its header says EXPOSURE or COLORCORR {text.decode(errors='replace')!r}")
    return values


def _upright(light: Float32[np.ndarray, "lines length 3"], axes: str) -> Float32[np.ndarray, "height width 3"]:
    """Return rows from top to bottom and columns from left to right. In the file, -Y is downwards and +X to the
    right.
    """
    first, second = axes.split()
    if first[1] == "X":
        light = light.swapaxes(0, 1)
        first, second = second, first
    return np.ascontiguousarray(light[:: -1 if first == "+Y" else 1, :: -1 if second == "-X" else 1])
