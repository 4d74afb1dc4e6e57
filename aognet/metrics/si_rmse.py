"""Scale-invariant RMSE of light: the error that is left after the best exposure.

Grosse et al., "Ground Truth Dataset and Baseline Evaluations for Intrinsic Image Algorithms" (ICCV 2009), as used for
lighting by StyleLight (ECCV 2022) and DiffusionLight (CVPR 2024).
"""

import torch
from jaxtyping import Float
from torch import Tensor

from aognet.metrics.averaging import pixel_mean


def best_exposure(
    light: Float[Tensor, "batch 3 height width"],
    reference: Float[Tensor, "batch 3 height width"],
    by_solid_angle: bool = False,
) -> Float[Tensor, "batch"]:
    """Return alpha = sum(P G) / sum(P^2), the factor that brings light P nearest to its reference G; 0 for black P."""
    light, reference = light.double(), reference.double()
    power = pixel_mean(light.square().sum(1), by_solid_angle)
    return torch.where(power > 0, pixel_mean((light * reference).sum(1), by_solid_angle) / power, 0)


def si_rmse(
    light: Float[Tensor, "batch 3 height width"],
    reference: Float[Tensor, "batch 3 height width"],
    by_solid_angle: bool = False,
) -> Float[Tensor, "batch"]:
    """Return sqrt(sum((G - alpha P)^2) / N) of every pair of linear images, in the unit of the reference.

    One alpha (`best_exposure`) serves all channels; N counts pixels, not values. ``by_solid_angle`` weighs pixels.
    """
    alpha = best_exposure(light, reference, by_solid_angle)[:, None, None, None]
    return pixel_mean((reference.double() - alpha * light.double()).square().sum(1), by_solid_angle).sqrt()
