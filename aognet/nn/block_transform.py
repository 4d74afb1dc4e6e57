"""Transform coding of image blocks, which teaches the latents of a small autoencoder what to keep.

Reconstruction alone leaves a small autoencoder with few latents in use, and little colour in them.
"""

import math
from functools import lru_cache

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional


def block_transform(
    images: Float[Tensor, "batch 3 height width"], channels: int, factor: int
) -> Float[Tensor, "batch channels rows columns"]:
    """Return the coefficients that natural images need most, of every block of ``factor`` x ``factor`` pixels; spread
    about 1.

    For brightness they are those of the lowest frequencies of the discrete cosine transform (Ahmed et al. 1974), for
    the two colour differences the means.
    """
    return functional.conv2d(images, _kernels(channels, factor).to(images), stride=factor)


@lru_cache(maxsize=4)
def _kernels(channels: int, factor: int) -> Float[Tensor, "channels 3 factor factor"]:
    place, wave = torch.arange(factor, dtype=torch.float64), torch.arange(factor, dtype=torch.float64)[:, None]
    waves = torch.cos(math.pi * (place + 0.5) * wave / factor) * math.sqrt(2 / factor)
    waves[0] /= math.sqrt(2)
    grey, red_green, blue_yellow = (torch.tensor(c, dtype=torch.float64) for c in ([1, 1, 1], [1, -1, 0], [-1, -1, 2]))
    frequencies = sorted(((i, j) for i in range(factor) for j in range(factor)), key=lambda ij: (math.hypot(*ij), ij))
    kept = [(grey, i, j) for i, j in frequencies[: channels - 2]] + [(red_green, 0, 0), (blue_yellow, 0, 0)]
    kernels = []
    for colour, i, j in kept:
        # How much they vary in photographs: means of blocks with their size, waves as one over their frequency.
        spread = factor * (0.7 if colour is grey else 0.15) if i == j == 0 else factor / (8 * math.hypot(i, j))
        kernels.append((colour / colour.norm())[:, None, None] * torch.outer(waves[i], waves[j]) / spread)
    return torch.stack(kernels).float()
