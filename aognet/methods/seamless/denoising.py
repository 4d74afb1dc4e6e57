"""The denoising of a whole panorama in one piece."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor

from aognet.diffusion.backbone import Backbone
from aognet.diffusion.condition import ControlImage, InpaintCondition
from aognet.diffusion.inpaint import TextContext, inpaint_latents
from aognet.diffusion.sampling.sampler import SamplerConfig


@dataclass(frozen=True)
class PanoramaToDenoise:
    """A panorama to denoise: what is known of it, the texts, how it is sampled, and its random numbers.

    ``controls`` has an image for each ControlNet of the backbone, or none at all.
    """

    condition: InpaintCondition
    context: TextContext
    sampler: SamplerConfig
    source: Sequence[torch.Generator]
    controls: tuple[ControlImage, ...] = ()


def denoised(
    backbone: Backbone, asked: PanoramaToDenoise, progress: Callable[[int, int], None] | None = None
) -> Float[Tensor, "1 channels rows columns"]:
    """Return the latents of a panorama. ``progress(done, total)`` counts calls of the UNet."""
    predict = partial(backbone.predict, controls=asked.controls)
    return inpaint_latents(backbone, asked.condition, asked.context, asked.sampler, asked.source, progress, predict)
