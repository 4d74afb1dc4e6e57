"""The mean of a map, such as a similarity per pixel, over the pixels that count."""

from jaxtyping import Bool, Float
from torch import Tensor


def masked_mean(
    values: Float[Tensor, "batch 1 height width"], mask: Bool[Tensor, "batch 1 height width"] | None = None
) -> Float[Tensor, "batch"]:
    """Return the mean of every map over the pixels where ``mask`` is true, or over all. It is NaN where the mask is
    empty.
    """
    if mask is None:
        return values.mean((1, 2, 3))
    return values.masked_fill(~mask, 0).sum((1, 2, 3)) / mask.sum((1, 2, 3))
