"""Caption pickles of the published code, read without running anything in them.

A pickle is a program for a small stack machine. Here is that machine with only the instructions that dictionaries,
lists, tuples, sets, strings and pathlib's paths need; ``pickletools`` decodes them. Whatever else a pickle holds is
refused by name, and what the machine makes is counted, so that a forged file cannot fill the memory.
"""

import pickletools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePath, PurePosixPath, PureWindowsPath
from typing import Any

from aognet.errors import UserError
from aognet.io.captions import MAX_CHARACTERS

MAX_BYTES = 64 * 2**20
# A set takes 216 bytes and may be asked for with one: the values of a pickle are bounded, not only its bytes.
MAX_VALUES = 2_000_000
MAX_NAME_CHARACTERS = 4096

SETS = {f"{module} {name}" for module in ("builtins", "__builtin__") for name in ("set", "frozenset")}
PATHS = {
    f"{module} {name}": PureWindowsPath if "Windows" in name else PurePosixPath
    for module in ("pathlib", "pathlib._local")
    for name in ("Path", "PurePath", "PosixPath", "PurePosixPath", "WindowsPath", "PureWindowsPath")
}
TEXTS = {"UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8", "STRING", "BINSTRING", "SHORT_BINSTRING"}
SKIPPED = {"PROTO", "FRAME"}


class Refused(ValueError):
    """A pickle holds something that is not read."""


def read_caption_pickle(path: Path) -> dict[PurePath, list[str]]:
    """Captions by image name or path; those of a set are sorted. Paths keep their kind (POSIX or Windows).

    Raises UserError naming the file for whatever is no such pickle, or too large.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f"{path}: no such file")
    try:
        if path.stat().st_size > MAX_BYTES:
            raise Refused(f"larger than {MAX_BYTES} bytes")
        return _captions(Machine().run(path.read_bytes()))
    except OSError as error:
        raise UserError(f"{path}: cannot read this file ({error.strerror})") from error
    except Refused as error:
        raise UserError(f"{path}: {error}") from error
    # pickletools raises ValueError, the machine IndexError, KeyError or TypeError where instructions make no sense.
    except (ValueError, IndexError, KeyError, TypeError, OverflowError) as error:
        raise UserError(f"{path}: not a whole pickle ({type(error).__name__}: {str(error)[:100]})") from error


def _captions(values: Any) -> dict[PurePath, list[str]]:
    if not isinstance(values, dict):
        raise Refused(f"expected a dictionary of captions by image, got {_kind(values)}")
    captions: dict[PurePath, list[str]] = {}
    left = MAX_BYTES
    for name, texts in values.items():
        texts = [texts] if isinstance(texts, str) else texts
        if not isinstance(texts, list | tuple | set) or not all(isinstance(text, str) for text in texts):
            raise Refused(f"{str(name)[:80]!r}: captions must be a list or set of strings, got {_kind(texts)}")
        # A pickle may hold half characters, which no captions file does.
        whole = (
            text.encode(errors="replace").decode() for text in (sorted(texts) if isinstance(texts, set) else texts)
        )
        texts = [text[:MAX_CHARACTERS] for text in whole]
        # One list may stand for many names: what is written is bounded, not only what is read.
        left -= sum(map(len, texts)) + len(texts) + len(str(name))
        if left < 0:
            raise Refused(f"more than {MAX_BYTES} characters of captions")
        path = _path(name) if isinstance(name, str) else name
        if not path.name:
            raise Refused(f"{str(name)!r:.80} names no image")
        captions[path] = texts
    return captions


def named(captions: dict[PurePath, list[str]], names: Sequence[str] | None = None) -> dict[str, list[str]]:
    """Captions by the name a captions file uses: relative to the image folder, with ``/``.

    ``names``: the images there are; a path ends in the longest of them that fits. Without them, and where none fits, a
    relative path stays and of an absolute one the bare file name is kept. Raises UserError where two become one.
    """
    there = set(names or ())
    result: dict[str, list[str]] = {}
    sources: dict[str, PurePath] = {}
    for path, texts in captions.items():
        parts = path.parts[1:] if path.anchor else path.parts
        endings = ("/".join(parts[start:]) for start in range(len(parts)))
        name = next((ending for ending in endings if ending in there), parts[-1] if path.anchor else "/".join(parts))
        if name in result:
            raise UserError(f"{sources[name]} and {path} would both be {name}; --image_dir may tell them apart")
        result[name], sources[name] = texts, path
    return result


def _path(name: str) -> PurePath:
    looks_like_windows = "\\" in name and "/" not in name
    return PureWindowsPath(name) if looks_like_windows else PurePosixPath(name)


def _kind(value: Any) -> str:
    return "another global" if isinstance(value, Global) else type(value).__name__


@dataclass(frozen=True)
class Global:
    """The name of something that a pickle would call."""

    name: str


@dataclass
class Machine:
    """The stack machine; ``marks``: stacks put aside by MARK, ``memo``: values to be used again."""

    stack: list[Any] = field(default_factory=list)
    marks: list[list[Any]] = field(default_factory=list)
    memo: dict[int, Any] = field(default_factory=dict)
    made: int = 0

    def run(self, content: bytes) -> Any:
        """The value of a pickle. Raises `Refused` for what is not read, and other errors for a malformed one."""
        for opcode, argument, _ in pickletools.genops(content):
            name = opcode.name
            if name == "STOP":
                return self.stack.pop()
            if name in TEXTS:
                self.push(argument)
            elif name in INSTRUCTIONS:
                INSTRUCTIONS[name](self, argument)
            elif name not in SKIPPED:
                said = f" {argument[:60]}" if isinstance(argument, str) else ""
                raise Refused(f"holds something other than containers, strings and paths ({name}{said})")
        raise ValueError("no end")

    def push(self, value: Any) -> None:
        """Puts a new value on the stack."""
        self.count(1)
        self.stack.append(value)

    def count(self, values: int) -> None:
        """Takes note of values made."""
        self.made += values
        if self.made > MAX_VALUES:
            raise Refused(f"holds more than {MAX_VALUES} values")

    def mark(self) -> None:
        """Puts the stack aside."""
        self.count(1)
        self.marks.append(self.stack)
        self.stack = []

    def since_mark(self) -> list[Any]:
        """The values since the last MARK; the stack before it comes back."""
        values, self.stack = self.stack, self.marks.pop()
        return values

    def top(self, count: int) -> tuple[Any, ...]:
        """Takes that many values off the stack."""
        if len(self.stack) < count:
            raise IndexError("stack is empty")
        values = tuple(self.stack[len(self.stack) - count :])
        del self.stack[len(self.stack) - count :]
        return values

    def fill(self, kind: type, values: Iterable[Any]) -> None:
        """Adds values to the list, set or dictionary on the stack."""
        container = self.stack[-1]
        if type(container) is not kind:
            raise TypeError(f"no {kind.__name__} to add to")
        if kind is list:
            container.extend(values)
        elif kind is set:
            container.update(map(_text, values))
        else:
            values = list(values)
            container.update({_key(key): value for key, value in zip(values[::2], values[1::2], strict=True)})

    def refer(self, name: str) -> None:
        """Puts what a pickle wants to call on the stack, by its name alone."""
        if name not in SETS and name not in PATHS:
            raise Refused(f"wants to call {name.replace(' ', '.')!r:.100}, which is not read")
        self.push(Global(name))

    def refer_from_stack(self) -> None:
        """The same, with module and name taken from the stack."""
        self.refer(" ".join(map(_text, self.top(2))))

    def call(self) -> None:
        """Makes a set or a path: all that may be called."""
        function, arguments = self.top(2)
        if not isinstance(function, Global) or not isinstance(arguments, tuple):
            raise TypeError("nothing to call")
        if function.name in PATHS:
            parts = [_text(part) for part in arguments]
            if sum(map(len, parts)) > MAX_NAME_CHARACTERS:
                raise Refused(f"holds a path of more than {MAX_NAME_CHARACTERS} characters")
            self.push(PATHS[function.name](*parts))
            return
        items = arguments[0] if arguments else ()
        if len(arguments) > 1 or not isinstance(items, list | tuple | set):
            raise TypeError("a set is made of one list")
        self.count(len(items))
        self.push({_text(item) for item in items})


def _text(value: Any) -> str:
    # Nothing but strings is hashed or joined: hashing tuples nested a million deep would end the process.
    if not isinstance(value, str):
        raise Refused(f"a string was expected, got {_kind(value)}")
    return value


def _key(value: Any) -> str | PurePath:
    if not isinstance(value, str | PurePath):
        raise Refused(f"the name of an image must be a string or a path, got {_kind(value)}")
    if len(str(value)) > MAX_NAME_CHARACTERS:
        raise Refused(f"holds a name of more than {MAX_NAME_CHARACTERS} characters")
    return value


INSTRUCTIONS: dict[str, Callable[[Machine, Any], None]] = {
    "MARK": lambda machine, _: machine.mark(),
    "EMPTY_DICT": lambda machine, _: machine.push({}),
    "EMPTY_LIST": lambda machine, _: machine.push([]),
    "EMPTY_SET": lambda machine, _: machine.push(set()),
    "EMPTY_TUPLE": lambda machine, _: machine.push(()),
    "TUPLE1": lambda machine, _: machine.push(machine.top(1)),
    "TUPLE2": lambda machine, _: machine.push(machine.top(2)),
    "TUPLE3": lambda machine, _: machine.push(machine.top(3)),
    "TUPLE": lambda machine, _: machine.push(tuple(machine.since_mark())),
    "LIST": lambda machine, _: machine.push(machine.since_mark()),
    "DICT": lambda machine, _: _dict(machine),
    "FROZENSET": lambda machine, _: machine.push(set(map(_text, machine.since_mark()))),
    "APPEND": lambda machine, _: machine.fill(list, machine.top(1)),
    "APPENDS": lambda machine, _: machine.fill(list, machine.since_mark()),
    "ADDITEMS": lambda machine, _: machine.fill(set, machine.since_mark()),
    "SETITEM": lambda machine, _: machine.fill(dict, machine.top(2)),
    "SETITEMS": lambda machine, _: machine.fill(dict, machine.since_mark()),
    "GLOBAL": Machine.refer,
    "STACK_GLOBAL": lambda machine, _: machine.refer_from_stack(),
    "REDUCE": lambda machine, _: machine.call(),
    **{name: lambda machine, at: machine.memo.__setitem__(at, machine.stack[-1]) for name in ("PUT", "BINPUT")},
    "LONG_BINPUT": lambda machine, at: machine.memo.__setitem__(at, machine.stack[-1]),
    "MEMOIZE": lambda machine, _: machine.memo.__setitem__(len(machine.memo), machine.stack[-1]),
    **{name: lambda machine, at: machine.stack.append(machine.memo[at]) for name in ("GET", "BINGET", "LONG_BINGET")},
}


def _dict(machine: Machine) -> None:
    values = machine.since_mark()
    machine.push({})
    machine.fill(dict, values)
