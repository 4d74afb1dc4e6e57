"""Layers for panoramas, which continue over their left and right edge: a convolution and an upsampling without a
seam.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional


class CircularConv2d(nn.Conv2d):
    """A convolution whose padding wraps around in x and is zero in y.

    Shifting the input by a multiple of the stride in x shifts the output too. Parameters are those of ``nn.Conv2d``: an
    existing layer becomes circular when its ``__class__`` is set to this class. The padding is a number of pixels, in x
    at most the input's columns. ``padding_mode`` stays "zeros", because that of ``nn.Conv2d`` applies to both axes.
    """

    def _conv_forward(
        self, input: Float[Tensor, "batch channels height width"], weight: Tensor, bias: Tensor | None
    ) -> Float[Tensor, "batch out rows columns"]:
        if isinstance(self.padding, str) or self.padding_mode != "zeros":
            raise ValueError(f"padding must be in pixels, of zeros, got {self.padding!r} ({self.padding_mode})")
        down, across = self.padding
        return functional.conv2d(
            wrapped(input, across), weight, bias, self.stride, (down, 0), self.dilation, self.groups
        )


def upsample(features: Float[Tensor, "batch channels height width"]) -> Tensor:
    """Return twice as many rows and columns, bilinear, also across the seam."""
    doubled = functional.interpolate(wrapped(features, 1), scale_factor=2, mode="bilinear", align_corners=False)
    return doubled[..., 2:-2]


def wrapped(
    features: Float[Tensor, "batch channels height width"], margin: int
) -> Float[Tensor, "batch channels height wide"]:
    """Return the features with ``margin`` more columns on each side, taken from the other side.

    :raises ValueError: if there are not as many columns.
    """
    if margin > features.shape[-1]:
        raise ValueError(f"padding must be at most the width {features.shape[-1]}, got {margin}")
    # Forward and backward this is faster on a CPU than torch's own circular padding.
    return torch.cat([features[..., -margin:], features, features[..., :margin]], dim=-1) if margin else features
