"""Pickled files of learned words, as tensors under the names of the safetensors layouts."""

from pathlib import Path
from typing import Any

from torch import Tensor

from aognet.diffusion.word_files import COG, PAIRED
from aognet.errors import UserError
from aognet.io.pickled_tensors import read_pickled_tensors


def convert_pickled_words(path: Path) -> dict[str, Tensor]:
    """Return the vectors of a pickled file: of diffusers (``learned_embeds.bin``), A1111 (``.pt``) or SDXL.

    Nothing in it is run. A word that has no name in the file (A1111) is called as the file is.

    :raises UserError: naming the file, for anything else.
    """
    found: Any = read_pickled_tensors(path)
    if isinstance(found, dict) and "string_to_param" in found:  # beside settings of the training
        held = found["string_to_param"]
        tensors = list(held.values()) if isinstance(held, dict) else []
        found = {"emb_params": tensors[0]} if len(tensors) == 1 else {}
    if not isinstance(found, dict) or not found or not all(_is_word(*item) for item in found.items()):
        names = f"{' or '.join(PAIRED)}, {' or '.join(COG)}"
        raise UserError(f"{path}: holds no learned words (vectors under a word, string_to_param, {names})")
    return {name: tensor.detach().clone().contiguous() for name, tensor in found.items()}


def _is_word(name: Any, value: Any) -> bool:
    return isinstance(name, str) and isinstance(value, Tensor) and value.is_floating_point()
