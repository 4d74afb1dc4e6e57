"""What a user can get wrong, told apart from what we got wrong."""

from collections.abc import Mapping
from copy import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

MAX_VALUE = 300
"""Characters of a wrong value that a message repeats."""
_NONE_GIVEN = object()

Kind = TypeVar("Kind", bound="UserError")


@dataclass(frozen=True)
class Setting:
    """A setting that a message mentions, by its key: a command line says its flag instead, a page its field."""

    key: str

    def __str__(self) -> str:
        return self.key


class UserError(ValueError):
    """A mistake a user can mend, told in one line that names the file, the key and the value.

    Command lines print the message and exit with status 2; any other exception is a bug and keeps its traceback.

    The line is ``WHERE: KEY PROBLEM, got VALUE``, as far as they are given; ``str`` returns it. It calls settings by
    their keys, or as ``names`` calls them: who asks the user sets it. A key that a file gave keeps its name there.

    :param problem: what is wrong; its parts are joined. A `Setting` among them stands for the setting's name.
    :param key: the dotted key of the setting that is wrong, as the dataclass or the configuration calls it.
    :param value: what the setting was given.
    :param where: the file or command line that gave it.
    """

    def __init__(self, *problem: str | Setting, key: str = "", value: Any = _NONE_GIVEN, where: str = "") -> None:
        super().__init__(*problem)
        self.key = key
        self.where = where
        self.names: Mapping[str, str] = {}
        self._got = "" if value is _NONE_GIVEN else f", got {shown(value)}"
        self.value = None if value is _NONE_GIVEN else value

    def __str__(self) -> str:
        key = self.key if self.where else self.names.get(self.key, self.key)
        told = (self.names.get(part.key, part.key) if isinstance(part, Setting) else part for part in self.args)
        where = f"{self.where}: " if self.where else ""
        return f"{where}{key}{' ' if key else ''}{''.join(told)}{self._got}"

    def at(self, where: str, section: str = "") -> "UserError":
        """Return the same error with ``where`` it was made, and with its key below the ``section``'s."""
        moved = copy(self)
        moved.key = f"{section}.{self.key}".strip(".") if self.key else ""
        moved.where = where
        return moved

    def as_kind(self, kind: type[Kind]) -> Kind:
        """Return the same error as one of another class."""
        other = kind(*self.args)
        other.__dict__.update(self.__dict__)
        return other


def shown(value: Any) -> str:
    """Return a value as messages repeat it, on one line and not too long."""
    text = str(value) if isinstance(value, Path) and str(value).isprintable() else repr(value)
    return text if len(text) <= MAX_VALUE else f"{text[:MAX_VALUE]}..."


def first_line(error: BaseException) -> str:
    """Return the first sentence of what an error says."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0].split(". ")[0].rstrip(".") if lines else type(error).__name__
