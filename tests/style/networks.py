"""A tiny VGG-16 of random weights, in files of every layout."""

from pathlib import Path

import torch
from safetensors.torch import save_file

from aognet.perception.lpips import Lpips

DIVISOR = 16


def lpips_tensors() -> dict[str, torch.Tensor]:
    """Those of LPIPS with VGG-16, of few channels; activations keep their size through the layers."""
    torch.manual_seed(0)
    network = Lpips("vgg", DIVISOR)
    for key, value in network.state_dict().items():
        if value.ndim == 4 and key.startswith("net."):
            torch.nn.init.kaiming_normal_(value)
    return {key: value.contiguous() for key, value in network.state_dict().items()}


def torchvision_tensors() -> dict[str, torch.Tensor]:
    """The same weights as torchvision names them, with a classifier."""
    own = {key: value for key, value in lpips_tensors().items() if key.startswith("net.")}
    named = {f"features.{key.split('.', 2)[2]}": value for key, value in own.items()}
    return named | {"classifier.0.weight": torch.zeros(2, 2)}


def written(folder: Path) -> str:
    """The path of a file of them."""
    path = folder / "vgg.safetensors"
    save_file(lpips_tensors(), path)
    return str(path)
