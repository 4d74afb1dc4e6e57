"""The names that LoRA files give to the layers of Stable Diffusion: those of diffusers, kohya and the original code."""

import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from torch import nn

TEXT_ENCODERS = {"text_encoder": ("lora_te_", "lora_te1_"), "text_encoder_2": ("lora_te2_",)}
# Inside a block: what diffusers' residual blocks call their layers, and what the original code does.
RESNET = {
    "conv1": "in_layers.2",
    "time_emb_proj": "emb_layers.1",
    "conv2": "out_layers.3",
    "conv_shortcut": "skip_connection",
}
OUTSIDE = {
    "conv_in": "input_blocks.0.0",
    "conv_out": "out.2",
    "time_embedding.linear_1": "time_embed.0",
    "time_embedding.linear_2": "time_embed.2",
    "add_embedding.linear_1": "label_emb.0.0",
    "add_embedding.linear_2": "label_emb.0.2",
}


class Place(NamedTuple):
    """A layer of a model: the part that it belongs to, such as ``unet``, and its name there."""

    part: str
    layer: str


def layer_names(parts: Mapping[str, nn.Module]) -> dict[str, Place]:
    """Return all names of the linear layers and convolutions of a UNet (``unet``) and its text encoders.

    A name without a part belongs to the UNet, or to the text encoder if there is but one.
    """
    named: dict[str, Place] = {}
    blocks = original_names(parts["unet"])
    for name, layer in _matrices(parts["unet"]).items():
        named |= dict.fromkeys(_unet_names(name, blocks), Place("unet", layer))
    encoders = [part for part in TEXT_ENCODERS if part in parts]
    for part in encoders:
        for name, layer in _matrices(parts[part]).items():
            named |= dict.fromkeys(_text_names(name, part, alone=len(encoders) == 1), Place(part, layer))
    return named


def original_names(unet: Any) -> dict[str, str]:
    """Return what the original code calls each block of a diffusers UNet, and each layer outside of the blocks.

    It counts all layers of the encoder and of the decoder (CompVis' and Stability's ``openaimodel.UNetModel``).
    """
    names, number = dict(OUTSIDE), 1
    for place, block in enumerate(unet.down_blocks):
        for layer in range(len(block.resnets)):
            names |= _pair(f"down_blocks.{place}", layer, f"input_blocks.{number}")
            number += 1
        if block.downsamplers is not None:
            names[f"down_blocks.{place}.downsamplers.0.conv"] = f"input_blocks.{number}.0.op"
            number += 1
    names |= {"mid_block.resnets.0": "middle_block.0", "mid_block.attentions.0": "middle_block.1"}
    names["mid_block.resnets.1"] = "middle_block.2"
    number = 0
    for place, block in enumerate(unet.up_blocks):
        for layer in range(len(block.resnets)):
            names |= _pair(f"up_blocks.{place}", layer, f"output_blocks.{number}")
            number += 1
        if block.upsamplers is not None:  # the last layer's, behind its attention if it has some
            behind = 2 if hasattr(block, "attentions") else 1
            names[f"up_blocks.{place}.upsamplers.0.conv"] = f"output_blocks.{number - 1}.{behind}.conv"
    return names


def _pair(block: str, layer: int, original: str) -> dict[str, str]:
    return {f"{block}.resnets.{layer}": f"{original}.0", f"{block}.attentions.{layer}": f"{original}.1"}


def original_name(layer: str, blocks: Mapping[str, str]) -> str | None:
    """Return what the original code calls a layer; None if it has none. ``blocks`` is from `original_names`."""
    if layer in blocks:
        return blocks[layer]
    found = re.match(r"(?:(?:down|up)_blocks\.\d+|mid_block)\.(resnets|attentions)\.\d+", layer)
    if found is None or found[0] not in blocks:
        return None
    inner = layer[len(found[0]) + 1 :]
    if found[1] == "resnets":
        return f"{blocks[found[0]]}.{RESNET[inner]}" if inner in RESNET else None
    return f"{blocks[found[0]]}.{inner}"


def _matrices(part: nn.Module) -> dict[str, str]:
    """Return the layers by their names before others were put around them: low-rank additions, or more channels."""
    matrices = [name for name, module in part.named_modules() if isinstance(module, nn.Linear | nn.Conv2d)]
    return {re.sub(r"\.(base_layer|plain)\b", "", name): name for name in matrices if ".lora_" not in name}


def _unet_names(layer: str, blocks: Mapping[str, str]) -> Iterator[str]:
    original = original_name(layer, blocks)
    older = re.sub(r"(\.attn\d)\.(to_\w+?)(\.0)?$", r"\1.processor.\2", layer)  # of attention processors
    for name in {layer, older}:
        yield from (name, f"unet.{name}", f"base_model.model.{name}")
    for name in filter(None, (layer, original)):
        yield f"lora_unet_{name.replace('.', '_')}"
    if original is not None:
        yield f"diffusion_model.{original}"


def _text_names(layer: str, part: str, alone: bool) -> Iterator[str]:
    # Versions of transformers differ in whether the model is inside another one.
    bare = layer.removeprefix("text_model.")
    older = re.sub(r"\.self_attn\.(\w+)_proj$", r".self_attn.to_\1", bare)  # as diffusers once called them
    for name in (f"{model}{name}" for model in ("text_model.", "") for name in {bare, older}):
        yield f"{part}.{name}"
        if alone:
            yield from (name, f"base_model.model.{name}")
        yield from (f"{prefix}{name.replace('.', '_')}" for prefix in TEXT_ENCODERS[part])
