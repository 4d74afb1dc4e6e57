"""LPIPS as a loss: of whole images, or to save time of one square of each."""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from aognet.diffusion.sampling.noise import uniform
from aognet.perception.lpips import Lpips

# Streams of a sample's seed.
DOWN, RIGHT = 1, 2


def perceptual_loss(
    network: Lpips,
    output: Float[Tensor, "batch 3 height width"],
    images: Float[Tensor, "batch 3 height width"],
    seeds: Int[Tensor, "batch"],
    size: int = 0,
) -> Float[Tensor, ""]:
    """Return the mean distance of images, or with a ``size`` of squares of so many pixels where the seeds say."""
    if size and size < max(images.shape[-2:]):
        output, images = (_squares(part, min(size, *images.shape[-2:]), seeds) for part in (output, images))
    means = [part.float().mean() for part in network(output, images)]
    return sum(means[1:], means[0])


def _squares(
    images: Float[Tensor, "batch 3 height width"], size: int, seeds: Int[Tensor, "batch"]
) -> Float[Tensor, "batch 3 size size"]:
    """Return one square of each image, at a place that its seed gives."""
    rows, columns = (
        (uniform(seeds, stream) * (length - size + 1)).long().tolist()
        for stream, length in ((DOWN, images.shape[-2]), (RIGHT, images.shape[-1]))
    )
    places = zip(images, rows, columns, strict=True)
    return torch.stack([image[:, row : row + size, column : column + size] for image, row, column in places])
