"""z has a cut normal distribution, belongs to its seed, and grows with the truncation."""

import math

import pytest
import torch
from scipy.stats import kstest, truncnorm
from torch.testing import assert_close

from aognet.errors import UserError
from aognet.gan.truncation import truncated_z


def test_z_is_a_normal_distribution_cut_at_two() -> None:
    z = truncated_z([7], 20_000)[0]
    assert z.abs().max() <= 2 and z.abs().max() > 1.98
    assert kstest(z.numpy(), truncnorm(-2, 2).cdf).pvalue > 0.01


def test_a_row_belongs_to_its_seed() -> None:
    z = truncated_z([1, 2, 1], 16)
    assert torch.equal(z[0], z[2]) and not torch.equal(z[0], z[1])
    assert torch.equal(z[1:2], truncated_z([2], 16)) and not torch.equal(z[:1], truncated_z([1], 16, stream=1))


@pytest.mark.parametrize("truncation", [0.0, 0.02, 0.5, 1.0])
def test_truncation_and_factor_scale_z(truncation: float) -> None:
    """The factor comes after, and may lead beyond what the truncation allows."""
    whole, cut = truncated_z([3], 128), truncated_z([3], 128, truncation)
    assert_close(cut, whole * truncation)
    assert_close(truncated_z([3], 128, truncation, factor=3.0), cut * 3)


@pytest.mark.parametrize("truncation", [-0.1, 1.01, math.nan, math.inf])
def test_other_truncations_are_refused(truncation: float) -> None:
    with pytest.raises(UserError, match="truncation must lie in"):
        truncated_z([1], 4, truncation)
