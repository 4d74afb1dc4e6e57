"""Captions of the generated panoramas: of each as a whole, and of its directions."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from aognet.errors import UserError
from aognet.evaluation.images import Item, keys_of
from aognet.io.captions import a_few, load_records


@dataclass(frozen=True)
class Texts:
    """``whole``: captions of the panorama; ``at``: captions of views, each with the yaws (degrees) it is true of."""

    whole: tuple[str, ...] = ()
    at: tuple[tuple[str, tuple[float, ...]], ...] = ()

    def near(self, yaw_degrees: float, reach_degrees: float) -> list[str]:
        """Captions of views that look at most ``reach_degrees`` past a yaw."""
        return [
            text
            for text, yaws in self.at
            if any(abs((yaw - yaw_degrees + 180) % 360 - 180) <= reach_degrees for yaw in yaws)
        ]


def find_texts(items: Sequence[Item], files: Sequence[Path]) -> dict[str, Texts]:
    """Name -> texts, from captions files, or else from the prompts that runs of `inference.py` were given.

    Raises UserError if a file cannot be read, or panoramas have no caption where others do.
    """
    if not files:
        return _prompts(items)
    whole: dict[str, list[str]] = {}
    views: dict[str, list[tuple[str, tuple[float, ...]]]] = {}
    for path in files:
        for record in load_records(path):
            if record.yaws is None:
                whole.setdefault(record.file, []).extend(record.captions)
            else:
                views.setdefault(record.file, []).extend(zip(record.captions, record.yaws, strict=True))
    of_whole, of_views = (keys_of(items, table) for table in (whole, views))
    found = {
        item.name: Texts(
            tuple(text for text in whole.get(one, ()) if text.strip()),
            tuple((text, yaws) for text, yaws in views.get(other, ()) if text.strip()),
        )
        for item, one, other in zip(items, of_whole, of_views, strict=True)
    }
    missing = [name for name, texts in found.items() if not texts.whole and not texts.at]
    if missing:
        named = ", ".join(str(path) for path in files)
        raise UserError(f"--captions: {named}: {len(missing)} of {len(items)} panoramas have none: {a_few(missing)}")
    return found


def _prompts(items: Sequence[Item]) -> dict[str, Texts]:
    found = {}
    for item in items:
        path = item.folder / "prompt.txt" if item.folder else None
        if path is None or not path.is_file():
            return {}
        prompt = path.read_text(encoding="utf-8", errors="replace")[:2000].strip()
        if not prompt:
            return {}
        found[item.name] = Texts((prompt,))
    return found
