"""What the trainings of an inpainting UNet share: the conditions of encoded views, and pictures of what it paints."""

from typing import Any

import torch
from jaxtyping import Bool
from torch import Tensor

from aognet.data.latents import LatentBatch
from aognet.diffusion.backbone import Backbone
from aognet.diffusion.condition import InpaintCondition
from aognet.diffusion.inpaint import TextContext, inpaint
from aognet.diffusion.objective import NOISE
from aognet.diffusion.sampling.noise import generators, normal
from aognet.diffusion.sampling.sampler import SamplerConfig


class EncodedConditions:
    """Makes of encoded views what `Backbone.prepare_condition` makes of images."""

    def __init__(self, backbone: Backbone):
        self.backbone = backbone
        self._nothing: Tensor | None = None  # latents of a view of which nothing is known

    def __call__(self, batch: LatentBatch, hidden: Bool[Tensor, "batch 1 1 1"]) -> InpaintCondition:
        """Return the condition of a batch. ``hidden`` says of which views nothing is known."""
        latents, space = batch.latents, self.backbone.latents
        if self._nothing is None:
            side = latents.shape[-1] * space.scale
            self._nothing = space.encode(torch.zeros(1, 3, side, side, device=latents.device))
        image = torch.where(hidden, self._nothing.to(latents), batch.known_latents)
        noise = normal(latents.shape, generators(batch.seeds, NOISE), latents.device)
        return InpaintCondition((~batch.known | hidden).float(), image, noise)


@torch.no_grad()
def painted_views(backbone: Backbone, batch: Any, sampler: SamplerConfig) -> dict[str, Tensor]:
    """Return views, what is known of them, and how the UNet continues it; nothing for encoded views."""
    if isinstance(batch, LatentBatch):
        return {}
    known, source = batch.known, generators(batch.seeds, 20)
    condition = backbone.prepare_condition(batch.view, known, source)
    context = TextContext.of_prompts(backbone, batch.prompts)
    output = inpaint(backbone, condition, context, sampler, source)
    roundtrip = backbone.latents.decode(backbone.latents.encode(batch.view))
    return {"target": batch.view, "input": batch.view * known, "output": output, "decoded": roundtrip}
