"""Plain values from YAML files and back: YAML 1.2, bounded, nothing executed."""

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from aognet.errors import UserError, first_line

MAX_FILE_BYTES = 1_000_000
MAX_VALUES = 100_000  # a few hundred bytes of YAML aliases can unfold into billions of values
MAX_DEPTH = 50


def read_yaml(path: Path) -> dict[str, Any]:
    """Read the values of a YAML file. Raises UserError for a missing, oversized or malformed file, naming the line."""
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
    values = parse_yaml(text, str(path))
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise UserError(f"{path}: a config file must hold keys and values, got {str(values)[:60]!r}")
    return values


def parse_yaml(text: str, where: str) -> Any:
    """Read the values of a YAML text. Raises UserError naming ``where`` the text is from, and the line."""
    try:
        values = yaml.load(text, Loader=_Loader)  # noqa: S506 - a SafeLoader
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = f"line {mark.line + 1}: " if mark else ""
        raise UserError(f"{line}{error.problem or error.context}", where=where) from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise UserError(f"not valid YAML: {first_line(error)}", where=where) from error
    for count, key in enumerate(dotted_keys(values)):
        if count > MAX_VALUES or key.count(".") > MAX_DEPTH:
            raise UserError(f"more than {MAX_VALUES} values or {MAX_DEPTH} levels", where=where)
    return values


def dotted_keys(values: Any, prefix: str = "") -> Iterator[str]:
    """Yield the dotted keys of everything inside nested mappings and lists."""
    if isinstance(values, Mapping):
        items = values.items()
    elif isinstance(values, list):
        items = enumerate(values)
    else:
        return
    for name, value in items:
        key = f"{prefix}.{name}".strip(".")
        yield key
        yield from dotted_keys(value, key)


def literal(value: Any) -> Any:
    """Escape every ``${`` in the texts of a value, in nested mappings and lists too, so that nothing is filled in."""
    if isinstance(value, str):
        return re.sub(r"(\\*)\$\{", r"\1\1\\${", value)
    if isinstance(value, Mapping):
        return {key: literal(inner) for key, inner in value.items()}
    return [literal(inner) for inner in value] if isinstance(value, list) else value


def quoted(value: Any) -> str:
    """Write a value as YAML on one line that reads back as it is, whatever its texts hold; nothing is filled in."""
    text = json.dumps(literal(value), ensure_ascii=False)  # JSON is YAML, but for a few characters
    return re.sub(r"[^\x20-\x7e\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]|[\u2028\u2029\ufeff]", _escaped, text)


def _joined(halves: re.Match[str]) -> str:
    return halves[0].encode("utf-16", "surrogatepass").decode("utf-16")


def _escaped(found: re.Match[str]) -> str:
    return f"\\u{ord(found[0]):04x}"


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

    def construct_scalar(self, node: yaml.ScalarNode | yaml.MappingNode) -> Any:
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
