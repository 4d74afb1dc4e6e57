"""The kernel distance against torchmetrics and plain loops; samples of a stream against the laws of drawing."""

import pytest
import torch
from torch import Tensor
from torchmetrics.image.kid import KernelInceptionDistance

from aognet.errors import UserError
from aognet.metrics import kernel
from aognet.metrics.kernel import FeatureSample, kernel_distance

pytestmark = pytest.mark.filterwarnings("ignore:Metric .* will save all extracted features")


def features(samples: int, dim: int = 6, shift: float = 0.0, seed: int = 0) -> Tensor:
    return torch.randn(samples, dim, generator=torch.Generator().manual_seed(seed)) + shift


class Itself(torch.nn.Module):
    """Images are features already."""

    def forward(self, images: Tensor) -> Tensor:
        return images


def by_loops(a: Tensor, b: Tensor) -> float:
    """Unbiased MMD^2 as the paper writes it, of sets of equal size, one pair at a time."""

    def similarity(x: list[float], y: list[float]) -> float:
        return (sum(p * q for p, q in zip(x, y, strict=True)) / len(x) + 1) ** 3

    first, second, size = a.tolist(), b.tolist(), len(a)
    within = sum(similarity(x[i], x[j]) for x in (first, second) for i in range(size) for j in range(size) if i != j)
    across = sum(similarity(x, y) for x in first for y in second)
    return within / (size * (size - 1)) - 2 * across / size**2


def test_whole_sets_agree_with_torchmetrics_and_plain_loops():
    a, b = features(30), features(30, shift=0.3, seed=1)
    ours = kernel_distance(a, b, subsets=1)
    theirs = KernelInceptionDistance(feature=Itself(), subsets=1, subset_size=30)
    theirs.update(a.double(), real=True)
    theirs.update(b.double(), real=False)
    assert ours.mean == pytest.approx(float(theirs.compute()[0]), rel=1e-6)
    assert ours.mean == pytest.approx(by_loops(a, b), rel=1e-10)
    assert ours.deviation == 0


@pytest.mark.parametrize(("samples", "others", "size"), [(40, 30, 20), (90, 35, 8), (30, 120, 9)])
def test_both_ways_to_sum_equal_loops_over_the_same_subsets(
    samples: int, others: int, size: int, monkeypatch: pytest.MonkeyPatch
):
    """Few large subsets share the kernel of all pairs, many small ones have their own."""
    monkeypatch.setattr(kernel, "ROWS", 16)
    a, b = features(samples), features(others, shift=0.3, seed=1)
    generator = torch.Generator().manual_seed(3)
    drawn = [[torch.randperm(len(x), generator=generator)[:size] for _ in range(5)] for x in (a, b)]
    expected = torch.tensor([by_loops(a[i], b[j]) for i, j in zip(*drawn, strict=True)], dtype=torch.float64)
    ours = kernel_distance(a, b, subsets=5, subset_size=size, seed=3)
    assert ours.mean == pytest.approx(float(expected.mean()), rel=1e-9)
    assert ours.deviation == pytest.approx(float(expected.std(correction=0)), rel=1e-9)


def test_same_seed_same_value():
    a, b = features(60), features(50, seed=1)
    first, again = (kernel_distance(a, b, 4, 20, seed=2) for _ in range(2))
    assert first == again != kernel_distance(a, b, 4, 20, seed=3)


def test_estimate_is_unbiased_and_rises_with_the_shift():
    """Around 0 for two draws of one distribution, below it now and then, and the same for large and small sets."""
    draws = torch.tensor(
        [kernel_distance(features(20, seed=i), features(20, seed=500 + i), 1).mean for i in range(200)]
    )
    assert (draws < 0).any() and abs(float(draws.mean())) < 4 * float(draws.std()) / 200**0.5
    a = features(200)
    shifted = [kernel_distance(a, features(200, shift=shift, seed=1), 10, 100).mean for shift in (0.0, 0.2, 0.5, 1.0)]
    assert shifted == sorted(shifted) and shifted[0] < 0.02 * shifted[-1]


def test_small_sets_cap_the_subsets_and_too_small_ones_are_named():
    a, b = features(12), features(7, seed=1)
    assert kernel_distance(a, b, 3, 1000) == kernel_distance(a, b, 3, 7)
    with pytest.raises(UserError, match="from 12 and 1 images"):
        kernel_distance(a, b[:1])
    with pytest.raises(UserError, match="got 0 subsets of 1000"):
        kernel_distance(a, b, subsets=0)


def test_a_sample_is_the_same_however_the_stream_is_cut():
    numbers = torch.arange(100)
    whole = FeatureSample.of(features(100), numbers, 20)
    order = torch.randperm(100, generator=torch.Generator().manual_seed(4))
    parts = [FeatureSample.of(features(100)[part], numbers[part], 20) for part in order.split([3, 60, 37])]
    merged = parts[2].merged(parts[0]).merged(parts[1])
    assert torch.equal(merged.numbers, whole.numbers) and torch.equal(merged.features, whole.features)
    assert torch.equal(merged.features, features(100)[merged.numbers])
    assert len(FeatureSample.of(features(5), numbers[:5], 20).features) == 5


def test_a_sample_takes_every_part_of_a_set_alike():
    """Its share of any residue class or range is that of a fair draw: within four standard deviations."""
    numbers = torch.arange(40_000)
    kept = FeatureSample.of(numbers[:, None].float(), numbers, 4000).numbers
    assert len(kept.unique()) == 4000
    for groups in (kept % 20, kept // 2000):
        assert (groups.bincount(minlength=20) - 200).abs().max() < 4 * 200**0.5
