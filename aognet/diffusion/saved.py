"""Saving of trained parts with a reference to the parts that were not trained, and loading of both.

A folder has ``config.json`` (the method and its configuration) and ``model.safetensors`` (the trained parts only).
"""

import json
import os
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from torch import nn

from aognet.config import LoadedConfig, build_config
from aognet.diffusion.additions import Additions
from aognet.diffusion.loading import is_hub_file, is_hub_id, resolve
from aognet.errors import UserError
from aognet.io.text_files import read_json
from aognet.nn.weights import copy_tensors, part_tensors, read_tensors, write_tensors
from aognet.system.home import expanded

NOTHING = Additions()
CONFIG, WEIGHTS = "config.json", "model.safetensors"
SETTINGS = "settings.json"  # what a model paints best with, beside its weights


def save_trained(folder: Path, config: Any, parts: dict[str, nn.Module], method: str) -> None:
    """Write a method's configuration and trained parts. A local backbone is referenced relative to the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    backbone = getattr(config, "backbone", None)
    if isinstance(backbone, Additions):
        config = replace(config, backbone=backbone.relocated(lambda _, path: _from(folder, path)))
    described = asdict(config)
    for name in ("backbone", "clip"):
        (described.get(name) or {}).pop("encodings", None)  # how it was trained, not what it is
        if described.get(name):
            described[name]["model"] = _from(folder, described[name]["model"])
    (folder / CONFIG).write_text(json.dumps({"method": method, **described}, indent=2) + "\n", encoding="utf-8")
    write_tensors(folder / WEIGHTS, part_tensors(parts))


def _from(folder: Path, path: str) -> str:
    """Return a path as seen from a folder; what does not exist, such as a hub id, as it is."""
    if not Path(path).exists():
        return path
    relative = os.path.relpath(Path(path).resolve(), folder.resolve())
    return relative if relative.startswith(".") else f"./{relative}"


def load_trained(
    method_class: type,
    model: str,
    method: str,
    revision: str | None = None,
    dtype: str | None = None,
    variant: str | None = None,
    additions: Additions = NOTHING,
) -> Any:
    """Build a method from the folder or hub id that ``save_trained`` filled.

    ``dtype`` and ``variant`` are those of the frozen parts, if not those of the training. ``additions`` come to those
    of the saved backbone.

    :raises UserError: naming file and key.
    """
    # What was trained replaces weights that a LoRA would have changed before.
    folder, later = resolve(model, (), revision), Additions(loras=additions.loras)
    path = folder / CONFIG
    described = read_config(path)
    if described.pop("method", None) != method:
        raise UserError(f"{path}: method: expected {method!r}; this folder does not hold a trained {method}")
    config = build_config(LoadedConfig(described, {"": str(path)}), method_class.Config)
    added = additions.additions()
    if added and not isinstance(getattr(config, "backbone", None), Additions):
        raise UserError(f"{model} is of the method {method}, which has no backbone to add to", key=min(added))
    for name in ("backbone", "clip"):
        part: Any = getattr(config, name, None)
        if part is not None:
            referenced = _referenced(path, f"{name}.model", part.model)
            changed = {"model": referenced, "dtype": dtype or part.dtype}
            if name == "backbone":
                changed["variant"] = variant or part.variant
                own = part.relocated(lambda key, named: _referenced(path, f"backbone.{key}", named))
                part = own.with_more(replace(additions, loras=[]))
            config = replace(config, **{name: replace(part, **changed)})
    built = method_class(config)
    weights = folder / WEIGHTS
    copy_tensors(read_tensors(weights), part_tensors(built.trainable_parts()), weights)
    if later.loras:
        built.backbone.add_loras(later.loras)
        built.config = replace(built.config, backbone=built.config.backbone.with_more(later))
    return built


def _referenced(path: Path, name: str, model: str) -> str:
    """Return the hub id or the absolute folder that a saved config refers to, relative to its own folder."""
    local = (path.parent / expanded(model)).resolve()
    if local.exists():
        return str(local)
    if not (is_hub_id(model) or is_hub_file(model)):
        raise UserError(f"{path}: {name}: no such file or folder: {model} (that is {local})")
    return model


def read_config(path: Path) -> dict[str, Any]:
    """Return the configuration that `save_trained` wrote.

    :raises UserError: naming the file.
    """
    if not path.is_file():
        raise UserError(f"{path}: no such file; a trained model is a folder with {CONFIG} and {WEIGHTS}")
    return read_json(path)
