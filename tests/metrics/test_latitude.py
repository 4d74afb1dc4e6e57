"""Rows weigh what they cover of the sphere."""

import math
from typing import Literal

import pytest
import torch

from aognet.metrics.latitude import latitude_weighted


def test_centres_are_those_of_pixels():
    """Two rows lie at 45 and -45 degrees, three at 60, 0 and -60."""
    assert latitude_weighted(torch.ones(1, 1, 2, 4)).tolist() == [pytest.approx([math.sqrt(0.5)] * 2)]
    assert latitude_weighted(torch.ones(1, 1, 3, 4)).tolist() == [pytest.approx([0.5, 1.0, 0.5])]


def test_weights_integrate_to_the_sphere():
    """Weights times the area of a row's strip, 2 pi x pi / rows, make 4 pi."""
    weights = latitude_weighted(torch.ones(1, 1, 64, 1, dtype=torch.float64))
    assert float(weights.sum()) * 2 * math.pi * math.pi / 64 == pytest.approx(4 * math.pi, rel=1e-3)


def test_endpoints_are_those_published():
    """Five rows at 90, 45, 0, -45 and -90 degrees: the poles count for nothing."""
    weights = latitude_weighted(torch.ones(1, 1, 5, 4), "endpoints")[0].tolist()
    assert weights == pytest.approx([0.0, math.sqrt(0.5), 1.0, math.sqrt(0.5), 0.0], abs=1e-7)


@pytest.mark.parametrize("rows", ["centres", "endpoints"])
def test_order_mean_and_roll(rows: Literal["centres", "endpoints"]):
    features = torch.randn(2, 3, 4, 8, generator=torch.Generator().manual_seed(0))
    ours = latitude_weighted(features, rows)
    assert torch.allclose(latitude_weighted(features.roll(3, -1), rows), ours, atol=1e-6)
    weights = latitude_weighted(torch.ones(1, 1, 4, 1), rows)[0]
    for channel in range(3):
        for row in range(4):
            expected = features[:, channel, row].mean(-1) * weights[row]
            assert torch.allclose(ours[:, channel * 4 + row], expected, atol=1e-6)


def test_precision_stays():
    assert latitude_weighted(torch.ones(1, 2, 3, 4).half()).dtype == torch.float16
