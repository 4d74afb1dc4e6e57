"""RMSE of light after percentiles are brought to 0 and 1, as in the tables of StyleLight and DiffusionLight."""

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from aognet.metrics.averaging import pixel_mean

PERCENTILES = (0.1, 99.9)


def normalised_rmse(
    light: Float[Tensor, "batch 3 height width"],
    reference: Float[Tensor, "batch 3 height width"],
    by_solid_angle: bool = False,
) -> Float[Tensor, "batch"]:
    """Return the RMSE over pixels and channels of every pair of linear images, each normalised for itself.

    Each image is moved and scaled so that the 0.1 and 99.9 percentiles of its values become 0 and 1; values beyond
    are not clipped. The result is inf or NaN for an image of one value. ``by_solid_angle`` weighs errors, not
    percentiles.
    """
    difference = normalised(light) - normalised(reference)
    return pixel_mean(difference.square().mean(1), by_solid_angle).sqrt()


def normalised(light: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch 3 height width"]:
    """Return images as float64, with their percentiles at 0 and 1."""
    values = light.double()
    found = np.percentile(values.flatten(1).cpu().numpy(), PERCENTILES, axis=1)
    low, high = torch.from_numpy(found).to(values)[..., None, None, None]
    return (values - low) / (high - low)
