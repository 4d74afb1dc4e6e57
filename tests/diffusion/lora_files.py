"""LoRA files as different programs write them, of random matrices."""

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from aognet.diffusion.additions import LoraFile
from aognet.diffusion.lora.layer_names import TEXT_ENCODERS, original_name, original_names

RANK, ALPHA, SCALE = 3, 2.0, 0.7
FILE = "x.safetensors"
Tensors = dict[str, Tensor]
Matrices = dict[tuple[str, str], tuple[Tensor, Tensor]]
PARTS = ("unet", *TEXT_ENCODERS)
ALL, LINEAR = (nn.Linear, nn.Conv2d), (nn.Linear,)
Format = Callable[[Matrices, Mapping[str, Any]], Tensors]
LINE = "mid_block.attentions.0.transformer_blocks.0.ff.net.2"
DOWN, UP = f"unet.{LINE}.lora_A.weight", f"unet.{LINE}.lora_B.weight"
GOOD = {DOWN: torch.ones(2, 128), UP: torch.ones(32, 2)}


def parts_of(components: Mapping[str, Any]) -> dict[str, Any]:
    return {part: components[part] for part in PARTS if part in components}


def matrices(parts: Mapping[str, nn.Module], kinds: tuple[type, ...], seed: int = 3) -> Matrices:
    """A pair for each layer of some kinds."""
    source, found = torch.Generator().manual_seed(seed), {}
    for part, network in parts.items():
        for name, layer in network.named_modules():
            if isinstance(layer, kinds):
                outputs, inputs, *window = layer.weight.shape
                down, up = (RANK, inputs, *window), (outputs, RANK, *(1 for _ in window))
                found[part, name] = tuple(torch.randn(shape, generator=source) * 0.1 for shape in (down, up))
    return found


def told(part: str, layer: str) -> str:
    """A layer as files have it: the text encoders are inside another model."""
    return layer if part == "unet" or layer.startswith("text") else f"text_model.{layer}"


def peft(found: Matrices, parts: Mapping[str, Any]) -> Tensors:
    names = ("lora_A", "lora_B")
    return {
        f"{part}.{told(part, layer)}.{name}.weight": matrix
        for (part, layer), pair in found.items()
        for name, matrix in zip(names, pair, strict=True)
    }


def older(found: Matrices, parts: Mapping[str, Any]) -> Tensors:
    """As diffusers wrote them before PEFT: attention processors in the UNet."""
    tensors: Tensors = {}
    for (part, layer), pair in found.items():
        layer, ending = told(part, layer), ".lora" if part == "unet" else ".lora_linear_layer"
        if ".attn" in layer:
            head, _, last = layer.removesuffix(".0").rpartition(".")
            layer, ending = f"{head}.processor.{last}", "_lora"
        tensors |= {f"{part}.{layer}{ending}.{word}.weight": x for word, x in zip(("down", "up"), pair, strict=True)}
    return tensors


def between(found: Matrices, parts: Mapping[str, Any]) -> Tensors:
    """As diffusers wrote a UNet's before PEFT and after the processors."""
    words = {"lora_A": "lora.down", "lora_B": "lora.up"}
    return {re.sub("lora_[AB]", lambda name: words[name[0]], key): value for key, value in peft(found, parts).items()}


def cog(found: Matrices, parts: Mapping[str, Any]) -> Tensors:
    return {key.removeprefix("unet."): value for key, value in older(found, parts).items()}


def kohya(found: Matrices, parts: Mapping[str, Any], original: bool = False) -> Tensors:
    prefixes = {"unet": "lora_unet_", "text_encoder": "lora_te_", "text_encoder_2": "lora_te2_"}
    if "text_encoder_2" in parts:
        prefixes["text_encoder"] = "lora_te1_"
    blocks, tensors = original_names(parts["unet"]), {}
    for (part, layer), (down, up) in found.items():
        name = original_name(layer, blocks) if original and part == "unet" else told(part, layer)
        key = f"{prefixes[part]}{name.replace('.', '_')}"
        tensors |= {f"{key}.lora_down.weight": down, f"{key}.lora_up.weight": up, f"{key}.alpha": torch.tensor(ALPHA)}
    return tensors


def kohya_original(found: Matrices, parts: Mapping[str, Any]) -> Tensors:
    return kohya(found, parts, original=True)


def written(tensors: Tensors, folder: Path, name: str = FILE, metadata: dict[str, str] | None = None) -> LoraFile:
    save_file({key: value.clone().contiguous() for key, value in tensors.items()}, folder / name, metadata)
    return LoraFile(str(folder / name), SCALE)


def weights_of(parts: Mapping[str, nn.Module]) -> Tensors:
    return {f"{part}.{name}": x for part, network in parts.items() for name, x in network.state_dict().items()}
