"""Captions of rooms, for the whole and for single views, from the things that really stand there."""

from collections.abc import Sequence

import numpy as np

from aognet.scenes.words import listing, pick, sentence
from aognet.scenes.world import SceneView

_NUMBERS = {2: "two", 3: "three", 4: "four"}
_ALREADY = ("pews", "boxes", "lights", "cabinets", "mats", "windows", "curtains")  # plural as they are


def count_things(nouns: Sequence[str]) -> list[str]:
    """Join equal nouns: "a chair", "a chair" gives "two chairs". The order is that of their first."""
    told = []
    for noun in dict.fromkeys(nouns):
        number = list(nouns).count(noun)
        told.append(noun if number == 1 else plural(noun, number))
    return told


def plural(noun: str, number: int) -> str:
    """Return the plural: "a table with chairs" and 3 give "three tables with chairs". Above four there is no number."""
    joint = " of " if " of " in noun else " with "
    head, _, rest = noun.partition(joint)
    words = head.split()
    words = words[1:] if words[0] in ("a", "an") else words
    last = words[-1]
    if words[-1] not in _ALREADY and "shelves" not in words:
        if last.endswith("shelf"):
            words[-1] = f"{last[:-1]}ves"
        elif last.endswith(("ss", "ch", "sh", "x")):
            words[-1] = f"{last}es"
        else:
            words[-1] = f"{last}s"
        words = [_NUMBERS[number], *words] if number in _NUMBERS else words
    if rest.startswith(("a ", "an ")):
        rest = plural(rest, 5)
    return " ".join(words) + (f"{joint}{rest}" if rest else "")


def tell_room(
    rng: np.random.Generator, name: str, things: Sequence[str], surfaces: Sequence[str], light: Sequence[str]
) -> str:
    """Return the caption of a whole room. ``things`` begin with the thing that makes it this kind of room."""
    told = count_things(things)
    rest = [int(i) for i in rng.permutation(np.arange(1, max(len(told), 1)))[: int(rng.integers(1, 5))]]
    parts = [told[i] for i in sorted([0, *rest]) if i < len(told)]
    looks = [surfaces[i] for i in sorted(rng.permutation(len(surfaces))[: int(rng.integers(1, 3))])]
    parts = looks + parts if rng.random() < 0.35 else parts + looks
    first = pick(rng, "{}", "{}", "the inside of {}", "a view of {}").format(name)
    when = f" {pick(rng, *light)}" if light and rng.random() < 0.7 else ""
    return sentence(f"{first}{when} with {listing(parts)}")


def tell_view(name: str, view: SceneView) -> str:
    """Return the caption of one view: its largest things, and the side of the one that stands out."""
    nouns = [sight.noun for sight in view.sights]
    told = count_things(nouns)[:4]
    if not told:
        return sentence(f"a bare wall in {name}")
    first = view.sights[0]
    side = ""
    if nouns.count(first.noun) == 1 and len(told) > 1 and abs(first.across) > 0.45:
        side = f" {'to the right' if first.across > 0 else 'to the left'}"
    return sentence(f"{listing([told[0] + side, *told[1:]])} in {name}")
