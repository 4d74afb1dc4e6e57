"""The diffusion objective that the latent methods share."""

from collections.abc import Sequence

from jaxtyping import Bool, Float, Int
from torch import Tensor

from aognet.models.backbone import Backbone
from aognet.sampling.noise import generators, normal, uniform_timesteps

# Streams of a sample's seed: what is drawn for one purpose never depends on what is drawn for another.
NOISE, TIMESTEP, OFFSET = 1, 2, 3


def diffusion_loss(
    backbone: Backbone,
    views: Float[Tensor, "batch 3 height width"],
    known: Bool[Tensor, "batch 1 height width"],
    seeds: Int[Tensor, "batch"],
    context: Float[Tensor, "batch tokens dim"],
    residuals: Sequence[Tensor] | None = None,
    noise_offset: float = 0.0,
    known_weight: float = 1.0,
) -> Float[Tensor, ""]:
    """Mean squared error of what the backbone predicts for noised views (Ho et al. 2020, eq. 14), with offset noise.

    All randomness comes from ``seeds``: the order of samples in batches and processes changes nothing. ``known_weight``
    is the weight of known pixels (1: as published); they are put back afterwards, so less may be asked of them.
    """
    condition = backbone.prepare_condition(views, known, generators(seeds, NOISE))
    latents = condition.image if not backbone.is_inpainting else backbone.encode_images(views)
    timesteps = uniform_timesteps(seeds, backbone.training_steps, latents.device, TIMESTEP)
    noise = condition.noise
    if noise_offset:
        shift = normal((*latents.shape[:2], 1, 1), generators(seeds, OFFSET), latents.device)
        noise = noise + noise_offset * shift
    noisy = backbone.add_noise(latents, noise, timesteps)
    predicted = backbone.predict(noisy, timesteps, context, condition, residuals)
    squared = (predicted.float() - backbone.target(latents, noise, timesteps)).square()
    return (squared * (condition.mask + known_weight * (1 - condition.mask))).mean()
