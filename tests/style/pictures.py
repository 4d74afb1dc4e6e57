"""Smooth panoramas and photographs of random colours, with some grain: what styles are measured with."""

import torch
from torch import Tensor

from aognet.geometry.sphere import pixel_directions
from tests.smooth import colour


def panorama(height: int, seed: int = 0, grain: float = 0.03) -> Tensor:
    """[3, height, 2 height] in [0, 1]: colours of directions, turned at random, with a dark ground."""
    source = torch.Generator().manual_seed(seed)
    turn = torch.linalg.qr(torch.randn(3, 3, generator=source, dtype=torch.float64))[0]
    directions = pixel_directions(height, 2 * height)
    image = colour(directions @ turn).mul(0.3).add(0.55) - 0.25 * (directions[..., 1] < 0).float()
    return (image + grain * torch.randn(image.shape, generator=source)).clamp(0, 1)


def photograph(rows: int = 48, columns: int = 64, seed: int = 1) -> Tensor:
    """[3, rows, columns] in [0, 1]: colours of low contrast around a random middle."""
    source = torch.Generator().manual_seed(seed)
    low = torch.rand(1, 3, 6, 8, generator=source)
    image = torch.nn.functional.interpolate(low, (rows, columns), mode="bilinear")[0]
    return (0.35 + 0.3 * image + 0.02 * torch.randn(image.shape, generator=source)).clamp(0, 1)
