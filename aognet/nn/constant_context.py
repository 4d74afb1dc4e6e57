"""Cross-attention to tokens that stay the same over all steps: their keys and values are computed once."""

from collections.abc import Iterator
from contextlib import contextmanager

from torch import Tensor, nn


class _Remembered:
    """A layer's ``forward`` that knows its last input again, by identity, and returns what it made of it."""

    def __init__(self, layer: nn.Module):
        self.make, self.given, self.made = layer.forward, None, None

    def __call__(self, given: Tensor) -> Tensor:
        if given is not self.given:
            self.given, self.made = given, self.make(given)
        return self.made


@contextmanager
def constant_context(unet: nn.Module) -> Iterator[None]:
    """While it lasts, a diffusers UNet projects the cross-attention tokens it is given once, not in every call.

    The tokens must be one tensor from call to call, and no gradient may be wanted. A compiled UNet is left as it is.
    """
    from diffusers.models.attention_processor import Attention

    if unet._compiled_call_impl is not None:
        yield
        return
    attentions = [module for module in unet.modules() if isinstance(module, Attention) and module.is_cross_attention]
    layers = [layer for attention in attentions for layer in (attention.to_k, attention.to_v)]
    before = [vars(layer).get("forward") for layer in layers]
    for layer in layers:
        layer.forward = _Remembered(layer)
    try:
        yield
    finally:
        for layer, own in zip(layers, before, strict=True):
            del layer.forward
            if own is not None:
                layer.forward = own
