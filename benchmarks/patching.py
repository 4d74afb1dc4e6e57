"""Functions that are watched while a benchmark runs: each is replaced by what a ``watch`` makes of it."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from unittest import mock

Places = Mapping[str, Sequence[tuple[object, str]]]  # by part: owners of functions, and the functions' names


@contextmanager
def watched(places: Places, watch: Callable[[str, Callable], Callable]) -> Iterator[None]:
    """While it lasts, ``watch(part, function)`` stands in the place of every function."""
    with ExitStack() as stack:
        for part, functions in places.items():
            for owner, name in functions:
                stack.enter_context(mock.patch.object(owner, name, watch(part, getattr(owner, name))))
        yield
