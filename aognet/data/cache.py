"""Panoramas that are decoded once: their bytes at training size stay on disk and are mapped into memory.

A file's name has a digest of the image file's content and the height, so an image that changed is decoded again.
"""

import hashlib
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from aognet.data.viewing import Pyramid, bordered, level_heights
from aognet.io.formats import LIGHT_SUFFIXES
from aognet.io.images import decode_panorama, load_panorama, to_uint8
from aognet.io.store import CacheConfig, FileFormat, Store

# Part of every digest: to be changed with anything that changes the bytes, such as the tone mapping.
RECIPE = b"2"


class PanoramaCache:
    """Pyramids of panorama files at one height: 34 MB for one of 2048x4096, 2 MB for one of 512x1024."""

    def __init__(self, config: CacheConfig, height: int):
        self.height = height
        shapes = [(rows + 2, 2 * rows + 2, 3) for rows in level_heights(height)]
        kept_as = FileFormat(f"-{height}.bin", _packed, partial(_mapped, shapes))
        self.store = Store(config, kept_as, "cache.folder: panoramas will be decoded each time")

    def get(self, path: Path) -> Pyramid:
        """Return the panorama of a file. It is decoded only if it has not been decoded before.

        :raises UserError: for a broken file.
        """
        return self.store.of_file(path, _recipe, self._decode)

    def _decode(self, path: Path) -> Pyramid:
        if path.suffix.lower() in LIGHT_SUFFIXES:
            return bordered(to_uint8(load_panorama(path, self.height)).permute(1, 2, 0).numpy())
        return bordered(decode_panorama(path.read_bytes(), str(path), self.height))


def _recipe() -> Any:
    return hashlib.blake2b(RECIPE, digest_size=16)


def _packed(pyramid: Pyramid) -> bytes:
    return b"".join(level.tobytes() for level in pyramid.levels)


def _mapped(shapes: Sequence[tuple[int, int, int]], path: Path) -> Pyramid:
    """Map levels of these shapes into memory. Only what is looked at is read.

    :raises ValueError: for another size.
    """
    content = np.memmap(path, np.uint8, "r")
    ends = np.cumsum([rows * columns * colours for rows, columns, colours in shapes])
    if content.size != ends[-1]:
        raise ValueError(f"{path}: {content.size} bytes, not {ends[-1]}")
    parts = np.split(content, ends[:-1])
    return Pyramid(tuple(part.reshape(shape) for part, shape in zip(parts, shapes, strict=True)))
