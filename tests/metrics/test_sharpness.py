"""Sharpness: what blur takes from it, and what changes nothing."""

import math

import numpy as np
import pytest
import torch
from torch.nn import functional

from aognet.metrics.sharpness import sharpness, view_sharpness
from tests.metrics import defects


def slow_reading(panorama: np.ndarray, mask: np.ndarray) -> float:
    """The mean gradient as its definition reads, pixel by pixel. panorama: [height, width], mask: the same."""
    height, width = panorama.shape
    cosines = [math.cos(math.pi / 2 - (row + 0.5) * math.pi / height) for row in range(height)]
    sums = {"across": [0.0, 0.0], "down": [0.0, 0.0]}
    for row in range(height):
        for column in range(width):
            for way, (next_row, next_column) in (("across", (row, (column + 1) % width)), ("down", (row + 1, column))):
                if next_row < height and mask[row, column] and mask[next_row, next_column]:
                    weight = (cosines[row] + cosines[next_row]) / 2
                    sums[way][0] += weight * abs(panorama[next_row, next_column] - panorama[row, column])
                    sums[way][1] += weight
    return sum(total / weight for total, weight in sums.values())


def test_it_is_what_a_slow_reading_says():
    panorama, reference = torch.rand(2, 1, 1, 8, 16)
    mask = torch.rand(1, 1, 8, 16) > 0.3
    read = [slow_reading(one[0, 0].numpy(), mask[0, 0].numpy()) for one in (panorama, reference)]
    assert sharpness(panorama, reference, mask).item() == pytest.approx(read[0] / read[1], rel=1e-4)


def test_blur_takes_it_and_contrast_scales_it():
    image = defects.noise((2, 3, 64, 128))
    blurred = functional.avg_pool2d(functional.pad(image, (2, 2, 2, 2), mode="circular"), 5, stride=1)
    assert (sharpness(blurred, image) < 0.3).all()
    torch.testing.assert_close(sharpness(image * 0.5, image), torch.full((2,), 0.5))


def test_neither_a_turn_nor_a_shift_of_colours_changes_it():
    image, reference = defects.noise((1, 3, 32, 64)), defects.noise((1, 3, 32, 64)) * 0.7
    found = sharpness(image, reference)
    torch.testing.assert_close(sharpness(image.roll(9, -1) + 0.1, reference.roll(9, -1) - 0.2), found)


def test_what_has_one_colour():
    grey, noise = torch.zeros(1, 3, 16, 32), defects.noise((1, 3, 16, 32))
    assert sharpness(grey, grey).item() == 1 and sharpness(grey, noise).item() == 0
    assert sharpness(noise, grey).item() == math.inf


def test_only_the_mask_counts():
    reference = defects.noise((1, 3, 16, 32))
    image = reference.clone()
    image[..., 16:] = 0
    mask = torch.zeros(1, 1, 16, 32, dtype=torch.bool)
    mask[..., :16] = True
    assert sharpness(image, reference, mask).item() == pytest.approx(1)
    assert sharpness(image, reference, ~mask).item() == 0
    assert math.isnan(sharpness(image, reference, torch.zeros_like(mask)).item())


def test_of_views_all_pixels_count_alike_and_nothing_wraps():
    random = np.random.default_rng(4)
    view, other = random.normal(size=(2, 2, 3, 5, 7))
    mask = random.random((2, 1, 5, 7)) < 0.7

    def steps(images: np.ndarray, counted: np.ndarray) -> float:
        found: dict[str, list[float]] = {"across": [], "down": []}
        for row, rows in enumerate(images):
            for y in range(5):
                for x in range(7):
                    for way, (below, beside) in (("across", (y, x + 1)), ("down", (y + 1, x))):
                        if below < 5 and beside < 7 and counted[row, 0, y, x] and counted[row, 0, below, beside]:
                            found[way].append(np.abs(rows[:, below, beside] - rows[:, y, x]).mean())
        return float(np.mean(found["across"]) + np.mean(found["down"]))

    given = [torch.from_numpy(array) for array in (view, other, mask)]
    assert view_sharpness(*given).item() == pytest.approx(steps(view, mask) / steps(other, mask))
    everywhere = np.ones_like(mask)
    assert view_sharpness(*given[:2]).item() == pytest.approx(steps(view, everywhere) / steps(other, everywhere))
