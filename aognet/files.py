"""Files that a kill at any moment leaves whole: as they were before, or as they are after."""

import os
import threading
import time
import zlib
from contextlib import suppress
from pathlib import Path

from aognet.errors import UserError

ABANDONED_SECONDS = 3600.0
# Pillow's settings for PNG files: panoramas come out as small as with its defaults, in a quarter of the time.
PNG = {"compress_level": 1, "compress_type": zlib.Z_RLE}


def write_atomically(path: Path, content: bytes | str) -> None:
    """Write ``path`` through a hidden neighbour, so that nobody ever reads half of it. Text is written as UTF-8.

    :raises UserError: naming the file, if it cannot be written; what was there before stays.
    """
    unfinished = path.with_name(f".{path.name}.{os.getpid()}-{threading.get_ident()}.tmp")
    try:
        unfinished.write_bytes(content.encode() if isinstance(content, str) else content)
        flush(unfinished)
        unfinished.replace(path)
    except OSError as error:
        raise UserError(f"{path}: cannot write this file ({error.strerror or error})") from error
    finally:
        with suppress(OSError):  # where nothing could be written, nothing can be removed
            unfinished.unlink()


def make_room(folder: Path, suffix: str, most_bytes: int, wanted: int, started: float) -> int:
    """Bytes that a folder may still take, after files that were not used since ``started`` made room for ``wanted``.

    Only files with that suffix go, those used longest ago first, and what writers that were killed left behind.
    """
    files = []
    with suppress(OSError):
        for entry in os.scandir(folder):
            with suppress(OSError):
                status = entry.stat()
                files.append((status.st_mtime, status.st_size, Path(entry.path)))
    used = sum(size for _, size, _ in files)
    for used_last, size, path in sorted(files):
        abandoned = path.suffix == ".tmp" and used_last < time.time() - ABANDONED_SECONDS
        unused = path.suffix == suffix and used_last < started and used + wanted > most_bytes
        if abandoned or unused:
            with suppress(OSError):
                path.unlink()
                used -= size
    return max(most_bytes - used, 0)


def flush(path: Path) -> None:
    """Wait until a file, or the names in a folder, are on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
