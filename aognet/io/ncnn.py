"""Weights of ncnn's ``.bin`` files, which are values one after the other: what they mean, the reader must know.

Format: ncnn's wiki, "param and model file structure". Nothing in such a file is ever run.
"""

import struct
from collections.abc import Sequence

import numpy as np

from aognet.errors import UserError

HALF = 0x01306B47
"""The tag before weights that are float16."""


def read_ncnn(content: bytes, layers: Sequence[tuple[str, tuple[int, ...]]], name: str) -> dict[str, np.ndarray]:
    """Return the weights of layers in the order of the file, as float32.

    ``layers``: names and shapes. Four numbers are those of a convolution's kernel, [out, in, rows, columns], with a
    bias; one is that of a PReLU's slopes. Kernels are float16, everything else is float32.

    :raises UserError: naming ``name``, if the file does not end where the layers do, or a weight is not finite.
    """
    found, place = dict[str, np.ndarray](), 0

    def take(kind: str, shape: tuple[int, ...]) -> np.ndarray:
        nonlocal place
        count = int(np.prod(shape))
        size = count * np.dtype(kind).itemsize
        if place + size > len(content):
            raise UserError(f"{name}: ends after {len(content)} bytes, before its weights do")
        values = np.frombuffer(content, kind, count, place).reshape(shape).astype(np.float32)
        place += size + -size % 4  # the next begins at a multiple of four
        if not np.isfinite(values).all():
            raise UserError(f"{name}: has a weight that is not finite")
        return values

    for layer, shape in layers:
        if len(shape) == 1:
            found[f"{layer}.weight"] = take("<f4", shape)
            continue
        if content[place : place + 4] != struct.pack("<I", HALF):
            raise UserError(f"{name}: has no float16 weights of {layer} at byte {place}")
        place += 4
        found[f"{layer}.weight"], found[f"{layer}.bias"] = take("<f2", shape), take("<f4", shape[:1])
    if place != len(content):
        raise UserError(f"{name}: {len(content) - place} bytes are left behind its weights")
    return found
