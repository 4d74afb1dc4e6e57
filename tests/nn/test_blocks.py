"""Blocks that are computed again in the backward pass give the same values and gradients."""

import torch
from torch import Tensor, nn
from torch.testing import assert_close

from aognet.nn.blocks import Blocks


class Scaled(nn.Module):
    """Counts how often it runs."""

    def __init__(self) -> None:
        super().__init__()
        self.weight, self.count = nn.Parameter(torch.ones(2)), 0

    def forward(self, x: Tensor, added: float) -> Tensor:
        self.count += 1
        return (self.weight * x + added).sin()


def test_checkpointing_computes_twice_and_changes_nothing() -> None:
    found, x = [], torch.tensor([0.3, 0.7])
    for checkpointing in (False, True):
        blocks = Blocks([Scaled(), Scaled()])
        blocks.checkpointing = checkpointing
        result = blocks(x, 0.5)
        result.sum().backward()
        found.append((result, *(block.weight.grad for block in blocks)))
        assert [block.count for block in blocks] == [1 + checkpointing] * 2
        with torch.no_grad():
            blocks(x, 0.5)
        assert [block.count for block in blocks] == [2 + checkpointing] * 2
        assert set(blocks.state_dict()) == {"0.weight", "1.weight"}
    assert_close(found[0], found[1])
    assert_close(found[0][0], ((x + 0.5).sin() + 0.5).sin())
