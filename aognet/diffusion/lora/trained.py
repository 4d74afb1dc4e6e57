"""Which weights of a frozen UNet a method trains: all, those of attention, or low-rank additions (LoRA).

LoRA (Hu et al. 2021, arXiv 2106.09685, eq. 3) adds the product of two small matrices to each layer.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from aognet.errors import UserError

Trained = Literal["attention", "all", "lora"]
Layers = Literal["attention", "all"]
PROJECTIONS = ("to_q", "to_k", "to_v", "to_out.0")


def open_parts(
    unet: Any, train: Trained, lora_rank: int, lora_layers: Layers, besides: Sequence[str] = ()
) -> dict[str, nn.Module]:
    """Let the chosen weights of a frozen UNet learn. Return them as a part under the UNet's own names.

    ``besides``: names of weights that learn in any case, and whose layers get no low-rank additions. Convolutions that
    are added are plain: change a UNet (`aognet.nn.circular.wrap_around`, `aognet.nn.faces.see_all_faces`) after this.
    """
    from diffusers.models.attention_processor import Attention

    if train == "all":
        unet.requires_grad_(True)
        return {"unet": unet}
    if train == "lora":
        _add_lora(unet, lora_rank, lora_layers, besides)
        chosen: dict[str, Any] = {name: weight for name, weight in unet.named_parameters() if "lora_" in name}
    else:
        chosen = {
            f"{name}.{key}": weight
            for name, module in unet.named_modules()
            if isinstance(module, Attention)
            for key, weight in module.named_parameters()
        }
    chosen |= {name: unet.get_parameter(name) for name in besides}
    for weight in chosen.values():
        weight.requires_grad_(True)
    return {"unet": _tree(chosen)}


def check_rank(lora_rank: int) -> None:
    """Raise UserError for a rank that no addition can have."""
    if lora_rank < 1:
        raise UserError("must be at least 1", key="lora_rank", value=lora_rank)


def _add_lora(unet: Any, rank: int, layers: Layers, besides: Sequence[str]) -> None:
    try:
        from peft import LoraConfig
    except ImportError as error:
        raise UserError("train: lora needs peft: pip install peft") from error
    # The second matrix starts at 0 and the first is random: seeded, so that two processes start alike.
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        targets = list(PROJECTIONS) if layers == "attention" else _matrices(unet, besides)
        # PEFT takes a name for every layer whose name ends in it.
        apart = sorted({name.rpartition(".")[0] for name in besides}) or None
        unet.add_adapter(
            LoraConfig(
                r=rank, lora_alpha=rank, init_lora_weights="gaussian", target_modules=targets, exclude_modules=apart
            )
        )


def merge_lora(unet: nn.Module) -> None:
    """Add low-rank additions to the layers that they belong to, so that painting with them costs nothing more."""
    from peft.tuners.tuners_utils import BaseTunerLayer

    for module in unet.modules():
        if isinstance(module, BaseTunerLayer):
            module.merge()


def cut_rank(weights: Mapping[str, Tensor], rank: int) -> dict[str, Tensor]:
    """Return trained weights with low-rank additions of ``rank``: the best approximation of each product (SVD)."""
    cut = dict(weights)
    for name, first in weights.items():
        if "lora_A" not in name:
            continue
        partner = name.replace("lora_A", "lora_B")
        outside, inside = weights[partner].float(), first.float()
        # The product's singular vectors, from those of a small matrix.
        left, upper = torch.linalg.qr(outside.flatten(1))
        right, lower = torch.linalg.qr(inside.flatten(1).T)
        turned, sizes, back = torch.linalg.svd(upper @ lower.T, full_matrices=False)
        root = sizes[:rank].sqrt()
        missing = rank - len(root)  # of a layer with fewer channels: zeros
        columns = functional.pad(left @ turned[:, :rank] * root, (0, missing))
        rows = functional.pad(right @ back[:rank].T * root, (0, missing)).T
        cut[name] = rows.reshape(rank, *inside.shape[1:]).to(first.dtype).contiguous()
        cut[partner] = columns.reshape(-1, rank, *outside.shape[2:]).to(first.dtype).contiguous()
    return cut


def _matrices(unet: nn.Module, besides: Sequence[str]) -> list[str]:
    """Return the names of all linear layers and convolutions but those whose weights learn ``besides``."""
    names = [name for name, module in unet.named_modules() if isinstance(module, nn.Linear | nn.Conv2d)]
    return [name for name in names if f"{name}.weight" not in besides]


def _tree(weights: Mapping[str, nn.Parameter]) -> nn.Module:
    """Return a module that holds the weights themselves, not copies, under their dotted names."""
    root = nn.Module()
    for name, weight in weights.items():
        *path, last = name.split(".")
        module = root
        for step in path:
            if step not in dict(module.named_children()):
                module.add_module(step, nn.Module())
            module = module.get_submodule(step)
        module.register_parameter(last, weight)
    return root
