"""Spectral norms (Miyato et al. 2018) of all layers of a network while it trains, and the network without them."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations, parametrize

Network = TypeVar("Network", bound=nn.Module)
SETTLING = 30
"""Power iterations after which the norm of weights that changed at once, as averaged ones, is known well."""


def normed(network: Network, but: tuple[nn.Module, ...] = ()) -> Network:
    """Give every linear layer and convolution a spectral norm, except those in ``but``.

    Weights are orthogonal first (Brock et al. 2019, appendix C).
    """
    for layer in network.modules():
        if isinstance(layer, nn.Linear | nn.Conv2d):
            nn.init.orthogonal_(layer.weight)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
            if layer not in but:
                parametrizations.spectral_norm(layer, eps=1e-6)
    return network


@contextmanager
def steady(network: nn.Module) -> Iterator[None]:
    """Compute every normed weight once, in float32, for all that the body computes with it.

    Under autocast the norms would be found in half precision.
    """
    with parametrize.cached():
        with torch.autocast(next(network.parameters()).device.type, enabled=False):
            for layer in network.modules():
                if parametrize.is_parametrized(layer, "weight"):
                    layer.weight  # noqa: B018 - fills the cache
        yield


@torch.no_grad()
def settle(network: nn.Module) -> None:
    """Bring the singular vectors of all spectral norms to the weights as they are now."""
    was_training = network.training
    network.train()
    for layer in network.modules():
        if parametrize.is_parametrized(layer, "weight"):
            for _ in range(SETTLING):
                layer.weight  # noqa: B018 - in training each access does a power iteration
    network.train(was_training)


def folded(network: nn.Module) -> dict[str, Tensor]:
    """Return the tensors of a network without spectral norms that computes what this one does in evaluation mode.

    They have the names of the network as it was before `normed`.
    """
    was_training = network.training
    network.eval()
    found = {name: value for name, value in network.state_dict().items() if ".parametrizations." not in name}
    for name, layer in network.named_modules():
        if parametrize.is_parametrized(layer, "weight"):
            weight: Any = layer.weight
            found[f"{name}.weight"] = weight.detach()
    network.train(was_training)
    return {name: value.clone() for name, value in found.items()}
