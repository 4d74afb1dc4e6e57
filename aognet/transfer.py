"""Tensors and networks on their way to the device that computes."""

from typing import TypeVar

import torch
from torch import Tensor, nn

Network = TypeVar("Network", bound=nn.Module)


def to_device(tensor: Tensor, device: torch.device | str) -> Tensor:
    """The tensor on ``device``; the CPU does not wait for a copy to a GPU.

    Only copies from pinned memory run beside the CPU: others wait for what the GPU still computes.
    """
    if tensor.device.type == "cpu" and torch.device(device).type == "cuda":
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor.to(device)


def to_memory_format(network: Network, memory_format: torch.memory_format) -> Network:
    """The network itself, its weights of four dimensions in another order of memory."""
    # PyTorch documents this argument; its annotations leave it out.
    return network.to(memory_format=memory_format)  # pyrefly: ignore[no-matching-overload]
