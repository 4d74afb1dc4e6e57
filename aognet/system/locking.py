"""Locks of folders: the operating system's locks, which end with the process however it ends."""

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
# Whoever has a folder that others share for itself alone is about to finish: it removes some files.
SHARED_PATIENCE_SECONDS = 60.0
_PAUSE_SECONDS = 0.02
_held: set[int] = set()


class FolderInUseError(UserError):
    """Another process works in a folder."""


@contextmanager
def exclusive(folder: Path, name: str = "", patience: float | None = None) -> Iterator[None]:
    """Hold an existing folder against other processes (and other holders in this one) during the ``with`` block.

    With ``name``, hold only what has that name in it, such as one of several reports. Nothing is left in the folder,
    and a process that is killed holds nothing (for a name, a hidden empty file stays until the next holder). Network
    shares may not pass locks on. ``patience`` is how many seconds to wait for another holder, `PATIENCE_SECONDS` if
    None.

    :raises FolderInUseError: naming the folder, if another process holds it for longer.
    :raises UserError: if the folder cannot be opened.
    """
    patience = PATIENCE_SECONDS if patience is None else patience
    place = folder / name if name else folder
    if fcntl is None:
        with _exclusive_file(folder / f".{name}{LOCK_FILE}", place, patience):
            yield
        return
    lock = folder / f".{name}{LOCK_FILE}" if name else folder
    descriptor = _opened(lock, place, os.O_RDWR | os.O_CREAT if name else os.O_RDONLY, fcntl.LOCK_EX, patience)
    try:
        yield
    finally:
        if name:
            with suppress(OSError):
                lock.unlink()
        _let_go(descriptor)


@contextmanager
def shared(folder: Path) -> Iterator[None]:
    """Hold a folder together with others that share it. Until the end of the ``with`` block nobody holds it
    `exclusive`.

    It waits a minute for an exclusive holder. Where the system has no such locks (Windows), it holds nothing.

    :raises FolderInUseError: naming the folder, if another process holds it for longer.
    :raises UserError: if the folder cannot be opened.
    """
    if fcntl is None:
        yield
        return
    descriptor = _opened(folder, folder, os.O_RDONLY, fcntl.LOCK_SH, SHARED_PATIENCE_SECONDS)
    try:
        yield
    finally:
        _let_go(descriptor)


def _opened(lock: Path, place: Path, flags: int, kind: int, patience: float) -> int:
    try:
        return _waited_for(lock, flags, kind, patience)
    except BlockingIOError as error:
        raise _in_use(place) from error
    except (OSError, ValueError) as error:  # ValueError: a name that no file can have
        raise UserError(f"{lock}: cannot be opened ({getattr(error, 'strerror', None) or error})") from error


def _waited_for(path: Path, flags: int, kind: int, patience: float) -> int:
    """Return `_locked`, if need be a little later."""
    latest = time.monotonic() + patience
    while True:
        try:
            return _locked(path, flags, kind)
        except BlockingIOError:
            if time.monotonic() > latest:
                raise
            time.sleep(_PAUSE_SECONDS)


def _locked(path: Path, flags: int, kind: int) -> int:
    """Return a descriptor of ``path`` that holds its lock.

    :raises BlockingIOError: if another process holds it.
    """
    assert fcntl is not None, "without it `_exclusive_file` holds folders"
    while True:
        descriptor = os.open(path, flags, 0o666)
        _held.add(descriptor)
        try:
            try:
                fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
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
def _exclusive_file(lock: Path, place: Path, patience: float) -> Iterator[None]:
    from filelock import FileLock, Timeout

    try:
        with FileLock(lock, timeout=patience):
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
    """Close what a fork copied. Otherwise a worker that outlives its killed parent would go on holding its folders."""
    for descriptor in _held:
        with suppress(OSError):
            os.close(descriptor)
    _held.clear()


if fcntl is not None:
    os.register_at_fork(after_in_child=_let_go_in_child)
