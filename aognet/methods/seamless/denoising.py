"""The denoising of a whole panorama in one piece."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from aognet.diffusion.backbone import Backbone
from aognet.diffusion.condition import ControlImage, InpaintCondition, Predict, TextCondition
from aognet.diffusion.inpaint import TextContext, inpaint_latents
from aognet.diffusion.sampling.moments import MomentKeeper
from aognet.diffusion.sampling.noise import generators
from aognet.diffusion.sampling.sampler import SamplerConfig
from aognet.methods.seamless.directed import blended

TURNS = 3  # stream of the request's seed


@dataclass(frozen=True)
class PanoramaToDenoise:
    """A panorama to denoise: what is known of it, the texts, how it is sampled, and its random numbers.

    ``context`` has a row of ``positive`` for each prompt and one of ``negative``. ``controls`` has an image for each
    ControlNet of the backbone, or none at all. ``weights`` says where each of several prompts counts. ``turns``: by how
    many columns of the latents the network sees it turned, for every timestep of the noise schedule; or nothing.
    """

    condition: InpaintCondition
    context: TextContext
    sampler: SamplerConfig
    source: Sequence[torch.Generator]
    controls: tuple[ControlImage, ...] = ()
    weights: Float[Tensor, "prompts 1 rows columns"] | None = None
    turns: Sequence[int] = ()


def drawn_turns(seed: int, columns: int, stride: int, timesteps: int) -> list[int]:
    """Return turns of a panorama for so many timesteps: multiples of ``stride`` in [0, columns)."""
    (source,) = generators([seed], TURNS)
    return (torch.randint(columns // stride, (timesteps,), generator=source) * stride).tolist()


def denoised(
    backbone: Backbone,
    asked: PanoramaToDenoise,
    progress: Callable[[int, int], None] | None = None,
    moments: MomentKeeper | None = None,
) -> Float[Tensor, "1 channels rows columns"]:
    """Return the latents of a panorama. ``progress(done, total)`` counts the steps, each of which may call the UNet
    several times. ``moments`` keeps where it stands between steps (`denoise`).
    """
    predict = _network(backbone, asked)
    if asked.weights is not None:
        predict = blended(predict, asked.context.positive.to(backbone.dtype), asked.weights)
    return inpaint_latents(
        backbone, asked.condition, asked.context, asked.sampler, asked.source, progress, predict, moments
    )


def _network(backbone: Backbone, asked: PanoramaToDenoise) -> Predict:
    """Return the prediction of the UNet and its ControlNets, which see everything turned. What they predict is turned
    back, so that neither the scheduler nor what it remembers of earlier steps notices.
    """

    def predict(latents: Tensor, timestep: Tensor, text: TextCondition, condition: InpaintCondition) -> Tensor:
        turn = asked.turns[int(timestep)] if asked.turns else 0
        if not turn:
            return backbone.predict(latents, timestep, text, condition, controls=asked.controls)
        scale = backbone.latents.scale
        controls = [one.rolled(turn * scale) for one in asked.controls]
        predicted = backbone.predict(latents.roll(turn, -1), timestep, text, condition.rolled(turn), controls=controls)
        return predicted.roll(-turn, -1)

    return predict
