"""Transport reaches what it is to reach, and moves no more than it must."""

import pytest
import torch

from aognet.style.transport import linear_map, moments, sliced_transport

FREE = (0.0, 1e9)


def cloud(seed: int, points: int = 4000) -> tuple[torch.Tensor, torch.Tensor]:
    source = torch.Generator().manual_seed(seed)
    mixed = torch.randn(3, 3, generator=source, dtype=torch.float64) * 0.2
    values = mixed @ torch.randn(3, points, generator=source, dtype=torch.float64) + torch.rand(3, 1, generator=source)
    return values, torch.rand(points, generator=source, dtype=torch.float64)


def test_moments_are_those_of_repeated_points():
    values, counts = cloud(0, 20)[0], torch.arange(1, 21)
    found = moments(values, counts.double())
    repeated = values.repeat_interleave(counts, dim=1)
    assert torch.allclose(found.mean, repeated.mean(1))
    assert torch.allclose(found.covariance, torch.cov(repeated, correction=0))


@pytest.mark.parametrize("seed", range(3))
def test_mean_and_covariance_are_reached(seed: int):
    (ours, a), (theirs, b) = cloud(seed), cloud(seed + 10)
    own, wanted = moments(ours, a), moments(theirs, b)
    matrix = linear_map(own, wanted, 0.0, FREE)
    assert torch.allclose(matrix, matrix.T) and torch.linalg.eigvalsh(matrix).min() > 0, "the gradient of a convex map"
    found = moments(matrix @ (ours - own.mean[:, None]) + wanted.mean[:, None], a)
    assert torch.allclose(found.mean, wanted.mean) and torch.allclose(found.covariance, wanted.covariance)


def test_equal_statistics_move_nothing_and_gains_are_bounded():
    ours, weights = cloud(1)
    own = moments(ours, weights)
    assert torch.allclose(linear_map(own, own, 1e-5, FREE), torch.eye(3, dtype=torch.float64), atol=1e-6)
    other = moments(*cloud(12))
    gains = torch.linalg.eigvalsh(linear_map(own, other, 0.0, (0.9, 1.1)))
    assert gains.min() >= 0.9 - 1e-9 and gains.max() <= 1.1 + 1e-9
    flat = moments(torch.full((3, 5), 0.5), torch.ones(5))
    assert torch.isfinite(linear_map(flat, own, 1e-5, (0.6, 2.5))).all(), "one colour can be moved, too"


def test_sliced_transport_reaches_more_than_mean_and_covariance():
    """Along axes that it never used, the distribution comes nearer, and equal points stay equal."""
    (ours, a), (theirs, b) = cloud(2), cloud(3)
    theirs = theirs.mean(1, keepdim=True) + (theirs - theirs.mean(1, keepdim=True)).abs() ** 1.5 * 3  # skewed
    own, wanted = moments(ours, a), moments(theirs, b)
    linear = linear_map(own, wanted, 0.0, FREE) @ (ours - own.mean[:, None]) + wanted.mean[:, None]
    sliced = sliced_transport(linear, a, theirs, b)

    def distance(values: torch.Tensor) -> float:
        total = 0.0
        for axis in torch.linalg.qr(torch.randn(3, 3, generator=torch.Generator().manual_seed(9)).double())[0]:
            quantiles = torch.linspace(0.02, 0.98, 49, dtype=torch.float64)
            shares = []
            for points, weights in ((values, a), (theirs, b)):
                order = (axis @ points).argsort()
                below = weights[order].cumsum(0) / weights.sum()
                shares.append((axis @ points)[order][torch.searchsorted(below, quantiles)])
            total += float((shares[0] - shares[1]).abs().mean())
        return total

    assert distance(sliced) < 0.6 * distance(linear)
    doubled = sliced_transport(torch.cat([linear, linear], 1), torch.cat([a, a]), theirs, b)
    assert torch.allclose(doubled[:, : len(a)], doubled[:, len(a) :])
    order = torch.randperm(len(a), generator=torch.Generator().manual_seed(0))
    assert torch.allclose(sliced_transport(linear[:, order], a[order], theirs, b), sliced[:, order], atol=1e-9)
