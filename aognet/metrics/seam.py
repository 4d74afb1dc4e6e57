"""Whether the wrap and the poles of a panorama show: differences across them, compared with differences beside them.

Both ratios are 1 where the place is like any other, also in a panorama of one colour. The definitions are our own.
"""

import torch
from jaxtyping import Float
from torch import Tensor

# How far from a pole the rows lie that it is compared with, as a share of the height: 5.6 degrees.
POLE_REACH = 1 / 32


def wrap_gradient_ratio(
    panorama: Float[Tensor, "batch channels height width"], reach: float = 0.5
) -> Float[Tensor, "batch"]:
    """Return the mean absolute difference across the wrap, divided by the mean between other neighbouring columns.

    A visible seam raises it. ``reach`` says how far from the wrap the other columns lie, as a share of the width. Half
    of the width compares with all columns; less compares with places that show something similar.
    """
    width = panorama.shape[-1]
    differences = (panorama - panorama.roll(1, -1)).abs_().mean((1, 2))
    near = max(round(reach * width), 1)
    others = differences.roll(near, -1)[:, : 2 * near + 1] if 2 * near + 1 < width else differences
    across = differences[:, 0]
    return ratio(across, (others.sum(-1) - across) / (others.shape[-1] - 1))


def pole_gradient_ratio(panorama: Float[Tensor, "batch channels height width"]) -> Float[Tensor, "batch"]:
    """Return the mean absolute difference across each pole, divided by the mean between rows near it; the mean of both
    poles.

    Across a pole lies the same row, half a turn away: as far from it as the next row is. The compared rows reach 5.6
    degrees from the pole (at least two pairs). Rows that do not fit the other side of the pole raise the ratio.
    """
    pairs = max(round(panorama.shape[-2] * POLE_REACH), 2)
    return (_around_north(panorama[..., : pairs + 1, :]) + _around_north(panorama[..., -pairs - 1 :, :].flip(-2))) / 2


def _around_north(rows: Float[Tensor, "batch channels rows width"]) -> Float[Tensor, "batch"]:
    """Return the ratio at the pole above the first row."""
    first = rows[..., 0, :]
    across = (first - first.roll(first.shape[-1] // 2, -1)).abs_().mean((1, 2))
    return ratio(across, rows.diff(dim=-2).abs_().mean((1, 2, 3)))


def ratio(across: Float[Tensor, "*any"], beside: Float[Tensor, "*any"]) -> Float[Tensor, "*any"]:
    """Return one difference as a share of another: 1 where both are zero, inf where only the second is zero."""
    return torch.where((across == 0) & (beside == 0), 1, across / beside)
