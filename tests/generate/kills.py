"""A process that ends at any change of the disk, without ending one: what happens after the n-th change does not."""

from pathlib import Path
from typing import Any

import pytest

from aognet.io import files

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
