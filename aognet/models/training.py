"""The diffusion objective that the latent methods share."""

from collections.abc import Callable

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from aognet.errors import UserError
from aognet.models.backbone import Backbone
from aognet.models.condition import Predict
from aognet.sampling.noise import generators, normal, uniform_timesteps

# Streams of a sample's seed: what is drawn for one purpose never depends on what is drawn for another.
NOISE, TIMESTEP, OFFSET, TARGET = 1, 2, 3, 4
# How far apart the streams of one draw and the next are.
DRAW = 1000


def diffusion_loss(
    backbone: Backbone,
    views: Float[Tensor, "batch 3 height width"],
    known: Bool[Tensor, "batch 1 height width"],
    seeds: Int[Tensor, "batch"],
    context: Float[Tensor, "rows tokens dim"],
    noise_offset: float = 0.0,
    known_weight: float = 1.0,
    predict: Predict | None = None,
    together: int = 1,
    sampled: bool = False,
) -> Float[Tensor, ""]:
    """Mean squared error of what the backbone predicts for noised views (Ho et al. 2020, eq. 14), with offset noise.

    ``context`` may hold the rows of ``views`` several times over (`drawn`): each time they are noised anew, with a
    timestep and noise of their own, while they are encoded only once. All randomness comes from ``seeds``: the order
    of samples in batches and processes changes nothing. ``known_weight`` is the weight of known pixels (1: as
    published); they are put back afterwards, so less may be asked of them. What is not known of a view is seen by the
    target alone, and by the noised latents that are to be painted. ``predict`` takes the place of
    `Backbone.predict`. Of every ``together`` rows the first one's seed gives all their timestep and offset.
    ``sampled``: the latents to be learned are drawn from the VAE's posterior; if not they are its mode.
    """
    predict, leaders = predict or backbone.predict, seeds[::together]
    condition = backbone.prepare_condition(views, known, generators(seeds, NOISE))
    latents = backbone.encode_images(views, generators(seeds, TARGET) if sampled else None)
    if not backbone.is_inpainting:  # what is put back when it paints, since that is made without the unknown pixels
        latents = torch.where(condition.mask > 0.5, latents, condition.image)
    draws, device = len(context) // len(views), latents.device
    count = backbone.training_steps
    timesteps = drawn(draws, lambda stream: uniform_timesteps(leaders, count, device, stream), TIMESTEP)
    timesteps = timesteps.repeat_interleave(together)
    fresh = [normal(latents.shape, generators(seeds, DRAW * draw + NOISE), device) for draw in range(1, draws)]
    noise = torch.cat([condition.noise, *fresh])
    if noise_offset:
        size = (len(leaders), latents.shape[1], 1, 1)
        offsets = drawn(draws, lambda stream: normal(size, generators(leaders, stream), device), OFFSET)
        noise = noise + noise_offset * offsets.repeat_interleave(together, 0)
    latents = latents.repeat(draws, 1, 1, 1)
    noisy = backbone.add_noise(latents, noise, timesteps)
    predicted = predict(noisy, timesteps, context, condition)
    squared = (predicted.float() - backbone.target(latents, noise, timesteps)).square()
    mask = condition.mask.repeat(draws, 1, 1, 1)
    return (squared * (mask + known_weight * (1 - mask))).mean()


def drawn(draws: int, draw: Callable[[int], Tensor], stream: int) -> Tensor:
    """``draw(stream)`` for each draw of a batch, with a stream of its own, one below the other."""
    return torch.cat([draw(DRAW * number + stream) for number in range(draws)])


def check_draws(draws: int) -> None:
    """Raises UserError unless a view is learned from at least once."""
    if draws < 1:
        raise UserError(f"draws must be at least 1, got {draws}")
