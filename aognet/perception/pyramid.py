"""Frozen features of images at four scales, from EfficientNet-Lite0, which gradients flow through to the images."""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.fusion import fuse_conv_bn_eval

from aognet.diffusion.loading import freeze
from aognet.perception.efficientnet import Bottleneck, EfficientNetLite0, SameConv2d, load_efficientnet, normalised
from aognet.perception.network_weights import digest

AFTER = (2, 4, 10, 15)
"""The blocks whose outputs are the features: the last ones of 1/4, 1/8, 1/16 and 1/32 of the image's size."""
STEP = 32


class FeaturePyramid(nn.Module):
    """Features at 1/4, 1/8, 1/16 and 1/32 of ``size``, to which images are resized; a multiple of 32 pixels.

    ``channels``: how many each scale has. ``digest``: the hex SHA-256 of the network's weights. Its norms, which are
    frozen, are folded into the convolutions, so that it computes the same in training and in evaluation.
    """

    def __init__(self, network: EfficientNetLite0, size: int):
        super().__init__()
        self.digest, self.size = digest([network]), size
        network = network.eval()
        self.stem = _folded(network._conv_stem, network._bn0)
        self.blocks = nn.ModuleList(list(network._blocks)[: AFTER[-1] + 1])
        self.channels: list[int] = []
        for number, block in enumerate(self.blocks):
            assert isinstance(block, Bottleneck)
            if number in AFTER:
                self.channels.append(block._project_conv.out_channels)
            for convolution, norm in (("_expand_conv", "_bn0"), ("_depthwise_conv", "_bn1"), ("_project_conv", "_bn2")):
                if hasattr(block, convolution):
                    setattr(block, convolution, _folded(getattr(block, convolution), getattr(block, norm)))
                    setattr(block, norm, nn.Identity())
        freeze(self)

    @classmethod
    def load(cls, model: str, size: int) -> "FeaturePyramid":
        """Load it from safetensors, a file or a folder (`aognet.perception.efficientnet.load_efficientnet`).

        :raises UserError: for a file that is not there or does not fit.
        """
        return cls(load_efficientnet(model), size)

    def forward(self, images: Float[Tensor, "batch 3 rows columns"]) -> list[Float[Tensor, "batch _ _ _"]]:
        """Return the features of images in [-1, 1], from fine to coarse."""
        if images.shape[-2:] != (self.size, self.size):
            images = functional.interpolate(images, size=(self.size, self.size), mode="bilinear")
        x = functional.relu6(self.stem(normalised(images)))
        found: list[Tensor] = []
        for number, block in enumerate(self.blocks):
            x = block(x)
            if number in AFTER:
                found.append(x)
        return found


def _folded(convolution: nn.Conv2d, norm: nn.BatchNorm2d) -> nn.Conv2d:
    """Return a convolution with its norm folded in; with a stride of 1 it pads on all sides alike, without a copy."""
    fused = fuse_conv_bn_eval(convolution, norm)
    if fused.stride != (1, 1):
        return fused
    assert isinstance(fused, SameConv2d)
    size, channels = fused.kernel_size[0], (fused.in_channels, fused.out_channels)
    with torch.device("meta"):
        plain = nn.Conv2d(*channels, size, padding=size // 2, groups=fused.groups)
    plain.weight, plain.bias = fused.weight, fused.bias
    return plain
