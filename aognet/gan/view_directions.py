"""Where a view looks, as two classes more: a generator that was trained with them puts the horizon in its place."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

UP, DOWN = "looking up", "looking down"
DIRECTIONS = (UP, DOWN)
"""The names of the last two classes of a generator that knows directions."""


def knows_directions(class_names: Sequence[str]) -> bool:
    """Return whether a generator whose classes have these names was trained with directions."""
    return tuple(class_names[-2:]) == DIRECTIONS


def directed(
    classes: Float[Tensor, "batch classes"], pitch_degrees: Float[Tensor, "batch"]
) -> Float[Tensor, "batch classes"]:
    """Return weights of classes whose last two say how far up or down each view looks: 1 at a pole, 0 level."""
    share = (pitch_degrees / 90).to(classes)
    return torch.cat([classes[:, :-2], share.clamp(0, 1)[:, None], (-share).clamp(0, 1)[:, None]], dim=1)
