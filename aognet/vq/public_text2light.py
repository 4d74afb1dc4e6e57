"""Text2Light's published weights (Chen et al. 2022, arXiv 2209.09898) as weights and configs of ours."""

import re
from collections.abc import Mapping

from torch import Tensor

from aognet.vq.autoencoder import Padding, VqAutoencoder, VqAutoencoderConfig
from aognet.vq.quantizer import QuantizerConfig

GROUPS = 32
"""Of the group norms, which weights do not tell."""
NAMES = (
    (r"\.mid_block\.resnets\.0\.", ".mid.block_1."),
    (r"\.mid_block\.resnets\.1\.", ".mid.block_2."),
    (r"\.mid_block\.attentions\.0\.", ".mid.attn_1."),
    (r"\.(down|up)_blocks\.(\d+)\.", r".\1.\2."),
    (r"\.resnets\.", ".block."),
    (r"\.attentions\.", ".attn."),
    (r"\.(down|up)samplers\.0\.", r".\1sample."),
    (r"\.conv_shortcut\.", ".nin_shortcut."),
    (r"\.group_norm\.", ".norm."),
    (r"\.to_([qkv])\.", r".\1."),
    (r"\.to_out\.0\.", ".proj_out."),
    (r"\.conv_norm_out\.", ".norm_out."),
)


def autoencoder_config(tensors: Mapping[str, Tensor], padding: Padding) -> VqAutoencoderConfig:
    """Return the sizes of an autoencoder of which these are the tensors by their published names.

    Where tensors are missing that tell a size, it is that of the published ones.
    """
    default = VqAutoencoderConfig()
    channels = [
        size_of(tensors, f"encoder.down.{level}.block.0.conv1.weight", 0, (*default.channels, *(512,) * 99)[level])
        for level in range(count_of(tensors, r"encoder\.down\.(\d{1,2})\.") or len(default.channels))
    ]
    book = "quantize.embedding.weight"
    return VqAutoencoderConfig(
        channels=tuple(channels),
        layers_per_block=count_of(tensors, r"encoder\.down\.0\.block\.(\d{1,2})\.") or default.layers_per_block,
        groups=GROUPS,
        latent_channels=size_of(tensors, "quant_conv.weight", 1, default.latent_channels),
        quantizer=QuantizerConfig(codes=size_of(tensors, book, 0, 1024), dim=size_of(tensors, book, 1, 256)),
        padding=padding,
    )


def size_of(tensors: Mapping[str, Tensor], name: str, axis: int, otherwise: int) -> int:
    """Return the size of a tensor along an axis, or ``otherwise`` where it has none."""
    return tensors[name].shape[axis] if name in tensors and tensors[name].ndim > axis else otherwise


def count_of(tensors: Mapping[str, Tensor], pattern: str) -> int:
    """Return how many things there are, which names that match the pattern number from 0 on."""
    found = (re.match(pattern, name) for name in tensors)
    return max((int(match[1]) + 1 for match in found if match), default=0)


def autoencoder_names(network: VqAutoencoder) -> dict[str, str]:
    """Return the published name of each of an autoencoder's weights."""
    return {name: _public(name, len(network.config.channels)) for name in network.state_dict()}


def _public(name: str, levels: int) -> str:
    for pattern, theirs in NAMES:
        name = re.sub(pattern, theirs, name)
    # Published levels have the numbers of the encoder's also in the decoder, which begins with the last.
    return re.sub(r"\.up\.(\d+)\.", lambda match: f".up.{levels - 1 - int(match[1])}.", name)
