"""Fréchet distance between two sets of features, each taken as a Gaussian.

Dowson & Landau, "The Fréchet distance between multivariate normal distributions", 1982. On Inception-v3 features it is
the FID of Heusel et al., 2017 (arXiv 1706.08500), equation 6. It is biased: fewer samples raise it, so only distances
of equally many samples can be compared. Fewer samples than dimensions are no numerical problem.
"""

import sys
from dataclasses import dataclass

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from aognet.errors import UserError


@dataclass(frozen=True)
class Moments:
    """The mean and scatter of a set of features. Sets can be merged, so memory does not grow with the number of
    samples.
    """

    count: int
    mean: Float64[Tensor, "dim"]
    scatter: Float64[Tensor, "dim dim"]
    """Sum over the samples of the outer product of the deviation from the mean with itself."""

    @staticmethod
    def empty(dim: int, device: torch.device | None = None) -> "Moments":
        """Return the moments of no samples."""
        zeros = torch.zeros(dim, dim, dtype=torch.float64, device=device)
        return Moments(0, zeros.new_zeros(dim), zeros)

    @staticmethod
    def of(features: Float[Tensor, "samples dim"]) -> "Moments":
        """Return the moments of one batch, in float64 on its device.

        :raises ValueError: if a feature is NaN or infinite.
        """
        if not len(features):
            return Moments.empty(features.shape[1], features.device)
        values = features.detach().double()
        mean = values.mean(0)
        # A sum is finite only if all it adds is: one look at a vector instead of one at every feature.
        if not mean.isfinite().all():
            broken = (~values.isfinite()).any(1).sum()
            raise ValueError(f"features must be finite, got NaN or infinity in {broken} of {len(values)} samples")
        deviations = values - mean
        return Moments(len(values), mean, deviations.T @ deviations)

    def merged(self, other: "Moments") -> "Moments":
        """Return the moments of both sets together (Chan, Golub & LeVeque, 1983: without the cancellation of sums of
        squares).
        """
        _check_dims(self, other)
        if not self.count or not other.count:
            return self if self.count else other
        count = self.count + other.count
        step = other.mean - self.mean
        scatter = (self.scatter + other.scatter).addr_(step, step, alpha=self.count * other.count / count)
        return Moments(count, self.mean + step * (other.count / count), scatter)

    @property
    def covariance(self) -> Float64[Tensor, "dim dim"]:
        """The unbiased covariance.

        :raises UserError: for fewer than 2 samples.
        """
        if self.count < 2:
            raise UserError(f"a covariance needs at least 2 images, got {self.count}")
        return self.scatter / (self.count - 1)


def frechet_distance(a: Moments, b: Moments) -> float:
    """Return |mean a - mean b|^2 + tr(A) + tr(B) - 2 tr((A B)^1/2), where A and B are the covariances. At least 0; 0
    for equal sets.

    :raises UserError: if a set has fewer than 2 samples.
    :raises ValueError: if the features have different dimensions.
    """
    _check_dims(a, b)
    few, many = sorted((a, b), key=lambda moments: moments.count)
    # With A = F F^T, A B has the eigenvalues of the symmetric F^T B F: real, and few where A has few samples.
    factor = _factor(few)
    product = factor.T @ many.covariance @ factor
    overlap = torch.linalg.eigvalsh((product + product.T) / 2).clamp(min=0).sqrt().sum()
    spread = few.covariance.trace() + many.covariance.trace() - 2 * overlap
    return max(float((a.mean - b.mean).square().sum() + spread), 0.0)


def _factor(moments: Moments) -> Float64[Tensor, "dim rank"]:
    """Return F with F F^T = covariance. Eigenvalues that are near 0 only by rounding are left out: their roots would
    count.
    """
    values, vectors = torch.linalg.eigh(moments.covariance)
    real = values > values[-1] * len(values) * sys.float_info.epsilon
    return vectors[:, real] * values[real].sqrt()


def _check_dims(a: Moments, b: Moments) -> None:
    if a.mean.shape != b.mean.shape:
        raise ValueError(f"features must have equally many dimensions, got {len(a.mean)} and {len(b.mean)}")
