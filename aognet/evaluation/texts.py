"""Captions of the generated panoramas: of each as a whole, and of its directions."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from aognet.data.captions import a_few, key_for, load_records
from aognet.errors import UserError
from aognet.evaluation.images import Item


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
    found = {item.name: _texts(item, whole, views) for item in items}
    missing = [name for name, texts in found.items() if not texts.whole and not texts.at]
    if missing:
        named = ", ".join(str(path) for path in files)
        raise UserError(f"--captions: {named}: {len(missing)} of {len(items)} panoramas have none: {a_few(missing)}")
    return found


def _texts(
    item: Item, whole: Mapping[str, list[str]], views: Mapping[str, list[tuple[str, tuple[float, ...]]]]
) -> Texts:
    # A run's folder is named as the photograph it started from, without its suffix.
    name = f"{item.name}.png" if item.folder else item.name
    of_whole, of_views = whole.get(key_for(whole, name), ()), views.get(key_for(views, name), ())
    return Texts(
        tuple(text for text in of_whole if text.strip()), tuple((text, yaws) for text, yaws in of_views if text.strip())
    )


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
