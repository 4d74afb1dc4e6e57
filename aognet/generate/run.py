"""A panorama that is being made."""

from dataclasses import dataclass
from typing import Generic, TypeVar

from aognet.canvas import Canvas
from aognet.generate.journal import Journal

Record = TypeVar("Record", bound=Journal)


@dataclass(frozen=True)
class Run(Generic[Record]):
    """A panorama to make, and the journal that records it.

    ``start``: what the journal was begun with, to be used up; without it the journal's file is read.
    """

    journal: Record
    start: Canvas | None = None
