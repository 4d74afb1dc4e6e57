"""Light with a scale: what a photograph shows stays, images do not change each other, and the published way."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from aognet.errors import UserError
from aognet.hdr.finishing import FinishingConfig, finished, published
from aognet.hdr.sritmo import SATURATED, light_of
from aognet.io.srgb import decode_srgb
from aognet.io.tonemap import ToneMap, tone_map_to_levels


def guess(seed: int = 0, height: int = 16) -> tuple[Tensor, Tensor]:
    """Log light on a scale of its own, with a sun, and display values of 8 bits, saturated there."""
    source = torch.Generator().manual_seed(seed)
    display = (torch.rand(3, height, 2 * height, generator=source) * 250).round() / 255
    log_light = light_of(display).clamp_min(1e-4).log()
    display[:, 3:5, 7:9] = 1.0
    log_light[:, 3:5, 7:9] = math.log(900.0)
    return log_light + 2.5, display


def levels(light: Tensor, stops: float = 0.0) -> np.ndarray:
    return tone_map_to_levels(light.permute(1, 2, 0).numpy(), np.uint8, ToneMap("srgb", exposure=-stops))


def test_light_is_the_transfer_function_of_files():
    values = torch.linspace(0, 1, 1001)
    assert np.allclose(light_of(values).numpy(), decode_srgb(values.numpy()), atol=1e-7)


@pytest.mark.parametrize("exposure", [0.0, -3.0, 2.5])
@pytest.mark.parametrize("boost", [0.0, 4.0])
def test_tone_mapping_gives_the_photograph_back(exposure: float, boost: float):
    log_light, display = guess()
    light = finished(log_light, display, FinishingConfig(exposure=exposure, boost=boost))
    assert np.array_equal(levels(light, exposure), (display * 255).round().byte().permute(1, 2, 0).numpy())
    assert light[:, 3:5, 7:9].min() > 100 * 2.0**exposure, "and what is beyond white is light"


def test_the_scale_of_the_guess_is_that_of_the_photograph():
    log_light, display = guess()
    first, second = (finished(log_light + shift, display) for shift in (0.0, -9.0))
    assert torch.allclose(first, second, rtol=1e-4) and abs(float(first.max()) / 900 - 1) < 0.05


@pytest.mark.parametrize("way", ["photo", "mean"])
def test_no_other_image_has_a_part_in_it(way: str):
    """The published statistics are those of a batch: a mate with a brighter sun changes an image."""
    (one, shown), (other, _) = guess(0), guess(1)
    config = FinishingConfig(way=way, boost=4.0)
    before = finished(one, shown, config)
    finished(other + 8, shown, config)
    assert torch.equal(finished(one, shown, config), before)
    alone = published(one[None])[0]
    assert not torch.allclose(published(torch.stack([one, other + 8]))[0], alone, rtol=0.1)


def test_the_published_way_is_as_published():
    source = torch.Generator().manual_seed(5)
    log_light = torch.randn(2, 3, 8, 16, generator=source) * 2 + 1
    plain = log_light.double().numpy()
    luma = plain.mean(1, keepdims=True)
    plain = plain + plain * np.clip(luma / luma.max() - 0.83, 0, 1) * 4
    assert np.allclose(published(log_light).numpy(), np.exp(plain - plain.mean() - 0.7), rtol=1e-4)
    one = finished(log_light[0], torch.zeros(3, 8, 16), FinishingConfig(way="published", boost=4.0, peak=1e6))
    assert torch.allclose(one, published(log_light[:1])[0])
    assert math.isclose(float(one.log().mean().exp()), math.exp(-0.7), rel_tol=1e-4)


def test_the_mean_counts_by_solid_angle():
    """Polar rows, which show little, move it little; turning the panorama does not."""
    log_light, display = guess(height=32)
    config = FinishingConfig(way="mean", balance=0.2)
    light = finished(log_light, display, config)
    weights = torch.cos((0.5 - (torch.arange(32) + 0.5) / 32) * math.pi)
    mean = float((light.log().mean((0, 2)) * weights).sum() / weights.sum())
    assert math.isclose(mean, -0.2, abs_tol=1e-4)
    turned = finished(log_light.roll(5, -1), display.roll(5, -1), config)
    assert torch.allclose(turned, light.roll(5, -1), rtol=1e-4)


def test_boosted_highlights_keep_their_colour_and_end_at_the_peak():
    log_light, display = guess()
    log_light[:, 3:5, 7:9] += torch.tensor([0.3, 0.0, -0.4])[:, None, None]
    plain, raised = (finished(log_light, display, FinishingConfig(way="mean", boost=boost)) for boost in (0.0, 4.0))
    sun = (slice(None), 3, 7)
    assert float((raised / plain)[sun].max()) > 3 * float((raised / plain)[:, 10, 10].max())
    assert torch.allclose((raised / raised.sum(0))[sun], (plain / plain.sum(0))[sun], atol=1e-4)
    capped = finished(log_light, display, FinishingConfig(boost=16.0, peak=2000.0))
    assert 1999.9 < capped.max() <= 2000.0 and capped.isfinite().all()


def test_images_that_are_white_or_black_throughout_have_light():
    for value in (0.0, 1.0):
        light = finished(torch.zeros(3, 8, 16), torch.full((3, 8, 16), value), FinishingConfig(boost=4.0))
        assert light.isfinite().all() and (light.min() >= 1 if value else light.max() == 0)


def test_a_channel_that_is_saturated_alone_grows_alone():
    log_light, display = guess()
    display[0, 9, 9], log_light[:, 9, 9] = 1.0, math.log(3.0) + 2.5
    light = finished(log_light, display)
    assert torch.allclose(light[1:, 9, 9], light_of(display[1:, 9, 9])) and 2 < light[0, 9, 9] < 4
    assert display[1, 9, 9] < SATURATED


@pytest.mark.parametrize(
    "changes",
    [
        {"way": "other"},
        {"exposure": float("nan")},
        {"boost": -1.0},
        {"threshold": 1.5},
        {"peak": 0.0},
        {"balance": 99.0},
    ],
)
def test_settings_without_sense_are_refused(changes: dict[str, object]):
    with pytest.raises(UserError, match=next(iter(changes))):
        FinishingConfig(**changes)
