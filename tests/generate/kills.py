"""A process that ends at any change of the disk, without ending one: what happens after the n-th change does not."""

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from aognet.io import files
from tests.stub_model import contents

CHANGES = ("write_bytes", "replace", "unlink", "mkdir", "rmdir")


class Killed(BaseException):
    """The process is gone: nothing it would still do, by ``finally`` or in other threads, reaches the disk."""


class Kills:
    """Counts changes of the disk; `at` sets which of them is the last that is begun, and not ended."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.count, self.last, self.process = 0, None, 0
        monkeypatch.setattr(files, "flush", lambda path: None)  # nothing here ends the computer
        monkeypatch.setattr(files, "_neighbour", self._neighbour)
        for name in CHANGES:
            monkeypatch.setattr(Path, name, self._change(name, getattr(Path, name)))

    def at(self, last: int | None) -> None:
        """Ends the process at its change of that number, from 1; None: never."""
        self.count, self.last, self.process = 0, last, self.process + 1

    def _neighbour(self, path: Path) -> Path:
        """Where a file is written before it has its name: another place in every process, as in truth."""
        return path.with_name(f".{path.name}.{self.process}-1.tmp")

    def _change(self, name: str, real: Any) -> Any:
        def change(path: Path, *given: Any, **options: Any) -> Any:
            self.count += 1
            if self.last is None or self.count < self.last:
                return real(path, *given, **options)
            if self.count == self.last and name == "write_bytes":
                real(path, given[0][: len(given[0]) // 2])
            raise Killed(f"{name} {path}")

        return change


def check_kills_change_nothing(
    make: Callable[[Path], Any], folder: Path, monkeypatch: pytest.MonkeyPatch, seed: int
) -> dict[str, bytes | str | None]:
    """A run that is killed twice at one of its changes of the disk, and given again, ends as it does without a kill.

    ``make`` makes the run in the folder that it is given. The changes are drawn with ``seed``; the first ones make the
    run's folder. Returned is what the run leaves.
    """
    kills = Kills(monkeypatch)
    kills.at(None)
    make(folder / "whole")
    changes, whole = kills.count, contents(folder / "whole")
    assert changes > 30
    for last in random.Random(seed).sample(range(6, changes), 4):
        place = folder / str(last)
        for attempt in range(3):
            kills.at(last if attempt < 2 else None)
            try:
                make(place)
            except Killed:
                assert attempt < 2
        assert contents(place) == whole
    return whole
