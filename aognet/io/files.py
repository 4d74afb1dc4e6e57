"""Files that survive a kill at any moment: they are as they were before, or as they are after."""

import ctypes
import os
import re
import shutil
import sys
import tempfile
import threading
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from errno import ENOTDIR
from itertools import takewhile
from pathlib import Path

from aognet.errors import UserError

LONGEST_NAME_BYTES = 255
# Pillow's settings for PNG files: panoramas come out as small as with its defaults, in a quarter of the time.
PNG = {"compress_level": 1, "compress_type": zlib.Z_RLE}
_UNFINISHED = re.compile(r"\.(?P<name>.+)\.\d+-\d+\.tmp", re.DOTALL)


def write_atomically(path: Path, content: bytes | str) -> None:
    """Write ``path`` through a hidden neighbour, so that nobody ever reads half of it. Text is written as UTF-8.

    :raises UserError: naming the file, if it cannot be written. The old content stays then.
    """
    unfinished = None
    try:
        unfinished = _neighbour(path)
        # Half characters, as of file names that are not UTF-8, are escaped; in JSON they come back as they were.
        unfinished.write_bytes(content.encode(errors="backslashreplace") if isinstance(content, str) else content)
        flush(unfinished)
        unfinished.replace(path)
        unfinished = None  # now there is nothing left to do: who is killed from here on has written
    except (OSError, ValueError) as error:  # ValueError: a name that no file can have
        raise UserError(f"{path}: cannot write this file ({getattr(error, 'strerror', None) or error})") from error
    finally:
        if unfinished is not None:
            with suppress(OSError, ValueError):  # where nothing could be written, nothing can be removed
                unfinished.unlink()


def _neighbour(path: Path) -> Path:
    """Return the hidden path of a file's content until it is complete. If the name is very long, only a part is
    kept.
    """
    ending = f".{os.getpid()}-{threading.get_ident()}.tmp"
    room = LONGEST_NAME_BYTES - len(ending) - 1
    return path.with_name(f".{os.fsdecode(os.fsencode(path.name)[:room])}{ending}")


def check_writable(folder: Path, key: str = "") -> None:
    """Raise UserError naming the setting ``key`` if nothing can be written to ``folder``."""
    try:
        with tempfile.TemporaryFile(dir=folder):
            return
    except OSError as error:
        raise UserError(f"{folder}: cannot be written to ({error.strerror})", key=key) from error


@contextmanager
def made_folder(folder: Path, key: str = "") -> Iterator[None]:
    """Make ``folder`` and the folders above it, if they are missing.

    When the ``with`` block ends, in whatever way, the new folders that are still empty are removed: a command that
    failed leaves nothing behind.

    :raises UserError: naming the setting ``key`` and the folder, if it cannot be made.
    """
    made: list[Path] = []
    try:
        try:
            for path in [*reversed(_missing(folder)), folder]:
                with suppress(FileExistsError):
                    path.mkdir()
                    made.append(path)
            if not folder.is_dir():
                raise NotADirectoryError(ENOTDIR, os.strerror(ENOTDIR))
        except (OSError, ValueError) as error:  # ValueError: a name that no folder can have
            reason = getattr(error, "strerror", None) or error
            raise UserError(f"{folder}: cannot make this folder ({reason})", key=key) from error
        yield
    finally:
        with suppress(OSError):  # the first that is not empty keeps those above it, too
            for path in reversed(made):
                path.rmdir()


@contextmanager
def filled_folder(folder: Path) -> Iterator[Path]:
    """Yield an empty hidden folder; when the ``with`` block has ended without an error, its files are in ``folder``.

    A new or empty ``folder`` gets all of them at once. In another one, each replaces the file of its name, and what
    else lies there stays. After an error nothing is there that was not there before.

    :raises UserError: naming the folder or the file that cannot be made.
    """
    with made_folder(folder.parent):
        with _told(folder, "make this folder"):
            unfinished = _neighbour(folder)
            shutil.rmtree(unfinished, ignore_errors=True)
            unfinished.mkdir()
        try:
            yield unfinished
            _put_in_place(unfinished, folder)
        except UserError as error:  # it names the file as it would have been called
            told = (
                part.replace(str(unfinished), str(folder)) if isinstance(part, str) else part for part in error.args
            )
            error.args = tuple(told)
            raise
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)


def share_as_folder(path: Path) -> None:
    """Let those read and write a file who may its folder: safetensors makes files that are for their owner alone."""
    with suppress(OSError):  # some file systems have no permissions of their own
        path.chmod(path.parent.stat().st_mode & 0o666)


def _put_in_place(unfinished: Path, folder: Path) -> None:
    """Give the files of a hidden folder their place."""
    for path in files_in(unfinished):
        share_as_folder(path)
    with suppress(OSError):  # not empty, or no folder
        unfinished.rename(folder)
        return
    for path in files_in(unfinished):
        final = folder / path.relative_to(unfinished)
        with _told(final, "write this file"):
            final.parent.mkdir(parents=True, exist_ok=True)
            path.replace(final)


@contextmanager
def _told(path: Path, deed: str) -> Iterator[None]:
    """Turn errors of the system inside the block into a UserError about ``path``."""
    try:
        yield
    except (OSError, ValueError) as error:  # ValueError: a name that no file can have
        raise UserError(f"{path}: cannot {deed} ({getattr(error, 'strerror', None) or error})") from error


def _missing(folder: Path) -> list[Path]:
    """Return the folders above ``folder`` that do not exist, the nearest first."""
    return list(takewhile(lambda path: not path.exists(), folder.parents))


def files_in(folder: Path) -> list[Path]:
    """Return the files in a folder of ours and in its subfolders, sorted."""
    return sorted(path for path in folder.rglob("*") if path.is_file())


def folders_in(folder: Path) -> list[Path]:
    """Return the subfolders of a folder of ours, at any depth, sorted."""
    return sorted(path for path in folder.rglob("*") if path.is_dir())


def clear_unfinished(folder: Path, ours: Callable[[str], bool]) -> None:
    """Remove the unfinished files that killed writers left in ``folder``, if ``ours`` is true for the file's name.

    Call it only while holding the folder (`aognet.system.locking.exclusive`); otherwise a file may belong to a writer
    that lives.
    """
    with suppress(OSError):  # not there, or not to be read: nothing to remove
        for path in folder.iterdir():
            name = unfinished_of(path.name)
            if name is not None and ours(name):
                with suppress(OSError):
                    path.unlink()


def unfinished_of(name: str) -> str | None:
    """Return the name of the file that a hidden neighbour is the unfinished content of; None if it is no such
    neighbour.
    """
    found = _UNFINISHED.fullmatch(name)
    return found and found["name"]


def replace_folder(unfinished: Path, final: Path) -> None:
    """Put a complete folder in the place of another, which is removed. A kill leaves the one or the other. Its files
    get the permissions of their folders (`share_as_folder`).

    Where the file system cannot exchange two names, the old folder is called ``.old-NAME`` for a moment. A kill in that
    moment leaves no folder, and `restore_folder` brings the old one back.

    :raises OSError: if it cannot be done.
    """
    for path in files_in(unfinished):
        share_as_folder(path)
        flush(path)
    flush(unfinished)
    former = unfinished
    if not final.exists():
        unfinished.rename(final)
    elif not _exchange(unfinished, final):
        former = _former(final)
        shutil.rmtree(former, ignore_errors=True)
        final.rename(former)
        unfinished.rename(final)
    flush(final.parent)
    shutil.rmtree(former, ignore_errors=True)


def restore_folder(final: Path) -> None:
    """Undo what `replace_folder` had begun when it was killed. Call it only while holding the folder above
    ``final``.
    """
    if not final.exists() and _former(final).is_dir():
        _former(final).rename(final)
    shutil.rmtree(_former(final), ignore_errors=True)


def _former(final: Path) -> Path:
    return final.with_name(f".old-{final.name}")


def _exchange(one: Path, other: Path) -> bool:
    """Exchange two names at once. Return False if the system cannot (Linux can, on its own file systems)."""
    rename = getattr(ctypes.CDLL(None), "renameat2", None) if sys.platform == "linux" else None
    here, exchange = -100, 2  # AT_FDCWD and RENAME_EXCHANGE of <fcntl.h> and <stdio.h>
    return rename is not None and rename(here, os.fsencode(one), here, os.fsencode(other), exchange) == 0


def flush(path: Path) -> None:
    """Wait until a file, or the names in a folder, are on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def is_folder(path: Path) -> bool:
    """Return whether there is such a folder. A name that no folder can have (too long, with a NUL) names none."""
    try:
        return path.is_dir()
    except (OSError, ValueError):
        return False


def is_utf8(path: Path) -> bool:
    """Return whether a name is UTF-8, as libraries outside Python need it."""
    return not any("\ud800" <= letter <= "\udfff" for letter in str(path))


def is_file(path: Path) -> bool:
    """Return whether there is such a file. A name that no file can have (too long, with a NUL) names none."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False
