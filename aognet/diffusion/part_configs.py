"""The JSON beside pretrained weights, a stranger's file that decides how large a network the library builds.

It is checked before the library reads it. Otherwise libraries may build for hours, or fail with a traceback.
"""

import inspect
import math
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from aognet.errors import UserError
from aognet.io.text_files import read_json

MAX_NUMBER = 2**24  # larger than any width, vocabulary or number of timesteps
MAX_LAYERS = 200
MAX_VALUES = 2**16
NAMES = ("config.json", "scheduler_config.json")
SCALARS = {"bool": bool, "int": int, "float": float | int, "str": str, "Literal": str, "None": type(None)}


def check_part(part_class: type, folder: Path) -> None:
    """Refuse a config of another class, with a value of another type, or beyond all bounds.

    A folder without a config is left to the library.

    :raises UserError: naming file and key.
    """
    path = next((folder / name for name in NAMES if (folder / name).is_file()), None)
    if path is None:
        return
    described = read_json(path)
    _check_bounds(described, path)
    if not part_class.__module__.startswith("diffusers."):
        wanted, named = (
            getattr(getattr(part_class, "config_class", None), "model_type", ""),
            described.get("model_type"),
        )
        # The config of a whole CLIP ("clip") serves its text tower ("clip_text_model").
        if wanted and isinstance(named, str) and not wanted.startswith(named):
            raise UserError(f"{path}: model_type is {named!r}, needed here is {wanted!r}")
        return
    named = described.get("_class_name", part_class.__name__)
    if named != part_class.__name__:
        raise UserError(f"{path}: _class_name is {named!r}, needed here is {part_class.__name__}")
    for name, parameter in inspect.signature(part_class.__init__).parameters.items():
        if name in described and not _fits(described[name], parameter):
            wanted = inspect.formatannotation(parameter.annotation)
            raise UserError(f"{path}: {name} must be of type {wanted}, got {described[name]!r:.60}")


def _check_bounds(described: Mapping[str, Any], path: Path) -> None:
    for count, (name, value) in enumerate(_scalars(described, "")):
        most = MAX_LAYERS if "layers" in name else MAX_NUMBER
        if isinstance(value, float) and not math.isfinite(value):
            raise UserError(f"{path}: {name} must be finite, got {value}")
        if isinstance(value, int) and abs(value) > most:
            raise UserError(f"{path}: {name} may be at most {most}, got {value:.6g}")
        if count > MAX_VALUES:
            raise UserError(f"{path}: more than {MAX_VALUES} values")


def _scalars(value: Any, name: str) -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _scalars(inner, f"{name}.{key}".strip("."))
    elif isinstance(value, list):
        for inner in value:
            yield from _scalars(inner, name)
    else:
        yield name, value


def _fits(value: Any, parameter: inspect.Parameter) -> bool:
    """Return whether a value is one, or a list of some, of the plain types that an annotation names."""
    text = inspect.formatannotation(parameter.annotation)
    lists = re.findall(r"(?:tuple|list|List|Tuple)\[(.*)\]", text)
    alone = re.sub(r"(?:tuple|list|List|Tuple)\[.*\]", "", text)
    if parameter.default is None:
        alone += " None"
    words = " ".join(lists) if isinstance(value, list) else alone
    named = [kind for word, kind in SCALARS.items() if re.search(rf"\b{word}\b", words)]
    if isinstance(value, list) and not lists:
        return False
    scalars = [scalar for _, scalar in _scalars(value, "")]
    return not named or all(any(isinstance(scalar, kind) for kind in named) for scalar in scalars)
