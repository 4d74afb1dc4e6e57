"""The metrics on images whose scores are known."""

import math

import pytest
import torch

from aognet.metrics.psnr import psnr
from aognet.metrics.seam import wrap_gradient_ratio


def test_psnr_of_a_constant_offset():
    image = torch.rand(1, 3, 8, 16) - 0.5
    assert psnr(image, image) == math.inf
    assert psnr(image, image + 0.2) == pytest.approx(10 * math.log10(4 / 0.04), abs=1e-4)


def test_psnr_looks_only_where_the_mask_is_true():
    image, other = torch.zeros(1, 3, 8, 16), torch.zeros(1, 3, 8, 16)
    other[..., 8:] = 0.5
    mask = torch.zeros(1, 1, 8, 16, dtype=torch.bool)
    mask[..., :8] = True
    assert psnr(image, other, mask) == math.inf
    assert psnr(image, other, ~mask) == pytest.approx(10 * math.log10(4 / 0.25))


@pytest.mark.parametrize("reach", [1 / 16, 0.25, 0.5])
def test_noise_has_no_seam_and_a_step_has_one(reach: float):
    noise = torch.rand(1, 3, 256, 512, generator=torch.Generator().manual_seed(0))
    assert wrap_gradient_ratio(noise, reach) == pytest.approx(1, abs=0.03)
    ramp = torch.linspace(0, 1, 512).expand(1, 3, 256, -1)
    # The step of 1 at the wrap against steps of 1 / 511.
    assert wrap_gradient_ratio(ramp, reach) == pytest.approx(511, rel=1e-3)


def test_only_columns_within_reach_count():
    """Columns alternate in the middle and hardly change near the wrap."""
    columns = torch.where((torch.arange(512) - 256).abs() < 64, torch.arange(512) % 2, torch.arange(512) % 2 * 0.01)
    panorama = columns.expand(1, 3, 256, -1)
    assert wrap_gradient_ratio(panorama, 1 / 16) == pytest.approx(1, abs=1e-4)
    assert wrap_gradient_ratio(panorama) < 0.1
