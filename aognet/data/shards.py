"""Shards of samples, read one after the other: tar files in the WebDataset layout and Hugging Face datasets.

Nothing is decoded here except, later, the JSON and text of captions. Images stay bytes. Members of other kinds
(``.pkl``, ``.npy``, ``.pth``, ...) are never read, and no command or remote code is run.
"""

import re
import tarfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import product
from math import prod
from pathlib import Path
from typing import Any

from aognet.errors import UserError
from aognet.io.formats import LIGHT_SUFFIXES, SUFFIXES
from aognet.io.listing import find_images

TAR_SUFFIXES = (".tar", ".tar.gz", ".tgz")
SCHEMES = ("http", "https", "hf")
IMAGE_NAMES = (*(suffix[1:] for suffix in SUFFIXES if suffix not in LIGHT_SUFFIXES), "image")
MAX_IMAGE_BYTES = 2**29
MAX_TEXT_BYTES = 2**20
MAX_SHARDS = 1_000_000
MAX_CHARACTERS = 300
LONG_HEADERS = (
    *(tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE),
    *(tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK),
)
"""Kinds of members that ``tarfile`` reads into memory by itself, for the names and sizes of others."""
READ_FORMATS = ("parquet", "arrow", "imagefolder")


@dataclass(frozen=True)
class ShardImage:
    """An image file that is not decoded: its content, or its path."""

    content: bytes = b""
    path: str = ""

    def read(self) -> bytes:
        """Return the content.

        :raises UserError: if it cannot be read or is larger than ``MAX_IMAGE_BYTES``.
        """
        if self.content:
            return self.content
        with _told(self.path), _open(self.path) as file:
            content = file.read(MAX_IMAGE_BYTES + 1)
        if len(content) > MAX_IMAGE_BYTES:
            raise UserError(f"{self.path}: more than the limit of {MAX_IMAGE_BYTES} bytes")
        return content


@dataclass(frozen=True)
class Encoded:
    """A sample as its shard holds it, at place ``index``. Each of the ``fields`` is a `ShardImage`, bytes of text or a
    plain value.

    A field that exists but is not read is None.
    """

    index: int
    name: str
    fields: Mapping[str, Any]

    @property
    def size(self) -> int:
        """The bytes of its images."""
        return sum(len(value.content) for value in self.fields.values() if isinstance(value, ShardImage))


class TarShards:
    """Tar files. Members whose names are equal up to the first dot are one sample; the rest of a name is the field."""

    def __init__(self, names: Sequence[str], most_bytes: Callable[[str], int]):
        """``most_bytes`` returns how large a member with an extension may be; 0: it is not read."""
        self.names, self.most_bytes = list(names), most_bytes

    @property
    def places(self) -> list[str]:
        """The places of the shards, in their order."""
        return self.names

    def __len__(self) -> int:
        return len(self.names)

    def read(self, shard: int, wanted: range) -> Iterator[Encoded]:
        """Yield the samples of one shard whose index is wanted, in order.

        :raises UserError: naming a shard that is broken.
        """
        name = self.names[shard]
        key, index, fields = None, -1, {}
        with _told(name), _open(name) as file, _archive(file) as archive:
            while (member := archive.next()) is not None:
                # It would keep every header it ever read. Type stubs leave out what its manual does not describe.
                archive.members.clear()  # pyrefly: ignore[missing-attribute]
                if member.size < 0:
                    raise tarfile.ReadError(f"a member of {member.size} bytes")
                # As in WebDataset; hidden files, such as the forks that macOS packs, are no samples.
                match = re.fullmatch(r"((?:.*/)?[^/.]+)\.([^/]+)", member.name) if member.isreg() else None
                if match is None:
                    continue
                if match[1] != key:
                    if fields:
                        yield Encoded(index, f"{name}: {key}", fields)
                    key, index, fields = match[1], index + 1, {}
                if index in wanted:
                    extension = match[2].lower()
                    fields[extension] = self._content(archive, member, extension)
            if fields:
                yield Encoded(index, f"{name}: {key}", fields)

    def _content(self, archive: tarfile.TarFile, member: tarfile.TarInfo, extension: str) -> ShardImage | bytes | None:
        most = self.most_bytes(extension)
        if not 0 < member.size <= most:
            return None
        file = archive.extractfile(member)
        assert file is not None, "only regular files are asked for"
        content = file.read()
        return ShardImage(content) if most > MAX_TEXT_BYTES else content


class HubShards:
    """A dataset of the Hugging Face hub, or of a local folder in one of its layouts, through ``datasets``."""

    def __init__(self, builder: Any, split: str):
        data = builder.as_streaming_dataset(split=split)
        self.data = data.decode(False) if data.features else data
        self.linked = builder.name == "imagefolder"
        self.name = builder.dataset_name
        self.places = list(map(str, (builder.config.data_files or {}).get(split) or ()))
        """Where its files lie, in their order."""

    def __len__(self) -> int:
        return self.data.num_shards

    def read(self, shard: int, wanted: range) -> Iterator[Encoded]:
        """Yield samples as `TarShards.read` does."""
        name = f"{self.name}: shard {shard}"
        with _told(name):
            rows = self.data.shard(num_shards=len(self), index=shard).skip(wanted.start)
            # Not "for row in rows": inside a worker of a torch loader that leaves rows to the other workers.
            for index, row in enumerate(rows.iter(batch_size=1), wanted.start):
                if index in wanted:
                    fields = {key: self._field(key, values[0]) for key, values in row.items()}
                    yield Encoded(index, f"{name}: row {index}", fields)

    def _field(self, key: str, value: Any) -> Any:
        if isinstance(value, Mapping) and value.keys() == {"bytes", "path"}:
            content = value["bytes"]
            # Only a folder of images points to files; what a table calls a path could be any file of this machine.
            if content is None:
                return ShardImage(path=value["path"]) if self.linked and value["path"] else None
        elif isinstance(value, bytes) and key in IMAGE_NAMES:
            content = value
        else:
            return value
        return ShardImage(content) if 0 < len(content) <= MAX_IMAGE_BYTES else None


Shards = TarShards | HubShards


def hub_shards(
    dataset: str, name: str | None, split: str, revision: str | None, most_bytes: Callable[[str], int]
) -> Shards:
    """Return the shards of a hub id or local folder.

    :raises UserError: if it does not exist or has files of other kinds.
    """
    with _told(f"dataset: {dataset}"):
        from datasets import load_dataset_builder

        builder = load_dataset_builder(dataset, name=name, revision=revision)
        if builder.name == "webdataset":  # its own reader decodes arrays and tensors
            files = dict(builder.config.data_files or {})
            if split not in files:
                raise UserError(f"dataset: {dataset}: split must be one of {', '.join(map(str, files))}, got {split!r}")
            return TarShards(list(files[split]), most_bytes)
        if builder.name not in READ_FORMATS:
            known = ", ".join((*READ_FORMATS, "webdataset"))
            raise UserError(f"dataset: {dataset}: a dataset of kind {builder.name!r}; this reads {known}")
        return HubShards(builder, split)


def tar_files(entries: Sequence[str]) -> list[str]:
    """Return files, folders, globs, ``{000..099}`` ranges and URLs as single tar files, in order, each once."""
    return list(dict.fromkeys(name for entry in entries for one in _unfolded(entry) for name in _found(one)))


def _unfolded(entry: str) -> list[str]:
    """Return an entry with its ranges written out, with as many digits as the first number has."""
    texts = re.split(r"\{(\d+)\.\.(\d+)\}", entry)
    ranges = list(zip(texts[1::3], texts[2::3], strict=True))
    if prod(max(int(last) - int(first) + 1, 0) for first, last in ranges) > MAX_SHARDS:
        raise UserError(f"shards: {entry}: more than {MAX_SHARDS} files")
    numbers = [[f"{n:0{len(first)}}" for n in range(int(first), int(last) + 1)] for first, last in ranges]
    return [
        texts[0] + "".join(number + text for number, text in zip(chosen, texts[3::3], strict=True))
        for chosen in product(*numbers)
    ]


def _found(name: str) -> list[str]:
    scheme, is_url, _ = name.partition("://")
    if name.startswith("pipe:") or (is_url and scheme not in SCHEMES):
        known = ", ".join(f"{scheme}://" for scheme in SCHEMES)
        raise UserError(f"shards: {name}: only files and {known} are read, and no command is run")
    pattern = re.search(r"[*?\[]", name)
    if scheme == "hf" and pattern:
        from huggingface_hub import HfFileSystem

        with _told(f"shards: {name}"):
            found = [f"hf://{path}" for path in sorted(HfFileSystem().glob(name))]
    elif is_url:
        return [name]
    elif (path := Path(name)).is_file():
        return [name]
    elif path.is_dir():
        found = [str(file) for file in find_images(path, "shards", TAR_SUFFIXES)]
    elif pattern:
        root = Path(path.anchor or ".")
        found = sorted(str(file) for file in root.glob(str(path.relative_to(path.anchor))) if file.is_file())
    else:
        raise UserError(f"shards: no such tar file or folder: {name}")
    if not found:
        raise UserError(f"shards: no tar file in {name}")
    return found


def _open(place: str) -> Any:
    if "://" not in place:
        return Path(place).open("rb")
    from datasets.utils.file_utils import xopen  # tries again where a connection breaks

    return xopen(place, "rb")


def _archive(file: Any) -> tarfile.TarFile:
    try:
        return tarfile.open(fileobj=file, mode="r:*" if file.seekable() else "r|*", tarinfo=_TarHeader)
    except tarfile.ReadError as error:  # its text is a list of all compressions that were tried
        raise tarfile.ReadError("it is no tar file, or ends too early") from error


class _TarHeader(tarfile.TarInfo):
    """A tar header that must be whole unless it is an end mark: ``tarfile`` takes a broken one for the end of the
    archive.
    """

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> "_TarHeader":
        try:
            header = super().frombuf(buf, encoding, errors)
        except tarfile.EOFHeaderError:  # pyrefly: ignore[missing-attribute]
            raise
        except tarfile.HeaderError as error:
            raise tarfile.ReadError(f"it is no tar file, or ends too early ({error})") from error
        if header.type in LONG_HEADERS and not 0 <= header.size <= MAX_TEXT_BYTES:
            raise tarfile.ReadError(f"a header of {header.size} bytes")
        return header


@contextmanager
def _told(what: str) -> Iterator[None]:
    """Turn any error inside the block into one line that names ``what``."""
    try:
        yield
    except UserError:
        raise
    # Files, archives, compression, HTTP, the hub and Arrow have exceptions of their own, with no base but this.
    except Exception as error:
        line = " ".join(str(error).split())[:MAX_CHARACTERS] or type(error).__name__
        raise UserError(f"{what}: cannot be read: {line}") from error
