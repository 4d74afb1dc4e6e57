"""The matting Laplacian of a panorama: how far an image is from being, near every point, an affine map of its colours.

Levin et al. 2008 (IEEE TPAMI 30(2), equation 12) defines the matrix. It is applied by sums over windows (He et al.
2010, "Fast matting using large kernel matting Laplacian matrices", equations 6 and 7), so it is never written out.
Windows of 3 x 3 pixels wrap around and cross the poles; each counts by its solid angle.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from aognet.geometry.sphere import pad_sphere, pixel_latitudes

SIZE = 9  # pixels of a window
EPSILON = 1e-5
"""What keeps flat windows from any slope. The published 1e-7 needs more digits than 8-bit images have."""


ROUNDS = 5
LEAST = 1e-18


class MattingLaplacian:
    """The matrix of one panorama in [0, 1]. It is symmetric, and v^T L v is never negative."""

    def __init__(self, image: Float[Tensor, "3 height width"], epsilon: float = EPSILON):
        self.image = image.double()
        self.mean = window_sums(self.image) / SIZE
        products = (self.image[:, None] * self.image[None]).flatten(0, 1)
        spread = (window_sums(products) / SIZE).unflatten(0, (3, 3)) - self.mean[:, None] * self.mean[None]
        ridge = epsilon / SIZE * torch.eye(3, dtype=torch.float64, device=image.device)
        self.inverse = torch.linalg.inv(spread.permute(2, 3, 0, 1) + ridge).permute(2, 3, 0, 1)
        weights = pixel_latitudes(image.shape[-2]).cos()[None, :, None].to(image.device)
        self.weights = weights.expand(1, *image.shape[-2:]) / weights.mean()
        self.diagonal = window_sums(self.weights)

    def __call__(self, values: Float[Tensor, "channels height width"]) -> Float[Tensor, "channels height width"]:
        """Return the matrix times each channel, in float64."""
        values = values.double()
        mean = window_sums(values) / SIZE
        products = (values[:, None] * self.image[None]).flatten(0, 1)
        shared = (window_sums(products) / SIZE).unflatten(0, (-1, 3)) - mean[:, None] * self.mean[None]
        slopes = torch.einsum("ijrc,kjrc->kirc", self.inverse, shared)
        offsets = mean - (slopes * self.mean[None]).sum(1)
        both = window_sums(torch.cat([slopes.flatten(0, 1), offsets]) * self.weights)
        slopes, offsets = both.split([3 * len(values), len(values)])
        return self.diagonal * values - (slopes.unflatten(0, (-1, 3)) * self.image[None]).sum(1) - offsets

    def nearer(
        self, values: Float[Tensor, "channels height width"], amount: float
    ) -> Float[Tensor, "channels height width"]:
        """Return the x with the least |x - values|^2 + amount x^T L x: what no affine map explains shrinks.

        It solves (1 + amount L) x = values by `ROUNDS` conjugate gradients from the values themselves.
        """
        found = values.double()
        left = -amount * self(found)
        along, squares = left.clone(), left.square().sum()
        for _ in range(ROUNDS):
            if float(squares) < LEAST:
                break
            times = along + amount * self(along)
            step = squares / (along * times).sum()
            found, left = found + step * along, left - step * times
            squares, before = left.square().sum(), squares
            along = left + squares / before * along
        return found


def window_sums(values: Float[Tensor, "channels height width"]) -> Float[Tensor, "channels height width"]:
    """Return the sum over the 3 x 3 window around every pixel, which may lie across the wrap or a pole."""
    wide = pad_sphere(values[None], 1)[0]
    rows = wide[:, :-2] + wide[:, 1:-1] + wide[:, 2:]
    return rows[..., :-2] + rows[..., 1:-1] + rows[..., 2:]
