"""Views that come back: an encoder finds z of a view, from which the generator makes the view again (VAE-GAN, Larsen et
al. 2016, arXiv 1512.09300).

A discriminator alone takes long to tell a small generator where sky and ground are. What brings views back tells it at
once, and z then has a place for every view of the training.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from aognet.errors import UserError

MOST_CHANNELS = 1024
CODED = 2
"""The encoder sees so many of the coarsest scales of features."""


@dataclass(frozen=True, kw_only=True)
class ReconstructionConfig:
    """How views come back.

    ``weight``: of the distance between views and what comes back (`view_distance`), beside the discriminator's loss;
    ``information_weight``: of the information in nats that z has of a view. ``adversarial_start``: the first step with
    the discriminator; before it views only come back. ``channels``: of the encoder.
    """

    weight: float = 10.0
    information_weight: float = 0.015
    adversarial_start: int = 0
    channels: int = 64

    def __post_init__(self) -> None:
        for name in ("weight", "information_weight", "adversarial_start"):
            if getattr(self, name) < 0:
                raise UserError("must not be negative", key=name, value=getattr(self, name))
        if not 1 <= self.channels <= MOST_CHANNELS:
            raise UserError(f"must lie in [1, {MOST_CHANNELS}]", key="channels", value=self.channels)


class ViewEncoder(nn.Module):
    """Mean and log variance of z for frozen features of a view, and for its colours at the finer of their scales.

    ``channels``: of the two coarsest scales, the finer first; ``size``: the pixels of the coarsest.
    """

    def __init__(self, channels: Sequence[int], size: int, z_dim: int, config: ReconstructionConfig):
        super().__init__()
        fine, coarse = channels
        width = config.channels
        self.fine, self.coarse = nn.Conv2d(fine + 3, width, 1), nn.Conv2d(coarse, width, 1)
        self.halved = nn.Conv2d(width, width, 4, stride=2, padding=1)
        self.mixed = nn.Conv2d(2 * width, width, 3, padding=1)
        self.out = nn.Linear(width * size**2, 2 * z_dim)

    def forward(
        self, features: Sequence[Float[Tensor, "batch _ _ _"]], images: Float[Tensor, "batch 3 rows columns"]
    ) -> tuple[Float[Tensor, "batch z_dim"], Float[Tensor, "batch z_dim"]]:
        """Return the mean and the log variance of each view's z, float32. ``features``: from fine to coarse."""
        fine, coarse = features[-CODED:]
        colours = functional.interpolate(images, size=fine.shape[-2:], mode="area")
        x = functional.leaky_relu(self.fine(torch.cat([fine, colours.to(fine.dtype)], dim=1)), 0.2)
        x = torch.cat([self.halved(x), self.coarse(coarse)], dim=1)
        x = functional.leaky_relu(self.mixed(functional.leaky_relu(x, 0.2)), 0.2)
        mean, log_variance = self.out(x.flatten(1)).float().chunk(2, dim=1)
        return mean, log_variance.clamp(-8, 4)


def information(mean: Float[Tensor, "batch dim"], log_variance: Float[Tensor, "batch dim"]) -> Float[Tensor, ""]:
    """Return the mean divergence in nats of normal distributions from the standard one (Kingma and Welling 2014)."""
    return 0.5 * (mean.square() + log_variance.exp() - log_variance - 1).sum(1).mean()


def view_distance(
    images: Float[Tensor, "batch 3 rows columns"],
    truth: Float[Tensor, "batch 3 rows columns"],
    features: Sequence[Float[Tensor, "batch _ _ _"]],
    of_truth: Sequence[Float[Tensor, "batch _ _ _"]],
) -> Float[Tensor, ""]:
    """Return the mean absolute difference of images, plus the distance of their features."""
    return functional.l1_loss(images.float(), truth.float()) + feature_distance(features, of_truth)


def feature_distance(features: Sequence[Tensor], of_truth: Sequence[Tensor]) -> Float[Tensor, ""]:
    """Return the mean squared distance of the directions of features, over places and then over scales."""
    distances = []
    for one, other in zip(features, of_truth, strict=True):
        a, b = (functional.normalize(values.float(), dim=1) for values in (one, other))
        distances.append((a - b).square().sum(1).mean())
    return torch.stack(distances).mean()
