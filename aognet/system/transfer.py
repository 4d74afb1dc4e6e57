"""Moving tensors and networks to the device that computes."""

from typing import TypeVar

import torch
from torch import Tensor, nn

Network = TypeVar("Network", bound=nn.Module)


def to_device(tensor: Tensor, device: torch.device | str) -> Tensor:
    """Return the tensor on ``device``. The CPU does not wait for a copy to a GPU.

    Only copies from pinned memory run beside the CPU. Others wait for what the GPU still computes.
    """
    if tensor.device.type == "cpu" and torch.device(device).type == "cuda":
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor.to(device)


def to_memory_format(network: Network, memory_format: torch.memory_format) -> Network:
    """Return the network itself, with its four-dimensional weights in another order of memory."""
    # PyTorch documents this argument; its annotations leave it out.
    return network.to(memory_format=memory_format)  # pyrefly: ignore[no-matching-overload]
