"""Small files that a kill at any moment leaves whole: as they were before, or as they are after."""

import os
from pathlib import Path


def write_whole(path: Path, text: str) -> None:
    """Write ``path`` through a hidden neighbour, so that nobody ever reads half of it."""
    unfinished = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    unfinished.write_text(text, encoding="utf-8")
    flush(unfinished)
    unfinished.replace(path)


def flush(path: Path) -> None:
    """Wait until a file, or the names in a folder, are on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
