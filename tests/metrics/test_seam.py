"""Wrap and pole ratios of panoramas whose gradients are known."""

import math

import pytest
import torch

from aognet.metrics.seam import pole_gradient_ratio, wrap_gradient_ratio
from tests.metrics import defects
from tests.smooth import smooth_panorama


@pytest.mark.parametrize("reach", [1 / 16, 0.25, 0.5])
def test_noise_has_no_wrap_and_a_step_has_one(reach: float):
    assert wrap_gradient_ratio(defects.noise((8, 3, 256, 512)), reach).mean().item() == pytest.approx(1, abs=0.03)
    ramp = torch.linspace(0, 1, 512).expand(1, 3, 256, -1)
    # The step of 1 at the wrap against steps of 1 / 511.
    assert wrap_gradient_ratio(ramp, reach).item() == pytest.approx(511, rel=1e-3)


def test_only_columns_within_reach_count():
    """Columns alternate in the middle and hardly change near the wrap."""
    columns = torch.where((torch.arange(512) - 256).abs() < 64, torch.arange(512) % 2, torch.arange(512) % 2 * 0.01)
    panorama = columns.expand(1, 3, 256, -1)
    assert wrap_gradient_ratio(panorama, 1 / 16).item() == pytest.approx(1, abs=1e-4)
    assert wrap_gradient_ratio(panorama).item() < 0.1


def test_a_pole_of_a_smooth_sphere_is_like_any_other_place():
    assert pole_gradient_ratio(smooth_panorama(256)).item() == pytest.approx(1, abs=0.05)
    assert pole_gradient_ratio(defects.noise((1, 3, 256, 512))).item() == pytest.approx(1, abs=0.03)


def test_a_step_across_the_poles_against_known_rows():
    """Rows differ by 0.01; the left half is 0.3 brighter, at both poles or at one."""
    rows = torch.arange(64.0).view(64, 1).expand(64, 128) * 0.01
    step = torch.zeros(64, 128)
    step[:, :64] = 0.3
    both = (rows + step).expand(1, 3, -1, -1)
    assert pole_gradient_ratio(both).item() == pytest.approx(30, rel=1e-3)
    step[:32] = 0
    assert pole_gradient_ratio((rows + step).expand(1, 3, -1, -1)).item() == pytest.approx(15, rel=1e-3)
    # A panorama that does not change along its columns has nothing to compare with.
    assert pole_gradient_ratio(step.roll(16, -1)[32:].expand(1, 1, -1, -1)).item() == math.inf


def test_a_panorama_cut_at_the_poles_shows_them():
    """What a camera without a view up and down gives when it is stretched over the whole sphere."""
    clean = defects.scenes()
    cut = torch.nn.functional.interpolate(clean[..., 40:-40, :], size=clean.shape[-2:], mode="bilinear")
    assert (pole_gradient_ratio(cut) > 2 * pole_gradient_ratio(clean)).all()
