"""Windows over a grid of codes, in which the local sampler of Text2Light writes one code at a time (arXiv 2209.09898).

A code has its own window, which lies around it where the grid lets it. Many codes near the edges have equal windows.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from aognet.errors import UserError

MOST_CODES = 4096  # a side of a grid


@dataclass(frozen=True)
class Window:
    """The first row and column of a square of codes."""

    top: int
    left: int


@dataclass(frozen=True, kw_only=True)
class WindowConfig:
    """A grid of codes and its windows; the defaults are the published ones.

    ``size``: codes a side of a window. ``wrap``: whether windows cross the right edge of the panorama, so that codes
    there see what lies beyond it. The published sampler's do not.
    """

    rows: int = 32
    columns: int = 64
    size: int = 16
    wrap: bool = False

    def __post_init__(self) -> None:
        for name in ("rows", "columns"):
            if not 1 <= getattr(self, name) <= MOST_CODES:
                raise UserError(f"must lie in [1, {MOST_CODES}]", key=name, value=getattr(self, name))
        if not 2 <= self.size <= min(self.rows, self.columns) or self.size % 2:
            least = min(self.rows, self.columns)
            raise UserError(f"must be even and lie in [2, {least}], rows and columns", key="size", value=self.size)

    def window(self, row: int, column: int) -> Window:
        """Return the window in which a code is written."""
        half = self.size // 2
        left = max(column - half, 0)
        return Window(
            min(max(row - half, 0), self.rows - self.size), left if self.wrap else min(left, self.columns - self.size)
        )

    def place(self, row: int, column: int) -> int:
        """Return where in its window a code is, in raster order."""
        window = self.window(row, column)
        return (row - window.top) * self.size + column - window.left

    def cells(self, window: Window, first: int, end: int) -> tuple[list[int], list[int]]:
        """Return rows and columns of the codes of a window from place ``first`` to before ``end``."""
        places = range(first, end)
        rows = [window.top + place // self.size for place in places]
        return rows, [(window.left + place % self.size) % self.columns for place in places]

    def all_cells(self, first_row: int = 0) -> Iterator[tuple[int, int]]:
        """Yield row and column of every code from a row on, in raster order."""
        yield from ((row, column) for row in range(first_row, self.rows) for column in range(self.columns))

    def waves(self, first_row: int = 0) -> Iterator[list[tuple[int, int]]]:
        """Yield codes that can be written at once, in an order in which each sees what it would see in raster order.

        A code needs those of the row above up to ``size - 1`` columns further on, so a row starts ``size`` steps after
        the one above. No two codes of a step share a window.
        """
        steps = self.size * (self.rows - first_row - 1) + self.columns if first_row < self.rows else 0
        for step in range(steps):
            behind = ((row, step - self.size * (row - first_row)) for row in range(first_row, self.rows))
            yield [(row, column) for row, column in behind if 0 <= column < self.columns]

    def last_places(self, first_row: int = 0) -> dict[Window, int]:
        """Return all windows of the codes from a row on, with the place of the last code that is written in each."""
        return {self.window(*cell): self.place(*cell) for cell in self.all_cells(first_row)}
