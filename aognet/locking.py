"""One process at a time in a folder: a lock of the operating system, which ends with the process however it ends."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from aognet.errors import UserError

try:
    import fcntl
except ImportError:  # Windows, where a folder cannot be locked: a hidden file in it is
    fcntl = None

LOCK_FILE = ".lock"
_held: set[int] = set()


class FolderInUseError(UserError):
    """Another process works in a folder."""


@contextmanager
def exclusive(folder: Path) -> Iterator[None]:
    """Hold a folder, which must be there, against other processes (and other holders in this one) for the ``with``.

    Nothing is left in the folder, and a process that is killed holds nothing. Network shares may not pass locks on.

    :raises FolderInUseError: at once, naming the folder, where another process holds it.
    :raises UserError: where the folder cannot be opened.
    """
    if fcntl is None:
        with _exclusive_file(folder):
            yield
        return
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError as error:
        raise UserError(f"{folder}: cannot open this folder ({error.strerror})") from error
    _held.add(descriptor)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise _in_use(folder) from error
        except OSError:  # a file system without locks: better to work than to refuse
            pass
        yield
    finally:
        _held.discard(descriptor)
        os.close(descriptor)


@contextmanager
def _exclusive_file(folder: Path) -> Iterator[None]:
    from filelock import FileLock, Timeout

    try:
        with FileLock(folder / LOCK_FILE, timeout=0):
            yield
    except Timeout as error:
        raise _in_use(folder) from error
    finally:
        with suppress(OSError):  # held by another process
            (folder / LOCK_FILE).unlink(missing_ok=True)


def _in_use(folder: Path) -> FolderInUseError:
    return FolderInUseError(f"{folder}: another process is working in this folder; wait for it or choose another")


def _let_go_in_child() -> None:
    """Close what a fork copied: else a worker that outlives its killed parent would go on holding its folders."""
    for descriptor in _held:
        with suppress(OSError):
            os.close(descriptor)
    _held.clear()


if fcntl is not None:
    os.register_at_fork(after_in_child=_let_go_in_child)
