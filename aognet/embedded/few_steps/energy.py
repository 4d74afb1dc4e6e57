"""The energy score of what is painted (Gneiting and Raftery 2007, "Strictly proper scoring rules, prediction, and
estimation", section 4.3), of frozen features of images.

Two paintings of the same condition are near to the truth and far from each other. Nothing scores better in the mean
than the true distribution: not the mean of all that could be there, which is the same twice, and not the one thing that
a discriminator takes for true, painted again and again.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

REGION = 4
"""Pixels of a scale along each side of a region."""
FINE = 2
"""So many of the finest scales are textures, of which a region has its mean magnitudes; others are also seen whole."""
COLOUR = 8
"""Image pixels along each side of a pixel of the colours."""
SMALLEST = 1e-3  # of a distance, so that equal images have a gradient

Vectors = list[Float[Tensor, "batch _ _"]]


@dataclass(frozen=True)
class EnergyScore:
    """``near``: the mean distance to the truth; ``spread``: that between two paintings. True ones have a ``spread`` of
    1 where nothing is known, and as much as of ``near`` everywhere.
    """

    near: Float[Tensor, ""]
    spread: Float[Tensor, ""]

    @property
    def loss(self) -> Float[Tensor, ""]:
        """Return what is to become small."""
        return self.near - self.spread / 2


def described(
    features: Sequence[Float[Tensor, "batch _ _ _"]], images: Float[Tensor, "batch 3 rows columns"]
) -> Vectors:
    """Return what images are compared by: features and colours at each place, of regions, and of the whole image.

    ``features``: of scales from fine to coarse.
    """
    colours = functional.avg_pool2d(images.float(), COLOUR)
    maps = [*features, colours]
    found = [_places(one) for one in maps]
    found += [_places(functional.avg_pool2d(one.abs(), REGION)) for one in features[:FINE]]
    found += [one.flatten(1)[:, None] for one in maps[FINE:]]
    return [*found, colours.mean((2, 3))[:, None]]


def energy_score(one: Vectors, other: Vectors, truth: Vectors) -> EnergyScore:
    """Return the score of two paintings of each row, the mean of all kinds of vectors.

    A kind's distances are in proportion to that between the truths of different rows.
    """
    near, spread = [], []
    for a, b, true in zip(one, other, truth, strict=True):
        unit = _distance(true, true.roll(1, 0)).detach().clamp(min=10 * SMALLEST)
        near.append((_distance(a, true) + _distance(b, true)) / (2 * unit))
        spread.append(_distance(a, b) / unit)
    return EnergyScore(torch.stack(near).mean(), torch.stack(spread).mean())


def _places(values: Float[Tensor, "batch dims rows columns"]) -> Float[Tensor, "batch places dims"]:
    return values.flatten(2).mT


def _distance(one: Float[Tensor, "batch places dims"], other: Float[Tensor, "batch places dims"]) -> Float[Tensor, ""]:
    return ((one - other).square().mean(-1) + SMALLEST**2).sqrt().mean()
