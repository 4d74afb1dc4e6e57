"""Tensors on their way to the device that computes."""

import torch
from torch import Tensor


def to_device(tensor: Tensor, device: torch.device | str) -> Tensor:
    """The tensor on ``device``; the CPU does not wait for a copy to a GPU.

    Only copies from pinned memory run beside the CPU: others wait for what the GPU still computes.
    """
    if tensor.device.type == "cpu" and torch.device(device).type == "cuda":
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor.to(device)
