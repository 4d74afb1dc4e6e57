"""Differentiable augmentation (Zhao et al. 2020, arXiv 2006.10738): a discriminator sees real and generated images
changed alike, and learns from few images without learning them by heart.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from aognet.diffusion.sampling.noise import generators
from aognet.errors import UserError

NUMBERS = 8
"""Random numbers of an image, whichever augmentations are on: three of colour, two of translation, two of cutout,
and the one that decides whether anything happens.
"""


@dataclass(frozen=True)
class AugmentationConfig:
    """What happens to the images that the discriminator sees; 0 turns a part off.

    ``probability``: how often an image is changed. ``colour``: 1 draws brightness up to half the range to each side,
    saturation from 0 to 2 times, contrast from 0.5 to 1.5 times, as published; 0.5 half of that. ``translation`` and
    ``cutout``: the greatest shift, and the side of the square that is blanked, as a share of the image's.
    """

    probability: float = 1.0
    colour: float = 1.0
    translation: float = 0.125
    cutout: float = 0.5

    def __post_init__(self) -> None:
        for name in ("probability", "colour", "translation", "cutout"):
            if not 0 <= getattr(self, name) <= 1:
                raise UserError("must lie in [0, 1]", key=name, value=getattr(self, name))


def drawn_numbers(seeds: Int[Tensor, "batch"], stream: int) -> Float[Tensor, "batch numbers"]:
    """Return the random numbers in [0, 1) of each image's augmentation, from its seed alone."""
    return torch.stack([torch.rand(NUMBERS, generator=row) for row in generators(seeds, stream)])


def augmented(
    images: Float[Tensor, "batch 3 rows columns"], numbers: Float[Tensor, "batch numbers"], config: AugmentationConfig
) -> Float[Tensor, "batch 3 rows columns"]:
    """Return images as the discriminator sees them, differentiable in the images.

    ``numbers`` are those of `drawn_numbers`; equal ones change images alike.
    """
    numbers = numbers.to(images.device)
    changed = images
    if config.colour:
        changed = _coloured(changed, numbers[:, :3], config.colour)
    if config.translation:
        changed = _translated(changed, numbers[:, 3:5], config.translation)
    if config.cutout:
        changed = _cut(changed, numbers[:, 5:7], config.cutout)
    if config.probability < 1:
        changed = torch.where((numbers[:, 7] < config.probability)[:, None, None, None], changed, images)
    return changed


def _coloured(images: Tensor, numbers: Tensor, strength: float) -> Tensor:
    brightness, saturation, contrast = (numbers.to(images.dtype) - 0.5).mul(strength)[:, :, None, None, None].unbind(1)
    images = images + brightness
    grey = images.mean(1, keepdim=True)
    images = grey + (images - grey) * (1 + 2 * saturation)
    mean = images.mean((1, 2, 3), keepdim=True)
    return mean + (images - mean) * (1 + contrast)


def _translated(images: Tensor, numbers: Tensor, share: float) -> Tensor:
    """Shift images by whole pixels; what comes in from outside is grey (0)."""
    moved = torch.zeros_like(images)
    rows, columns = images.shape[-2:]
    downs, rights = (_shifts(numbers[:, axis], length, share) for axis, length in enumerate((rows, columns)))
    for image, (down, right) in enumerate(zip(downs, rights, strict=True)):
        kept = images[image, :, max(-down, 0) : rows - max(down, 0), max(-right, 0) : columns - max(right, 0)]
        moved[image, :, max(down, 0) : rows + min(down, 0), max(right, 0) : columns + min(right, 0)] = kept
    return moved


def _shifts(numbers: Tensor, length: int, share: float) -> list[int]:
    most = round(length * share)
    return [place - most for place in _places(numbers, 2 * most + 1)]


def _cut(images: Tensor, numbers: Tensor, share: float) -> Tensor:
    """Blank a square (with 0) whose centre lies anywhere in the image."""
    rows, columns = images.shape[-2:]
    kept = torch.ones(len(images), 1, rows, columns, dtype=images.dtype, device=images.device)
    tops, lefts = (_starts(numbers[:, axis], length, share) for axis, length in enumerate((rows, columns)))
    high, wide = round(rows * share), round(columns * share)
    for image, (top, left) in enumerate(zip(tops, lefts, strict=True)):
        kept[image, :, max(top, 0) : max(top + high, 0), max(left, 0) : max(left + wide, 0)] = 0
    return images * kept


def _starts(numbers: Tensor, length: int, share: float) -> list[int]:
    return [place - round(length * share) // 2 for place in _places(numbers, length)]


def _places(numbers: Float[Tensor, "batch"], count: int) -> list[int]:
    """Return whole numbers in [0, count) of random numbers in [0, 1)."""
    return (numbers * count).long().clamp(max=count - 1).tolist()
