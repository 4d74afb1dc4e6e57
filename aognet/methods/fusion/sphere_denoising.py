"""The denoising of all views of a sphere together.

The noisy latents of a view are x = a (clean) + s (noise). The noise is that of the sphere, seen by the view as exactly
white (`sphere_noise`); it stays the same in all steps. What is left of x, its clean part, lies in the field of a `Way`.

The schedulers that are taken are linear, and make of pure noise the noise of the next level. So each makes the same
steps with the clean part alone: latents without noise in, the prediction whose clean latents are the fused ones. So
views may turn from step to step, whatever the scheduler remembers of earlier ones, and noise is never interpolated.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from aognet.diffusion.backbone import Backbone
from aognet.diffusion.condition import InpaintCondition
from aognet.diffusion.inpaint import TextContext
from aognet.diffusion.sampling.denoise import Predict, denoise, guided, skip, start
from aognet.diffusion.sampling.moments import MomentKeeper
from aognet.diffusion.sampling.sampler import SamplerConfig
from aognet.diffusion.sampling.schedulers import make_scheduler
from aognet.geometry.camera import Camera
from aognet.geometry.sphere_fit import sphere_height
from aognet.methods.fusion.seen import ViewsSeen, Words
from aognet.methods.fusion.sphere_noise import cells_across, views_of_noise
from aognet.methods.fusion.ways import Way

Progress = Callable[[int, int], None] | None


@dataclass(frozen=True)
class SphereToDenoise:
    """A sphere to denoise: how its views agree, what they are told, how they are sampled, and the noise.

    ``cells``: standard normal, of the size of `noise_shape`. ``fused_steps``: so many steps are made together.
    ``together``: so many views are denoised at once.
    """

    way: Way
    seen: ViewsSeen
    words: Words
    sampler: SamplerConfig
    cells: Float[Tensor, "1 channels height width"]
    fused_steps: int
    together: int

    def cameras(self, step: int | None) -> list[Camera]:
        """Return the cameras of a step, of the size of latents; None: of the steps that are made apart."""
        degrees = self.way.turn(step) * 180 / self.way.rows
        return [camera.turned(degrees) for camera in self.way.cameras]

    def noise(self, step: int | None) -> Float[Tensor, "views channels rows columns"]:
        """Return the noise that the views see. Whole columns turn, so that the cells of a pixel are found once."""
        columns = self.way.turn(step) * self.cells.shape[-2] // self.way.rows
        return views_of_noise(self.cells.roll(-columns, -1), self.way.cameras)


def noise_shape(way: Way, channels: int) -> tuple[int, ...]:
    """Return the shape of the sphere's noise: a whole number of cells for each of the way's own pixels."""
    pixels = way.rows / sphere_height(way.cameras)
    height = way.rows * math.ceil(cells_across(way.cameras) / pixels)
    return 1, channels, height, 2 * height


def fused(
    backbone: Backbone, asked: SphereToDenoise, progress: Progress = None, moments: MomentKeeper | None = None
) -> Tensor:
    """Return the field of the way after the fused steps, in the units of the scheduler. ``moments`` keeps where it
    stands between steps.
    """
    scheduler: Any = make_scheduler(asked.sampler.scheduler, backbone.scheduler.config)
    start(scheduler, asked.sampler.steps)
    excess = noise_excess(scheduler)
    numbers = {float(timestep): step for step, timestep in enumerate(scheduler.timesteps)}
    is_velocity = backbone.prediction_type == "v_prediction"

    def predict(field: Tensor, timestep: Tensor) -> Tensor:
        step, (signal, noise) = numbers[float(timestep)], levels(scheduler, timestep)
        seen = asked.noise(step).to(field)
        noisy = asked.way.look(field, step) + noise * excess * seen
        cameras = asked.cameras(step)
        condition = asked.seen(cameras, seen)
        predicted = guided_views(backbone, asked.sampler, asked.words(cameras), condition, asked.together)
        output = predicted(noisy, timestep)
        clean = signal * noisy - noise * output if is_velocity else (noisy - noise * output) / signal
        if not backbone.is_inpainting:  # what is known is put back into what is to agree
            clean = condition.image + condition.mask * (clean - condition.image)
        clean = asked.way.fused(clean, step)
        rest = (field - signal * clean) / noise
        return signal * rest - noise * clean if is_velocity else rest

    nothing = torch.zeros(asked.way.shape(backbone.latents.channels), device=backbone.device)
    return denoise(
        predict, scheduler, nothing, steps=asked.sampler.steps, until=asked.fused_steps, progress=progress,
        moments=moments,
    )  # fmt: skip


def apart(
    backbone: Backbone,
    asked: SphereToDenoise,
    field: Tensor,
    progress: Progress = None,
    moments: MomentKeeper | None = None,
) -> Float[Tensor, "views channels rows columns"]:
    """Return the latents of the views, each denoised by itself in the steps that are left after the fused ones."""
    scheduler: Any = make_scheduler(asked.sampler.scheduler, backbone.scheduler.config)
    steps = asked.sampler.steps
    start(scheduler, steps)
    left = steps - asked.fused_steps
    excess, timesteps = noise_excess(scheduler), skip(scheduler, asked.fused_steps)
    signal = scheduler.add_noise(torch.ones(1), torch.zeros(1), timesteps[:1]).to(field)
    noise, cameras = asked.noise(None).to(field), asked.cameras(None)
    condition = asked.seen(cameras, noise)
    predict = guided_views(backbone, asked.sampler, asked.words(cameras), condition, asked.together)
    after_step, image = backbone.repaint_known(condition, scheduler), asked.way.look(field, None) / signal
    return denoise(
        predict, scheduler, noise * excess, steps=steps, after_step=after_step, progress=progress, moments=moments,
        image=image, strength=left / steps,
    )  # fmt: skip


def noise_excess(scheduler: Any) -> float:
    """Return by how much a scheduler that is started begins with more noise than its first timestep has.

    Sampling begins with noise alone, though a schedule's first timestep may have a little of the picture. What pure
    noise has too much in the beginning, it has in all steps.
    """
    first = scheduler.add_noise(torch.zeros(1), torch.ones(1), scheduler.timesteps[:1])
    return float(scheduler.init_noise_sigma / first)


def levels(scheduler: Any, timestep: Tensor) -> tuple[float, float]:
    """Return the weights of clean latents and of noise in what a network sees at a timestep; their squares sum to 1."""
    one, nothing = torch.ones(1, dtype=torch.float32), torch.zeros(1)
    signal, noise = (float(scheduler.add_noise(*pair, timestep[None])) for pair in ((one, nothing), (nothing, one)))
    size = (signal**2 + noise**2) ** 0.5
    return signal / size, noise / size


def guided_views(
    backbone: Backbone, sampler: SamplerConfig, context: TextContext, condition: InpaintCondition, together: int
) -> Predict:
    """Return the guided prediction of the backbone for views, ``together`` of them at once."""
    between, scale = sampler.guided_between(backbone.training_steps), sampler.image_guidance or 0.0
    blank = backbone.nothing_known(condition) if sampler.guides_by_image else None
    parts = []
    for first in range(0, len(condition.mask), together):
        rows = slice(first, first + together)
        text, negative = (one[rows].to(backbone.dtype) for one in (context.positive, context.negative))
        seen = partial(backbone.predict, condition=_rows(condition, rows))
        blind = None if blank is None else partial(backbone.predict, condition=_rows(blank, rows))
        parts.append((rows, guided(seen, text, negative, sampler.guidance, between, blind, scale)))
    return lambda latents, timestep: torch.cat([predict(latents[rows], timestep) for rows, predict in parts])


def _rows(condition: InpaintCondition, rows: slice) -> InpaintCondition:
    return InpaintCondition(condition.mask[rows], condition.image[rows], condition.noise[rows])
