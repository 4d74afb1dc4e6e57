"""Digests of files: the content names a file, whatever its name and place."""

import hashlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any

PIECE_BYTES = 2**24


def file_digest(path: Path, algorithm: Callable[[], Any] = hashlib.sha256) -> str:
    """Return the hex digest of a file's bytes. They are read again if the file's time, size or place on the disk
    changed.

    :raises OSError: if it cannot be read.
    :raises ValueError: for a name that no file can have.
    """
    return _once(path, algorithm, *file_state(path))


def pieces_digest(path: Path) -> str:
    """Return a digest by another rule, which several cores can compute: SHA-256 of the SHA-256 of each 16 MiB.

    :raises OSError: if it cannot be read.
    :raises ValueError: for a name that no file can have.
    """
    return _once_by_pieces(path.resolve(), *file_state(path))


def content_digest(content: bytes) -> str:
    """Return BLAKE2b of 16 bytes, in hex. Measurements of a file are stored under it."""
    return hashlib.blake2b(content, digest_size=16).hexdigest()


def file_state(path: Path) -> tuple[int, int, int]:
    """Return what changes when a file is written or replaced: its time, size and place on the disk. Raises OSError."""
    status = path.stat()
    return status.st_mtime_ns, status.st_size, status.st_ino


@cache
def _once(path: Path, algorithm: Callable[[], Any], *state: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, algorithm).hexdigest()


@cache
def _once_by_pieces(path: Path, *state: int) -> str:
    def piece(start: int) -> bytes:
        with path.open("rb") as file:
            file.seek(start)
            return hashlib.sha256(file.read(PIECE_BYTES)).digest()

    with ThreadPoolExecutor() as pool:
        return hashlib.sha256(b"".join(pool.map(piece, range(0, path.stat().st_size, PIECE_BYTES)))).hexdigest()
