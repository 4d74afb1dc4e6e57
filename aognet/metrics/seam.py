"""Whether the seam of a panorama shows: gradients across it against gradients elsewhere."""

from jaxtyping import Float
from torch import Tensor


def wrap_gradient_ratio(panorama: Float[Tensor, "batch channels height width"], reach: float = 0.5) -> float:
    """Mean absolute difference across the wrap column, divided by the mean between other neighbouring columns.

    1 where the wrap is like any other place; a visible seam raises it. ``reach``: how far from the wrap the others lie,
    as a share of the width; half of it compares with all, less with places that show something similar.
    """
    width = panorama.shape[-1]
    differences = (panorama - panorama.roll(1, -1)).abs().double().mean((0, 1, 2))
    near = max(round(reach * width), 1)
    others = differences.roll(near)[: 2 * near + 1] if 2 * near + 1 < width else differences
    return float(differences[0] / ((others.sum() - differences[0]) / (len(others) - 1)))
