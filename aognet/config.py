"""YAML section -> checked dataclass -> object.

A configurable class carries a frozen dataclass ``Config``; a section of the YAML names the class with ``target`` and
sets the keys of that ``Config``. Every mistake becomes a :class:`UserError` naming file, full key and value, before
anything heavy is loaded.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any, TypeVar

import yaml
from omegaconf import OmegaConf
from omegaconf.errors import ConfigKeyError, MissingMandatoryValue, OmegaConfBaseException

from aognet.errors import UserError
from aognet.installed import CONFIGS, installed
from aognet.interpolation import environment

T = TypeVar("T")

MAX_FILE_BYTES = 1_000_000
MAX_VALUES = 100_000  # a few hundred bytes of YAML aliases can unfold into billions of values
MAX_DEPTH = 50
COMMAND_LINE = "command line"


@dataclass(frozen=True)
class LoadedConfig:
    """Merged and resolved settings that remember where each of them was written."""

    values: Mapping[str, Any]
    sources: Mapping[str, str]
    """Full dotted key -> the file it was last set in, or ``command line``; the empty key -> the first file."""
    prefix: str = ""

    def key(self, name: str) -> str:
        """The full dotted key of ``name`` in this section."""
        return f"{self.prefix}.{name}".strip(".")

    def has(self, name: str) -> bool:
        """Whether the key is there and not null."""
        return self.values.get(name) is not None

    def section(self, name: str) -> "LoadedConfig":
        """The mapping below ``name``; an absent or null section is a UserError, as is a plain value."""
        value = self.values.get(name)
        if not isinstance(value, Mapping):
            found = "is missing" if value is None else f"must be a section with keys, got {value!r}"
            raise UserError(f"{self.source(name)}: {self.key(name)} {found}")
        return LoadedConfig(value, self.sources, self.key(name))

    def to_container(self) -> dict[str, Any]:
        """A plain dictionary, without interpolations."""
        return OmegaConf.to_container(OmegaConf.create(dict(self.values)))

    def source(self, name: str = "") -> str:
        """The file that set ``name`` (dotted, relative to this section), or the nearest section around it."""
        parts = self.key(name).split(".")
        for length in range(len(parts), 0, -1):
            known = self.sources.get(".".join(parts[:length]))
            if known:
                return known
        return self.sources[""]

    def check_keys(self, known: Iterable[str]) -> None:
        """Refuse keys of this section that are not in ``known``."""
        known = list(known)
        for name in self.values:
            if name not in known:
                raise _unknown_key(self, str(name), known)


def load_config(paths: Sequence[Path], overrides: Sequence[str] = ()) -> LoadedConfig:
    """Merge YAML files left to right, then ``key.sub=value`` overrides, and resolve ``${...}``.

    :raises UserError: for a missing, oversized or malformed file, an override without ``=``, a reference to nothing,
        a file that asks for the environment (``${oc.env:...}`` is for overrides).
    """
    merged, sources = OmegaConf.create({}), {"": str(paths[0]) if paths else COMMAND_LINE}
    for path in paths:
        values = _read_yaml(Path(path))
        if CONFIGS in Path(path).resolve().parents:
            values = _with_installed(values)
        try:
            merged = OmegaConf.merge(merged, values)
        except OmegaConfBaseException as error:
            name = str(error.full_key or error.key or "")
            raise UserError(f"{path}: {name}: {_first_line(error)}") from error
        sources |= dict.fromkeys(_keys(values), str(path))
    for override in overrides:
        name, equals, text = override.partition("=")
        if not equals or not re.fullmatch(r"[\w-]+(\.[\w-]+)*", name):
            raise UserError(f"{COMMAND_LINE}: an override must look like key.sub=value, got {override!r}")
        value = _parse_yaml(text, f"{COMMAND_LINE}: {override!r}")
        try:
            OmegaConf.update(merged, name, value, force_add=True)
        except (OmegaConfBaseException, ValueError, TypeError, IndexError, AttributeError) as error:
            raise UserError(f"{COMMAND_LINE}: cannot set {override!r}: {_first_line(error)}") from error
        sources |= dict.fromkeys([name, *_keys(value, name)], COMMAND_LINE)
    return LoadedConfig(_resolve(merged, sources), sources)


def build_config(section: LoadedConfig, schema: type[T]) -> T:
    """Merge a section into the dataclass ``schema`` and check it.

    :raises UserError: for an unknown key (naming the nearest valid one), a wrong type, a missing value, or a value that
        ``__post_init__`` refuses.
    """
    values = {name: value for name, value in section.values.items() if name != "target"}
    try:
        try:
            # References were resolved when the files were loaded: what looks like one now is meant as it stands.
            merged = OmegaConf.merge(OmegaConf.structured(schema), literal(values))
        except TypeError as error:  # how OmegaConf says that a mapping stands where a list belongs
            raise ValueError(str(error)) from error
        return OmegaConf.to_object(merged)
    except ConfigKeyError as error:
        name = _locate(values, str(error.full_key or error.key))
        known = [field.name for field in fields(error.object_type)] if is_dataclass(error.object_type) else []
        raise _unknown_key(section, name, known) from error
    except MissingMandatoryValue as error:
        name = str(error.full_key or error.key)
        raise UserError(f"{section.source(name)}: {section.key(name)} is missing and has no default") from error
    except OmegaConfBaseException as error:
        name = _locate(values, str(error.full_key)) if error.full_key else _refused_alone(values, schema)
        value = f", got {_lookup(values, name)!r}" if name else ""
        raise refused(section, name, f"{_first_line(error)}{value}") from error
    except ValueError as error:
        raise refused(section, _named_in(values, str(error)), str(error)) from error


def config_from_dict(schema: type[T], values: Mapping[str, Any], source: str) -> T:
    """Check plain values, read from the file ``source``, as :func:`build_config` does."""
    return build_config(LoadedConfig(values, {"": source}), schema)


def literal(value: Any) -> Any:
    """``value`` with every ``${`` in its texts escaped, in nested mappings and lists too: nothing is filled in."""
    if isinstance(value, str):
        return re.sub(r"(\\*)\$\{", r"\1\1\\${", value)
    if isinstance(value, Mapping):
        return {key: literal(inner) for key, inner in value.items()}
    return [literal(inner) for inner in value] if isinstance(value, list) else value


def check_text(text: str, key: str) -> None:
    """Refuse a text that no text encoder reads: from bytes that are not UTF-8. Raises UserError naming the key."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise UserError(f"{key} must be a text in UTF-8, got {text!r}") from error


def quoted(value: Any) -> str:
    """A value as YAML on one line that reads back as it is, whatever its texts hold; nothing is filled in."""
    text = json.dumps(literal(value), ensure_ascii=False)  # JSON is YAML, but for a few characters
    return re.sub(r"[^\x20-\x7e\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]|[\u2028\u2029\ufeff]", _escaped, text)


def _joined(halves: re.Match[str]) -> str:
    return halves[0].encode("utf-16", "surrogatepass").decode("utf-16")


def _escaped(found: re.Match[str]) -> str:
    return f"\\u{ord(found[0]):04x}"


def _read_yaml(path: Path) -> dict[str, Any]:
    try:
        if not path.is_file():
            raise UserError(f"{path}: no such config file")
        if path.stat().st_size > MAX_FILE_BYTES:
            raise UserError(f"{path}: a config file may have {MAX_FILE_BYTES} bytes, this has {path.stat().st_size}")
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise UserError(f"{path}: cannot read the config file: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: not a UTF-8 text file (byte {error.start})") from error
    values = _parse_yaml(text, str(path))
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise UserError(f"{path}: a config file must hold keys and values, got {str(values)[:60]!r}")
    return values


def _with_installed(value: Any) -> Any:
    """A file of the installation means its own ``assets``, wherever it is read from."""
    if isinstance(value, Mapping):
        return {key: _with_installed(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_with_installed(inner) for inner in value]
    return installed(value) if isinstance(value, str) else value


class _Loader(yaml.SafeLoader):
    """Safe YAML with the plain values of YAML 1.2 (``no`` is a word, 1e-5 a number); a key written twice is refused."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key in (key for key, _ in node.value if isinstance(key, yaml.ScalarNode)):
            if key.value in seen:
                raise yaml.constructor.ConstructorError(
                    problem=f"the key {key.value!r} is there twice", problem_mark=key.start_mark
                )
            seen.add(key.value)
        return super().construct_mapping(node, deep)

    def construct_scalar(self, node: yaml.ScalarNode) -> Any:
        # JSON may write a character as two halves, which YAML takes for two.
        value = re.sub("[\ud800-\udbff][\udc00-\udfff]", _joined, super().construct_scalar(node))
        # Bytes of file names that are not UTF-8 are read as the second halves from dc80 on.
        if wrong := re.search("[\0\ud800-\udc7f\udd00-\udfff]", value):
            raise yaml.constructor.ConstructorError(
                problem=f"holds {wrong[0]!r}, which no name and no text can", problem_mark=node.start_mark
            )
        return value


_Loader.yaml_implicit_resolvers = {}
for _tag, _pattern, _first in (
    ("null", r"~|null|Null|NULL|", "~nN\0"),
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("int", r"[-+]?(0|[1-9]\d*)|0x[\da-fA-F]+", "-+0123456789"),
    (
        "float",
        r"[-+]?(\.\d+|(0|[1-9]\d*)(\.\d*)?)([eE][-+]?\d+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)",
        "-+0123456789.",
    ),
    ("merge", "<<", "<"),
):
    _first_characters = [character.strip("\0") for character in _first]
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(rf"^(?:{_pattern})$"), _first_characters)


def _parse_yaml(text: str, where: str) -> Any:
    try:
        values = yaml.load(text, Loader=_Loader)  # noqa: S506 - a SafeLoader
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = f"line {mark.line + 1}: " if mark else ""
        raise UserError(f"{where}: {line}{error.problem or error.context}") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise UserError(f"{where}: not valid YAML: {_first_line(error)}") from error
    for count, key in enumerate(_keys(values)):
        if count > MAX_VALUES or key.count(".") > MAX_DEPTH:
            raise UserError(f"{where}: more than {MAX_VALUES} values or {MAX_DEPTH} levels")
    return values


def _keys(values: Any, prefix: str = "") -> Iterator[str]:
    """Dotted keys of everything inside nested mappings and lists."""
    if isinstance(values, Mapping):
        items = values.items()
    elif isinstance(values, list):
        items = enumerate(values)
    else:
        return
    for name, value in items:
        key = f"{prefix}.{name}".strip(".")
        yield key
        yield from _keys(value, key)


def _resolve(merged: Any, sources: Mapping[str, str]) -> dict[str, Any]:
    try:
        with environment(lambda key: sources.get(key) == COMMAND_LINE):
            return OmegaConf.to_container(merged, resolve=True, throw_on_missing=True)
    except UserError as error:
        name = str(error).partition(":")[0]
        raise UserError(f"{sources.get(name, sources[''])}: {error}") from error
    except MissingMandatoryValue as error:
        name = str(error.full_key)
        raise UserError(f"{sources.get(name, sources[''])}: {name} is left open (???) and must be set") from error
    except OmegaConfBaseException as error:
        name = str(error.full_key or error.key)
        value = OmegaConf.to_container(merged, resolve=False)
        raise UserError(
            f"{sources.get(name, sources[''])}: {name}: {_first_line(error)}, got {_lookup(value, name)!r}"
        ) from error


def _unknown_key(section: LoadedConfig, name: str, known: Sequence[str]) -> UserError:
    close = get_close_matches(name.rpartition(".")[2], known, n=1, cutoff=0.5)
    hint = f"did you mean {close[0]!r}?" if close else f"known here: {', '.join(known)}"
    return UserError(f"{section.source(name)}: unknown key {section.key(name)!r}; {hint}")


def refused(section: LoadedConfig, name: str, message: str) -> UserError:
    # OmegaConf leaves its placeholders in messages about the elements of lists.
    message = message.replace("Value '$VALUE' of type '$VALUE_TYPE'", "an element")
    return UserError(": ".join(part for part in (section.source(name), section.key(name), message) if part))


def _locate(values: Any, name: str) -> str:
    """OmegaConf forgets the way to keys inside lists: find the first full key that ends with ``name``."""
    keys = list(_keys(values))
    return name if name in keys else next((key for key in keys if f".{key}".endswith(f".{name}")), name)


def _named_in(values: Any, message: str) -> str:
    """The key that the message names first, wherever it lies; of several the one whose value it says, else the first.

    Empty if it names none.
    """
    keys = list(_keys(values))
    for word in re.findall(r"[^\W\d]\w*", message):
        if alike := [key for key in keys if key.rpartition(".")[2] == word]:
            return next((key for key in alike if message.endswith(f"got {_lookup(values, key)!r}")), alike[0])
    return ""


def _refused_alone(values: Mapping[str, Any], schema: type) -> str:
    """The first key that is refused by itself, for errors of OmegaConf that name no key; empty if there is none."""
    for name, value in values.items():
        try:
            OmegaConf.merge(OmegaConf.structured(schema), {name: literal(value)})
        except OmegaConfBaseException:
            return name
    return ""


def _lookup(values: Any, name: str) -> Any:
    for part in name.split("."):
        if isinstance(values, list) and part.isdigit() and int(part) < len(values):
            values = values[int(part)]
        else:
            values = values.get(part) if isinstance(values, Mapping) else None
    return values


def _first_line(error: Exception) -> str:
    return str(error).strip().split("\n")[0].rstrip(".")
