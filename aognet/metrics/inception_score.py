"""Inception Score: how sure a classifier is of every image, and how many classes it finds in all images.

Salimans et al., "Improved Techniques for Training GANs", 2016 (arXiv 1606.03498), section 4: exp(mean over images of
KL(p(class | image) || p(class))), from 1 to the number of classes, over several splits.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Float64, Int64
from torch import Tensor

from aognet.errors import UserError


@dataclass(frozen=True)
class InceptionScore:
    """The mean and the standard deviation (of the population, as in the authors' code) over the splits."""

    mean: float
    deviation: float


@dataclass(frozen=True)
class ClassSums:
    """What the score needs of every split. Sets can be merged, so memory does not grow with the number of images."""

    count: Int64[Tensor, "splits"]
    probabilities: Float64[Tensor, "splits classes"]
    """Sum of p(class | image) over the images of the split."""
    information: Float64[Tensor, "splits"]
    """Sum of p log p over the images and classes: minus the sum of their entropies, in nats."""

    @staticmethod
    def of(
        logits: Float[Tensor, "samples classes"], numbers: Int64[Tensor, "samples"], splits: int = 10
    ) -> "ClassSums":
        """Return the sums of one batch. ``numbers`` says which image of the whole set each one is; image n is in split
        n % splits.

        :raises UserError: if ``splits`` is below 1.
        :raises ValueError: if a logit is not finite.
        """
        if splits < 1:
            raise UserError(f"an Inception Score needs at least 1 split, got {splits}")
        broken = int((~logits.isfinite()).any(1).sum())
        if broken:
            raise ValueError(f"logits must be finite, got NaN or infinity in {broken} of {len(logits)} samples")
        logarithms = logits.detach().double().log_softmax(1)
        probabilities = logarithms.exp()
        inside = numbers.to(logits.device) % splits == torch.arange(splits, device=logits.device)[:, None]
        weights = inside.double()
        entropies = torch.special.entr(probabilities).sum(1)
        return ClassSums(inside.sum(1), weights @ probabilities, -(weights @ entropies))

    def merged(self, other: "ClassSums") -> "ClassSums":
        """Return the sums of both sets together."""
        if self.probabilities.shape != other.probabilities.shape:
            ours, theirs = tuple(self.probabilities.shape), tuple(other.probabilities.shape)
            raise ValueError(f"splits and classes must be equal, got {ours} and {theirs}")
        return ClassSums(
            self.count + other.count,
            self.probabilities + other.probabilities,
            self.information + other.information,
        )

    def score(self) -> InceptionScore:
        """Return the score.

        :raises UserError: if a split has no image.
        """
        if not self.count.all():
            splits, images = len(self.count), int(self.count.sum())
            raise UserError(f"an Inception Score of {splits} splits needs an image in each, got {images} images")
        marginal = self.probabilities / self.count[:, None]
        scores = (self.information / self.count + torch.special.entr(marginal).sum(1)).exp()
        return InceptionScore(float(scores.mean()), float(scores.std(correction=0)))
