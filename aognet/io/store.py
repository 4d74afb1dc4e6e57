"""A store on disk for what is computed once. The digest of all that a value was made of names its file, so none is ever
stale.

Several processes and runs may share a folder, which may contain anything else, too.
"""

import logging
import os
import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar

from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from aognet.errors import UserError
from aognet.io.digest import file_digest
from aognet.io.files import made_folder, unfinished_of, write_atomically
from aognet.system.home import default_folder, expanded
from aognet.system.locking import exclusive, shared

log = logging.getLogger(__name__)

ABANDONED_SECONDS = 3600.0
# The names of measurements (`aognet.evaluation.protocol.digest_of`), of encodings, and of panoramas of some height.
OURS = re.compile(r"([0-9a-f]{24}|[0-9a-f]{32})\.safetensors|[0-9a-f]{32}-\d+\.bin")
Value = TypeVar("Value")


@dataclass(frozen=True)
class CacheConfig:
    """``folder`` of the stored values (null: nothing is stored) and how much it may hold.

    When it is full, values that this run has not used are removed. If there are none, further values are computed each
    time.
    """

    folder: str | None = field(default_factory=default_folder)
    gigabytes: float = 50.0

    def __post_init__(self) -> None:
        if self.gigabytes < 0:
            raise UserError("must not be negative", key="gigabytes", value=self.gigabytes)


@dataclass(frozen=True)
class FileFormat(Generic[Value]):
    """How values become files. ``read`` raises ValueError or OSError for a file that ``pack`` did not make."""

    suffix: str
    pack: Callable[[Value], bytes]
    read: Callable[[Path], Value]


def _pack_tensors(tensors: Mapping[str, Tensor]) -> bytes:
    return save({name: value.cpu().contiguous() for name, value in tensors.items()})


def _read_tensors(path: Path) -> dict[str, Tensor]:
    try:
        return load(path.read_bytes())
    # The library looks up the name of a type without a check.
    except (SafetensorError, KeyError) as error:
        raise ValueError(f"{path}: {error}") from error


TENSORS: FileFormat[Mapping[str, Tensor]] = FileFormat(".safetensors", _pack_tensors, _read_tensors)


class Store(Generic[Value]):
    """A folder of values, each under the digest of all that it was made of.

    A value that is lost, damaged or removed by another process is computed again. Whoever cannot do that reads within
    `held`.
    """

    def __init__(self, config: CacheConfig, kept_as: FileFormat[Value], without: str = "nothing is kept"):
        """``without`` is what the log says if the folder turns out not to be writable."""
        self.folder = None if config.folder is None else expanded(config.folder)
        self.max_bytes = int(config.gigabytes * 2**30)
        self.format, self.without = kept_as, without
        self.started = time.time()
        self._room = 0  # bytes that may be written before the folder is measured again

    def get(self, key: str) -> Value | None:
        """Return the value of a key; None if there is none, or a damaged file."""
        if self.folder is None:
            return None
        path = self._path(key)
        try:
            value = self.format.read(path)
        except (OSError, ValueError):  # not there (any more), or damaged
            return None
        with suppress(OSError):  # a folder that may only be read
            os.utime(path)  # what was used last goes last
        return value

    def of_file(self, path: Path, recipe: Callable[[], Any], make: Callable[[Path], Value]) -> Value:
        """Return what ``make`` makes of a file. It is made only if the store lacks it, and is stored if there is room.

        ``recipe`` starts the digest (`aognet.io.digest.file_digest`): what is made in another way has another one.

        :raises UserError: for a file that cannot be read.
        """
        try:
            if self.folder is None:
                return make(path)
            key = file_digest(path, recipe)
            value = self.get(key)
            if value is None:
                value = make(path)
                self.offer(key, value)
            return value
        except OSError as error:
            raise UserError(f"{path}: cannot be read ({error.strerror})") from error

    def put(self, key: str, value: Value) -> None:
        """Store a value, whether there is room or not.

        :raises UserError: if it cannot be written.
        """
        self._write(key, self.format.pack(value))

    def offer(self, key: str, value: Value) -> None:
        """Store a value if there is room. A folder that cannot be written is reported once and not used any more."""
        if self.folder is None:
            return
        content = self.format.pack(value)
        try:
            if self._has_room(len(content)):
                self._write(key, content)
                self._room -= len(content)
        except UserError as error:
            log.warning("%s: %s", self.without, error)
            self.folder = None

    @contextmanager
    def held(self) -> Iterator[None]:
        """Hold the folder until the ``with`` block ends: nobody removes anything. Then unused values are removed, as
        many as needed.

        Of several holders, the last one removes.

        :raises UserError: if the folder cannot be opened.
        """
        with shared(self._place()):
            yield
        self.make_room()

    def make_room(self, wanted: int = 0) -> int:
        """Remove values that this run did not use, those used longest ago first, until ``wanted`` bytes are free.

        Files that killed writers left are removed, too. Nothing is removed while another process holds the folder.
        Returns the bytes that are free now.
        """
        with ExitStack() as stack:
            try:
                stack.enter_context(exclusive(self._place(), patience=0.0))
                return self._make_room(wanted, may_remove=True)
            except UserError:  # in use, or not there
                return self._make_room(wanted, may_remove=False)

    def _make_room(self, wanted: int, may_remove: bool) -> int:
        files = sorted(self._files())
        used = sum(size for _, size, _, _ in files)
        for used_last, size, path, unfinished in files if may_remove else ():
            abandoned = unfinished and used_last < time.time() - ABANDONED_SECONDS
            unused = not unfinished and used_last < self.started and used + wanted > self.max_bytes
            if abandoned or unused:
                with suppress(OSError):
                    path.unlink()
                    used -= size
        return max(self.max_bytes - used, 0)

    def _files(self) -> Iterator[tuple[float, int, Path, bool]]:
        """Yield, for each file, when it was used, its bytes, its path, and whether a writer has not finished it."""
        with suppress(OSError):  # the folder is not there yet
            for entry in os.scandir(self.folder):
                unfinished = unfinished_of(entry.name)
                if OURS.fullmatch(unfinished or entry.name):
                    with suppress(OSError):
                        status = entry.stat()
                        yield status.st_mtime, status.st_size, Path(entry.path), unfinished is not None

    def _has_room(self, size: int) -> bool:
        if self._room < size:
            free = self.make_room(min(8 * size, self.max_bytes // 4))
            # Other processes fill the folder too: only a part of what is free is taken before it is measured again.
            self._room = max(free // 4, min(free, size))
        return self._room >= size

    def _write(self, key: str, content: bytes) -> None:
        with made_folder(self._place()):
            write_atomically(self._path(key), content)

    def _place(self) -> Path:
        assert self.folder is not None, "a store without a folder keeps nothing"
        return self.folder

    def _path(self, key: str) -> Path:
        return self._place() / f"{key}{self.format.suffix}"
