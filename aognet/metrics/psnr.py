"""Peak signal-to-noise ratio, over all pixels or those of a mask."""

import math

from jaxtyping import Bool, Float
from torch import Tensor


def psnr(
    image: Float[Tensor, "batch channels height width"],
    reference: Float[Tensor, "batch channels height width"],
    mask: Bool[Tensor, "batch 1 height width"] | None = None,
) -> float:
    """Decibels of two images in [-1, 1] (peak 2) over the pixels where ``mask`` is true; inf if they are equal."""
    squared = (image.double() - reference.double()).square()
    if mask is not None:
        squared = squared.masked_select(mask.expand_as(squared))
    mean = float(squared.mean())
    return math.inf if mean == 0 else 10 * math.log10(4 / mean)
