"""How whoever asked for a panorama, or for other long work, hears of its progress, and stops it."""

from collections.abc import Callable
from dataclasses import dataclass

Progress = Callable[[str, int, int], None]
"""Is told what is counted (``views``, ``steps``, ...), how many are done and how many there are in all."""


class Cancelled(Exception):
    """The work was stopped because its caller asked for it. What was recorded is on the disk, to be gone on with."""


@dataclass(frozen=True)
class Listener:
    """``progress``: is told how far the work is. ``cancel``: is asked at every such moment whether to stop."""

    progress: Progress = lambda stage, done, total: None
    cancel: Callable[[], bool] = lambda: False

    def tell(self, stage: str, done: int, total: int) -> None:
        """Tell of progress. Raises Cancelled where the work is to stop and something of the stage is left."""
        self.progress(stage, done, total)
        if done < total and self.cancel():
            raise Cancelled(f"cancelled after {done} of {total} {stage}")

    def counting(self, stage: str) -> Callable[[int, int], None]:
        """Return a function of ``(done, total)`` that tells of one stage."""
        return lambda done, total: self.tell(stage, done, total)


UNHEARD = Listener()
"""Hears nothing and stops nothing."""
