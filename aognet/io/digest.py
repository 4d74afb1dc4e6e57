"""Digests of files: what is in them names them, whatever they are called and wherever they lie."""

import hashlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any

PIECE_BYTES = 2**24


def file_digest(path: Path, algorithm: Callable[[], Any] = hashlib.sha256) -> str:
    """Hex digest of a file's bytes, which are read again when its time, size or place on the disk changed.

    Raises OSError, and ValueError for a name that no file can have.
    """
    return _once(path, algorithm, *_state(path))


def pieces_digest(path: Path) -> str:
    """The same by another rule, which several cores follow: SHA-256 of the SHA-256 of each 16 MiB.

    Raises OSError, and ValueError for a name that no file can have.
    """
    return _once_by_pieces(path.resolve(), *_state(path))


def content_digest(content: bytes) -> str:
    """BLAKE2b of 16 bytes, in hex: what measurements of a file are kept under."""
    return hashlib.blake2b(content, digest_size=16).hexdigest()


def _state(path: Path) -> tuple[int, int, int]:
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
