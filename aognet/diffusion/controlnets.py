"""ControlNets (Zhang et al. 2023) of a UNet: made from it, loaded, and saved whole or small.

A small one is what distinguishes a ControlNet from the UNet it was made of: low-rank additions to the encoder's
matrices, and the layers that only a ControlNet has. Elsewhere this is called a Control-LoRA.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from aognet.diffusion.foreign import missing_weights
from aognet.diffusion.loading import DTYPES, freeze, load_weights, quiet, resolve
from aognet.diffusion.part_configs import check_part
from aognet.errors import UserError
from aognet.nn.weights import copy_tensors, read_tensors, write_tensors

SMALL = "control_lora.safetensors"
OWN = "controlnet_"  # how the names of layers begin that a UNet does not have
EMBEDDING = f"{OWN}cond_embedding"
FIRST, SECOND = ".lora_A.weight", ".lora_B.weight"
WIDTHS = (16, 32, 96, 256)  # Zhang et al., for latents 8 times smaller than the picture


def published_widths(scale: int) -> list[int]:
    """Return the ``widths`` of `from_unet` as published, for latents ``scale`` times smaller than the picture."""
    return [WIDTHS[min(number, len(WIDTHS) - 1)] for number in range(scale.bit_length())]


def from_unet(unet: Any, widths: Sequence[int]) -> Any:
    """Return a ControlNet that starts with the weights of a UNet's encoder and changes nothing.

    It sees the noisy latents, with which an inpainting UNet's input begins. ``widths`` are the channels of the layers
    that bring its image to the size of the latents, each half as large as the one before.

    :raises UserError: for a UNet with layers that no ControlNet of diffusers has.
    """
    from diffusers import ControlNetModel

    kind: Any = ControlNetModel
    widths, channels = tuple(widths), unet.config.out_channels
    network = kind.from_unet(unet, conditioning_embedding_out_channels=widths, load_weights_from_unet=False)
    seen = network.conv_in
    network.conv_in = nn.Conv2d(channels, seen.out_channels, seen.kernel_size, padding=seen.padding)
    network.register_to_config(in_channels=channels)
    known, wanted = unet.state_dict(), _encoder(network)
    copied = {name: known[name] for name in wanted.keys() & known.keys()}
    copied["conv_in.weight"] = known["conv_in.weight"][:, :channels]
    copy_tensors(copied, wanted, "unet, of which a ControlNet is to be made")
    _keep_contrast(network.controlnet_cond_embedding)
    return _cast(network, unet.dtype)


def _keep_contrast(embedding: Any) -> None:
    """Draw the first weights of the layers that take the image anew, so that they keep its contrast (He et al. 2015).

    With those of diffusers, less than a hundredth of it reaches the last of these layers, which starts at zero: a
    ControlNet then learns for thousands of steps without seeing its image.
    """
    for layer in (embedding.conv_in, *embedding.blocks):
        nn.init.kaiming_normal_(layer.weight)
        nn.init.zeros_(layer.bias)


def load_controlnet(model: str, unet: Any, dtype: str = "float32", variant: str | None = None) -> Any:
    """Load a ControlNet from a folder or hub id, in ``variant`` if it has that. A small one is added to ``unet``.

    :raises UserError: naming what does not fit.
    """
    from diffusers import ControlNetModel

    folder = resolve(model, (), None, variant)
    if (folder / SMALL).is_file():
        check_part(ControlNetModel, folder)
        return freeze(_cast(with_additions(unet, read_tensors(folder / SMALL), folder / SMALL), DTYPES[dtype]))
    if variant is not None and missing_weights(folder, variant):
        folder, variant = resolve(model), None
    return load_weights(ControlNetModel, folder, "", dtype, variant)


@torch.no_grad()
def with_additions(unet: Any, small: Mapping[str, Tensor], where: str | Path) -> Any:
    """Return the ControlNet that the tensors of a small one make of a UNet, whole and in the UNet's precision.

    :raises UserError: naming the file ``where`` and the first tensor that does not fit.
    """
    network = from_unet(unet, _widths(small, where))
    own = {name: value for name, value in network.state_dict().items() if name.startswith(OWN)}
    copy_tensors({name: value for name, value in small.items() if name.startswith(OWN)}, own, where)
    matrices = _encoder(network)
    for name in sorted(small.keys() - own.keys()):
        stem = name.removesuffix(FIRST).removesuffix(SECOND)
        weight, first, second = matrices.get(f"{stem}.weight"), small.get(stem + FIRST), small.get(stem + SECOND)
        if stem == name or weight is None or first is None or second is None:
            raise UserError(f"{where}: {name!r} belongs to no pair of matrices that this UNet's encoder takes")
        if name.endswith(FIRST):
            fits = min(first.ndim, second.ndim) > 1 and [len(second), *first.shape[1:]] == list(weight.shape)
            if not fits or second.numel() != len(second) * len(first):
                pair = f"{list(first.shape)} and {list(second.shape)}"
                raise UserError(f"{where}: {name!r} and its partner are {pair}, for a matrix of {list(weight.shape)}")
            weight += (second.float().flatten(1) @ first.float().flatten(1)).view_as(weight).to(weight)
    return network


def save_small(folder: Path, network: Any, dtype: str) -> None:
    """Write a ControlNet whose encoder has PEFT's low-rank additions: what distinguishes it from its UNet."""
    tensors = {
        name.replace(".default.", "."): value.to(DTYPES[dtype])
        for name, value in network.state_dict().items()
        if name.startswith(OWN) or ".lora_" in name
    }
    folder.mkdir(parents=True, exist_ok=True)
    network.save_config(folder)
    write_tensors(folder / SMALL, tensors)


def save_whole(folder: Path, network: Any, dtype: str) -> None:
    """Write a ControlNet as diffusers does, with its low-rank additions in its matrices."""
    from diffusers import ControlNetModel

    weights = network.state_dict()
    for name in [name for name in weights if name.endswith(".base_layer.weight")]:
        layer = network.get_submodule(name.removesuffix(".base_layer.weight"))
        weights[name] = weights[name] + layer.get_delta_weight("default")
    weights = {name.replace(".base_layer.", "."): value for name, value in weights.items() if ".lora_" not in name}
    with torch.device("meta"):
        whole: Any = ControlNetModel.from_config(network.config)
    whole.load_state_dict(weights, assign=True)
    with quiet():
        _cast(whole, DTYPES[dtype]).save_pretrained(folder, safe_serialization=True)


def _cast(network: Any, dtype: torch.dtype) -> Any:
    return nn.Module.to(network, dtype=dtype)  # diffusers' own warns of layers that no ControlNet has


def _encoder(network: Any) -> dict[str, Tensor]:
    return {name: value for name, value in network.state_dict().items() if not name.startswith(OWN)}


def _widths(small: Mapping[str, Tensor], where: str | Path) -> list[int]:
    """Return the widths of the layers that take the image, from the shapes of their weights."""
    names = [f"{EMBEDDING}.conv_in.weight"]
    while (name := f"{EMBEDDING}.blocks.{2 * len(names) - 1}.weight") in small:
        names.append(name)
    if names[0] not in small:
        raise UserError(f"{where}: {names[0]!r} is missing; it is no small ControlNet")
    return [len(small[name]) for name in names]
