"""Modules of one kind in a row, which take less memory in training if they are computed twice."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint


class Blocks(nn.ModuleList):
    """Modules that run one after the other. With ``checkpointing`` the backward pass computes each of them again."""

    checkpointing = False

    def forward(self, x: Tensor, *told: Any) -> Tensor:
        """Let ``x`` pass all of them; each is told the same besides."""
        recomputed = self.checkpointing and torch.is_grad_enabled()
        for block in self:
            x = checkpoint(block, x, *told, use_reentrant=False) if recomputed else block(x, *told)
        return x
