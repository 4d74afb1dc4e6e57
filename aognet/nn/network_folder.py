"""The folder of one network: ``config.json``, which says what it is and its sizes, and ``model.safetensors``."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import torch
from torch import Tensor, nn

from aognet.config import LoadedConfig, build_config
from aognet.errors import UserError
from aognet.io.text_files import read_json
from aognet.nn.weights import read_tensors, write_tensors

CONFIG, WEIGHTS = "config.json", "model.safetensors"
KIND = "network"
"""The key of ``config.json`` that says which network a folder holds."""


Saved = TypeVar("Saved", bound="SavedNetwork")


class SavedNetwork(nn.Module):
    """A network that has a folder. It is made of its nested dataclass ``Config``; all its buffers are in its state."""

    kind: ClassVar[str]
    """What its folder is called."""
    Config: ClassVar[Any]
    config: Any

    def save_pretrained(self, folder: Path, dtype: torch.dtype = torch.float32) -> None:
        """Write ``config.json`` and ``model.safetensors``, whose floating-point weights are of ``dtype``.

        :raises UserError: naming the folder, if a weight is not finite in ``dtype``.
        """
        tensors = network_tensors(folder, self, dtype)
        folder.mkdir(parents=True, exist_ok=True)
        described = json.dumps({KIND: self.kind, **asdict(self.config)}, indent=2)
        (folder / CONFIG).write_text(described + "\n", encoding="utf-8")
        write_tensors(folder / WEIGHTS, tensors)

    @classmethod
    def from_pretrained(cls: type[Saved], folder: str | Path) -> Saved:
        """Return what `save_pretrained` wrote, on the CPU in float32, frozen and in evaluation mode.

        :raises UserError: naming the file, and the key or weight that does not fit.
        """
        path, weights = Path(folder) / CONFIG, Path(folder) / WEIGHTS
        described = read_json(path)
        found = described.pop(KIND, None)
        if found != cls.kind:
            raise UserError(f"{path}: {KIND}: expected {cls.kind!r}, got {found!r:.80}")
        config = build_config(LoadedConfig(described, {"": str(path)}), cls.Config)
        with torch.device("meta"):  # sizes that the file does not have take no memory
            network = cls(config)
        fill_network(network, read_tensors(weights), weights)
        return network.requires_grad_(False).eval()


def network_tensors(folder: Path, network: nn.Module, dtype: torch.dtype) -> dict[str, Tensor]:
    """Return the weights of a network, those of floating point in ``dtype``.

    :raises UserError: naming the ``folder``, if a weight is not finite in it.
    """
    tensors = {name: _as(value, dtype) for name, value in network.state_dict().items()}
    for name, value in tensors.items():
        if not bool(value.isfinite().all()):
            raise UserError(
                f"{folder}: {name!r} has a weight that is not finite in {str(dtype).removeprefix('torch.')}"
            )
    return tensors


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
