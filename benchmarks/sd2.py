"""Stable Diffusion 2 and CLIP ViT-H/14 in their published sizes (or tiny), made from nothing: no weights are needed.

What such a model paints is noise, but it takes the time and the memory that a trained one takes.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any
from unittest import mock

import torch
from torch import nn

if TYPE_CHECKING:
    from aognet.diffusion.backbone import Backbone


@dataclass(frozen=True)
class Sizes:
    """Channels of the UNet's and the VAE's levels, attention heads, widths and depths of the text and image towers."""

    unet: tuple[int, int, int, int] = (320, 640, 1280, 1280)
    heads: tuple[int, int, int, int] = (5, 10, 20, 20)
    vae: tuple[int, int, int, int] = (128, 256, 512, 512)
    words: int = 1024
    image: int = 1280
    tower_heads: int = 16
    image_layers: int = 32
    text_layers: int = 24


SD2 = Sizes()
TINY = Sizes(
    unet=(32, 64, 64, 64), heads=(1, 2, 2, 2), vae=(32, 32, 32, 32),
    words=64, image=64, tower_heads=2, image_layers=2, text_layers=2,
)  # fmt: skip


class Tokens:
    """Stands for CLIP's tokenizer, whose vocabulary is not here: the same 77 tokens for every prompt."""

    model_max_length = 77

    def __len__(self) -> int:
        return 49408

    def __call__(self, prompts: list[str], **options: Any) -> dict[str, list[list[int]]]:
        row = [0] * self.model_max_length
        return {"input_ids": [row] * len(prompts), "attention_mask": [[1, 1, *row[2:]]] * len(prompts)}


def sd2_backbone(channels: int, sizes: Sizes = SD2) -> "Backbone":
    """Stable Diffusion 2 (9 channels: inpainting), in torch's default type."""
    from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel

    from aognet.diffusion.backbone import Backbone

    unet = UNet2DConditionModel(
        in_channels=channels, out_channels=4, sample_size=64, block_out_channels=sizes.unet,
        cross_attention_dim=sizes.words, attention_head_dim=sizes.heads, use_linear_projection=True,
    )  # fmt: skip
    vae = AutoencoderKL(
        block_out_channels=sizes.vae, down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4, layers_per_block=2, latent_channels=4, sample_size=768,
    )  # fmt: skip
    scheduler = DDIMScheduler(beta_schedule="scaled_linear", beta_start=0.00085, beta_end=0.012)
    # Stable Diffusion 2 leaves the last layer of its text tower out.
    text = text_tower(sizes, sizes.text_layers - 1)
    return Backbone.of(vae=vae, unet=unet, text_encoder=text, tokenizer=Tokens(), scheduler=scheduler)


def clip_image_tower(sizes: Sizes = SD2) -> Any:
    """The image tower of CLIP ViT-H/14, in torch's default type."""
    from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

    config = CLIPVisionConfig(
        hidden_size=sizes.image, intermediate_size=4 * sizes.image, projection_dim=sizes.words,
        num_hidden_layers=sizes.image_layers, num_attention_heads=sizes.tower_heads, patch_size=14, hidden_act="gelu",
    )  # fmt: skip
    return CLIPVisionModelWithProjection(config)


def text_tower(sizes: Sizes, layers: int) -> Any:
    """The text tower of CLIP ViT-H/14, in torch's default type."""
    from transformers import CLIPTextConfig, CLIPTextModel

    config = CLIPTextConfig(
        vocab_size=49408, hidden_size=sizes.words, intermediate_size=4 * sizes.words, projection_dim=sizes.words,
        num_hidden_layers=layers, num_attention_heads=sizes.tower_heads, hidden_act="gelu",
    )  # fmt: skip
    return CLIPTextModel(config)


def sd2_model(method: type[nn.Module], config: Any, sizes: Sizes = SD2) -> Any:
    """A method on both, whatever ``config`` names, in the types it wants; AOG-Net on the inpainting model."""
    from aognet.diffusion.backbone import Backbone
    from aognet.diffusion.clip_encoders import ClipImageEncoder, ClipTextEncoder
    from aognet.methods.aognet.model import AOGNet

    loads: dict[type, Callable[[], nn.Module]] = {
        Backbone: partial(sd2_backbone, 9 if method is AOGNet else 4, sizes),
        ClipImageEncoder: lambda: ClipImageEncoder(clip_image_tower(sizes)),
        ClipTextEncoder: lambda: ClipTextEncoder(text_tower(sizes, sizes.text_layers), Tokens()),
    }
    with ExitStack() as stack:
        for kind, make in loads.items():
            stack.enter_context(mock.patch.object(kind, "load", partial(_make, make)))
        return method(config)


def _make(make: Callable[[], nn.Module], config: Any, *beside: Any) -> Any:
    with default_type(config.dtype):
        return make()


@contextmanager
def default_type(name: str) -> Iterator[None]:
    """New parameters are of this type."""
    from aognet.diffusion.loading import DTYPES

    before = torch.get_default_dtype()
    torch.set_default_dtype(DTYPES[name])
    try:
        yield
    finally:
        torch.set_default_dtype(before)
