"""Pickled LoRA files, which were usual before safetensors, as tensors."""

from pathlib import Path

from torch import Tensor

from aognet.diffusion.foreign import LORA
from aognet.io.pickled_tensors import read_pickled_tensors

MAX_BYTES = 2**31


def convert_pickled_lora(path: Path) -> dict[str, Tensor]:
    """Return the tensors of a pickled LoRA under their names; nothing for a pickle of something else.

    Nothing in it is run.

    :raises UserError: naming the file, if it is no pickle of tensors.
    """
    found = read_pickled_tensors(path, MAX_BYTES)
    if not isinstance(found, dict):
        return {}
    tensors = {name: value for name, value in found.items() if isinstance(name, str) and isinstance(value, Tensor)}
    if len(tensors) < len(found) or not any(map(LORA.search, tensors)):
        return {}
    return {name: value.detach().clone().contiguous() for name, value in tensors.items()}
