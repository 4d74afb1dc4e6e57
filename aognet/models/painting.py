"""How the latent methods paint: the backbone's guided denoising of images that are known in part."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from aognet.models.backbone import Backbone, InpaintCondition
from aognet.sampling.denoise import denoise, guided
from aognet.sampling.noise import Generators
from aognet.sampling.sampler import SamplerConfig
from aognet.sampling.schedulers import make_scheduler


@dataclass(frozen=True)
class Conditioning:
    """What the UNet is given: cross-attention tokens, those of the negative branch, and maps for its encoder."""

    context: Float[Tensor, "batch tokens dim"]
    negative: Float[Tensor, "batch tokens dim"]
    residuals: list[Tensor] | None = None

    @classmethod
    def of_prompts(cls, backbone: Backbone, prompts: Sequence[str], negative: str = "") -> "Conditioning":
        """The prompts alone: how the backbone is used without a method around it."""
        return cls(backbone.encode_text(prompts), backbone.encode_text([negative] * len(prompts)))


@torch.no_grad()
def inpaint(
    backbone: Backbone,
    condition: InpaintCondition,
    given: Conditioning,
    sampler: SamplerConfig,
    source: Generators,
    progress: Callable[[int, int], None] | None = None,
) -> Float[Tensor, "batch 3 height width"]:
    """Images in [-1, 1] that continue what ``condition`` knows; for ``source`` and ``progress`` see `denoise`."""
    predict = guided(
        lambda latents, timestep, context: backbone.predict(latents, timestep, context, condition, given.residuals),
        given.context,
        given.negative,
        sampler.guidance,
    )
    scheduler = make_scheduler(sampler.scheduler, backbone.scheduler.config)
    latents = denoise(
        predict,
        scheduler,
        condition.noise,
        steps=sampler.steps,
        generators=source,
        after_step=backbone.keep_known(condition, scheduler),
        progress=progress,
    )
    return backbone.decode(latents)
