"""Light is scaled as light, words stay true, and nothing but the given random numbers decides."""

import random

import numpy as np
import pytest

from aognet.data.augment import AugmentConfig, _global_randomness, draw_prompt, light_curves, mirrored_words
from aognet.data.viewing import PLAIN
from aognet.errors import UserError

CAPTIONS = ("A beach at sunset.", "Sand and sea.")
ADDED = ("a palm tree", "waves.", "the sun low on the left")


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def prompts(config: AugmentConfig, count: int = 200, mirrored: bool = False) -> list[str]:
    return [draw_prompt(config, CAPTIONS, ADDED, mirrored, rng(seed)) for seed in range(count)]


def test_without_augmentation_bytes_and_words_stay():
    np.testing.assert_allclose(light_curves(AugmentConfig(), rng()), PLAIN, atol=1e-6)
    assert set(prompts(AugmentConfig())) == set(CAPTIONS)
    assert draw_prompt(AugmentConfig(), (), (), False, rng()) == ""


def linear(curve: np.ndarray) -> np.ndarray:
    """IEC 61966-2-1, of values in [-1, 1]."""
    encoded = (curve.astype(np.float64) + 1) / 2
    return np.where(encoded <= 0.04045, encoded / 12.92, ((encoded + 0.055) / 1.055) ** 2.4)


def test_exposure_scales_the_light_of_all_channels_alike():
    stops = []
    for seed in range(50):
        light = linear(light_curves(AugmentConfig(exposure_stops=0.5), rng(seed)))
        ratio = light[1:150] / linear(PLAIN)[1:150]
        unclipped = ratio[(light[1:150] < 0.999).all(1)]
        np.testing.assert_allclose(unclipped, unclipped[0, 0], rtol=1e-3)
        stops.append(np.log2(unclipped[0, 0]))
    assert -0.5 <= min(stops) < -0.3 and 0.3 < max(stops) <= 0.5


def test_colour_scales_the_channels_apart_within_its_bound():
    curves = [light_curves(AugmentConfig(colour_stops=0.2), rng(seed)) for seed in range(50)]
    stops = np.log2([linear(curve)[100] / linear(PLAIN)[100] for curve in curves])
    assert np.abs(stops).max() <= 0.2 + 1e-4 and np.ptp(stops, axis=1).mean() > 0.1


def test_light_keeps_order_and_range():
    curve = light_curves(AugmentConfig(exposure_stops=4.0, colour_stops=4.0), rng(3))
    assert curve.dtype == np.float32 and (np.diff(curve, axis=0) >= 0).all()
    assert curve.min() >= -1 and curve.max() <= 1


def test_added_captions_are_a_random_subset_behind_the_caption():
    said = prompts(AugmentConfig(added_captions=2))
    counts = []
    for prompt in said:
        first, *added = prompt.rstrip(".").split(", ")
        assert first in ("A beach at sunset", "Sand and sea")
        assert set(added) <= {"a palm tree", "waves", "the sun low on the left"} and len(set(added)) == len(added)
        counts.append(len(added))
    assert set(counts) == {0, 1, 2}
    assert len(set(said)) > 15
    assert draw_prompt(AugmentConfig(added_captions=5), (), ("a", "b"), False, rng(4)).count(",") <= 1


@pytest.mark.parametrize(
    ("text", "other"),
    [
        ("a door on the left, a window on the right", "a door on the right, a window on the left"),
        ("Left of it, RIGHT there", "Right of it, LEFT there"),
        ("bright leftovers copyright", "bright leftovers copyright"),
        ("", ""),
    ],
)
def test_a_mirrored_view_has_left_and_right_exchanged(text: str, other: str):
    assert mirrored_words(text) == other and mirrored_words(other) == text
    assert draw_prompt(AugmentConfig(), (text,), (), True, rng()) == other


def test_word_swaps_move_words_and_leave_global_randomness_alone():
    config = AugmentConfig(word_swaps=0.3)
    text = ("a gravel road leads to a row of brick houses under a grey sky",)
    np.random.seed(5)
    before = np.random.get_state()[1].tolist()
    said = [draw_prompt(config, text, (), False, rng(seed)) for seed in range(8)]
    assert np.random.get_state()[1].tolist() == before
    assert said == [draw_prompt(config, text, (), False, rng(seed)) for seed in range(8)]
    assert len(set(said)) > 4
    for prompt in said:
        assert sorted(prompt.lower().split()) == sorted(text[0].split())
    assert draw_prompt(config, ("forest",), (), False, rng()) == "forest"


def test_borrowed_global_randomness_is_given_back():
    """Python's own numbers are drawn here, since whoever checks types while tests run draws some of them too."""
    expected = []
    for borrow in (False, True):
        random.seed(7)
        np.random.seed(7)
        if borrow:
            with _global_randomness(3):
                random.random(), np.random.random()
        expected.append((random.random(), np.random.random()))
    assert expected[0] == expected[1]


@pytest.mark.parametrize(
    ("key", "value"), [("exposure_stops", -0.1), ("colour_stops", 5.0), ("added_captions", -1), ("word_swaps", 1.5)]
)
def test_settings_that_cannot_be(key: str, value: float):
    with pytest.raises(UserError, match=key):
        AugmentConfig(**{key: value})


def test_word_swaps_say_which_library_they_need(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("aognet.data.augment.find_spec", lambda name: None)
    with pytest.raises(UserError, match="word_swaps needs .*nlpaug.* got 0.1"):
        AugmentConfig(word_swaps=0.1)
