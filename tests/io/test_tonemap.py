"""Tone mapping equals its formulas, in half precision and in single, as floats and as integers."""

import numpy as np
import pytest

from aognet.errors import UserError
from aognet.io.tonemap import ToneMap, clean, tone_map, tone_map_to_levels

CONFIGS = [
    ToneMap(),
    ToneMap(gamma=1.8, percentile=99.0, max_mapping=0.9),
    ToneMap(gamma=2.2, percentile=12.5, exposure=-1.5),
    ToneMap(percentile=100.0, max_mapping=1.0),
    ToneMap("srgb", exposure=1.0),
    ToneMap("filmic", exposure=-2.0),
]


def picture(dtype: type) -> np.ndarray:
    light = (np.random.default_rng(0).random((40, 50, 3)) ** 6 * 100 - 0.01).astype(dtype)
    light[0, :4, 0] = np.nan, np.inf, -np.inf, -0.0
    light[1] = 0
    return light


def expected(radiance: np.ndarray, config: ToneMap) -> np.ndarray:
    light = np.nan_to_num(radiance.astype(np.float64), nan=0, posinf=65504).clip(min=0)
    exposed = light * 2**config.exposure
    if config.curve == "published":
        compressed = light ** (1 / config.gamma)
        alpha = config.max_mapping / np.percentile(compressed[compressed > 0], config.percentile)
        return np.clip(alpha * exposed ** (1 / config.gamma), 0, 1)
    if config.curve == "filmic":
        exposed = (exposed * (2.51 * exposed + 0.03)) / (exposed * (2.43 * exposed + 0.59) + 0.14)
    exposed = exposed.clip(0, 1)
    return np.where(exposed <= 0.0031308, 12.92 * exposed, 1.055 * exposed ** (1 / 2.4) - 0.055)


@pytest.mark.parametrize("config", CONFIGS, ids=str)
@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_parity_with_the_formulas(dtype: type, config: ToneMap):
    light = picture(dtype)
    before, wanted = light.copy(), expected(light, config)
    shown = tone_map(light, config)
    assert shown.dtype == np.float32 and shown.min() >= 0 and shown.max() <= 1
    np.testing.assert_allclose(shown, wanted, atol=2e-6)
    for levels in (np.uint8, np.uint16):
        found = tone_map_to_levels(light, levels, config)
        most = np.iinfo(levels).max
        assert found.dtype == levels and found.shape == light.shape
        assert np.abs(found - wanted * most).max() <= 0.5 + 2e-6 * most, "the nearest integers"
    np.testing.assert_array_equal(light, before)


@pytest.mark.parametrize("config", CONFIGS, ids=str)
def test_half_and_single_precision_agree(config: ToneMap):
    half = picture(np.float16)
    single = half.astype(np.float32)
    np.testing.assert_allclose(tone_map(half, config), tone_map(single, config), rtol=3e-7)
    levels = [tone_map_to_levels(light, np.uint8, config).astype(int) for light in (half, single)]
    assert np.abs(levels[0] - levels[1]).max() <= 1 and (levels[0] != levels[1]).mean() < 1e-3


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
@pytest.mark.parametrize("value", [0.0, np.nan, -1.0, np.inf, 6e-8, 1.0])
def test_pictures_of_one_value(value: float, dtype: type):
    light = np.full((2, 4, 3), value, dtype)
    np.testing.assert_allclose(tone_map(light), 0.5 if light[0, 0, 0] > 0 else 0.0, atol=1e-6)
    assert set(np.unique(tone_map_to_levels(light, np.uint8))) <= {0, 127, 128}


def test_light_that_no_half_holds():
    light = np.array([0, 1e-45, 1e-30, 1.0, 1e9, 3e38, np.inf], np.float32)[None, :, None].repeat(3, -1)
    for config in (
        ToneMap(),
        ToneMap(gamma=0.2),
        ToneMap(gamma=20.0),
        ToneMap("filmic", exposure=64.0),
        ToneMap("srgb"),
    ):
        with np.errstate(all="raise", under="ignore"):
            shown = tone_map(light, config)[0, :, 0]
        assert np.isfinite(shown).all() and (np.diff(shown) >= 0).all() and shown[0] == 0 and shown[-1] == shown[-2]


def test_brightness_of_the_file_does_not_matter_when_published():
    light = np.random.default_rng(1).random((8, 16, 3)).astype(np.float32)
    np.testing.assert_allclose(tone_map(light * 1000), tone_map(light), rtol=1e-5)
    assert np.abs(tone_map(light * 1000, ToneMap("srgb")) - tone_map(light, ToneMap("srgb"))).max() > 0.5


def test_a_stop_doubles_the_light():
    light = np.full((1, 1, 3), 0.1, np.float32)
    for curve in ("srgb", "filmic"):
        np.testing.assert_allclose(tone_map(light, ToneMap(curve, exposure=1.0)), tone_map(2 * light, ToneMap(curve)))
    np.testing.assert_allclose(tone_map(light, ToneMap(exposure=1.0)), 0.5 * 2 ** (1 / 2.4), rtol=1e-6)


def test_cleaning():
    light = np.array([np.nan, -1.0, -np.inf, np.inf, 3.0], np.float32)
    np.testing.assert_array_equal(clean(light), [0, 0, 0, 65504, 3])
    np.testing.assert_array_equal(clean(np.array([np.inf, 1e6], np.float32)), [1e6, 1e6])
    assert clean(light.astype(np.float16)).dtype == np.float32 and np.isnan(light[0])


@pytest.mark.parametrize(
    ("key", "value"),
    [("gamma", 0.0), ("gamma", -1.0), ("gamma", float("nan")), ("percentile", 0.0), ("percentile", 101.0)]
    + [("max_mapping", 0.0), ("max_mapping", 2.0), ("exposure", float("inf")), ("curve", "reinhard")],
)  # fmt: skip
def test_settings_that_make_no_sense(key: str, value: object):
    with pytest.raises(UserError, match=f"^{key}.*{value}"):
        ToneMap(**{key: value})
