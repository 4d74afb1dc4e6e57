"""Every call that changes a folder, counted; and the death of the process at one of them."""

import fcntl
import mmap
import os
import signal
import struct
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

CHANGES = ("os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.link", "os.symlink", "os.truncate", "os.utime")
WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND


@dataclass(frozen=True)
class Moment:
    """Just before the call of this number (the first is 0); ``torn``: half of what was written last had arrived."""

    number: int
    torn: bool = False


@dataclass(frozen=True)
class Call:
    """One call: what it does to which path, and whether it follows the writing of a file that can be torn."""

    what: str
    path: str
    tears: bool = False


class Calls:
    """In an attempt: counts the calls of all its forks that change ``folder``, and kills the group at ``moment``.

    Calls are seen by Python's audit events; what libraries write by themselves between two of them is not.
    """

    def __init__(self, folder: Path, log: Path, moment: Moment | None = None) -> None:
        """``log``: receives a line for each call, to be read by `read_calls`; there is none where a moment is given."""
        self.folder, self.log, self.moment = f"{folder}/", log, moment
        self.count = mmap.mmap(-1, 8)  # shared with forks
        self.written: tuple[str, int] | None = None

    def watch(self) -> None:
        """From now on; cannot be ended."""
        sys.addaudithook(self._event)
        fsync = os.fsync

        def watched(fd: Any) -> None:
            self._call("fsync", _path_of(fd))
            fsync(fd)

        os.fsync = watched

    def _event(self, name: str, arguments: tuple) -> None:
        if name == "open" and isinstance(arguments[2], int) and arguments[2] & WRITES:
            self._call("open", arguments[0], arguments[2])
        elif name in CHANGES:
            self._call(name.removeprefix("os."), arguments[0], descriptor=_descriptor(name, arguments))

    def _call(self, what: str, path: Any, flags: int = 0, descriptor: int = -1) -> None:
        place = _place(path, descriptor)
        if place is None or not place.startswith(self.folder):
            return
        tearable, self.written = self.written, None
        number = self._next()
        if self.moment is not None and number >= self.moment.number:
            self.folder = "\0"  # what follows is no call
            if self.moment.torn and tearable is not None:
                _tear(*tearable)
            os.killpg(0, signal.SIGKILL)
        if self.moment is None:
            tears = tearable is not None and _size(tearable[0]) > tearable[1]
            self._note(f"{what}\t{int(tears)}\t{place}\n")
        if what == "open":
            self.written = place, 0 if flags & os.O_TRUNC else _size(place)

    def _next(self) -> int:
        """The number of this call, over all forks."""
        with Path(os.devnull).open() as nothing:  # reading: no call
            fcntl.flock(nothing, fcntl.LOCK_EX)
            number = struct.unpack("q", self.count[:8])[0]
            self.count[:8] = struct.pack("q", number + 1)
        return number

    def _note(self, line: str) -> None:
        descriptor = os.open(self.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.write(descriptor, line.encode(errors="replace"))
        os.close(descriptor)


def read_calls(log: Path) -> list[Call]:
    """The calls of an undisturbed attempt."""
    if not log.is_file():
        return []
    lines = (line.split("\t", 2) for line in log.read_text(encoding="utf-8").splitlines())
    return [Call(what, path, tears == "1") for what, tears, path in lines]


def moments(calls: Sequence[Call]) -> list[Moment]:
    """All moments at which an attempt can be killed that leave different files."""
    return [
        Moment(number, torn)
        for number, call in enumerate(calls)
        for torn in ((False, True) if call.tears else (False,))
    ]


def _place(path: Any, descriptor: int) -> str | None:
    if isinstance(path, int):
        return _path_of(path)
    try:
        name = os.fsdecode(path)
    except TypeError:
        return None
    if descriptor >= 0 and not name.startswith("/"):
        folder = _path_of(descriptor)
        return None if folder is None else f"{folder}/{name}"
    return name if name.startswith("/") else f"{Path.cwd()}/{name}"


def _path_of(descriptor: Any) -> str | None:
    with suppress(OSError, TypeError):
        number = descriptor if isinstance(descriptor, int) else descriptor.fileno()
        return str(Path(f"/proc/self/fd/{number}").readlink())
    return None


def _descriptor(name: str, arguments: tuple) -> int:
    """The folder that a path is relative to: the last argument of these events, of a renaming the one before."""
    places = {"os.rename": 2, "os.remove": 1, "os.rmdir": 1, "os.mkdir": 2}
    place = places.get(name)
    return arguments[place] if place is not None and isinstance(arguments[place], int) else -1


def _size(path: str) -> int:
    with suppress(OSError):
        return Path(path).stat().st_size
    return 0


def _tear(path: str, before: int) -> None:
    """Half of what was written into a file since it had ``before`` bytes."""
    with suppress(OSError):
        size = Path(path).stat().st_size
        if size > before:
            os.truncate(path, before + (size - before) // 2)
