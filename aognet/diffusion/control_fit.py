"""Whether a ControlNet (Zhang et al. 2023, arXiv 2302.05543) fits a backbone, and where its image counts."""

from collections.abc import Iterator
from typing import Any

from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from aognet.errors import UserError

IMAGE_CHANNELS = 3


def check_fit(network: Any, unet: Any, vae: Any, name: str = "controlnet", model: str = "unet") -> None:
    """Raise UserError, which names both, unless a ControlNet's residuals fit a UNet, and its images the VAE."""
    for key, theirs, ours in _compared(network, unet, vae):
        if theirs != ours:
            raise UserError(f"{name}: is a ControlNet for another model than {model}: {key} is {theirs}, not {ours}")


def _compared(network: Any, unet: Any, vae: Any) -> Iterator[tuple[str, Any, Any]]:
    """Yield the name, the ControlNet's value and the needed value of what must agree."""
    there, here = network.config, unet.config
    # An inpainting UNet's further channels are not for the ControlNet.
    yield "in_channels", there.in_channels, vae.config.latent_channels
    yield "conditioning_channels", there.conditioning_channels, IMAGE_CHANNELS
    yield "block_out_channels", tuple(there.block_out_channels), tuple(here.block_out_channels)
    blocks = len(here.block_out_channels)
    yield "layers_per_block", _each(there.layers_per_block, blocks), _each(here.layers_per_block, blocks)
    if any(part.endswith("attn2") for part, _ in network.named_modules()):  # small ones are without
        yield "cross_attention_dim", there.cross_attention_dim, here.cross_attention_dim
    yield "addition_embed_type", there.addition_embed_type, here.addition_embed_type
    if there.addition_embed_type is not None:
        theirs, ours = (config.projection_class_embeddings_input_dim for config in (there, here))
        yield "projection_class_embeddings_input_dim", theirs, ours
    # Both halve the image once less than they have entries.
    sizes = there.conditioning_embedding_out_channels, vae.config.block_out_channels
    pixels, needed = (2 ** (len(each) - 1) for each in sizes)
    yield "conditioning_embedding_out_channels, the pixels across a latent pixel,", pixels, needed


def _each(layers: Any, blocks: int) -> tuple[int, ...]:
    return (layers,) * blocks if isinstance(layers, int) else tuple(layers)


def where_it_counts(
    residual: Float[Tensor, "batch channels rows columns"], where: Float[Tensor, "_ 1 height width"]
) -> Float[Tensor, "batch channels rows columns"]:
    """Return a ControlNet's residual, and 0 where a pixel of its image is not to count."""
    cells = functional.adaptive_max_pool2d(1 - where.float(), residual.shape[-2:])
    return residual * (1 - cells).to(residual)
