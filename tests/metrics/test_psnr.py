"""PSNR of images whose error is known."""

import math

import pytest
import torch
from torchmetrics.functional.image import peak_signal_noise_ratio

from aognet.metrics.psnr import psnr


def test_a_constant_offset_in_every_image_of_a_batch():
    image = torch.rand(3, 3, 8, 16) - 0.5
    scores = psnr(image, image + torch.tensor([0.0, 0.2, 0.4]).view(3, 1, 1, 1))
    expected = [math.inf, 10 * math.log10(4 / 0.04), 10 * math.log10(4 / 0.16)]
    assert scores.tolist() == pytest.approx(expected, abs=1e-4)


def test_it_is_what_torchmetrics_measures():
    image, reference = torch.rand(2, 1, 3, 16, 32) * 2 - 1
    torch.testing.assert_close(psnr(image, reference)[0], peak_signal_noise_ratio(image, reference, data_range=2.0))


def test_only_the_mask_counts():
    image, other = torch.zeros(1, 3, 8, 16), torch.zeros(1, 3, 8, 16)
    other[..., 8:] = 0.5
    mask = torch.zeros(1, 1, 8, 16, dtype=torch.bool)
    mask[..., :8] = True
    assert psnr(image, other, mask).item() == math.inf
    assert psnr(image, other, ~mask).item() == pytest.approx(10 * math.log10(4 / 0.25))
    assert psnr(image, other, torch.ones_like(mask)).item() == pytest.approx(psnr(image, other).item())
    assert math.isnan(psnr(image, other, torch.zeros_like(mask)).item())
