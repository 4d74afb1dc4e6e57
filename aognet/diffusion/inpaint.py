"""How the latent methods paint: guided denoising, by the backbone, of images that are partly known."""

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
from aognet.diffusion.sampling.moments import MomentKeeper
from aognet.diffusion.sampling.noise import Generators
from aognet.diffusion.sampling.sampler import LongPrompts, SamplerConfig
from aognet.diffusion.sampling.schedulers import make_scheduler
from aognet.diffusion.texts import same_length
from aognet.errors import UserError
from aognet.geometry.camera import Camera


@dataclass(frozen=True)
class ViewToPaint:
    """A view to paint: its canvas, camera, prompts and random numbers.

    ``frame_yaw_degrees`` is the yaw that counts as straight ahead, see `frame_yaw`.
    """

    canvas: Canvas
    camera: Camera
    prompt: str
    seed: int
    frame_yaw_degrees: float = 0.0


def frame_yaw(photo: Camera | None, height: int) -> float:
    """Return the yaw of the frame in which a canvas of ``height`` rows is painted: that of its first photograph, or 0.

    Methods are trained with the photograph straight ahead. In its frame it is there, wherever it lies on the canvas.
    The yaw is a whole number of columns, in [-180, 180). Gravity tells up from down, so pitch and roll stay what they
    are.
    """
    if photo is None:
        return 0.0
    columns = round(photo.yaw_degrees / 360 * 2 * height)
    return (columns + height) % (2 * height) * 180 / height - 180


def look(views: Sequence[ViewToPaint]) -> MaskedView:
    """Return what the views, all of one size, show before they are painted: [views, ...]."""
    seen = [view.canvas.look(view.camera) for view in views]
    return MaskedView(torch.cat([one.image for one in seen]), torch.cat([one.known for one in seen]))


@dataclass(frozen=True)
class TextContext:
    """The encoded texts for a denoiser, and those that guidance leads away from."""

    positive: TextCondition
    negative: TextCondition

    @classmethod
    def of_prompts(
        cls, backbone: Backbone, prompts: Sequence[str], negative: str = "", long_prompts: LongPrompts | None = None
    ) -> "TextContext":
        """Return the context of prompts alone, as the backbone is used without a method around it."""
        conditioner = backbone.conditioner
        without = conditioner.negative(negative, len(prompts), long_prompts)
        return cls(*same_length(conditioner.known(prompts, long_prompts), without))


def stride(backbone: Backbone) -> int:
    """Return the pixels by which an image must be wider for the UNet to halve it without a rest."""
    return backbone.latents.scale * 2 ** (len(backbone.denoiser.down_channels) - 1)


def check_settings(backbone: Backbone, size: int, sampler: SamplerConfig, is_told: bool) -> None:
    """Raise now, before anything is written, what would fail when views of ``size`` x ``size`` pixels are painted.

    :raises UserError: if the size does not fit the VAE, the scheduler does not fit the noise schedule or the steps, or
        guidance by the image does not fit the UNet (``is_told``: whether it sees what is known).
    """
    backbone.latents.check_size(size, size)
    start(make_scheduler(sampler.scheduler, backbone.scheduler.config), sampler.steps)
    check_image_guidance(sampler, is_told)


def check_image_guidance(sampler: SamplerConfig, is_told: bool) -> None:
    """Raise UserError if a sampler guides by the image and the UNet does not see what is known of it."""
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
    """Return images in [-1, 1] that continue what ``condition`` knows; for the arguments see `inpaint_latents`."""
    return backbone.latents.decode(inpaint_latents(backbone, condition, context, sampler, source, progress, predict))


def inpaint_latents(
    backbone: Backbone,
    condition: InpaintCondition,
    context: TextContext,
    sampler: SamplerConfig,
    source: Generators,
    progress: Callable[[int, int], None] | None = None,
    predict: Predict | None = None,
    moments: MomentKeeper | None = None,
    image: Float[Tensor, "batch channels rows columns"] | None = None,
    strength: float = 1.0,
) -> Float[Tensor, "batch channels rows columns"]:
    """Return latents that continue what ``condition`` knows. For the arguments that are not said here see `denoise`.

    ``predict`` takes the place of `Backbone.predict`.
    """
    predict = predict or backbone.predict
    scheduler = make_scheduler(sampler.scheduler, backbone.scheduler.config)
    text, negative = context.positive.to(backbone.dtype), context.negative.to(backbone.dtype)
    between, image_scale = sampler.guided_between(backbone.training_steps), sampler.image_guidance or 0.0
    seen, blind = partial(predict, condition=condition), None
    if sampler.guides_by_image:
        blind = partial(predict, condition=backbone.nothing_known(condition))
    return denoise(
        guided(seen, text, negative, sampler.guidance, between, blind, image_scale),
        scheduler,
        condition.noise,
        steps=sampler.steps,
        generators=source,
        after_step=backbone.repaint_known(condition, scheduler),
        progress=progress,
        moments=moments,
        image=image,
        strength=strength,
    )
