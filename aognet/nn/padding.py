"""Where a diffusers network pads, so that another padding can take the place of its zeros."""

from typing import Any

from torch import nn


def padded_convolutions(network: nn.Module) -> list[tuple[Any, int, int]]:
    """Return the plain convolutions that pad, each with its pixels above and left, and below and right.

    A VAE's downsampling pads by itself, below and on the right. Here it stops that, and its convolution has to pad.
    """
    from diffusers.models.downsampling import Downsample2D

    found: list[tuple[Any, int, int]] = []
    for module in network.modules():
        if isinstance(module, Downsample2D) and module.use_conv and module.padding == 0:
            found.append((getattr(module.conv, "base_layer", module.conv), 0, 1))  # within low-rank additions
            module.padding = 1
        elif type(module) is nn.Conv2d and not isinstance(module.padding, str) and module.padding[0] > 0:
            found.append((module, module.padding[0], module.padding[0]))
    return found
