"""A command that writes a folder as one should, or carelessly, for tests of what looks for that."""

from collections.abc import Sequence
from pathlib import Path

from aognet.errors import UserError
from aognet.files import write_atomically

WORDS = "as it should be"


def main(argv: Sequence[str] | None = None) -> int:
    """``good``, ``half`` (not atomically), ``twice`` (once more each time) or ``crash``, and the folder or file."""
    way, place = argv[0], Path(argv[1])
    if way == "crash":
        return len(None)
    if way == "read":
        if WORDS not in place.read_text(encoding="utf-8"):
            raise UserError(f"{place}: other words")
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
