"""The Fréchet distance against closed forms, scipy and torchmetrics; moments of parts against those of the whole."""

import pytest
import torch
from scipy import linalg
from torch import Tensor
from torchmetrics.image.fid import FrechetInceptionDistance

from aognet.errors import UserError
from aognet.metrics.frechet import Moments, frechet_distance


def features(samples: int, dim: int, seed: int = 0) -> Tensor:
    """Correlated, not centred, with a spectrum that falls over three decades."""
    generator = torch.Generator().manual_seed(seed)
    spectrum = torch.logspace(0, -3, dim)
    mixing = torch.randn(dim, dim, generator=torch.Generator().manual_seed(99)) / dim**0.5
    return 0.5 + 0.1 * seed + torch.randn(samples, dim, generator=generator) * (1 + 0.2 * seed) * spectrum @ mixing


def by_scipy(a: Tensor, b: Tensor) -> float:
    """As the papers write it, with the matrix square root itself."""
    a, b = a.double(), b.double()
    first, second = a.T.cov().numpy(), b.T.cov().numpy()
    root = linalg.sqrtm(first @ second).real
    return float((a.mean(0) - b.mean(0)).square().sum()) + float(first.trace() + second.trace() - 2 * root.trace())


def by_samples(a: Tensor, b: Tensor) -> float:
    """Without any covariance: tr((A B)^1/2) is the sum of the singular values of the samples' products."""
    a, b = a.double(), b.double()
    first, second = ((x - x.mean(0)) / (len(x) - 1) ** 0.5 for x in (a, b))
    overlap = torch.linalg.svdvals(first @ second.T).sum()
    spread = first.square().sum() + second.square().sum() - 2 * overlap
    return float((a.mean(0) - b.mean(0)).square().sum() + spread)


class Itself(torch.nn.Module):
    """Images are features already."""

    num_features = 32

    def forward(self, images: Tensor) -> Tensor:
        return images.flatten(1)


@pytest.mark.parametrize(("samples", "others"), [(300, 200), (33, 200), (20, 200), (200, 20), (12, 12), (2, 3)])
def test_agrees_with_scipy_and_torchmetrics_also_below_full_rank(samples: int, others: int):
    a, b = features(samples, 32), features(others, 32, seed=1)
    ours = frechet_distance(Moments.of(a), Moments.of(b))
    assert ours == pytest.approx(by_samples(a, b), rel=1e-6)
    assert ours == pytest.approx(by_scipy(a, b), rel=1e-5)
    theirs = FrechetInceptionDistance(feature=Itself(), input_img_size=(1, 4, 8)).set_dtype(torch.float64)
    theirs.update(a.double().reshape(-1, 1, 4, 8), real=True)
    theirs.update(b.double().reshape(-1, 1, 4, 8), real=False)
    assert ours == pytest.approx(float(theirs.compute()), rel=1e-4)
    assert ours == pytest.approx(frechet_distance(Moments.of(b), Moments.of(a)), rel=1e-9)


def test_gaussians_on_the_axes_have_a_closed_form():
    """Two samples at +-d on each axis have a diagonal covariance: |mean|^2 + sum (deviation - deviation)^2."""
    wide, narrow = torch.tensor([3.0, 2.0, 0.5]), torch.tensor([1.0, 2.0, 0.0])
    a, b = (Moments.of(torch.cat([size.diag(), -size.diag()])) for size in (wide, narrow))
    b = Moments(b.count, b.mean + torch.tensor([0.0, 0.0, 4.0], dtype=torch.float64), b.scatter)
    expected = 16 + float((wide - narrow).square().sum()) * 2 / 5
    assert frechet_distance(a, b) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("samples", [2, 40, 500])
def test_equal_sets_are_at_distance_0_and_a_shift_counts_once(samples: int):
    a = features(samples, 64)
    assert 0 <= frechet_distance(Moments.of(a), Moments.of(a.flip(0))) < 1e-6
    assert frechet_distance(Moments.of(a), Moments.of(a + 0.25)) == pytest.approx(64 * 0.25**2, rel=1e-5)


def test_a_rotation_of_feature_space_changes_nothing_and_scale_squares():
    a, b = features(30, 48).double(), features(50, 48, seed=1).double()
    rotation, _ = torch.linalg.qr(torch.randn(48, 48, dtype=torch.float64, generator=torch.Generator().manual_seed(5)))
    distance = frechet_distance(Moments.of(a), Moments.of(b))
    assert frechet_distance(Moments.of(a @ rotation), Moments.of(b @ rotation)) == pytest.approx(distance, rel=1e-8)
    assert frechet_distance(Moments.of(a * 1e-4), Moments.of(b * 1e-4)) == pytest.approx(distance * 1e-8, rel=1e-8)


def test_few_different_images_repeated_and_dead_channels():
    """The rank is then far below the number of samples, and rounding leaves eigenvalues below 0."""
    a, b = features(20, 64), features(4, 64, seed=1).repeat(10, 1)
    a[:, 40:] = 0
    for first, second in ((a, b), (b, a), (b, b + 0.1)):
        ours = frechet_distance(Moments.of(first), Moments.of(second))
        assert ours == pytest.approx(by_samples(first, second), rel=1e-6)


def test_constant_features_leave_the_other_sets_variance():
    """As of dead channels, or of one image many times."""
    constant, other = torch.ones(10, 8), features(40, 8)
    assert frechet_distance(Moments.of(constant), Moments.of(constant)) == 0
    trace = float(other.double().var(0).sum())
    distance = frechet_distance(Moments.of(constant), Moments.of(other))
    assert distance == pytest.approx(trace + float((1 - other.double().mean(0)).square().sum()), rel=1e-9)


def test_parts_in_any_sizes_and_order_merge_to_the_whole():
    whole = features(101, 16) + 1e4
    parts = [Moments.of(part) for part in whole.split([1, 50, 7, 43])]
    for order in ([0, 1, 2, 3], [3, 1, 0, 2]):
        merged = Moments.empty(16)
        for index in order:
            merged = merged.merged(parts[index])
        assert merged.count == 101
        assert torch.allclose(merged.mean, whole.double().mean(0), rtol=1e-12)
        # Sums of squares would leave errors of 1e8 x 1e-16 x 101 here, a thousandth of the smallest variances.
        assert torch.allclose(merged.covariance, whole.double().T.cov(), rtol=1e-9, atol=1e-12)


def test_no_samples_merge_to_nothing_new():
    some, none = Moments.of(features(5, 4)), Moments.of(torch.zeros(0, 4))
    for merged in (some.merged(none), none.merged(some)):
        assert merged.count == 5 and torch.equal(merged.mean, some.mean) and torch.equal(merged.scatter, some.scatter)
    assert none.merged(Moments.empty(4)).count == 0


def test_half_precision_features_are_summed_in_double():
    halves = features(500, 8).half()
    assert torch.allclose(Moments.of(halves).covariance, halves.double().T.cov(), rtol=1e-12)


@pytest.mark.parametrize("samples", [0, 1])
def test_too_few_samples_are_named(samples: int):
    few, enough = Moments.of(features(samples, 4)), Moments.of(features(9, 4))
    with pytest.raises(UserError, match=f"at least 2 images, got {samples}"):
        frechet_distance(few, enough)
    with pytest.raises(UserError, match=f"at least 2 images, got {samples}"):
        frechet_distance(enough, few)


def test_broken_features_and_other_dimensions_are_named():
    broken = features(5, 4)
    broken[1, 2], broken[3, 0] = torch.nan, torch.inf
    with pytest.raises(ValueError, match="NaN or infinity in 2 of 5"):
        Moments.of(broken)
    with pytest.raises(ValueError, match="got 4 and 6"):
        frechet_distance(Moments.of(features(5, 4)), Moments.of(features(5, 6)))
    with pytest.raises(ValueError, match="got 4 and 6"):
        Moments.empty(4).merged(Moments.empty(6))
