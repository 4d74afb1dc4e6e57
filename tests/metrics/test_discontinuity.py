"""Discontinuity Score against a reading of the paper in plain loops, and known answers."""

import pytest
import torch
from torch import Tensor

from aognet.metrics.discontinuity import discontinuity_score
from tests.metrics import defects
from tests.slow import rest_slow

KERNEL = ((-3, 0, 3), (-10, 0, 10), (-3, 0, 3))


def plain_score(panorama: Tensor, stabiliser: float) -> float:
    """Sums of the paper over one crop as high as the panorama [3, height, width]."""
    red, green, blue = ((panorama.double() + 1) / 2).tolist()
    height, width = panorama.shape[-2:]

    def grey(row: int, column: int) -> float:
        if row < 0:
            row, column = -1 - row, column + width // 2
        if row >= height:
            row, column = 2 * height - 1 - row, column + width // 2
        column %= width
        return 0.299 * red[row][column] + 0.587 * green[row][column] + 0.114 * blue[row][column]

    total = 0.0
    for y in range(height):
        response = []
        for x in range(1, 5):
            sum_ = 0.0
            for down in range(3):
                for right in range(3):
                    # Column 3 of the crop is the first of the panorama.
                    sum_ += KERNEL[down][right] / 16 * grey(y + down - 1, x + right - 1 - 3)
            response.append(abs(sum_))
        total += response[1] / (response[0] + stabiliser) + response[2] / (response[3] + stabiliser)
    return total / (2 * height)


@pytest.mark.parametrize("stabiliser", rest_slow([0.1, 0.01, 1.0]))
def test_it_is_what_plain_loops_compute(stabiliser: float):
    panoramas = torch.cat([defects.scenes(), defects.noise((2, 3, 256, 512)).clamp(-1, 1)])
    expected = torch.tensor([plain_score(panorama, stabiliser) for panorama in panoramas])
    torch.testing.assert_close(discontinuity_score(panoramas, stabiliser), expected, rtol=1e-4, atol=1e-5)


def test_a_step_at_the_wrap_and_elsewhere():
    """From black to mid-grey: the middle responses are 0.5, the outer ones 0; over the poles there is no step."""
    panorama = torch.full((1, 3, 64, 128), -1.0)
    panorama[..., 64:] = 0.0
    inner, at_poles = 0.5, 0.5 * (3 + 10 - 3) / 16
    expected = (62 * inner + 2 * at_poles) / 64
    assert discontinuity_score(panorama).item() == pytest.approx(expected / 0.1, rel=1e-4)
    assert discontinuity_score(panorama, 1.0).item() == pytest.approx(expected, rel=1e-4)
    assert discontinuity_score(panorama.roll(32, -1)).item() == pytest.approx(0, abs=1e-5)


def test_edges_beside_the_wrap_excuse_one_at_it():
    """Steps in every second column, of which the wrap is one, and a ramp over it score less than a lone step."""
    columns = torch.arange(128)
    lone = torch.where(columns < 64, 1.0, -1.0)
    stripes = torch.where((columns + 1) // 2 % 2 == 0, 1.0, -1.0)
    ramp = (columns.roll(64) / 64 - 1).float()
    scores = discontinuity_score(torch.stack([lone, stripes, ramp])[:, None, None].expand(-1, 3, 64, -1))
    assert scores[0] > 5 and (scores[1:] < 1).all()
