"""YAML section -> checked dataclass -> object.

A configurable class carries a frozen dataclass ``Config``; a section of the YAML names the class with ``target`` and
sets the keys of that ``Config``. Every mistake becomes a :class:`UserError` naming file, full key and value, before
anything heavy is loaded.
"""

import re
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import MISSING, dataclass, fields, is_dataclass, make_dataclass
from difflib import get_close_matches
from pathlib import Path
from types import UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from omegaconf import OmegaConf
from omegaconf.errors import MissingMandatoryValue, OmegaConfBaseException

from aognet.config.interpolation import dotted, environment
from aognet.config.plain_yaml import dotted_keys, literal, parse_yaml, read_yaml
from aognet.errors import UserError, first_line
from aognet.installed import CONFIGS, installed

T = TypeVar("T")

COMMAND_LINE = "command line"


@dataclass(frozen=True)
class LoadedConfig:
    """Merged and resolved settings that remember where each of them was written."""

    values: Mapping[str, Any]
    sources: Mapping[str, str]
    """Full dotted key -> the file it was last set in, or ``command line``; the empty key -> the first file."""
    prefix: str = ""

    def key(self, name: str) -> str:
        """Return the full dotted key of ``name`` in this section."""
        return f"{self.prefix}.{name}".strip(".")

    def has(self, name: str) -> bool:
        """Return whether the key is there and not null."""
        return self.values.get(name) is not None

    def section(self, name: str) -> "LoadedConfig":
        """Return the mapping below ``name``. Raises UserError for an absent or null section and for a plain value."""
        value = self.values.get(name)
        if value is None:
            raise self.error("is missing", name)
        if not isinstance(value, Mapping):
            raise self.error("must be a section with keys", name, value)
        return LoadedConfig(value, self.sources, self.key(name))

    def without(self, names: Container[str]) -> "LoadedConfig":
        """Return the section without some of its keys."""
        values = {name: value for name, value in self.values.items() if name not in names}
        return LoadedConfig(values, self.sources, self.prefix)

    def to_container(self) -> dict[str, Any]:
        """Return a plain dictionary, without interpolations."""
        return _plain(OmegaConf.create(dict(self.values)))

    def source(self, name: str = "") -> str:
        """Return the file that set ``name`` (dotted, relative to this section), or the nearest section around it."""
        parts = self.key(name).split(".")
        for length in range(len(parts), 0, -1):
            known = self.sources.get(".".join(parts[:length]))
            if known:
                return known
        return self.sources[""]

    def check_keys(self, known: Iterable[str]) -> None:
        """Refuse keys of this section that are not in ``known``. Raises UserError naming the nearest one that is."""
        known = list(known)
        for name in self.values:
            if name not in known:
                close = get_close_matches(str(name), known, n=1, cutoff=0.5)
                hint = f"did you mean {close[0]!r}?" if close else f"known here: {', '.join(known)}"
                raise self.error(f"is an unknown key; {hint}", str(name))

    def error(self, problem: str, name: str, *value: Any) -> UserError:
        """Return an error about the key ``name`` of this section, and about its ``value``, if one is given."""
        got = {"value": value[0]} if value else {}
        return UserError(problem, key=self.key(name), where=self.source(name), **got)

    def refused(self, error: UserError) -> UserError:
        """Return ``error``, which a dataclass of this section raised, with the file and the section before its key."""
        if error.key and not error.where:
            return error.at(self.source(error.key), self.prefix)
        return self.failed(error)

    def failed(self, error: UserError) -> UserError:
        """Return ``error``, which anything made from this section raised, with the file and the section before it."""
        return error.at(": ".join(part for part in (self.source(), self.prefix, error.where) if part))


def load_config(paths: Sequence[Path], overrides: Sequence[str] = ()) -> LoadedConfig:
    """Merge YAML files left to right, then ``key.sub=value`` overrides, and resolve ``${...}``.

    :raises UserError: for a missing, oversized or malformed file, an override without ``=``, a reference to nothing,
        a file that asks for the environment (``${oc.env:...}`` is for overrides).
    """
    merged, sources = OmegaConf.create({}), {"": str(paths[0]) if paths else COMMAND_LINE}
    for path in paths:
        values = read_yaml(Path(path))
        if CONFIGS in Path(path).resolve().parents:
            values = _with_installed(values)
        try:
            merged = OmegaConf.merge(merged, values)
        except OmegaConfBaseException as error:
            raise UserError(f"{error.full_key or error.key or ''}: {first_line(error)}", where=str(path)) from error
        sources |= dict.fromkeys(dotted_keys(values), str(path))
    for override in overrides:
        name, equals, text = override.partition("=")
        if not equals or not re.fullmatch(r"[\w-]+(\.[\w-]+)*", name):
            raise UserError(f"an override must look like key.sub=value, got {override!r}", where=COMMAND_LINE)
        value = parse_yaml(text, f"{COMMAND_LINE}: {override!r}")
        try:
            OmegaConf.update(merged, name, value, force_add=True)
        except (OmegaConfBaseException, ValueError, TypeError, IndexError, AttributeError) as error:
            raise UserError(f"cannot set {override!r}: {first_line(error)}", where=COMMAND_LINE) from error
        sources |= dict.fromkeys([name, *dotted_keys(value, name)], COMMAND_LINE)
    return LoadedConfig(_resolve(merged, sources), sources)


def _with_installed(value: Any) -> Any:
    """Return a value in which paths below ``assets`` are the installation's: its own config files mean those."""
    if isinstance(value, Mapping):
        return {key: _with_installed(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_with_installed(inner) for inner in value]
    return installed(value) if isinstance(value, str) else value


def _plain(merged: Any, **options: Any) -> Any:
    """Return a mapping of OmegaConf's as dictionaries and lists."""
    return OmegaConf.to_container(merged, **options)


def _resolve(merged: Any, sources: Mapping[str, str]) -> dict[str, Any]:
    """Return the plain values with every reference filled in."""
    unresolved = LoadedConfig(_plain(merged, resolve=False), sources)
    try:
        with environment(lambda key: sources.get(key) == COMMAND_LINE):
            return _plain(merged, resolve=True, throw_on_missing=True)
    except UserError as error:
        raise unresolved.refused(error) from error
    except MissingMandatoryValue as error:
        raise unresolved.error("is left open (???) and must be set", dotted(error.full_key)) from error
    except OmegaConfBaseException as error:
        name, value = dotted(error.full_key or error.key), unresolved.values
        for part in name.split("."):
            value = value[int(part)] if isinstance(value, list) else value[part]
        raise unresolved.error(f"cannot be filled in ({first_line(error)})", name, value) from error


def build_config(section: LoadedConfig, schema: type[T], defaults: Mapping[str, Any] | None = None) -> T:
    """Make the dataclass ``schema`` from a section and check it. References are not filled in again.

    ``defaults``: values of fields that are left out, in place of those of ``schema``.

    :raises UserError: for an unknown key (naming the nearest valid one), a wrong type, a missing value, or a value that
        ``__post_init__`` refuses.
    """
    return _instance(schema, section.without({"target"}), _defaults(schema) | dict(defaults or {}))


def _defaults(schema: type) -> dict[str, Any]:
    """Return the values of the fields that have one by default."""
    plain = {one.name: one.default for one in fields(schema) if one.default is not MISSING}
    made = {one.name: one.default_factory() for one in fields(schema) if one.default_factory is not MISSING}
    return plain | made


def _instance(schema: Any, section: LoadedConfig, defaults: Mapping[str, Any]) -> Any:
    """Return a dataclass with the section's values, and with ``defaults`` for the other fields."""
    kinds, names = get_type_hints(schema), [one.name for one in fields(schema) if one.init]
    section.check_keys(names)
    given = {name: _checked(kinds[name], section, name, defaults.get(name)) for name in section.values}
    for name in names:
        if name not in given and name not in defaults:
            raise section.error("is missing and has no default", name)
    try:
        return schema(**{**defaults, **given})
    except UserError as error:
        raise section.refused(error) from error


def _checked(kind: Any, section: LoadedConfig, name: str, default: Any) -> Any:
    """Return the value of a key as its type says; ``default`` gives what a section leaves out."""
    value, inner = section.values[name], _without_none(kind)
    if value is None and inner is not kind:
        return None
    items = get_args(inner)
    if is_dataclass(inner):
        return _instance(inner, section.section(name), _defaults(inner) if default is None else vars(default))
    if get_origin(inner) is dict and is_dataclass(items[1]):
        return {**(default or {}), **_sections(items[1], section, name, section.section(name).values.items())}
    if get_origin(inner) is list and is_dataclass(items[0]) and isinstance(value, list):
        return list(_sections(items[0], section, name, enumerate(value)).values())
    try:
        one = OmegaConf.structured(make_dataclass("One", [("value", kind)]))
        made: Any = OmegaConf.to_object(OmegaConf.merge(one, {"value": literal(value)}))
        return made.value
    except (OmegaConfBaseException, TypeError, ValueError) as error:
        raise section.error(f"must be {_named(kind)}", name, value) from error


def _sections(schema: type, section: LoadedConfig, name: str, items: Iterable[tuple[Any, Any]]) -> dict[str, Any]:
    """Return a dataclass for each of the sections ``items`` below the key ``name``."""
    below = LoadedConfig({str(key): value for key, value in items}, section.sources, section.key(name))
    return {key: _checked(schema, below, key, None) for key in below.values}


def _without_none(kind: Any) -> Any:
    """Return ``X`` for the type ``X | None``, and any other type as it is."""
    if get_origin(kind) in (Union, UnionType):
        others = [one for one in get_args(kind) if one is not type(None)]
        return others[0] if len(others) == 1 else kind
    return kind


_NAMES = {bool: "true or false", int: "a whole number", float: "a number", str: "a text", Path: "a path"}


def _named(kind: Any) -> str:
    """Return what messages call a value of a type."""
    inner, items = _without_none(kind), get_args(kind)
    if inner is not kind:
        return f"{_named(inner)} or null"
    if get_origin(kind) is Literal:
        return f"one of {', '.join(map(str, items))}"
    if get_origin(kind) is tuple and ... not in items:
        return f"[{', '.join(map(_named, items))}]"
    if get_origin(kind) in (list, tuple):
        return "a list of sections" if is_dataclass(items[0]) else f"a list, each {_named(items[0])}"
    return _NAMES.get(kind, str(kind))


def check_text(text: str, key: str) -> None:
    """Refuse a text that no text encoder reads: from bytes that are not UTF-8. Raises UserError naming the key."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise UserError("must be a text in UTF-8", key=key, value=text) from error
