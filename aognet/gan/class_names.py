"""A class of a generator by its name or number, found without a doubt or not at all."""

import unicodedata
from collections.abc import Sequence
from difflib import get_close_matches
from functools import lru_cache

from aognet.errors import UserError

MOST_LISTED = 8
KEY = "class_names"


def find_class(asked: str, names: Sequence[str], classes: int | None = None) -> int:
    """Return the number of the class that is asked for.

    ``names``: one for each class, synonyms with commas between them. ``classes``: how many there are, where they may
    have no names. A number stands for itself. A name is found where it equals one synonym, or the whole name, of one
    class; case, spaces and punctuation do not count: ``Sand-Bar`` is ``sandbar, sand bar``. Parts of names are not
    enough: a ``beach`` is no ``beach wagon``.

    :raises UserError: for a name of no class, listing the nearest, or of several classes, listing these.
    """
    number = asked.strip()
    if number.isascii() and number.isdecimal():
        count = len(names) if classes is None else classes
        if len(number) > 9 or int(number) >= count:
            raise UserError(f"classes have the numbers 0 to {count - 1}", key=KEY, value=asked)
        return int(number)
    wanted, known = _key(asked), _numbers(tuple(names))
    found = known.get(wanted, ()) if wanted else ()
    if len(found) == 1:
        return found[0]
    if found:
        raise UserError(f"is the name of several classes; give a number: {_listed(found, names)}", key=KEY, value=asked)
    near = _nearest(asked, names, known)
    hint = f"; the nearest: {_listed(near, names)}" if near else "" if names else ", since these have numbers alone"
    raise UserError(f"must be the name or number of a class{hint}", key=KEY, value=asked)


def find_classes(asked: str, names: Sequence[str], classes: int | None = None) -> list[int]:
    """Return the numbers of classes with ``|`` between them, as ``sandbar|valley``. See `find_class`."""
    return [find_class(one, names, classes) for one in asked.split("|")]


def _key(name: str) -> str:
    """Return a name's letters and digits, without accents and in one case."""
    plain = unicodedata.normalize("NFKD", name).casefold()
    return "".join(letter for letter in plain if letter.isalnum())


def _words(name: str) -> list[str]:
    return [key for word in name.replace("-", " ").split() if (key := _key(word))]


@lru_cache(maxsize=4)
def _numbers(names: tuple[str, ...]) -> dict[str, list[int]]:
    """Return the classes of each key: of whole names, and of their synonyms."""
    known: dict[str, list[int]] = {}
    for number, name in enumerate(names):
        for key in {_key(part) for part in (name, *name.split(","))} - {""}:
            known.setdefault(key, []).append(number)
    return known


def _nearest(asked: str, names: Sequence[str], known: dict[str, list[int]]) -> list[int]:
    """Return the classes whose names have all words that were asked for, then those that are spelled alike."""
    words = set(_words(asked))
    having = [number for number, name in enumerate(names) if words and words <= set(_words(name))]
    alike = [number for key in get_close_matches(_key(asked[:100]), known, n=5) for number in known[key]]
    return list(dict.fromkeys([*having, *alike]))


def _listed(numbers: Sequence[int], names: Sequence[str]) -> str:
    more = f" and {len(numbers) - MOST_LISTED} more" if len(numbers) > MOST_LISTED else ""
    return "; ".join(f"{number} {names[number]}" for number in numbers[:MOST_LISTED]) + more
