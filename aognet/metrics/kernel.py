"""Kernel distance (KID on Inception-v3 features): unbiased squared maximum mean discrepancy of two sets of features.

Bińkowski et al., "Demystifying MMD GANs", 2018 (arXiv 1801.01401): the kernel is (x.y / dim + 1)^3, and the estimate is
averaged over random subsets of equal size. Unlike the Fréchet distance it is unbiased: it may be below 0, and sets of
different sizes can be compared.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Float64, Int64
from torch import Tensor

from aognet.errors import UserError

# Rows of the kernel matrix held at once.
ROWS = 512


@dataclass(frozen=True)
class KernelDistance:
    """The mean and the standard deviation (of the population) over the subsets."""

    mean: float
    deviation: float
    """Spread of overlapping subsets, not an error of the mean: 0 where every subset is the whole set."""


@dataclass(frozen=True)
class FeatureSample:
    """At most ``size`` samples of a stream, drawn uniformly. Order, batches and processes do not change which ones.

    It keeps the samples whose hashed numbers are smallest. The features keep their type.
    """

    size: int
    numbers: Int64[Tensor, "samples"]
    features: Float[Tensor, "samples dim"]

    @staticmethod
    def of(features: Float[Tensor, "samples dim"], numbers: Int64[Tensor, "samples"], size: int) -> "FeatureSample":
        """Return the sample of one batch. ``numbers`` says which sample of the whole set each one is; no two are
        equal.
        """
        kept = _mixed(numbers).argsort()[:size]
        return FeatureSample(size, numbers[kept], features.detach()[kept])

    def merged(self, other: "FeatureSample") -> "FeatureSample":
        """Return the sample of both sets together."""
        features = torch.cat([self.features, other.features])
        return FeatureSample.of(features, torch.cat([self.numbers, other.numbers]), min(self.size, other.size))


def kernel_distance(
    a: Float[Tensor, "samples dim"],
    b: Float[Tensor, "others dim"],
    subsets: int = 100,
    subset_size: int = 1000,
    seed: int = 0,
) -> KernelDistance:
    """Return the distance over ``subsets`` random subsets of ``subset_size`` samples each (at most the smaller set).

    It is computed in float64. The same seed gives the same value.

    :raises UserError: if a subset would have fewer than 2 samples.
    """
    size = min(subset_size, len(a), len(b))
    if size < 2 or subsets < 1:
        raise UserError(
            f"a kernel distance needs at least 1 subset of 2 images of each set, got {subsets} subsets of {subset_size}"
            f" from {len(a)} and {len(b)} images"
        )
    generator = torch.Generator().manual_seed(seed)
    from_a, from_b = _drawn(len(a), subsets, size, generator), _drawn(len(b), subsets, size, generator)
    if max(len(a), len(b)) ** 2 <= subsets * size**2:
        # Subsets overlap: the kernel of every pair once is less than the kernels of all subsets.
        values = _discrepancies(a, b, _membership(from_a, a), _membership(from_b, b))
    else:
        whole = torch.ones(1, size, dtype=torch.float64, device=a.device)
        pairs = zip(from_a.to(a.device), from_b.to(b.device), strict=True)
        values = torch.cat([_discrepancies(a[mine], b[theirs], whole, whole) for mine, theirs in pairs])
    return KernelDistance(float(values.mean()), float(values.std(correction=0)))


def _drawn(count: int, subsets: int, size: int, generator: torch.Generator) -> Int64[Tensor, "subsets size"]:
    """Return which samples each subset takes, each sample at most once."""
    return torch.stack([torch.randperm(count, generator=generator)[:size] for _ in range(subsets)])


def _membership(
    drawn: Int64[Tensor, "subsets size"], features: Float[Tensor, "samples dim"]
) -> Float64[Tensor, "subsets samples"]:
    """Return 1 where a subset takes a sample, else 0."""
    return torch.zeros(len(drawn), len(features), dtype=torch.float64).scatter_(1, drawn, 1.0).to(features.device)


def _discrepancies(
    a: Float[Tensor, "samples dim"],
    b: Float[Tensor, "others dim"],
    in_a: Float64[Tensor, "subsets samples"],
    in_b: Float64[Tensor, "subsets others"],
) -> Float64[Tensor, "subsets"]:
    """Return the unbiased MMD^2 of every subset. All subsets take equally many samples of each set."""
    a, b = a.double(), b.double()
    size = in_a[0].sum()
    within = sum(
        _kernel_sums(x, x, inside, inside) - inside @ _kernel((x * x).sum(1), x.shape[1])
        for x, inside in ((a, in_a), (b, in_b))
    )
    return within / (size * (size - 1)) - 2 * _kernel_sums(a, b, in_a, in_b) / size**2


def _kernel_sums(a: Tensor, b: Tensor, in_a: Tensor, in_b: Tensor) -> Float64[Tensor, "subsets"]:
    """Return the sum of the kernel over all pairs of every subset."""
    sums = in_a.new_zeros(len(in_a))
    for rows in range(0, len(a), ROWS):
        kernel = _kernel(a[rows : rows + ROWS] @ b.T, a.shape[1])
        sums += ((in_a[:, rows : rows + ROWS] @ kernel) * in_b).sum(1)
    return sums


def _kernel(products: Float64[Tensor, "*pairs"], dim: int) -> Float64[Tensor, "*pairs"]:
    return (products / dim + 1) ** 3


def _mixed(numbers: Int64[Tensor, "samples"]) -> Int64[Tensor, "samples"]:
    """Scatter numbers over all of int64 by a bijection (the finaliser of SplitMix64, Steele et al. 2014)."""
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        # The mask makes the shift of a signed number a logical one; products wrap.
        numbers = (numbers ^ (numbers >> shift & (1 << 64 - shift) - 1)) * (factor - (1 << 64))
    return numbers ^ (numbers >> 31 & (1 << 33) - 1)
