"""A command that writes a folder as one should, or carelessly, for tests of what looks for that."""

import sys
import time
from collections.abc import Sequence
from pathlib import Path

from aognet.errors import UserError
from aognet.io.files import write_atomically

WORDS = "as it should be"


def read(path: Path) -> None:
    if WORDS not in path.read_text(encoding="utf-8", errors="replace"):
        raise UserError(f"{path}: other words")


READERS = {
    "read": read,
    "crash": lambda path: len(None),
    "warn": lambda path: sys.stderr.write("library.py:7: UserWarning: an odd tag\n"),
    "long": lambda path: time.sleep(60),
}
"""By name: a reader as it should be, and what a reader may not do."""


def main(argv: Sequence[str] | None = None) -> int:
    """``good``, ``half`` (not atomically) or ``twice`` (once more each time) and a folder; or what READERS names."""
    way, place = argv[0], Path(argv[1])
    if way in READERS:
        READERS[way](place)
        return 0
    place.mkdir(exist_ok=True)
    if way == "good":
        for name in ("a", "b", "c"):
            write_atomically(place / name, WORDS)
    elif way == "half" and not (place / "a").exists():
        (place / "a").write_text(WORDS)
    elif way == "twice":
        count = len((place / "a").read_text()) if (place / "a").exists() else 0
        write_atomically(place / "a", "+" * (count + 1))
    write_atomically(place / "end", WORDS)
    return 0
