"""Measures of light beside plain loops, closed forms, and the laws that they keep."""

import math
from collections.abc import Callable
from functools import partial

import numpy as np
import pytest
import torch
from torch import Tensor

from aognet.geometry.sphere import pixel_directions, pixel_solid_angles
from aognet.metrics.colour_angle import colour_angle
from aognet.metrics.dynamic_range import brightest_share, peak_to_mean, stops
from aognet.metrics.irradiance import irradiance
from aognet.metrics.log_luminance import log_luminance_error
from aognet.metrics.luminance import luminance
from aognet.metrics.normalised_rmse import normalised_rmse
from aognet.metrics.peak_direction import peak_angle, peak_direction
from aognet.metrics.pu21 import pu21, pu21_psnr
from aognet.metrics.si_rmse import si_rmse

HEIGHT = 12
PAIRS = (si_rmse, colour_angle, normalised_rmse, log_luminance_error, pu21_psnr)
WEIGHTS = (0.2126, 0.7152, 0.0722)
both = partial(zip, strict=True)


@pytest.fixture
def pair() -> tuple[Tensor, Tensor]:
    """Two batches of light over ten stops, of which the second has black pixels."""
    random = torch.Generator().manual_seed(3)
    light, reference = torch.exp2(10 * torch.rand(2, 2, 3, HEIGHT, 2 * HEIGHT, generator=random) - 5)
    reference[0, :, 3, 4:6] = 0
    return light, reference


def pixels(image: Tensor) -> list[tuple[list[float], float, float]]:
    """RGB, cosine of the latitude and longitude of each pixel of [3, height, width]."""
    _, height, width = image.shape
    return [
        (
            [float(value) for value in image[:, v, u]],
            math.cos((0.5 - (v + 0.5) / height) * math.pi),
            ((u + 0.5) / width - 0.5) * 2 * math.pi,
        )
        for v in range(height)
        for u in range(width)
    ]


def plain(metric: Callable, light: Tensor, reference: Tensor, weighted: bool) -> float:
    """The same measures of one pair as the papers' sums say them, pixel by pixel."""
    rows = [(p, g, cos if weighted else 1.0) for (p, cos, _), (g, _, _) in both(pixels(light), pixels(reference))]
    total = sum(w for _, _, w in rows)
    crossed = sum(w * a * b for p, g, w in rows for a, b in both(p, g))
    alpha = crossed / sum(w * a * a for p, _, w in rows for a in p)
    if metric is si_rmse:
        return math.sqrt(sum(w * (b - alpha * a) ** 2 for p, g, w in rows for a, b in both(p, g)) / total)
    if metric is colour_angle:
        angles = []
        for p, g, w in rows:
            lengths = math.hypot(*p) * math.hypot(*g)
            if lengths:
                cosine = min(sum(a * b for a, b in both(p, g)) / lengths, 1)
                angles.append((math.degrees(math.acos(cosine)), w))
        return sum(angle * w for angle, w in angles) / sum(w for _, w in angles)
    if metric is normalised_rmse:
        scaled = []
        for image in (light, reference):
            values = sorted(image.flatten().tolist())
            ends = []
            for percentage in (0.1, 99.9):
                place = percentage / 100 * (len(values) - 1)
                below = int(place)
                ends.append(values[below] + (place - below) * (values[below + 1] - values[below]))
            scaled.append([[(a - ends[0]) / (ends[1] - ends[0]) for a in p] for p, _, _ in pixels(image)])
        errors = [sum((a - b) ** 2 for a, b in both(p, g)) / 3 for p, g in both(*scaled)]
        return math.sqrt(sum(error * w for error, (_, _, w) in both(errors, rows)) / total)
    if metric is log_luminance_error:
        means = [sum(w * sum(a * k for a, k in both(row[i], WEIGHTS)) for row in rows for w in row[2:]) / total
                 for i in (0, 1)]  # fmt: skip
        logs = [
            [math.log2(max(sum(a * k for a, k in both(c, WEIGHTS)) / mean, 1e-6)) for c, mean in both(row[:2], means)]
            for row in rows
        ]
        differences = [(one - other, row[2]) for (one, other), row in both(logs, rows)]
        mean = sum(d * w for d, w in differences) / total
        return math.sqrt(sum((d - mean) ** 2 * w for d, w in differences) / total)
    scale = 4000 / float(reference.max())
    errors = [w * (encoded(alpha * a * scale) - encoded(b * scale)) ** 2 for p, g, w in rows for a, b in both(p, g)]
    return 10 * math.log10(256**2 / (sum(errors) / 3 / total))


def encoded(nits: float) -> float:
    nits = min(max(nits, 0.005), 1e4)
    ratio = (0.353487901 + 0.3734658629 * nits**0.9062562627) / (1 + 8.277049286e-05 * nits**0.9062562627)
    return max(596.3148142 * (ratio**0.09150303166 - 0.9099517204), 0)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("metric", PAIRS, ids=lambda metric: metric.__name__)
def test_a_measure_of_pairs_is_the_sum_that_the_papers_write(metric: Callable, weighted: bool, pair):
    found = metric(*pair, by_solid_angle=weighted)
    assert found.tolist() == pytest.approx([plain(metric, *one, weighted) for one in both(*pair)], rel=1e-6)


@pytest.mark.parametrize("metric", PAIRS, ids=lambda metric: metric.__name__)
def test_exposure_changes_no_measure_of_pairs(metric: Callable, pair):
    light, reference = pair
    torch.testing.assert_close(metric(light * 37, reference), metric(light, reference))
    equal = metric(reference * 8, reference)
    assert (equal == math.inf).all() if metric is pu21_psnr else (equal < 1e-6).all()


@pytest.mark.parametrize("metric", PAIRS, ids=lambda metric: metric.__name__)
def test_weights_count_solid_angle(metric: Callable, pair):
    """The same error costs less at a pole than at the horizon."""
    reference = pair[0] + 1
    polar, level = reference.clone(), reference.clone()
    polar[:, 0, 0] *= 4
    level[:, 0, HEIGHT // 2] *= 4
    assert metric(reference, reference).shape == (2,)
    if metric is normalised_rmse:  # its percentiles differ too
        return
    worse = -1 if metric is pu21_psnr else 1
    same = [metric(image, reference) * worse for image in (polar, level)]
    weighed = [metric(image, reference, by_solid_angle=True) * worse for image in (polar, level)]
    assert (weighed[0] < same[0]).all() and (weighed[0] < weighed[1]).all()


def test_angles_of_colours():
    red, yellow = torch.zeros(2, 1, 3, 4, 8)
    red[:, 0], yellow[:, :2] = 5, 0.2
    assert colour_angle(red, yellow).item() == pytest.approx(45)
    assert colour_angle(red, red.flip(1)).item() == pytest.approx(90)
    assert math.isnan(colour_angle(red, torch.zeros_like(red)).item())
    near = yellow.double()
    near[:, 0] *= 1 + 1e-6
    assert colour_angle(near, yellow).item() == pytest.approx(math.degrees(5e-7), rel=1e-3), "no digits are lost"


def test_black_light_is_as_far_off_as_its_reference_is_bright(pair):
    reference = pair[1]
    torch.testing.assert_close(
        si_rmse(torch.zeros_like(reference), reference), reference.double().square().sum(1).mean((1, 2)).sqrt()
    )


# ------------------------------------------------------------------------------------------------- PU21


def test_the_encoding_is_made_so_that_white_of_a_display_is_256():
    assert pu21(torch.tensor(100.0)).item() == pytest.approx(256, abs=0.5)
    nits = torch.logspace(-2.3, 4, 200, dtype=torch.float64)
    torch.testing.assert_close(pu21(nits), torch.tensor([encoded(float(one)) for one in nits], dtype=torch.float64))
    assert (pu21(nits).diff() > 0).all()
    assert pu21(torch.tensor([0.0, 1e9])).tolist() == pu21(torch.tensor([0.005, 1e4])).tolist()


# ------------------------------------------------------------------------------------------------- directions


def test_the_peak_turns_with_the_panorama():
    light = torch.full((1, 3, 16, 32), 0.5)
    light[..., 5, 9] = 100
    torch.testing.assert_close(peak_direction(light)[0], pixel_directions(16, 32)[5, 9])
    latitude = (0.5 - 5.5 / 16) * math.pi
    turned = math.degrees(2 * math.asin(math.cos(latitude) * math.sin(math.pi * 3 / 32)))
    assert peak_angle(light.roll(3, -1), light).item() == pytest.approx(turned)
    assert peak_angle(light, light).item() < 1e-9
    assert peak_angle(light.flip(-2).roll(16, -1), light).item() == pytest.approx(180)


def test_a_clipped_peak_looks_to_its_middle_and_one_colour_nowhere():
    light = torch.rand(1, 3, 16, 32)
    light[..., 7:9, 31] = light[..., 7:9, 0] = 1  # four pixels around the back, across the wrap
    torch.testing.assert_close(peak_direction(light)[0], torch.tensor([0, 0, -1], dtype=torch.float64))
    assert peak_direction(torch.ones(1, 3, 16, 32)).isnan().all()
    assert peak_angle(torch.ones(1, 3, 16, 32), light).isnan().all()


# ------------------------------------------------------------------------------------------------- without a truth


def test_solid_angles_make_a_sphere():
    for height in (8, 64):
        total = float(pixel_solid_angles(height, 2 * height).sum() * 2 * height)
        assert total == pytest.approx(4 * math.pi * (1 + math.pi**2 / (24 * height**2)), rel=1e-3 / height)


def test_irradiance_of_an_even_sky_and_of_one_lamp():
    even = torch.ones(1, 3, 128, 256) * torch.tensor([1.0, 2.0, 3.0])[:, None, None]
    for normal in ((0.0, 1.0, 0.0), (0.6, 0.0, -0.8)):
        assert irradiance(even, normal)[0].tolist() == pytest.approx([math.pi, 2 * math.pi, 3 * math.pi], rel=1e-3)
    lamp = torch.zeros(1, 3, 16, 32)
    lamp[..., 4, 20] = 50
    direction, angle = pixel_directions(16, 32)[4, 20], float(pixel_solid_angles(16, 32)[4])
    assert irradiance(lamp)[0].tolist() == pytest.approx([50 * angle * float(direction[1])] * 3)
    assert irradiance(lamp, (0.0, -1.0, 0.0))[0].tolist() == [0, 0, 0]


def test_statistics_of_a_sky_of_two_brightnesses():
    light = torch.ones(1, 3, 64, 128)
    light[..., 31, :4] = 1000
    share = (
        4
        * math.cos((0.5 - 31.5 / 64) * math.pi)
        / float(np.cos((0.5 - (np.arange(64) + 0.5) / 64) * np.pi).sum() * 128)
    )
    assert peak_to_mean(light).item() == pytest.approx(1000 / (1 + 999 * share))
    assert brightest_share(light, share).item() == pytest.approx(1000 * share / (1 + 999 * share))
    assert brightest_share(light, 1.0).item() == pytest.approx(1)
    assert brightest_share(torch.ones(1, 3, 64, 128), 0.001).item() == pytest.approx(0.001)
    assert stops(light).item() == 0, "the sun is less than a thousandth of the sphere"
    light[..., 20:40, :4] = 1000
    light[..., :2, :] = 0
    light[..., 50, :] = 0.25
    assert stops(light).item() == pytest.approx(math.log2(4000)), "black does not count"
    assert stops(torch.zeros(1, 3, 8, 16)).isnan().all()


def test_percentiles_and_shares_are_by_solid_angle(pair):
    light = pair[0]
    for one, found, share in both(light, stops(light), brightest_share(light, 0.1)):
        rows = sorted((sum(a * k for a, k in both(rgb, WEIGHTS)), cos) for rgb, cos, _ in pixels(one))
        total, below, ends, rest, bright = sum(cos for _, cos in rows), 0.0, [], 0.0, 0.0
        for value, cos in rows:
            below += cos
            ends += [value] * (sum(below >= limit * total for limit in (0.001, 0.999)) - len(ends))
        rest = 0.1 * total
        for value, cos in reversed(rows):
            bright += value * min(cos, rest)
            rest -= min(cos, rest)
        assert found.item() == pytest.approx(math.log2(ends[1] / ends[0]))
        assert share.item() == pytest.approx(bright / sum(value * cos for value, cos in rows))


def test_turning_a_panorama_changes_no_statistic(pair):
    light = pair[0]
    for statistic in (stops, peak_to_mean, brightest_share, irradiance):
        torch.testing.assert_close(statistic(light.roll(5, -1)), statistic(light))
    assert luminance(torch.ones(1, 3, 2, 4)).flatten().tolist() == pytest.approx([1] * 8), "white is 1"
