"""What is said beside the matrices of a LoRA: PEFT's ``adapter_config.json``, and diffusers' metadata of the file."""

import json
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aognet.diffusion.foreign import read_header
from aognet.errors import UserError
from aognet.io.text_files import read_json

CONFIG = "adapter_config.json"
METADATA = "lora_adapter_metadata"
PEFT = "base_model.model."
PARTS = ("unet.", "text_encoder.", "text_encoder_2.")
CHANGING = ("pissa", "olora", "corda")
"""Ways to start a LoRA that change the model's own weights too, so that the file alone does not tell the result."""


@dataclass(frozen=True)
class AdapterSettings:
    """Numbers by the names of PEFT's ``LoraConfig``; ``values`` of ``where``, a file, may begin with a part's name."""

    where: str
    values: Mapping[str, Any]

    def alpha(self, layer: str) -> float | None:
        """Return the alpha of a layer; None if nothing is said."""
        values, inner = self._of(layer)
        if not values:
            return None
        patterns = values.get("alpha_pattern") or {}
        if not isinstance(patterns, Mapping) or not all(re.fullmatch(r"\^?[\w.]+", name) for name in patterns):
            raise UserError(f"{self.where}: alpha_pattern must name layers, got {patterns!r:.80}")
        names = (name for name in patterns if f".{inner}".endswith(f".{name.removeprefix('^')}"))
        alpha = next((patterns[name] for name in names), values.get("lora_alpha"))
        if isinstance(alpha, bool) or not isinstance(alpha, int | float) or not 0 < alpha < math.inf:
            raise UserError(f"{self.where}: lora_alpha must be a number greater than 0, got {alpha!r}")
        return float(alpha)

    def divisor(self, layer: str, rank: int) -> float:
        """Return what alpha is divided by: the rank, or its root (rank-stabilised LoRA, Kalajdzievski 2023)."""
        return math.sqrt(rank) if self._of(layer)[0].get("use_rslora") is True else float(rank)

    def _of(self, layer: str) -> tuple[Mapping[str, Any], str]:
        part = next((part for part in PARTS if layer.startswith(part)), "")
        values = {key.removeprefix(part): value for key, value in self.values.items() if key.startswith(part)}
        return values, layer.removeprefix(PEFT).removeprefix(part)


def adapter_settings(path: Path, layers: Iterable[str]) -> AdapterSettings:
    """Return what is said of a file's layers: nothing, unless it is of PEFT or its metadata is of diffusers.

    :raises UserError: without the config that PEFT's files need, or for a kind that is not read.
    """
    where = str(path)
    if any(layer.startswith(PEFT) for layer in layers):
        where = str(path.with_name(CONFIG))
        values = read_json(path.with_name(CONFIG), "config of PEFT's LoRA (it says alpha)")
    else:
        values = _metadata(path)
    for key, value in values.items():
        name = key.rpartition(".")[2]
        if name == "use_dora" and value:
            raise UserError(f"{where}: a DoRA ({key}), which is not read here; LoRA and LoCon are read")
        if name == "peft_type" and value != "LORA":
            raise UserError(f"{where}: {key} must be 'LORA', got {value!r:.80}")
        if name == "init_lora_weights" and str(value).startswith(CHANGING):
            raise UserError(f"{where}: {key} {value!r:.80} changes the model's own weights, which are not in the file")
    return AdapterSettings(where, values)


def _metadata(path: Path) -> dict[str, Any]:
    said = read_header(path).get("__metadata__")
    text = said.get(METADATA) if isinstance(said, dict) else None
    try:
        values = json.loads(text) if text else {}
    except (TypeError, ValueError, RecursionError) as error:
        raise UserError(f"{path}: {METADATA} in its header is not JSON") from error
    if not isinstance(values, dict):
        raise UserError(f"{path}: {METADATA} in its header must be an object, got {values!r:.80}")
    return values
