"""Caption pickles of the published code, read without running anything in them.

A pickle is a program. It is walked through first: every instruction must be one that dictionaries, lists, sets, strings
and pathlib's paths need, and there may not be too many. Then Python's own reader follows it, and gets nothing to call
but two functions of ours that make sets and paths and count what they make.
"""

import io
import pickle
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path, PurePath, PurePosixPath, PureWindowsPath
from typing import Any

from aognet.errors import Setting, UserError
from aognet.io.captions import MAX_CHARACTERS
from aognet.io.pickle_instructions import MAX_INSTRUCTIONS, MEMO, NONSENSE, RECALL, TUPLES, Refused, instructions

MAX_BYTES = 64 * 2**20
MAX_NAME_CHARACTERS = 4096
MAX_PATHS_CHARACTERS = 2**24

SETS = {(module, name) for module in ("builtins", "__builtin__") for name in ("set", "frozenset")}
PATHS = {
    (module, name): PureWindowsPath if "Windows" in name else PurePosixPath
    for module in ("pathlib", "pathlib._local")
    for name in ("Path", "PurePath", "PosixPath", "PurePosixPath", "WindowsPath", "PureWindowsPath")
}
ALLOWED = {
    *("PROTO", "FRAME", "STOP", "MARK", *RECALL, "GLOBAL", "STACK_GLOBAL", "REDUCE"),
    *("UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8", "STRING", "BINSTRING", "SHORT_BINSTRING"),
    *("EMPTY_LIST", "LIST", "APPEND", "APPENDS", "EMPTY_DICT", "DICT", "SETITEM", "SETITEMS"),
    *("EMPTY_SET", "ADDITEMS", "FROZENSET", *MEMO, *TUPLES),
}  # fmt: skip


def read_caption_pickle(path: Path) -> dict[PurePath, list[str]]:
    """Return captions by image name or path; those of a set are sorted. Paths keep their kind (POSIX or Windows).

    :raises UserError: naming the file, for whatever is no such pickle, or too large.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f"{path}: no such file")
    try:
        if path.stat().st_size > MAX_BYTES:
            raise Refused(f"larger than {MAX_BYTES} bytes")
        content = path.read_bytes()
        check_instructions(content)
        return _captions(_Reader(io.BytesIO(content), encoding="latin-1").load())
    except OSError as error:
        raise UserError(f"{path}: cannot read this file ({error.strerror})") from error
    except Refused as error:
        raise UserError(f"{path}: {error}") from error
    except NONSENSE as error:
        raise UserError(f"{path}: not a whole pickle ({type(error).__name__}: {str(error)[:100]})") from error


def check_instructions(content: bytes) -> None:
    """Raise `Refused` for a pickle with an instruction that is not `ALLOWED`, or with too many."""
    before = ""
    for name, _ in instructions(content, ALLOWED, "containers, strings and paths"):
        # Tuples are for calls, which take flat ones alone: to hash one of tuples of tuples may take for ever.
        if before in TUPLES and name not in MEMO and name != "REDUCE":
            raise Refused(f"holds a tuple that no path or set is made of ({before})")
        before = before if name in MEMO else name


class _Reader(pickle.Unpickler):
    """Python's reader, for which there is nothing in the world but sets and paths of strings."""

    made = characters = 0

    def find_class(self, module: str, name: str) -> Callable[..., Any]:
        if (module, name) in SETS:
            return self._set
        if (module, name) in PATHS:
            return partial(self._path, PATHS[module, name])
        raise Refused(f"wants to call {f'{module}.{name}'!r:.100}, which is not read")

    def _set(self, items: Any = ()) -> set[str]:
        if not isinstance(items, list | tuple | set | frozenset):
            raise Refused(f"a set is made of a list, got {_kind(items)}")
        self._count(len(items))
        return set(map(_text, items))

    def _path(self, kind: type[PurePath], *parts: Any) -> PurePath:
        self._count(len(parts))
        characters = sum(len(_text(part)) for part in parts)
        self.characters += characters
        if characters > MAX_NAME_CHARACTERS or self.characters > MAX_PATHS_CHARACTERS:
            raise Refused(f"holds paths that are too long ({MAX_NAME_CHARACTERS} or {MAX_PATHS_CHARACTERS} characters)")
        return kind(*parts)

    def _count(self, values: int) -> None:
        # One list or tuple may be called with many times.
        self.made += values
        if self.made > MAX_INSTRUCTIONS:
            raise Refused(f"holds more than {MAX_INSTRUCTIONS} values")


def _captions(values: Any) -> dict[PurePath, list[str]]:
    if not isinstance(values, dict):
        raise Refused(f"expected a dictionary of captions by image, got {_kind(values)}")
    captions: dict[PurePath, list[str]] = {}
    left = MAX_BYTES
    for name, texts in values.items():
        if not isinstance(name, str | PurePath) or len(str(name)) > MAX_NAME_CHARACTERS:
            raise Refused(f"the name of an image must be a string or a path of a file, got {_kind(name)}")
        texts = [texts] if isinstance(texts, str) else texts
        if not isinstance(texts, list | set | frozenset) or not all(isinstance(text, str) for text in texts):
            raise Refused(f"{str(name)[:80]!r}: captions must be a list or set of strings, got {_kind(texts)}")
        # A pickle may hold half characters, which no captions file does.
        ordered = texts if isinstance(texts, list) else sorted(texts)
        texts = [text.encode(errors="replace").decode()[:MAX_CHARACTERS] for text in ordered]
        # One list may stand for many names: what is written is bounded, not only what is read.
        left -= sum(map(len, texts)) + 8 * len(texts) + len(str(name))
        if left < 0:
            raise Refused(f"more than {MAX_BYTES} characters of captions")
        path = _path(name) if isinstance(name, str) else name
        if not path.name:
            raise Refused(f"{str(name)!r:.80} names no image")
        captions[path] = texts
    return captions


def named(captions: dict[PurePath, list[str]], names: Sequence[str] | None = None) -> dict[str, list[str]]:
    """Return the captions by the names of a captions file: relative to the image folder, with ``/``."""
    there = set(names or ())
    deepest = max((name.count("/") + 1 for name in there), default=0)
    result: dict[str, list[str]] = {}
    sources: dict[str, PurePath] = {}
    for path, texts in captions.items():
        parts = path.parts[1:] if path.anchor else path.parts
        endings = ("/".join(parts[start:]) for start in range(max(len(parts) - deepest, 0), len(parts)))
        name = next((ending for ending in endings if ending in there), parts[-1] if path.anchor else "/".join(parts))
        if name in result:
            said = f"{sources[name]} and {path} would both be {name}; "
            raise UserError(said, Setting("image_dir"), " may tell them apart")
        result[name], sources[name] = texts, path
    return result


def _path(name: str) -> PurePath:
    looks_like_windows = "\\" in name and "/" not in name
    return PureWindowsPath(name) if looks_like_windows else PurePosixPath(name)


def _text(value: Any) -> str:
    # Nothing but strings is hashed or joined.
    if not isinstance(value, str):
        raise Refused(f"a string was expected, got {_kind(value)}")
    return value


def _kind(value: Any) -> str:
    return "another global" if callable(value) else type(value).__name__
