"""One process at a time in a folder: a lock of the operating system, which ends with the process however it ends."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from aognet.errors import UserError

try:
    import fcntl
except ImportError:  # Windows, where a folder cannot be locked: a hidden file in it is
    fcntl = None

LOCK_FILE = ".lock"
# A process that was just killed may hold its folder until its memory is given back: its successor waits so long.
PATIENCE_SECONDS = 0.5
_PAUSE_SECONDS = 0.02
_held: set[int] = set()


class FolderInUseError(UserError):
    """Another process works in a folder."""


@contextmanager
def exclusive(folder: Path, name: str = "") -> Iterator[None]:
    """Hold a folder, which must be there, against other processes (and other holders in this one) for the ``with``.

    With ``name`` only what has that name in it, such as one of several reports. Nothing is left in the folder, and a
    process that is killed holds nothing (of a name, a hidden empty file stays until the next that holds it). Network
    shares may not pass locks on.

    :raises FolderInUseError: naming the folder, where another process holds it for longer than half a second.
    :raises UserError: where the folder cannot be opened.
    """
    place = folder / name if name else folder
    if fcntl is None:
        with _exclusive_file(folder / f".{name}{LOCK_FILE}", place):
            yield
        return
    lock = folder / f".{name}{LOCK_FILE}" if name else folder
    try:
        descriptor = _waited_for(lock, os.O_RDWR | os.O_CREAT if name else os.O_RDONLY)
    except BlockingIOError as error:
        raise _in_use(place) from error
    except (OSError, ValueError) as error:  # ValueError: a name that no file can have
        raise UserError(f"{lock}: cannot be opened ({getattr(error, 'strerror', None) or error})") from error
    try:
        yield
    finally:
        if name:
            with suppress(OSError):
                lock.unlink()
        _let_go(descriptor)


def _waited_for(path: Path, flags: int) -> int:
    """`_locked`, if need be a little later."""
    latest = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            return _locked(path, flags)
        except BlockingIOError:
            if time.monotonic() > latest:
                raise
            time.sleep(_PAUSE_SECONDS)


def _locked(path: Path, flags: int) -> int:
    """A descriptor of ``path`` that holds its lock. Raises BlockingIOError where another does."""
    while True:
        descriptor = os.open(path, flags, 0o666)
        _held.add(descriptor)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise
            except OSError:  # a file system without locks: better to work than to refuse
                return descriptor
            with suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(descriptor), path.stat()):
                    return descriptor
        except BaseException:
            _let_go(descriptor)
            raise
        _let_go(descriptor)  # whoever held it before has just removed it


def _let_go(descriptor: int) -> None:
    _held.discard(descriptor)
    os.close(descriptor)


@contextmanager
def _exclusive_file(lock: Path, place: Path) -> Iterator[None]:
    from filelock import FileLock, Timeout

    try:
        with FileLock(lock, timeout=PATIENCE_SECONDS):
            yield
    except Timeout as error:
        raise _in_use(place) from error
    finally:
        with suppress(OSError):  # held by another process
            lock.unlink(missing_ok=True)


def _in_use(place: Path) -> FolderInUseError:
    where = "in this folder" if place.is_dir() else "on this"
    return FolderInUseError(f"{place}: another process is working {where}; wait for it or choose another")


def _let_go_in_child() -> None:
    """Close what a fork copied: else a worker that outlives its killed parent would go on holding its folders."""
    for descriptor in _held:
        with suppress(OSError):
            os.close(descriptor)
    _held.clear()


if fcntl is not None:
    os.register_at_fork(after_in_child=_let_go_in_child)
