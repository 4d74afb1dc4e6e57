"""The diffusion objective that the latent methods share."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from aognet.diffusion.backbone import Backbone
from aognet.diffusion.condition import InpaintCondition, Predict, TextCondition
from aognet.diffusion.sampling.noise import generators, normal, uniform, uniform_timesteps
from aognet.errors import UserError

# Streams of a sample's seed: what is drawn for one purpose never depends on what is drawn for another.
NOISE, TIMESTEP, OFFSET, TARGET = 1, 2, 3, 4
# How far apart the streams of one draw and the next are.
DRAW = 1000


@dataclass(frozen=True, kw_only=True)
class Emphasis:
    """Which noise levels count more than others. By default all timesteps count alike.

    ``timestep_shift``: uniform timesteps are moved as ``shift t / (1 + (shift - 1) t)`` moves t in [0, 1) (Esser et al.
    2024, eq. 23); more than 1 moves them towards noise, where the layout is decided. ``snr_limit``: the weight of the
    error in the clean latents is at most this (0: no limit), so that hardly noised views, from which only texture can
    be learned, do not outweigh the others (Hang et al. 2023, sec. 3.4). With velocity prediction that weight is SNR +
    1, which leaves pure noise its 1.
    """

    timestep_shift: float = 1.0
    snr_limit: float = 0.0

    def __post_init__(self) -> None:
        if not self.timestep_shift > 0:
            raise UserError("must be more than 0", key="timestep_shift", value=self.timestep_shift)
        if self.snr_limit < 0:
            raise UserError("must not be negative", key="snr_limit", value=self.snr_limit)

    def timesteps(
        self, seeds: Int[Tensor, "batch"], count: int, device: torch.device | str, stream: int
    ) -> Int[Tensor, "batch"]:
        """Return one timestep in 0..count-1 per row."""
        if self.timestep_shift == 1:
            return uniform_timesteps(seeds, count, device, stream)
        part, shift = uniform(seeds, stream).to(device), self.timestep_shift
        return (count * shift * part / (1 + (shift - 1) * part)).long().clamp(max=count - 1)

    def weights(self, kept: Float[Tensor, "batch"], prediction_type: str) -> Float[Tensor, "batch"]:
        """Return the factor of a prediction's squared error where ``kept`` is the share of signal (alpha bar)."""
        if not self.snr_limit:
            return torch.ones_like(kept)
        whole = torch.ones_like(kept) if prediction_type == "v_prediction" else kept
        return (self.snr_limit * (1 - kept) / whole).clamp(max=1)


@dataclass(frozen=True)
class Denoising:
    """What a denoiser learns from in one step: clean, scaled latents, and all that it is told of them.

    ``text`` may repeat the rows of ``latents`` (`drawn`): each time they are noised anew, with a timestep and noise of
    their own, while they are encoded only once. ``predict`` takes the place of `Backbone.predict`. Of every
    ``together`` rows, the first one's seed gives all of them their timestep and offset.
    """

    latents: Float[Tensor, "batch channels rows columns"]
    condition: InpaintCondition
    seeds: Int[Tensor, "batch"]
    text: TextCondition
    predict: Predict | None = None
    together: int = 1


def denoising_of(
    backbone: Backbone,
    views: Float[Tensor, "batch 3 height width"],
    known: Bool[Tensor, "batch 1 height width"],
    seeds: Int[Tensor, "batch"],
    text: TextCondition,
    predict: Predict | None = None,
    together: int = 1,
    sampled: bool = False,
) -> Denoising:
    """Return the `Denoising` of views of which a part is known.

    Unknown pixels of a view appear only in the target and in the noised latents that are to be painted. ``sampled``:
    the target latents are drawn from the VAE's posterior; if not they are its mode.
    """
    condition = backbone.prepare_condition(views, known, generators(seeds, NOISE))
    latents = backbone.latents.encode(views, generators(seeds, TARGET) if sampled else None)
    if not backbone.is_inpainting:  # what is put back when it paints, since that is made without the unknown pixels
        latents = torch.where(condition.mask > 0.5, latents, condition.image)
    return Denoising(latents, condition, seeds, text, predict, together)


def noised_loss(
    backbone: Backbone,
    given: Denoising,
    noise_offset: float = 0.0,
    known_weight: float = 1.0,
    emphasis: Emphasis = Emphasis(),  # noqa: B008 (frozen)
) -> Float[Tensor, ""]:
    """Return the mean squared error of the prediction for noised latents (Ho et al. 2020, eq. 14), with offset noise.

    All randomness comes from the seeds: the order of samples in batches and processes changes nothing.
    ``known_weight`` is the weight of known pixels (1: as published); they are put back afterwards, so they may count
    less.
    """
    condition, seeds, together = given.condition, given.seeds, given.together
    predict, leaders = given.predict or backbone.predict, seeds[::together]
    draws, device = len(given.text) // len(given.latents), given.latents.device
    count = backbone.training_steps
    timesteps = drawn(draws, lambda stream: emphasis.timesteps(leaders, count, device, stream), TIMESTEP)
    timesteps = timesteps.repeat_interleave(together)
    shape = given.latents.shape
    fresh = [normal(shape, generators(seeds, DRAW * draw + NOISE), device) for draw in range(1, draws)]
    noise = torch.cat([condition.noise, *fresh])
    if noise_offset:
        size = (len(leaders), shape[1], 1, 1)
        offsets = drawn(draws, lambda stream: normal(size, generators(leaders, stream), device), OFFSET)
        noise = noise + noise_offset * offsets.repeat_interleave(together, 0)
    latents = given.latents.repeat(draws, 1, 1, 1)
    noisy = backbone.add_noise(latents, noise, timesteps)
    predicted = predict(noisy, timesteps, given.text, condition)
    squared = (predicted.float() - backbone.target(latents, noise, timesteps)).square()
    mask = condition.mask.repeat(draws, 1, 1, 1)
    kept = backbone.training_scheduler.alphas_cumprod.to(device)[timesteps]
    weights = emphasis.weights(kept, backbone.prediction_type)[:, None, None, None]
    return (squared * (mask + known_weight * (1 - mask)) * weights).mean()


def drawn(draws: int, draw: Callable[[int], Tensor], stream: int) -> Tensor:
    """Return ``draw(stream)`` for each draw of a batch, with a stream of its own, one below the other."""
    return torch.cat([draw(DRAW * number + stream) for number in range(draws)])


def check_draws(draws: int) -> None:
    """Raise UserError unless a view is learned from at least once."""
    if draws < 1:
        raise UserError("must be at least 1", key="draws", value=draws)
