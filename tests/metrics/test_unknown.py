"""Shares of the sphere that are known from geometry."""

import math

import pytest
import torch

from aognet.metrics.unknown import unknown_share


def test_caps_and_lunes_have_their_solid_angle():
    known = torch.ones(4, 1, 180, 360, dtype=torch.bool)
    known[1, :, :30] = False
    known[2, ..., 100:190] = False
    known[3, :, :90] = False
    cap = (1 - math.sin(math.radians(60))) / 2
    assert unknown_share(known).tolist() == pytest.approx([0, cap, 0.25, 0.5], abs=1e-6)
    assert unknown_share(~known).tolist() == pytest.approx([1, 1 - cap, 0.75, 0.5], abs=1e-6)


def test_one_pixel_of_a_large_panorama_is_not_lost():
    known = torch.ones(1, 1, 2048, 4096, dtype=torch.bool)
    known[..., 1024, 7] = False
    assert unknown_share(known).item() == pytest.approx(math.sin(math.pi / 2048) / 2 / 4096, rel=1e-6)
