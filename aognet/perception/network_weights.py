"""The one safetensors file of a feature network, and what identifies its weights."""

import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from aognet.diffusion.loading import freeze, resolve
from aognet.errors import UserError
from aognet.nn.weights import copy_tensors
from aognet.system.home import expanded
from aognet.system.transfer import Network

SUFFIX = ".safetensors"


def weights_file(model: str, revision: str | None = None) -> Path:
    """Return the weights that ``model`` names: a safetensors file, or a folder or hub id with ``model.safetensors``.

    A folder may instead have exactly one safetensors file of another name.

    :raises UserError: if there is none.
    """
    path = expanded(model)
    if path.is_file() and path.suffix != SUFFIX:
        raise UserError(f"{model}: not a {SUFFIX} file; other formats can run code when they are read, convert it once")
    if path.is_file():
        return path
    if path.suffix == SUFFIX:
        raise UserError(f"{model}: no such file")
    folder = path if path.is_dir() else resolve(model, (), revision)
    found = sorted(folder.glob(f"*{SUFFIX}"))
    if (folder / f"model{SUFFIX}").is_file():
        return folder / f"model{SUFFIX}"
    if len(found) != 1:
        raise UserError(f"{model}: needs a model{SUFFIX} in it, or one {SUFFIX} file; it has {len(found)}")
    return found[0]


def width_divisor(tensors: Mapping[str, Tensor], key: str, channels: int, most: int, path: Path) -> int:
    """Return how many times narrower than published a network is, from the output channels of its first convolution."""
    if key not in tensors:
        raise UserError(f"{path}: {key!r} is not in it")
    found = tensors[key].shape[0] if tensors[key].ndim else 0
    if not found or channels % found or channels // found > most:
        raise UserError(f"{path}: {key!r} has {found} output channels, the network needs {channels}")
    return channels // found


def fill(module: Network, tensors: Mapping[str, Tensor], path: Path) -> Network:
    """Return a module of the meta device with all its floating-point weights from ``tensors``, frozen and on the
    CPU.
    """
    module = module.to_empty(device="cpu")
    # What batch norms count while they learn is an integer that older files lack.
    target = {key: value for key, value in module.state_dict().items() if value.is_floating_point()}
    copy_tensors(tensors, target, path)
    return freeze(module)


def digest(modules: Iterable[nn.Module]) -> str:
    """Return the hex sha256 of all floating-point weights. Other names and files of the same tensors do not change
    it.
    """
    every = [value for module in modules for value in module.state_dict().values() if value.is_floating_point()]
    return hashlib.sha256("".join(sorted(map(_digest, every))).encode()).hexdigest()


def fingerprint(weights: str, preprocessing: str) -> str:
    """Return the hex sha256 of weights (their `digest`) and of all that is done to images before the network sees
    them.
    """
    return hashlib.sha256(f"{weights} {preprocessing}".encode()).hexdigest()


def named(what: str, model: str, weights: str) -> str:
    """Return one line for reports: what a network is, where it comes from and the beginning of its weights' digest."""
    return f"{what}, from {model}, sha256 {weights[:12]}"


def _digest(value: Tensor) -> str:
    flat = value.detach().cpu().contiguous().flatten()
    known = hashlib.sha256(f"{value.dtype} {list(value.shape)}".encode())
    known.update(flat.view(torch.uint8).numpy().data)
    return known.hexdigest()
