"""Cross-attention to tokens that stay the same over all steps: their keys and values are computed once.

The results are kept with the tokens and not in the layers, so a network can serve several threads at once.
"""

import torch
from torch import Tensor, nn

PROJECTIONS = "projections"  # attribute of a constant tensor: what each layer made of it


class ContextLinear(nn.Linear):
    """A projection of cross-attention tokens. It is computed once for a tensor that is `constant`.

    Parameters are those of ``nn.Linear``: an existing layer gets this class by its ``__class__``.
    """

    def forward(self, input: Tensor) -> Tensor:
        kept = None if torch.compiler.is_compiling() else getattr(input, PROJECTIONS, None)
        if kept is None:
            return super().forward(input)
        if self not in kept:
            kept[self] = super().forward(input)
        return kept[self]


def constant(tokens: Tensor) -> Tensor:
    """Return the same tokens as a tensor that keeps its projections as long as it lives. It has no gradient."""
    known = tokens.detach()
    setattr(known, PROJECTIONS, {})
    return known


def keep_projections(network: nn.Module) -> None:
    """Let the cross-attention of a diffusers network project `constant` tokens only once. Weights and names stay."""
    from diffusers.models.attention_processor import Attention

    for module in network.modules():
        if isinstance(module, Attention) and module.is_cross_attention:
            for layer in (module.to_k, module.to_v):
                if type(layer) is nn.Linear:
                    layer.__class__ = ContextLinear
