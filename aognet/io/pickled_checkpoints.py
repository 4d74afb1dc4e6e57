"""The weights of a pickled checkpoint of somebody's training, of which nothing else is read.

Such a file also holds optimizers, callbacks and settings: objects of classes that are not here. Each becomes a thing
that takes everything and does nothing. Only the tensors that are wanted are read from the file, whatever its size.
"""

import pickle
import zipfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from io import BufferedIOBase
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from aognet.io.pickle_instructions import Refused
from aognet.io.pickled_tensors import (
    MAX_BYTES,
    Archive,
    Reader,
    check_instructions,
    load,
    read_legacy_head,
    reading,
)


def read_checkpoint(path: Path, entry: str, most_bytes: int, skipped: Callable[[str], bool]) -> dict[str, Tensor]:
    """Return the tensors by name that a dictionary saved by torch has as its ``entry``, but for the ``skipped`` names.

    ``most_bytes``: of these tensors together.

    :raises UserError: naming the file, for whatever is not such a file, has something else there, or is too large.
    """
    with reading(path), path.open("rb") as file:
        if zipfile.is_zipfile(file):
            with zipfile.ZipFile(file) as archive:
                return _read_zip(Archive(archive), _Wanted(entry, most_bytes, skipped))
        file.seek(0)
        return _read_legacy(file, _Wanted(entry, most_bytes, skipped))


class _Stored(NamedTuple):
    """A storage that has not been read."""

    key: str
    dtype: torch.dtype
    count: int

    @property
    def bytes(self) -> int:
        return self.count * self.dtype.itemsize


class _Shown(NamedTuple):
    """A tensor of which the numbers have not been read."""

    storage: _Stored
    offset: int
    size: tuple[int, ...]
    stride: tuple[int, ...]

    def of(self, numbers: Tensor) -> Tensor:
        return numbers.as_strided(self.size, self.stride, self.offset)


class _Wanted(NamedTuple):
    entry: str
    most_bytes: int
    skipped: Callable[[str], bool]

    def of(self, found: Any) -> dict[str, _Shown]:
        """Return what a checkpoint has of it. Raises Refused for anything but tensors that are not too large."""
        state = found.get(self.entry) if isinstance(found, dict) else None
        if not isinstance(state, dict):
            raise Refused(f"has no tensors as its entry {self.entry!r}")
        shown = {str(name): value for name, value in state.items() if not self.skipped(str(name))}
        for name, value in shown.items():
            if not isinstance(value, _Shown):
                raise Refused(f"{self.entry}: {name!r:.100} is no tensor")
        if sum(storage.bytes for storage in {value.storage for value in shown.values()}) > self.most_bytes:
            raise Refused(f"holds tensors of more than {self.most_bytes} bytes")
        return shown


def _read_zip(archive: Archive, wanted: _Wanted) -> dict[str, Tensor]:
    shown = wanted.of(_CheckpointReader.read(archive.pickled()).found)
    numbers = {storage: archive.storage(*storage) for storage in {value.storage for value in shown.values()}}
    return _tensors(shown, numbers)


def _read_legacy(content: BufferedIOBase, wanted: _Wanted) -> dict[str, Tensor]:
    """Read what is wanted of the storages, which lie one after the other behind the list of their keys."""
    read_legacy_head(content)
    checkpoint = _CheckpointReader.read(content)
    shown, numbers = wanted.of(checkpoint.found), {}
    needed = {value.storage for value in shown.values()}
    for key in load(content, _no_numbers):
        storage = checkpoint.storages[key]
        if int.from_bytes(content.read(8), "little") != storage.count:
            raise Refused("its tensors end too early")
        if storage in needed:
            numbers[storage] = torch.zeros(storage.count, dtype=storage.dtype)
            raw = numbers[storage].view(torch.uint8).numpy()
            if content.readinto(raw.data) != raw.nbytes:  # type: ignore[attr-defined]
                raise Refused("its tensors end too early")
        else:
            content.seek(storage.bytes, 1)
    if content.tell() > content.seek(0, 2):  # one may seek beyond the end
        raise Refused("its tensors end too early")
    return _tensors(shown, numbers)


def _tensors(shown: Mapping[str, _Shown], numbers: Mapping[_Stored, Tensor]) -> dict[str, Tensor]:
    return {name: value.of(numbers[value.storage]) for name, value in shown.items()}


def _no_numbers(key: str, dtype: torch.dtype, count: int) -> Tensor:
    raise Refused("has tensors in the list of its storages")


class _Unread:
    """Stands for a class that is not here, or for an object of it: whatever is done to it, it stays as it is."""

    def __new__(cls, *_: Any, **__: Any) -> "_Unread":
        return object.__new__(_Unread)

    def __init__(self, *_: Any, **__: Any) -> None:
        pass

    def __call__(self, *_: Any, **__: Any) -> "_Unread":
        return self

    def __setitem__(self, key: Any, value: Any) -> None:
        pass

    def append(self, value: Any) -> None:
        pass

    def extend(self, values: Iterable[Any]) -> None:
        pass


class _CheckpointReader(Reader):
    """Reads no storages, and nothing of classes that hold no tensors."""

    def __init__(self, content: BufferedIOBase) -> None:
        super().__init__(content, _no_numbers, MAX_BYTES)
        self.storages: dict[str, _Stored] = {}
        self.found: Any = None

    @classmethod
    def read(cls, content: BufferedIOBase) -> "_CheckpointReader":
        check_instructions(content)
        reader = cls(content)
        reader.found = reader.load()
        return reader

    def load_build(self) -> None:
        if isinstance(self.stack[-2], _Unread):
            self.stack.pop()
            return
        super().load_build()

    dispatch = {**Reader.dispatch, pickle.BUILD[0]: load_build}  # noqa: RUF012

    def check_keys(self, keys: Sequence[Any]) -> None:
        super().check_keys([key for key in keys if not isinstance(key, _Unread)])

    def find_class(self, module: str, name: str) -> Any:
        try:
            return super().find_class(module, name)
        except Refused:
            return _Unread()

    def persistent_load(self, told: Any) -> Any:
        kind, dtype, key, _, count, *view = told if isinstance(told, tuple) else ("module", None, None, None, 0)
        if not (kind == "storage" and isinstance(dtype, torch.dtype) and isinstance(key, str) and not any(view)):
            return _Unread()
        if not isinstance(count, int) or count < 0:
            raise Refused("has a storage without a size")
        return self.storages.setdefault(key, _Stored(key, dtype, count))

    def tensor(self, storage: Any, offset: Any, size: Any, stride: Any, *_: Any) -> Any:
        if not isinstance(storage, _Stored):
            return _Unread()
        places = (offset, *size, *stride)
        if not all(isinstance(place, int) and place >= 0 for place in places) or len(size) != len(stride):
            raise Refused("holds a tensor without a size")
        return _Shown(storage, offset, tuple(size), tuple(stride))
