"""Files that a kill at any moment leaves whole: as they were before, or as they are after."""

import os
from contextlib import suppress
from pathlib import Path

from aognet.errors import UserError


def write_atomically(path: Path, content: bytes | str) -> None:
    """Write ``path`` through a hidden neighbour, so that nobody ever reads half of it. Text is written as UTF-8.

    :raises UserError: naming the file, if it cannot be written; what was there before stays.
    """
    unfinished = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        unfinished.write_bytes(content.encode() if isinstance(content, str) else content)
        flush(unfinished)
        unfinished.replace(path)
    except OSError as error:
        raise UserError(f"{path}: cannot write this file ({error.strerror or error})") from error
    finally:
        with suppress(OSError):  # where nothing could be written, nothing can be removed
            unfinished.unlink()


def flush(path: Path) -> None:
    """Wait until a file, or the names in a folder, are on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
