"""The trained model of a folder or hub id, whichever method it is."""

from pathlib import Path
from typing import Literal, get_args

from torch import nn

from aognet.config import LoadedConfig, build_config, target_class
from aognet.diffusion.loading import resolve
from aognet.diffusion.saved import CONFIG, read_config
from aognet.errors import UserError
from aognet.home import expanded

PIPELINE = "model_index.json"
Method = Literal["aognet", "cubediff"]
METHODS = get_args(Method)
# What a method is set to where nothing of it is trained.
UNTRAINED = {
    "aognet": {"global_stream": {"enabled": False}, "local_stream": {"enabled": False}},
    "cubediff": {"positions": False, "clean_known": False, "synchronise_padding": True},
}


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
