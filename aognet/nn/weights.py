"""Weights of named parts as plain tensors, and safetensors files that contain exactly these."""

from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load, load_file, save_file
from torch import Tensor, nn

from aognet.errors import UserError
from aognet.io.files import is_file, is_utf8, share_as_folder


def write_tensors(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """Write tensors of any device and memory layout."""
    save_file({name: _copy(value) for name, value in tensors.items()}, path)
    share_as_folder(path)


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Read a safetensors file to the CPU.

    :raises UserError: for a missing or broken file.
    """
    if not is_file(path):
        raise UserError(f"{path}: no such file")
    try:
        # The library opens no file whose name is not UTF-8.
        return load_file(path) if is_utf8(path) else load(path.read_bytes())
    except (OSError, SafetensorError) as error:
        raise UserError(f"{path}: not a readable safetensors file ({error})") from error


def part_tensors(parts: Mapping[str, nn.Module]) -> dict[str, Tensor]:
    """Return the parameters and buffers of named modules, with keys ``part.parameter``."""
    return {f"{part}.{key}": value for part, module in parts.items() for key, value in module.state_dict().items()}


@torch.no_grad()
def copy_tensors(source: Mapping[str, Tensor], target: Mapping[str, Tensor], name: str | Path) -> None:
    """Copy ``source`` into the tensors of ``target``, key by key. Nothing is changed unless all fit.

    :raises UserError: naming the file ``name`` and the first keys that are missing, unknown or of another shape.
    """
    missing, unexpected = sorted(target.keys() - source.keys()), sorted(source.keys() - target.keys())
    if missing:
        raise UserError(f"{name}: {len(missing)} weights are missing, the first is {missing[0]!r}")
    if unexpected:
        raise UserError(f"{name}: {len(unexpected)} weights are unknown here, the first is {unexpected[0]!r}")
    for key, value in target.items():
        if value.shape != source[key].shape:
            raise UserError(f"{name}: {key!r} has shape {list(source[key].shape)}, the model needs {list(value.shape)}")
    for key, value in target.items():
        value.copy_(source[key])


def _copy(value: Tensor) -> Tensor:
    """Return a copy on the CPU, row-major and in memory of its own, as the file format needs it."""
    return torch.empty(value.shape, dtype=value.dtype).copy_(value.detach())
