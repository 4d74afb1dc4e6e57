"""How a UNet gets more input channels."""

from typing import Any

from jaxtyping import Float
from torch import Tensor, nn

ADDED = "conv_in.added.weight"
"""The weight of a UNet whose ``conv_in`` is a `WiderInput` that was not there before."""


class WiderInput(nn.Module):
    """A convolution that takes ``count`` more channels. Their weights start at 0, so that at first nothing changes."""

    def __init__(self, plain: nn.Conv2d, count: int):
        super().__init__()
        self.plain = plain
        self.channels = [plain.in_channels, count]
        same: dict[str, Any] = {"kernel_size": plain.kernel_size, "padding": plain.padding}
        same |= {"device": plain.weight.device, "dtype": plain.weight.dtype}
        self.added = nn.Conv2d(count, plain.out_channels, bias=False, **same)
        nn.init.zeros_(self.added.weight)

    def forward(self, inputs: Float[Tensor, "rows channels height width"]) -> Tensor:
        known, added = inputs.split(self.channels, dim=1)
        return self.plain(known) + self.added(added)
