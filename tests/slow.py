"""Which parameters of a test are left to the slow tests."""

from collections.abc import Iterable
from typing import Any

import pytest


def rest_slow(values: Iterable[Any], fast: int = 1) -> list[Any]:
    """Parameters of one kind: the first ``fast`` are always tested, the others with ``-m slow``.

    A tuple is a row of several parameters; a `pytest.param` keeps its id and its marks.
    """
    given = [value if isinstance(value, type(pytest.param())) else _row(value) for value in values]
    rest = [pytest.param(*row.values, marks=[*row.marks, pytest.mark.slow], id=row.id) for row in given[fast:]]
    return given[:fast] + rest


def _row(value: Any) -> Any:
    return pytest.param(*value) if isinstance(value, tuple) else pytest.param(value)
