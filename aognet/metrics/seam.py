"""Whether the seam of a panorama shows: gradients across it against gradients elsewhere."""

from jaxtyping import Float
from torch import Tensor


def wrap_gradient_ratio(panorama: Float[Tensor, "batch channels height width"]) -> float:
    """Mean absolute difference across the wrap column, divided by the mean between all other neighbouring columns.

    1 where the wrap is like any other place; a visible seam raises it.
    """
    differences = (panorama - panorama.roll(1, -1)).abs().double()
    across_wrap = differences[..., 0].mean()
    elsewhere = differences[..., 1:].mean()
    return float(across_wrap / elsewhere)
