"""Low-rank additions of files, merged into the weights of a model before anything else is done with it."""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import nn

from aognet.diffusion.additions import LoraFile
from aognet.diffusion.lora.layer_names import Place, layer_names
from aognet.diffusion.lora.lora_files import Addition, find_lora, read_lora
from aognet.errors import UserError, shown

NAMED = 3
"""How many tensors a message names."""
BYTES_PER_WEIGHT, MORE_BYTES = 8, 2**20
"""How large a file may be: two float32 numbers for each weight of the model, and what names take."""
log = logging.getLogger(__name__)


class Placed(NamedTuple):
    """An addition of a file to a layer."""

    path: Path
    scale: float
    addition: Addition


@torch.no_grad()
def add_loras(parts: Mapping[str, nn.Module], loras: Sequence[LoraFile]) -> None:
    """Add files to the weights of a UNet (``unet``) and its text encoders, in float32: ``W + scale * factor * up @
    down``.

    Several files add up. No weight is changed unless all tensors have a place and fit there.

    :raises UserError: naming file and tensors, if one is of no layer of the model, or of another shape.
    """
    names, additions = layer_names(parts), dict[Place, list[Placed]]()
    for lora in loras:
        path = find_lora(lora.file)
        for place, addition in _placed(path, parts, names).items():
            additions.setdefault(place, []).append(Placed(path, lora.scale, addition))
    for place, several in additions.items():
        weight: Any = parts[place.part].get_submodule(place.layer).weight
        changed = weight.float()
        for one in several:
            changed = changed + one.scale * one.addition.difference().to(weight.device).view(weight.shape)
        changed = changed.to(weight.dtype)
        if not changed.isfinite().all():
            said = f"{several[-1].path}: {several[-1].addition.keys['up']!r} is too large"
            raise UserError(f"{said}: the sum does not fit in {weight.dtype} at scale {several[-1].scale:g}")
        weight.copy_(changed)


def _placed(path: Path, parts: Mapping[str, nn.Module], names: Mapping[str, Place]) -> dict[Place, Addition]:
    weights = sum(weight.numel() for part in parts.values() for weight in part.parameters())
    found, others = read_lora(path, MORE_BYTES + BYTES_PER_WEIGHT * weights)
    placed: dict[Place, Addition] = {}
    for layer, addition in found.items():
        place = names.get(layer)
        if place is None:
            others += addition.keys.values()
        elif place in placed:
            keys = shown(placed[place].keys["up"]), shown(addition.keys["up"])
            raise UserError(f"{path}: {keys[0]} and {keys[1]} are two names of one layer")
        else:
            placed[place] = addition
    if others or not placed:
        count = sum(len(addition.keys) for addition in placed.values()) + len(others)
        first = ", ".join(map(shown, others[:NAMED]))
        raise UserError(
            f"{path}: {len(others)} of its {count} tensors belong to no layer of this model"
            f"{f', among them {first}' if others else ''}; is it a LoRA for this kind of model?"
        )
    for place, addition in placed.items():
        _check_shape(path, addition, parts[place.part].get_submodule(place.layer))
    log.info("%s: changes %d layers", path, len(placed))
    return placed


def _check_shape(path: Path, addition: Addition, layer: Any) -> None:
    shapes = {addition.keys[role]: list(tensor.shape) for role, tensor in addition.tensors.items()}
    told = f"{path}: " + " and ".join(f"{key!r} of shape {shape}" for key, shape in shapes.items())
    wanted = list(layer.weight.shape)
    try:
        shape = addition.shape()
    except ValueError as error:
        raise UserError(f"{told} do not fit each other") from error
    if shape != (wanted[:2] if wanted[2:] == [1, 1] else wanted):
        raise UserError(f"{told} make a weight of shape {shape}, the model's has {wanted}")
