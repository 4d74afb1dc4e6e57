"""Decode once: panoramas at training size, on disk as bytes that are mapped into memory.

A file is named by what it was made of (a digest of the image file's content) and its height, so that an image that
changed is decoded anew and nothing stale is ever read. Several processes may share a folder.
"""

import hashlib
import logging
import os
import re
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from aognet.data.viewing import Pyramid, bordered, level_heights
from aognet.errors import UserError
from aognet.home import default_folder, expanded
from aognet.io.files import made_folder, make_room, write_atomically
from aognet.io.formats import LIGHT_SUFFIXES
from aognet.io.images import decode_panorama, load_panorama, to_uint8

log = logging.getLogger(__name__)

# Part of every name: to be changed with anything that changes the bytes, such as the tone mapping.
OURS = re.compile(r"[0-9a-f]{32}-\d+\.bin")
RECIPE = b"2"


@dataclass(frozen=True)
class CacheConfig:
    """``folder`` of the decoded panoramas (null: none are kept) and how much it may hold.

    When it is full, panoramas that this run has not used make room; if there are none, the others are decoded each
    time. A panorama of 2048x4096 takes 34 MB, one of 512x1024 2 MB.
    """

    folder: str | None = field(default_factory=default_folder)
    gigabytes: float = 50.0

    def __post_init__(self) -> None:
        if self.gigabytes < 0:
            raise UserError(f"gigabytes must not be negative, got {self.gigabytes}")


class PanoramaCache:
    """Pyramids of panorama files at one height."""

    def __init__(self, config: CacheConfig, height: int):
        self.folder = None if config.folder is None else expanded(config.folder)
        self.most_bytes = int(config.gigabytes * 2**30)
        self.height = height
        self.shapes = [(rows + 2, 2 * rows + 2, 3) for rows in level_heights(height)]
        self.bytes_each = sum(rows * columns * 3 for rows, columns, _ in self.shapes)
        self.started = time.time()
        self._digests: dict[Path, tuple[tuple[int, int], str]] = {}
        self._room = 0  # bytes that may be written before the folder is measured again

    def get(self, path: Path) -> Pyramid:
        """The panorama of a file, decoded only if it has not been before. Raises UserError for a broken file."""
        if self.folder is None:
            return self._decode(path)
        kept = self.folder / f"{self._digest(path)}-{self.height}.bin"
        pyramid = self._read(kept)
        if pyramid is None:
            pyramid = self._decode(path)
            self._write(kept, pyramid)
        return pyramid

    def _decode(self, path: Path) -> Pyramid:
        if path.suffix.lower() in LIGHT_SUFFIXES:
            return bordered(to_uint8(load_panorama(path, self.height)).permute(1, 2, 0).numpy())
        try:
            return bordered(decode_panorama(path.read_bytes(), str(path), self.height))
        except OSError as error:
            raise UserError(f"{path}: cannot be read ({error.strerror})") from error

    def _digest(self, path: Path) -> str:
        """Of the file's content, which is read again when its time or size changed."""
        try:
            status = path.stat()
            state = (status.st_mtime_ns, status.st_size)
            known = self._digests.get(path)
            if known is None or known[0] != state:
                with path.open("rb") as file:
                    digest = hashlib.file_digest(file, lambda: hashlib.blake2b(RECIPE, digest_size=16)).hexdigest()
                self._digests[path] = known = (state, digest)
        except OSError as error:
            raise UserError(f"{path}: cannot be read ({error.strerror})") from error
        return known[1]

    def _read(self, kept: Path) -> Pyramid | None:
        try:
            content = np.memmap(kept, np.uint8, "r")
        except (OSError, ValueError):  # not there (any more), or empty
            return None
        with suppress(OSError):  # a folder that may only be read
            os.utime(kept)  # what was used last goes last
        if content.size != self.bytes_each:
            return None
        ends = np.cumsum([rows * columns * 3 for rows, columns, _ in self.shapes])[:-1]
        parts = np.split(content, ends)
        return Pyramid(tuple(part.reshape(shape) for part, shape in zip(parts, self.shapes, strict=True)))

    def _write(self, kept: Path, pyramid: Pyramid) -> None:
        if self._room < self.bytes_each:
            free = self._make_room()
            # Other processes fill the folder too: only a part of what is free is taken before it is measured again.
            self._room = max(free // 4, min(free, self.bytes_each))
        if self._room < self.bytes_each:
            return
        try:
            with made_folder(kept.parent):
                write_atomically(kept, b"".join(level.tobytes() for level in pyramid.levels))
            self._room -= self.bytes_each
        except UserError as error:
            log.warning("cache.folder: panoramas will be decoded each time: %s", error)
            self.folder = None

    def _make_room(self) -> int:
        """Bytes still free, after what this run has not used made room for some new panoramas."""
        wanted = min(8 * self.bytes_each, self.most_bytes // 4)
        return make_room(self.folder, OURS, self.most_bytes, wanted, self.started)
