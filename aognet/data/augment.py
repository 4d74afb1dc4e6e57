"""Random changes of a sample besides its view: light and colour, and the words."""

import random
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec

import numpy as np

from aognet.data.viewing import Curves
from aognet.errors import UserError
from aognet.io.srgb import decode_srgb, encode_srgb


@dataclass(frozen=True)
class AugmentConfig:
    """Which random changes a sample gets.

    ``mirror``: half of the samples are mirrored, with "left" and "right" exchanged in their captions.
    ``exposure_stops`` and ``colour_stops``: the light of a sample is scaled by up to so many stops up or down, all
    channels together and each channel by itself. ``added_captions``: up to so many random augmented captions are added
    to the caption. ``word_swaps``: the share of a caption's words that change places (library: nlpaug).
    """

    mirror: bool = False
    exposure_stops: float = 0.0
    colour_stops: float = 0.0
    added_captions: int = 0
    word_swaps: float = 0.0

    def __post_init__(self) -> None:
        for name in ("exposure_stops", "colour_stops"):
            if not 0 <= getattr(self, name) <= 4:
                raise UserError("must lie in [0, 4]", key=name, value=getattr(self, name))
        if self.added_captions < 0:
            raise UserError("must not be negative", key="added_captions", value=self.added_captions)
        check_share("word_swaps", self.word_swaps)
        if self.word_swaps and find_spec("nlpaug") is None:
            raise UserError("needs the library nlpaug (pip install nlpaug)", key="word_swaps", value=self.word_swaps)


def check_fovs(fovs: Sequence[float]) -> None:
    """Raise UserError unless ``input_fov_degrees`` has at least one value and all are fields of view in degrees."""
    if not fovs or not all(0 < fov < 180 for fov in fovs):
        raise UserError("must be fields of view between 0 and 180", key="input_fov_degrees", value=list(fovs))


def check_pitches(pitches: Sequence[float]) -> None:
    """Raise UserError unless ``input_pitch_degrees`` has at least one value and all are pitches in degrees."""
    if not pitches or not all(-90 <= pitch <= 90 for pitch in pitches):
        raise UserError("must be pitches between -90 and 90", key="input_pitch_degrees", value=list(pitches))


def check_share(name: str, value: float) -> None:
    """Raise UserError unless a setting is a share."""
    if not 0 <= value <= 1:
        raise UserError("must be a share between 0 and 1", key=name, value=value)


def light_curves(config: AugmentConfig, rng: np.random.Generator) -> Curves:
    """Return the value in [-1, 1] of each byte of each channel after a random scaling of the light.

    Bytes are taken as sRGB. The scale applies to the linear light that they stand for.
    """
    stops = rng.uniform(-config.exposure_stops, config.exposure_stops) + rng.uniform(
        -config.colour_stops, config.colour_stops, 3
    )
    values = np.linspace(0, 1, 256)[:, None]
    encoded = encode_srgb(decode_srgb(values) * 2.0**stops)
    return (np.clip(encoded, 0, 1) * 2 - 1).astype(np.float32)


def draw_prompt(
    config: AugmentConfig,
    captions: Sequence[str],
    augmented: Sequence[str],
    mirrored: bool,
    rng: np.random.Generator,
) -> str:
    """Draw one of the captions (or an empty text) and add some augmented ones. The text is true of a mirrored view
    too.
    """
    prompt = captions[int(rng.integers(len(captions)))] if captions else ""
    count = int(rng.integers(min(config.added_captions, len(augmented)) + 1))
    if count:
        added = [augmented[index] for index in rng.permutation(len(augmented))[:count]]
        prompt = ", ".join(text.strip().rstrip(".") for text in (prompt, *added) if text.strip())
    if mirrored:
        prompt = mirrored_words(prompt)
    return _swapped(prompt, config.word_swaps, rng) if config.word_swaps else prompt


def mirrored_words(text: str) -> str:
    """Return the text with left and right exchanged."""
    return re.sub(r"\b(left|right)\b", _other_side, text, flags=re.IGNORECASE)


def _other_side(found: re.Match[str]) -> str:
    word = found[0]
    other = "right" if word.lower() == "left" else "left"
    return other.upper() if word.isupper() else other.capitalize() if word[0].isupper() else other


def _swapped(text: str, share: float, rng: np.random.Generator) -> str:
    if len(text.split()) < 2:
        return text
    with _global_randomness(int(rng.integers(2**32))):
        from nlpaug.augmenter.word import RandomWordAug

        changed = RandomWordAug(action="swap", aug_p=share).augment(text)
    return changed[0] if isinstance(changed, list) else changed


@contextmanager
def _global_randomness(seed: int) -> Iterator[None]:
    """Seed the global random numbers, from which nlpaug draws, and restore them afterwards."""
    before = random.getstate(), np.random.get_state()
    random.seed(seed)
    np.random.seed(seed)
    try:
        yield
    finally:
        random.setstate(before[0])
        np.random.set_state(before[1])
