"""Peak signal-to-noise ratio, over all pixels or those of a mask."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from aognet.metrics.masked import masked_mean


def psnr(
    image: Float[Tensor, "batch channels height width"],
    reference: Float[Tensor, "batch channels height width"],
    mask: Bool[Tensor, "batch 1 height width"] | None = None,
) -> Float[Tensor, "batch"]:
    """Decibels of every pair of images in [-1, 1] (peak 2) over the pixels where ``mask`` is true.

    The squared error is averaged over pixels and channels before the logarithm. inf where the two are equal, NaN where
    the mask is empty. All pixels weigh the same, also those near the poles.
    """
    squared = (image.float() - reference.float()).square_().mean(1, keepdim=True)
    return 10 * torch.log10(4 / masked_mean(squared, mask))
