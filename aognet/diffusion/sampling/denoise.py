"""The denoising loop and classifier-free guidance. Any model that predicts from (latents, timestep) fits."""

import copy
import inspect
import math
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from aognet.diffusion.condition import TextCondition
from aognet.diffusion.sampling.moments import MomentKeeper, moment_of, return_to
from aognet.diffusion.sampling.noise import Generators
from aognet.errors import UserError

Predict = Callable[[Tensor, Tensor], Tensor]
PredictWithText = Callable[[Tensor, Tensor, TextCondition], Tensor]
AfterStep = Callable[[Tensor, Tensor | None], Tensor]


def guided(
    predict: PredictWithText,
    text: TextCondition,
    negative: TextCondition,
    scale: float,
    between: tuple[float, float] = (-math.inf, math.inf),
    blind: PredictWithText | None = None,
    image_scale: float = 1.0,
) -> Predict:
    """Return a prediction with classifier-free guidance (Ho and Salimans 2022, eq. 6), both branches in one batch, the
    negative one first.

    ``predict(latents, timestep, text)`` is called with twice the rows, or twice if the branches differ in their number
    of tokens. At ``scale`` <= 1, and at timesteps that are not ``between`` these two (Kynkäänniemi et al. 2024), the
    negative branch is skipped and the plain prediction returned, as the diffusers pipelines do.

    ``blind`` predicts without what is known of the image. With it, text and image have separate scales (Brooks et al.
    2023, InstructPix2Pix, eq. 3): blind + image_scale * (negative - blind) + scale * (text - negative).
    """
    text, negative = text.constant(), negative.constant()
    if scale <= 1 and blind is None:
        return lambda latents, timestep: predict(latents, timestep, text)
    both = TextCondition.cat([negative, text]).constant() if negative.tokens.shape == text.tokens.shape else None

    def predict_guided(latents: Tensor, timestep: Tensor) -> Tensor:
        if not between[0] <= float(timestep) <= between[1]:
            return predict(latents, timestep, text)
        if both is None:
            without, with_text = (predict(latents, timestep, one) for one in (negative, text))
        else:
            without, with_text = predict(torch.cat([latents, latents]), timestep, both).chunk(2)
        guided_by_text = without + max(scale, 1.0) * (with_text - without)
        if blind is None:
            return guided_by_text
        return guided_by_text + (image_scale - 1) * (without - blind(latents, timestep, negative))

    return predict_guided


@torch.no_grad()
def denoise(
    predict: Predict,
    scheduler: Any,
    noise: Float[Tensor, "batch channels height width"],
    *,
    steps: int,
    generators: Generators | None = None,
    after_step: AfterStep | None = None,
    progress: Callable[[int, int], None] | None = None,
    moments: MomentKeeper | None = None,
    image: Float[Tensor, "batch channels height width"] | None = None,
    strength: float = 1.0,
    until: int | None = None,
) -> Float[Tensor, "batch channels height width"]:
    """Return latents from standard normal ``noise`` in ``steps`` steps of a diffusers scheduler.

    ``generators`` (one, or one per row) feed the schedulers that add noise in every step. With one per row, a sample is
    the same in every batch. ``after_step(latents, next_timestep)`` may replace the latents; ``next_timestep`` is None
    after the last step. ``progress(done, total)`` counts model calls (PNDM makes one more than ``steps``).

    ``moments`` keeps where it stands between steps: from there it goes on to the same bits. An ``image`` (its latents)
    is not made but changed: it is noised, and denoised in the last ``strength`` of the steps (SDEdit, Meng et al.
    2022). Behind ``until`` model calls it ends, with latents that are still noisy.

    :raises UserError: if the scheduler cannot take that many steps, or the moment to go on from is not of them.
    """
    start(scheduler, steps)
    latents, timesteps, first = noise * scheduler.init_noise_sigma, scheduler.timesteps, 0
    if image is not None:
        timesteps = skip(scheduler, steps - max(round(steps * strength), 1))
        latents = scheduler.add_noise(image, noise, timesteps[:1])
    timesteps = timesteps[:until]
    fresh = copy.deepcopy(scheduler) if moments else None
    options = random_options(scheduler, generators)
    if moments and moments.begin:
        first = moments.begin.done
        latents = return_to(moments.begin, len(timesteps), latents, scheduler, generators)
    following = [*timesteps[1:], None]
    for done, (timestep, next_timestep) in enumerate(zip(timesteps, following, strict=True), start=1):
        if done <= first:
            continue
        output = predict(scheduler.scale_model_input(latents, timestep), timestep)
        latents = scheduler.step(output, timestep, latents, return_dict=False, **options)[0]
        if after_step is not None:
            latents = after_step(latents, next_timestep)
        if moments and next_timestep is not None:
            moments.passed(partial(moment_of, done, latents, scheduler, fresh, generators))
        if progress is not None:
            progress(done, len(timesteps))
    return latents


def skip(scheduler: Any, steps: int) -> Tensor:
    """Put a scheduler behind so many of its first steps, and return the timesteps that are left."""
    if hasattr(scheduler, "set_begin_index"):
        scheduler.set_begin_index(steps)
    each, times = scheduler.timesteps.unique_consecutive(return_counts=True)
    times = times.roll(steps)  # PNDM takes its second timestep twice, wherever it begins
    return each[steps:].repeat_interleave(times[steps:])


def start(scheduler: Any, steps: int) -> None:
    """Put a scheduler before the first of ``steps`` steps.

    Its timesteps stay on the CPU: reading one there must not make the CPU wait for the device.
    """
    if steps < 1:
        raise UserError(f"steps must be at least 1, got {steps}")
    try:
        scheduler.set_timesteps(steps, device="cpu")
    except ValueError as error:
        reason = " ".join(str(error).split())
        raise UserError(f"steps: {type(scheduler).__name__} cannot take {steps} steps: {reason}") from error
    if hasattr(scheduler, "set_begin_index"):
        scheduler.set_begin_index(0)


def random_options(scheduler: Any, generators: Generators | None) -> dict[str, Any]:
    """Return keyword arguments that give the generators to the schedulers that take them (as a list or alone)."""
    if generators is None or "generator" not in inspect.signature(scheduler.step).parameters:
        return {}
    return {"generator": generators if isinstance(generators, torch.Generator) else list(generators)}
