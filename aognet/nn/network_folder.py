"""The folder of one network: ``config.json``, which says what it is and its sizes, and ``model.safetensors``."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from aognet.config import LoadedConfig, build_config
from aognet.errors import UserError
from aognet.io.text_files import read_json
from aognet.nn.weights import read_tensors, write_tensors

CONFIG, WEIGHTS = "config.json", "model.safetensors"
KIND = "network"
"""The key of ``config.json`` that says which network a folder holds."""


def save_network(folder: Path, network: Any, kind: str, dtype: torch.dtype = torch.float32) -> None:
    """Write a network whose ``config`` is a dataclass. Its floating-point weights are written in ``dtype``.

    :raises UserError: naming the folder, if a weight is not finite in ``dtype``.
    """
    tensors = {name: _as(value, dtype) for name, value in network.state_dict().items()}
    for name, value in tensors.items():
        if not bool(value.isfinite().all()):
            raise UserError(
                f"{folder}: {name!r} has a weight that is not finite in {str(dtype).removeprefix('torch.')}"
            )
    folder.mkdir(parents=True, exist_ok=True)
    described = json.dumps({KIND: kind, **asdict(network.config)}, indent=2)
    (folder / CONFIG).write_text(described + "\n", encoding="utf-8")
    write_tensors(folder / WEIGHTS, tensors)


def load_network(network_class: Any, folder: Path, kind: str) -> Any:
    """Return the network that `save_network` wrote, on the CPU in float32, frozen and in evaluation mode.

    ``network_class`` is made of its nested dataclass ``Config``. All its buffers must be in its state.

    :raises UserError: naming the file, and the key or weight that does not fit.
    """
    path, weights = folder / CONFIG, folder / WEIGHTS
    described = read_json(path)
    found = described.pop(KIND, None)
    if found != kind:
        raise UserError(f"{path}: {KIND}: expected {kind!r}, got {found!r:.80}")
    config = build_config(LoadedConfig(described, {"": str(path)}), network_class.Config)
    with torch.device("meta"):  # sizes that the file does not have take no memory
        network = network_class(config)
    fill_network(network, read_tensors(weights), weights)
    return network.requires_grad_(False).eval()


def fill_network(network: nn.Module, tensors: Mapping[str, Tensor], name: str | Path) -> None:
    """Give a network, which may be on the meta device, these tensors as its weights, in float32.

    :raises UserError: naming ``name``, and every weight that is missing, unknown or of another shape.
    """
    check_tensors(tensors, network.state_dict(), name)
    network.load_state_dict({key: _as(value, torch.float32) for key, value in tensors.items()}, assign=True)


def check_tensors(tensors: Mapping[str, Tensor], wanted: Mapping[str, Tensor], name: str | Path) -> None:
    """Refuse tensors that are not those ``wanted``.

    :raises UserError: naming ``name``, and every key that is missing, unknown or of another shape.
    """
    both = sorted(wanted.keys() & tensors.keys())
    wrong = {
        "missing": sorted(wanted.keys() - tensors.keys()),
        "unexpected": sorted(tensors.keys() - wanted.keys()),
        "of another shape": [
            f"{key} {list(tensors[key].shape)} for {list(wanted[key].shape)}"
            for key in both
            if tensors[key].shape != wanted[key].shape
        ],
    }
    told = [f"{len(keys)} weights are {what}: {', '.join(keys)}" for what, keys in wrong.items() if keys]
    if told:
        raise UserError(f"{name}: {'; '.join(told)}")


def _as(value: Tensor, dtype: torch.dtype) -> Tensor:
    return value.detach().to(dtype) if value.is_floating_point() else value.detach()
