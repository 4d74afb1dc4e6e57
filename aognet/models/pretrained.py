"""Saving what was trained with a reference to what was not, and reading both again.

A folder holds ``config.json`` (the method, its configuration) and ``model.safetensors`` (the trained parts alone).
"""

import json
import os
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Literal, get_args

from torch import nn

from aognet.config import LoadedConfig, build_config, target_class
from aognet.errors import UserError
from aognet.home import expanded
from aognet.models.loading import is_hub_id, resolve
from aognet.models.part_configs import read_json
from aognet.nn.weights import copy_tensors, part_tensors, read_tensors, write_tensors

CONFIG, WEIGHTS, PIPELINE = "config.json", "model.safetensors", "model_index.json"
Method = Literal["aognet", "cubediff"]
METHODS = get_args(Method)
# What a method is set to where nothing of it is trained.
UNTRAINED = {
    "aognet": {"global_stream": {"enabled": False}, "local_stream": {"enabled": False}},
    "cubediff": {"positions": False, "clean_known": False, "synchronise_padding": True},
}


def save_trained(folder: Path, config: Any, parts: dict[str, nn.Module], method: str) -> None:
    """Writes a method's configuration and trained parts; local backbones are referenced relative to the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    described = asdict(config)
    for name in ("backbone", "clip"):
        (described.get(name) or {}).pop("encodings", None)  # how it was trained, not what it is
        if described.get(name) and Path(described[name]["model"]).is_dir():
            relative = os.path.relpath(Path(described[name]["model"]).resolve(), folder.resolve())
            described[name]["model"] = relative if relative.startswith(".") else f"./{relative}"
    (folder / CONFIG).write_text(json.dumps({"method": method, **described}, indent=2) + "\n", encoding="utf-8")
    write_tensors(folder / WEIGHTS, part_tensors(parts))


def load_method(
    model: str,
    revision: str | None = None,
    dtype: str | None = None,
    alone: Method = "aognet",
    variant: str | None = None,
) -> nn.Module:
    """The trained model of a folder or hub id, whichever method it is; an experiment's folder means its ``final``.

    A diffusers model (a folder with ``model_index.json``) is a backbone that paints alone, as the method ``alone`` does
    with it before any training.
    """
    model = _final(model)
    path = resolve(model, (), revision) / CONFIG
    if not path.is_file() and path.with_name(PIPELINE).is_file():
        return _backbone_alone(model, revision, dtype, alone, variant)
    method = read_config(path).get("method")
    if method not in METHODS:
        raise UserError(f"{path}: method: unknown value {method!r}, known are {', '.join(METHODS)}")
    return target_class(LoadedConfig({"target": method}, {"": str(path)})).from_pretrained(
        model, revision, dtype, variant
    )


def locate(model: str, revision: str | None = None) -> Path:
    """The folder that `load_method` reads, of the hub's cache for a hub id. Raises UserError where there is none."""
    return resolve(_final(model), (), revision)


def _final(model: str) -> str:
    """An experiment's ``final``; any other model as it is."""
    here = expanded(model)
    return str(here / "final") if not (here / CONFIG).is_file() and (here / "final" / CONFIG).is_file() else model


def _backbone_alone(
    model: str, revision: str | None, dtype: str | None, name: Method, variant: str | None
) -> nn.Module:
    backbone = {"model": model, "revision": revision, "variant": variant, "dtype": dtype or "float32"}
    method = target_class(LoadedConfig({"target": name}, {"": model}))
    return method(build_config(LoadedConfig({"backbone": backbone, **UNTRAINED[name]}, {"": model}), method.Config))


def load_trained(
    method_class: type,
    model: str,
    method: str,
    revision: str | None = None,
    dtype: str | None = None,
    variant: str | None = None,
) -> nn.Module:
    """Builds a method from the folder or hub id ``save_trained`` filled. Raises UserError naming file and key.

    ``dtype`` and ``variant``: of the frozen parts, if not those it was trained with.
    """
    folder = resolve(model, (), revision)
    path = folder / CONFIG
    described = read_config(path)
    if described.pop("method", None) != method:
        raise UserError(f"{path}: method: expected {method!r}; this folder does not hold a trained {method}")
    config = build_config(LoadedConfig(described, {"": str(path)}), method_class.Config)
    for name in ("backbone", "clip"):
        part = getattr(config, name, None)
        if part is not None:
            referenced = _referenced(path, name, part.model)
            changed = {"model": referenced, "dtype": dtype or part.dtype}
            if name == "backbone":
                changed["variant"] = variant or part.variant
            config = replace(config, **{name: replace(part, **changed)})
    built = method_class(config)
    weights = folder / WEIGHTS
    copy_tensors(read_tensors(weights), part_tensors(built.trainable_parts()), weights)
    return built


def _referenced(path: Path, name: str, model: str) -> str:
    """The hub id or the absolute folder that a saved config refers to, relative to its own folder."""
    local = (path.parent / expanded(model)).resolve()
    if local.is_dir():
        return str(local)
    if not is_hub_id(model):
        raise UserError(f"{path}: {name}.model: no such folder: {model} (that is {local})")
    return model


def read_config(path: Path) -> dict[str, Any]:
    """The configuration that `save_trained` wrote. Raises UserError naming the file."""
    if not path.is_file():
        raise UserError(f"{path}: no such file; --checkpoint expects a folder with {CONFIG} and {WEIGHTS}")
    return read_json(path)
