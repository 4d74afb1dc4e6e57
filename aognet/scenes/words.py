"""Helpers for writing captions: they choose a wording, join what was seen into a list, and name colours."""

from collections.abc import Sequence
from typing import TypeVar

import numpy as np

Word = TypeVar("Word", bound=str)


def pick(rng: np.random.Generator, *choices: Word) -> Word:
    """Return one of the wordings."""
    return choices[int(rng.integers(len(choices)))]


def article(noun: str) -> str:
    """Return the noun with "a" or "an"."""
    return f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}"


def listing(parts: Sequence[str]) -> str:
    """Return the parts as a list such as "a, b and c"."""
    if len(parts) < 2:
        return "".join(parts)
    return f"{', '.join(parts[:-1])} and {parts[-1]}"


def sentence(text: str) -> str:
    """Return the text with a capital and a full stop."""
    return f"{text[0].upper()}{text[1:]}."
