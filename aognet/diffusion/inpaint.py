"""How the latent methods paint: the backbone's guided denoising of images that are known in part."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor

from aognet.canvas import Canvas, MaskedView
from aognet.diffusion.backbone import Backbone
from aognet.diffusion.condition import InpaintCondition, Predict, TextCondition
from aognet.diffusion.sampling.denoise import denoise, guided, start
from aognet.diffusion.sampling.noise import Generators
from aognet.diffusion.sampling.sampler import LongPrompts, SamplerConfig
from aognet.diffusion.sampling.schedulers import make_scheduler
from aognet.diffusion.texts import same_length
from aognet.errors import UserError
from aognet.geometry.camera import Camera


@dataclass(frozen=True)
class ViewToPaint:
    """A view to paint: of which canvas, from where, with which words and which random numbers.

    ``frame_yaw_degrees``: the yaw that counts as straight ahead, see `frame_yaw`.
    """

    canvas: Canvas
    camera: Camera
    prompt: str
    seed: int
    frame_yaw_degrees: float = 0.0


def frame_yaw(photo: Camera | None, height: int) -> float:
    """Yaw of the frame in which a canvas of ``height`` rows is painted: its first photograph's (0 without one).

    Methods are trained with the photograph straight ahead; in its frame it is there wherever it lies on the canvas. A
    whole number of columns, in [-180, 180). Gravity tells up from down, so pitch and roll stay what they are.
    """
    if photo is None:
        return 0.0
    columns = round(photo.yaw_degrees / 360 * 2 * height)
    return (columns + height) % (2 * height) * 180 / height - 180


def look(views: Sequence[ViewToPaint]) -> MaskedView:
    """What the views, all of one size, show before they are painted: [views, ...]."""
    seen = [view.canvas.look(view.camera) for view in views]
    return MaskedView(torch.cat([one.image for one in seen]), torch.cat([one.known for one in seen]))


@dataclass(frozen=True)
class TextContext:
    """What a denoiser is told in words, and what guidance leads away from."""

    positive: TextCondition
    negative: TextCondition

    @classmethod
    def of_prompts(
        cls, backbone: Backbone, prompts: Sequence[str], negative: str = "", long_prompts: LongPrompts | None = None
    ) -> "TextContext":
        """The prompts alone: how the backbone is used without a method around it."""
        conditioner = backbone.conditioner
        without = conditioner.negative(negative, len(prompts), long_prompts)
        return cls(*same_length(conditioner.known(prompts, long_prompts), without))


def check_settings(backbone: Backbone, size: int, sampler: SamplerConfig, is_told: bool) -> None:
    """What would fail once views of ``size`` x ``size`` pixels are painted fails here, before anything is written.

    :raises UserError: where the size does not fit the VAE, the scheduler not the noise schedule or the steps, or
        guidance by the image not the UNet (``is_told``: whether it sees what is known).
    """
    backbone.latents.check_size(size, size)
    start(make_scheduler(sampler.scheduler, backbone.scheduler.config), sampler.steps)
    check_image_guidance(sampler, is_told)


def check_image_guidance(sampler: SamplerConfig, is_told: bool) -> None:
    """Raises UserError where a sampler guides by the image and the UNet is not told what is known of it."""
    if sampler.guides_by_image and not is_told:
        raise UserError(
            "needs a UNet that is told what is known; with this one it is put back after each step",
            key="sampler.image_guidance",
            value=sampler.image_guidance,
        )


@torch.no_grad()
def inpaint(
    backbone: Backbone,
    condition: InpaintCondition,
    context: TextContext,
    sampler: SamplerConfig,
    source: Generators,
    progress: Callable[[int, int], None] | None = None,
    predict: Predict | None = None,
) -> Float[Tensor, "batch 3 height width"]:
    """Images in [-1, 1] that continue what ``condition`` knows; for ``source`` and ``progress`` see `denoise`.

    ``predict`` takes the place of `Backbone.predict`.
    """
    predict = predict or backbone.predict
    scheduler = make_scheduler(sampler.scheduler, backbone.scheduler.config)
    text, negative = context.positive.to(backbone.dtype), context.negative.to(backbone.dtype)
    between, image_scale = sampler.guided_between(backbone.training_steps), sampler.image_guidance or 0.0
    seen, blind = partial(predict, condition=condition), None
    if sampler.guides_by_image:
        blind = partial(predict, condition=backbone.nothing_known(condition))
    latents = denoise(
        guided(seen, text, negative, sampler.guidance, between, blind, image_scale),
        scheduler,
        condition.noise,
        steps=sampler.steps,
        generators=source,
        after_step=backbone.repaint_known(condition, scheduler),
        progress=progress,
    )
    return backbone.latents.decode(latents)
