"""Files of low-rank additions (LoRA) as people have them: which layers they change, and by what.

Known are diffusers' and PEFT's, kohya's and LoCon's (also for convolutions), and cog-sdxl's. Other kinds are refused.
"""

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from shlex import quote
from typing import Any

import torch
from torch import Tensor

from aognet.diffusion.foreign import PICKLES, SUFFIX
from aognet.diffusion.loading import is_hub_file, is_hub_id, resolve
from aognet.diffusion.lora.adapter_settings import CONFIG, adapter_settings
from aognet.errors import UserError, shown
from aognet.nn.weights import read_tensors
from aognet.system.home import expanded

NAMES = ("pytorch_lora_weights.safetensors", "adapter_model.safetensors", "lora.safetensors")
_WORD = r"(?:\.lora_|\.lora\.|_lora\.|\.lora_linear_layer\.)(?P<word>down|up|mid)"
_MATRIX = rf"(?:\.lora_(?P<peft>A|B)(?:\.\w+)?|{_WORD})\.weight"
_OF_MATRIX = re.compile(rf"(?P<layer>.+?){_MATRIX}")
_OF_ALPHA = re.compile(rf"(?P<layer>.+?)(?:[._]lora|{_MATRIX})?\.alpha")
_ROLES = {"A": "down", "B": "up"}
_OTHER_KINDS = {
    r"\.hada_": "a LoHa",
    r"\.lokr_": "a LoKr",
    r"\.dora_scale|\.lora_magnitude_vector": "a DoRA",
    r"\.b?oft_": "an OFT",
    r"\.on_input$|\.ia3_": "an (IA)3",
    r"\.(?:diff|diff_b|w_norm)$": "a file of whole differences",
    r"\.[ab][12]\.weight$": "a GLoRA",
    r"\.lora_embedding_[AB]": "a LoRA of word embeddings",
}


@dataclass
class Addition:
    """What is added to one layer: ``factor`` times ``up @ down`` (Hu et al. 2021, eq. 3).

    ``down`` is (rank, inputs, *window), ``up`` (outputs, rank, 1, 1), or without the last two. With ``mid`` (rank,
    rank, *window) both are 1x1: the window's Tucker decomposition (LyCORIS, Yeh et al. 2023, eq. 5). ``keys``: the
    tensors' names in the file.
    """

    tensors: dict[str, Tensor] = field(default_factory=dict)
    keys: dict[str, str] = field(default_factory=dict)
    factor: float = 1.0

    @property
    def rank(self) -> int:
        """The rank of the addition."""
        return len(self.tensors["down"])

    def shape(self) -> list[int]:
        """Return the shape of the weight that it fits, without a window of 1x1.

        :raises ValueError: if its matrices do not fit each other.
        """
        up, down = (_flat(self.tensors[role].shape) for role in ("up", "down"))
        window = down[2:]
        if "mid" in self.tensors:
            mid = list(self.tensors["mid"].shape)
            if window or mid[:2] != [self.rank, self.rank] or len(mid) != 4:
                raise ValueError
            window = mid[2:]
        if len(up) != 2 or up[1] != down[0]:
            raise ValueError
        return _flat([up[0], down[1], *window])

    def difference(self) -> Tensor:
        """Return what is added to the weight, in float32 and of as many numbers."""
        up, down = (self.tensors[role].float().flatten(1) for role in ("up", "down"))
        if "mid" in self.tensors:
            return self.factor * torch.einsum("or,rskl,si->oikl", up, self.tensors["mid"].float(), down)
        return self.factor * (up @ down)


def _flat(shape: Any) -> list[int]:
    return list(shape[:2] if list(shape[2:]) == [1, 1] else shape)


def find_lora(name: str) -> Path:
    """Return the safetensors file that `aognet.diffusion.additions.LoraFile.file` names, fetched if it is on the hub.

    :raises UserError: if there is none.
    """
    path = expanded(name)
    if not path.exists():
        if not (is_hub_id(name) or is_hub_file(name)):
            raise UserError(f"{name}: no such file")
        owner, repository, *inside = name.split("/", 2)
        path = resolve(f"{owner}/{repository}", optional=inside or NAMES).joinpath(*inside)
    if path.is_dir():
        known = [path / one for one in NAMES if (path / one).is_file()] or sorted(path.glob(f"*{SUFFIX}"))
        if len(known) != 1:
            raise UserError(f"{name}: name one of its {SUFFIX} files; {len(known)} are in this folder")
        path = known[0]
    if path.suffix in PICKLES:
        command = f"aognet convert-weights {quote(str(path))}"
        raise UserError(f"{name}: a pickle, which can run code when it is read; convert it once: {command}")
    if path.suffix != SUFFIX or not path.is_file():
        raise UserError(f"{name}: {'no such file' if not path.is_file() else f'not a {SUFFIX} file'}")
    return path


def lora_files(path: Path) -> list[Path]:
    """Return all files that a LoRA is read from: itself, and what PEFT says beside it."""
    return [path, *(beside for beside in [path.with_name(CONFIG)] if beside.is_file())]


def read_lora(path: Path, most_bytes: int) -> tuple[dict[str, Addition], list[str]]:
    """Return what a file adds to each layer, by the names that it gives to layers, and tensors that are of no layer.

    :raises UserError: naming file and tensor: another kind than LoRA, an incomplete pair, values not finite, ...; for a
        file of more than ``most_bytes``.
    """
    if (size := path.stat().st_size) > most_bytes:
        raise UserError(f"{path}: has {size} bytes, but a LoRA of this model at most {most_bytes}")
    tensors = read_tensors(path)
    _check_kind(path, tensors)
    found, alphas, others = dict[str, Addition](), dict[str, str](), list[str]()
    for key, value in tensors.items():
        if alpha := _OF_ALPHA.fullmatch(key):
            if (other := alphas.setdefault(alpha["layer"], key)) != key:
                raise UserError(f"{path}: {shown(other)} and {shown(key)} are the alpha of one layer")
        elif (matrix := _OF_MATRIX.fullmatch(key)) is None:
            others.append(key)
        else:
            _check_matrix(path, key, value)
            addition = found.setdefault(matrix["layer"], Addition())
            role = _ROLES.get(matrix["peft"]) or matrix["word"]
            if role in addition.keys:
                both = f"{shown(addition.keys[role])} and {shown(key)}"
                raise UserError(f"{path}: {both} are the same matrix of one layer")
            addition.tensors[role], addition.keys[role] = value, key
    settings = adapter_settings(path, found)
    for layer, addition in found.items():
        if {"up", "down"} - addition.keys.keys():
            key = next(iter(addition.keys.values()))
            raise UserError(f"{path}: {shown(key)} has no other matrix beside it: up and down belong together")
        key = alphas.pop(layer, None)
        alpha = settings.alpha(layer) if key is None else _number(path, key, tensors[key])
        if alpha is not None:
            addition.factor = alpha / settings.divisor(layer, addition.rank)
    return found, [*others, *alphas.values()]


def _check_kind(path: Path, keys: Iterable[str]) -> None:
    for key in keys:
        for pattern, kind in _OTHER_KINDS.items():
            if re.search(pattern, key):
                raise UserError(f"{path}: {kind}, which is not read here; it has {shown(key)}. LoRA and LoCon are read")


def _check_matrix(path: Path, key: str, value: Tensor) -> None:
    if not value.is_floating_point():
        raise UserError(f"{path}: {shown(key)} must be of floating-point numbers, got {value.dtype}")
    if not value.float().isfinite().all():
        raise UserError(f"{path}: {shown(key)} must be finite, got NaN or infinity")
    if value.ndim not in (2, 4) or 0 in value.shape:
        raise UserError(f"{path}: {shown(key)} must be a matrix or a convolution's, got shape {list(value.shape)}")


def _number(path: Path, key: str, alpha: Tensor) -> float:
    """Return a layer's alpha, which files have as a whole number, too."""
    if alpha.numel() != 1 or not 0 < (found := float(alpha.item())) < math.inf:
        got = alpha.item() if alpha.numel() == 1 else f"{list(alpha.shape)} of them"
        raise UserError(f"{path}: {shown(key)} must be a number greater than 0, got {got}")
    return found
