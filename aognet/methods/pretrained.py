"""The trained model of a folder or hub id, whichever method it is."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

from aognet.config import LoadedConfig, build_config
from aognet.diffusion.additions import Additions
from aognet.diffusion.loading import resolve
from aognet.diffusion.saved import CONFIG, NOTHING, read_config
from aognet.errors import UserError
from aognet.methods.method import Method, find_method, methods
from aognet.methods.trained_method import TrainedMethod
from aognet.system.home import expanded

PIPELINE = "model_index.json"
ALONE = "aognet"
"""The method that a backbone alone is used with where none is chosen."""


def load_method(
    model: str,
    revision: str | None = None,
    dtype: str | None = None,
    alone: str | None = None,
    variant: str | None = None,
    additions: Additions = NOTHING,
) -> Any:
    """Load the trained model of a folder or hub id, whichever method it is; an experiment's folder means its ``final``.

    ``additions`` come to those of its backbone.

    A diffusers model (a folder with ``model_index.json``) is a backbone alone: the method ``alone`` uses it untrained.

    :raises UserError: where the model is not there or is of no method that is known.
    """
    method, model = method_of(model, revision, alone), _final(model)
    if not (resolve(model, (), revision) / CONFIG).is_file():
        return _backbone_alone(model, revision, dtype, method, variant, additions)
    added = additions.additions()
    if added and not issubclass(method.model_class, TrainedMethod):
        raise UserError(f"{model} is of the method {method.name}, which has no backbone to add to", key=min(added))
    return method.model_class.from_pretrained(
        model, revision, dtype, variant, **({"additions": additions} if added else {})
    )


def method_of(model: str, revision: str | None = None, alone: str | None = None) -> Method:
    """Find out the method of a model without loading it; see `load_method`."""
    path = locate(model, revision) / CONFIG
    if path.is_file() or not path.with_name(PIPELINE).is_file():
        return find_method(read_config(path).get("method"), str(path))
    method = find_method(alone or ALONE)
    if method.untrained is None:
        able = ", ".join(sorted(one.name for one in methods().values() if one.untrained is not None))
        raise UserError(f"method: {method.name} does nothing with the backbone alone in {model}; {able} do")
    return method


def locate(model: str, revision: str | None = None) -> Path:
    """Return the folder that `load_method` reads, of the hub's cache for a hub id. Raises UserError without one."""
    return resolve(_final(model), (), revision)


def _final(model: str) -> str:
    """Return an experiment's ``final``, or any other model as it is."""
    here = expanded(model)
    return str(here / "final") if not (here / CONFIG).is_file() and (here / "final" / CONFIG).is_file() else model


def _backbone_alone(
    model: str, revision: str | None, dtype: str | None, method: Method, variant: str | None, additions: Additions
) -> Any:
    backbone = {"model": model, "revision": revision, "variant": variant, "dtype": dtype or "float32"}
    backbone |= asdict(Additions(**additions.additions()))
    section = LoadedConfig({"backbone": backbone, **(method.untrained or {})}, {"": model})
    return method.model_class(build_config(section, method.model_class.Config))
