"""Pickles of other people are programs: their instructions are walked through before Python's reader follows them."""

import pickle
import pickletools
from collections.abc import Collection, Iterator
from typing import Any

# The longest answer to an instruction of one byte is an empty set, 216 bytes.
MAX_INSTRUCTIONS = 2_000_000
MEMO = {"PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE"}
RECALL = {"GET", "BINGET", "LONG_BINGET"}
TUPLES = {"EMPTY_TUPLE", "TUPLE1", "TUPLE2", "TUPLE3", "TUPLE"}
# What Python raises where instructions make no sense.
NONSENSE = (
    *(pickle.UnpicklingError, ValueError, EOFError, LookupError, TypeError, AttributeError, OverflowError),
    *(RecursionError, MemoryError),
)


class Refused(ValueError):
    """A pickle holds something that is not read."""


def instructions(content: Any, allowed: Collection[str], kinds: str) -> Iterator[tuple[str, Any]]:
    """Yield the name and argument of each instruction of a pickle: bytes, or a file at the place where it stands.

    ``kinds``: what the ``allowed`` ones make.

    :raises Refused: for one that is not allowed, or too many.
    """
    for count, (opcode, argument, _) in enumerate(pickletools.genops(content), start=1):
        name = opcode.name
        if name not in allowed:
            said = f" {argument[:60]}" if isinstance(argument, str) else ""
            raise Refused(f"holds something other than {kinds} ({name}{said})")
        # The reader's memo is a table as long as the largest number in it.
        if count > MAX_INSTRUCTIONS or (name in MEMO and (argument or 0) > MAX_INSTRUCTIONS):
            raise Refused(f"holds more than {MAX_INSTRUCTIONS} values")
        yield name, argument
