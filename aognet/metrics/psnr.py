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
    """Return the PSNR in decibels of every pair of images in [-1, 1] (peak 2), over the pixels where ``mask`` is true.

    The squared error is averaged over pixels and channels before the logarithm. The result is inf where the two are
    equal and NaN where the mask is empty. All pixels weigh the same, also those near the poles.
    """
    squared = (image.float() - reference.float()).square_().mean(1, keepdim=True)
    return 10 * torch.log10(4 / masked_mean(squared, mask))
