"""Which name in a captions file or a table means which image: one rule for everything that is looked up by an image.

A name means the image with the same path relative to the folder; else that path with the suffix of another kind of
image, so that an image keeps its captions when it is converted; else an image of which one path ends in the other, such
as a bare file name, if only one pair fits. A name that could mean several images is reported and never guessed. Names
that differ only in how accents are composed (NFC, NFD) or in the kind of slash are the same.
"""

import unicodedata
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from aognet.io.formats import without_suffix

Table = dict[str, list[str]]


def normal(name: str) -> str:
    """Return a name or path in the form in which it is compared: composed accents, forward slashes, no empty parts."""
    name = (name if name.isascii() else unicodedata.normalize("NFC", name)).replace("\\", "/")
    return "/".join(part for part in name.split("/") if part not in ("", "."))


def without_kind(name: str) -> str:
    """Return the `normal` form without the suffix of an image."""
    return without_suffix(normal(name))


@dataclass(frozen=True)
class Matches:
    """The keys that were found. ``keys`` has the key of each image, in order, or None. ``unclear`` maps the number of
    an image to the keys that may mean it, or to the one that may also mean another image.
    """

    keys: list[str | None]
    unclear: dict[int, list[str]]


def match(keys: Iterable[str], names: Sequence[str], paths: Sequence[Path] | None = None) -> Matches:
    """Find the key of each image.

    ``names`` are relative to their folder. ``paths`` says where the files are, in the same order, for keys that name
    more folders than the names do.
    """
    places = names if paths is None else [str(path) for path in paths]
    return _Matcher(list(dict.fromkeys(keys)), list(map(normal, names)), list(map(normal, places))).found()


class _Matcher:
    def __init__(self, keys: list[str], names: list[str], paths: list[str]):
        self.names, self.paths = names, paths
        self.whole = {key: normal(key) for key in keys}
        self.alike = {key: without_suffix(name) for key, name in self.whole.items()}
        self.matches = Matches([None] * len(names), {})
        # Files that differ in suffix alone show the same picture, and may share what is said of it.
        self.pictures = list(map(without_suffix, paths))
        self.owners: dict[str, str] = {}  # key -> the picture that it means

    def found(self) -> Matches:
        table = _table(self.whole)
        for number, name in enumerate(self.names):
            self._give(number, table.get(name, []))
        table = _table(self.alike)
        for number in self._open():
            keys = table.get(without_suffix(self.names[number]), [])
            self._give(number, [key for key in keys if self.owners.get(key) == self.pictures[number]][:1] or keys)
        for forms, shape in ((self.whole, str), (self.alike, without_suffix)):
            if numbers := self._open():
                self._by_ends(numbers, forms, shape)
        return self.matches

    def _open(self) -> list[int]:
        keys, unclear = self.matches.keys, self.matches.unclear
        return [number for number, key in enumerate(keys) if key is None and number not in unclear]

    def _give(self, number: int, keys: Sequence[str]) -> None:
        if len(keys) == 1:
            self.matches.keys[number] = keys[0]
            self.owners.setdefault(keys[0], self.pictures[number])
        elif keys:
            self.matches.unclear[number] = list(keys)

    def _by_ends(self, numbers: Sequence[int], forms: Mapping[str, str], shape: Callable[[str], str]) -> None:
        """Match keys and images of which one is the end of the other, where only one pair fits. ``forms`` are those of
        the keys.
        """
        whole, ends = _table(forms), defaultdict(list)
        for key, form in forms.items():
            for end in _ends(form):
                ends[end].append(key)
        wanted: dict[str, list[int]] = defaultdict(list)
        for number in numbers:
            keys = self._nearest(number, shape(self.names[number]), shape(self.paths[number]), whole, ends)
            if len(keys) == 1:
                wanted[keys[0]].append(number)
            else:
                self._give(number, keys)
        for key, numbers in wanted.items():
            if len({self.pictures[number] for number in numbers}) > 1:
                self.matches.unclear.update((number, [key]) for number in numbers)
            else:
                for number in numbers:
                    self._give(number, [key])

    def _nearest(self, number: int, name: str, path: str, whole: Table, ends: Table) -> list[str]:
        """Return the keys that share most with an image's path, among those that mean no other image."""
        groups = (
            *(whole.get(end, []) for end in _ends(path) if end.count("/") > name.count("/")),
            ends.get(name, []),
            *(whole.get(end, []) for end in _ends(name)),
        )
        free = ([key for key in keys if self.owners.get(key) in (None, self.pictures[number])] for keys in groups)
        return next(filter(None, free), [])


def _table(forms: Mapping[str, str]) -> Table:
    """Return the keys of each form."""
    table: Table = defaultdict(list)
    for key, form in forms.items():
        table[form].append(key)
    return table


def _ends(path: str) -> Iterator[str]:
    """Yield the ends of a path: "a/b/c", "b/c", "c"."""
    while path:
        yield path
        path = path.partition("/")[2]
