"""Tensors that torch pickled, read without running anything in them.

As with captions (`aognet.io.pickled_captions`), every instruction is walked through first. Python's own reader then
gets nothing to call but functions of ours, which put tensors together from the file's bytes and check their sizes.
"""

import math
import pickle
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from io import BufferedIOBase, BytesIO
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor

from aognet.errors import UserError
from aognet.io.files import is_file
from aognet.io.pickle_instructions import MEMO, NONSENSE, RECALL, TUPLES, Refused, instructions

MAX_BYTES = 64 * 2**20
ALLOWED = {
    *("PROTO", "FRAME", "STOP", "MARK", *RECALL, "GLOBAL", "STACK_GLOBAL", "REDUCE", "NEWOBJ", "BUILD", "BINPERSID"),
    *("BINUNICODE", "SHORT_BINUNICODE", "NONE", "NEWTRUE", "NEWFALSE", "BININT", "BININT1", "BININT2", "LONG1"),
    *("BINFLOAT", "EMPTY_LIST", "APPEND", "APPENDS", "EMPTY_DICT", "SETITEM", "SETITEMS", *TUPLES),
    *MEMO - {"MEMOIZE"},
}  # fmt: skip
DTYPES = {
    "FloatStorage": torch.float32,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "DoubleStorage": torch.float64,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool,
}
LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
Storage = Callable[[str, torch.dtype, int], Tensor]


def read_pickled_tensors(path: Path, most_bytes: int | None = None) -> Any:
    """Return the dictionaries, lists, numbers, texts and tensors that ``torch.save`` wrote, before torch 1.6 or since.

    ``most_bytes``: of the file, and of its tensors (None: enough for words).

    Parameters and what else holds tensors come as these, `ParameterDict` as a dictionary.

    :raises UserError: naming the file, for whatever is not such a file, holds anything else, or is too large.
    """
    most_bytes = most_bytes or MAX_BYTES
    with reading(path):
        if path.stat().st_size > most_bytes:
            raise Refused(f"larger than {most_bytes} bytes")
        content = path.read_bytes()
        return (_read_zip if zipfile.is_zipfile(BytesIO(content)) else _read_legacy)(BytesIO(content), most_bytes)


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Inside the block, whatever is wrong with a file of torch's that is read there is a `UserError` naming it."""
    if not is_file(path):
        raise UserError(f"{path}: no such file")
    try:
        yield
    except OSError as error:
        raise UserError(f"{path}: cannot read this file ({error.strerror})") from error
    except Refused as error:
        raise UserError(f"{path}: {error}") from error
    except (*NONSENSE, RuntimeError, zipfile.BadZipFile) as error:
        raise UserError(f"{path}: no whole file of torch's ({type(error).__name__}: {str(error)[:100]})") from error


def _read_zip(content: BytesIO, most_bytes: int) -> Any:
    with zipfile.ZipFile(content) as file:
        archive = Archive(file)
        return load(archive.pickled(), archive.storage, most_bytes)


class Archive:
    """What torch writes since 1.6: ``data.pkl``, and a file of raw numbers for each storage."""

    def __init__(self, archive: zipfile.ZipFile) -> None:
        """Raise Refused for any other archive."""
        names = [name for name in archive.namelist() if name.partition("/")[2] == "data.pkl"]
        if len(names) != 1:
            raise Refused("an archive, but none of torch's: no data.pkl is in it")
        self._archive, self._folder = archive, names[0].partition("/")[0]
        if f"{self._folder}/byteorder" in archive.namelist() and self._member("byteorder", 10) != b"little":
            raise Refused("its numbers have the other byte order")

    def pickled(self) -> BytesIO:
        """Return the pickle that says which tensors there are."""
        return BytesIO(self._member("data.pkl", MAX_BYTES))

    def storage(self, key: str, dtype: torch.dtype, count: int) -> Tensor:
        """Return the numbers of a storage as a flat tensor."""
        found = self._member(f"data/{key}", count * dtype.itemsize)
        return torch.frombuffer(bytearray(found), dtype=dtype) if count else torch.empty(0, dtype=dtype)

    def _member(self, name: str, most: int) -> bytes:
        with self._archive.open(f"{self._folder}/{name}") as file:  # no more is unpacked than is wanted
            found = file.read(most + 1)
        if len(found) > most:
            raise Refused(f"{self._folder}/{name} is larger than it should be")
        return found


def _read_legacy(content: BytesIO, most_bytes: int) -> Any:
    """Read four pickles (what it is, a version, the machine, the content), a list of storages, and their numbers."""
    storages: dict[str, Tensor] = {}

    def storage(key: str, dtype: torch.dtype, count: int) -> Tensor:
        storages[key] = torch.zeros(count, dtype=dtype)
        return storages[key]

    read_legacy_head(content)
    found = load(content, storage, most_bytes)
    for key in load(content, storage, most_bytes):
        raw = storages[key].view(torch.uint8).numpy()
        count = int.from_bytes(content.read(8), "little")
        if count != storages[key].numel() or content.readinto(raw.data) != raw.nbytes:
            raise Refused("its tensors end too early")
    return found


def read_legacy_head(content: BufferedIOBase) -> None:
    """Read what torch wrote before the content until 1.6. Raises Refused if it is not that."""
    if load(content, _no_storage) != LEGACY_MAGIC:
        raise Refused("a pickle, but none of torch's")
    load(content, _no_storage)
    if load(content, _no_storage).get("little_endian") is not True:
        raise Refused("its numbers have the other byte order")


def load(content: BufferedIOBase, storage: Storage, most_bytes: int = MAX_BYTES) -> Any:
    """Read the pickle at the place where a file stands, once its instructions are found harmless."""
    check_instructions(content)
    return Reader(content, storage, most_bytes).load()


def check_instructions(content: BufferedIOBase) -> None:
    """Walk through the pickle at the place where a file stands, and go back. Raises Refused for a harmful one."""
    start = content.tell()
    for _ in instructions(content, ALLOWED, "containers and tensors"):
        pass
    content.seek(start)


def _no_storage(key: str, dtype: torch.dtype, count: int) -> Tensor:
    raise Refused("has tensors before its content")


# Types of the standard library do not know how it may be changed.
_Unpickler: Any = pickle._Unpickler


class Reader(_Unpickler):
    """Python's reader, in Python, for which there is nothing in the world but tensors and dictionaries."""

    dispatch: ClassVar[dict[int, Callable[..., None]]] = dict(_Unpickler.dispatch)

    def __init__(self, content: BufferedIOBase, storage: Storage, most_bytes: int) -> None:
        super().__init__(content)
        self._storage = storage
        self._storages: dict[str, Tensor] = {}
        self._most_bytes = self._left = most_bytes

    def load_build(self) -> None:
        """Give an object its state: only such as stand for a ``ParameterDict`` have one."""
        if type(self.stack[-2]) is OrderedDict:  # a state dict has the versions of its modules beside its tensors
            self.stack.pop()
            return
        if not isinstance(self.stack[-2], _Parameters):  # of tensors and functions it would change anything
            raise Refused(f"changes a {type(self.stack[-2]).__name__}")
        super().load_build()

    def load_setitem(self) -> None:
        """Give a dictionary an entry."""
        self.check_keys(self.stack[-2:-1])
        super().load_setitem()

    def load_setitems(self) -> None:
        """Give a dictionary entries."""
        self.check_keys(self.stack[::2])  # all since the mark
        super().load_setitems()

    dispatch |= {pickle.BUILD[0]: load_build, pickle.SETITEM[0]: load_setitem, pickle.SETITEMS[0]: load_setitems}

    def check_keys(self, keys: Sequence[Any]) -> None:
        """Refuse keys such as tuples of tuples, of which the hash may take for ever."""
        for key in keys:
            if type(key) not in (str, int):
                raise Refused(f"holds a dictionary with keys that are {type(key).__name__}")

    def find_class(self, module: str, name: str) -> Any:
        """Return what stands for a function or class. Raises Refused for those that make no tensors."""
        if module == "torch" and name in DTYPES:
            return DTYPES[name]
        known = {
            ("collections", "OrderedDict"): _dictionary,
            ("torch._utils", "_rebuild_tensor_v2"): self.tensor,
            ("torch._utils", "_rebuild_parameter"): lambda tensor, *_: tensor,
            ("torch.nn.modules.container", "ParameterDict"): _Parameters,
            ("__builtin__", "set"): _nothing,
            ("builtins", "set"): _nothing,
        }
        if (module, name) not in known:
            raise Refused(f"wants to call {f'{module}.{name}'!r:.100}, which is not read")
        return known[module, name]

    def persistent_load(self, told: Any) -> Any:
        """Return a storage of the file as a flat tensor, or a class beside whose name its source is kept."""
        if told[0] == "module":
            return told[1]
        kind, dtype, key, _, count, *view = told
        if kind != "storage" or not isinstance(dtype, torch.dtype) or not isinstance(key, str) or any(view):
            raise Refused("holds something other than tensors in its storages")
        if key not in self._storages:
            self._left -= count * dtype.itemsize
            if count < 0 or self._left < 0:
                raise Refused(f"holds tensors of more than {self._most_bytes} bytes")
            self._storages[key] = self._storage(key, dtype, count)
        return self._storages[key]

    def tensor(self, storage: Any, offset: Any, size: Any, stride: Any, *_: Any) -> Any:
        """Return a tensor that shows numbers of a storage."""
        if not isinstance(storage, Tensor) or math.prod(size) > storage.numel():
            raise Refused("holds a tensor that is larger than its storage")
        return storage.as_strided(size, stride, offset)


class _Parameters(dict):
    """Stands for a ``ParameterDict``, whose state has the tensors."""

    def __setstate__(self, state: Any) -> None:
        self.update(state["_parameters"])


def _dictionary(*items: Any) -> OrderedDict[Any, Any]:
    if items:
        raise Refused("makes a dictionary of something")
    return OrderedDict()


def _nothing(*_: Any) -> None:
    """Stand for a set, which no tensor needs."""
