"""Radiance HDR files (RGBE, ``.hdr``): the header is read here, the pixels by OpenCV.

Format: Ward, "Real Pixels", Graphics Gems II (1991), and the file format page of the Radiance manual.
"""

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float, Float32

from aognet.errors import UserError

_MOST_HEADER = 1 << 16
_HEADER = re.compile(rb"(#\?.*?)\r?\n\r?\n([+-])([XY]) +(\d{1,9}) +([+-])([XY]) +(\d{1,9})[ \t\r]*\n", re.DOTALL)


@dataclass(frozen=True)
class _Header:
    """What precedes the pixels: where they begin, and ``lines`` of ``length``, along axes such as ``-Y +X``."""

    begin: int
    lines: int
    length: int
    axes: str
    exposure: np.ndarray


def read_rgbe(path: Path, most_pixels: int) -> Float[np.ndarray, "height width 3"]:
    """Linear RGB of a Radiance HDR file, float32, upright whatever its scan order; its exposures are divided out.

    :raises UserError: naming the file: no RGBE file, damaged, or more pixels than ``most_pixels``.
    """
    import cv2

    try:
        with path.open("rb") as file:
            header = _read_header(path, file.read(_MOST_HEADER))
            if not 0 < header.lines * header.length <= most_pixels:
                size = f"{header.length}x{header.lines}"
                raise UserError(f"{path}: its header claims {size} pixels; at most {most_pixels} are read")
            file.seek(header.begin)
            # Four bytes a pixel, and what run lengths may add where they save nothing.
            pixels = file.read(header.lines * header.length * 5 + header.lines * 4)
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror or error})") from error
    # OpenCV reads one scan order only, and stumbles over headers that it does not expect.
    plain = b"#?RADIANCE\nFORMAT=32-bit_rle_rgbe\n\n-Y %d +X %d\n" % (header.lines, header.length)
    try:
        light = cv2.imdecode(np.frombuffer(plain + pixels, np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error as error:
        raise UserError(f"{path}: not a readable HDR file ({error.err})") from error
    if light is None or light.shape != (header.lines, header.length, 3) or light.dtype != np.float32:
        raise UserError(f"{path}: not a readable HDR file (its pixels are damaged or cut off)")
    light = cv2.cvtColor(light, cv2.COLOR_BGR2RGB)
    return _upright(light / header.exposure if (header.exposure != 1).any() else light, header.axes)


def _read_header(path: Path, head: bytes) -> _Header:
    found = _HEADER.match(head)
    if not found or found[3] == found[6]:
        raise UserError(f"{path}: not a Radiance HDR file (it has no such header)")
    exposure = np.ones(3)
    for line in found[1].split(b"\n")[1:]:
        name, _, value = line.partition(b"=")
        if name.strip() == b"FORMAT" and value.strip() != b"32-bit_rle_rgbe":
            raise UserError(f"{path}: holds {value.strip().decode(errors='replace')}, not 32-bit_rle_rgbe")
        if name.strip() in (b"EXPOSURE", b"COLORCORR"):
            exposure = exposure * _positive(path, value)
    axes = (found[2] + found[3] + b" " + found[5] + found[6]).decode()
    return _Header(found.end(), int(found[4]), int(found[7]), axes, exposure.astype(np.float32))


def _positive(path: Path, text: bytes) -> np.ndarray:
    try:
        values = np.array([float(word) for word in text.split()])
    except ValueError:
        values = np.zeros(1)
    if len(values) not in (1, 3) or not (np.isfinite(values) & (values > 0)).all():
        raise UserError(f"{path}: its header says EXPOSURE or COLORCORR {text.decode(errors='replace')!r}")
    return values


def _upright(light: Float32[np.ndarray, "lines length 3"], axes: str) -> Float32[np.ndarray, "height width 3"]:
    """Rows from top to bottom, columns from left to right; in the file -Y is downwards and +X to the right."""
    first, second = axes.split()
    if first[1] == "X":
        light = light.swapaxes(0, 1)
        first, second = second, first
    return np.ascontiguousarray(light[:: -1 if first == "+Y" else 1, :: -1 if second == "-X" else 1])
