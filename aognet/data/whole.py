"""Whole panoramas turned at random: autoencoders of panoramas train on them."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from aognet.data.augment import draw_prompt, light_curves
from aognet.data.captioned_panorama import CaptionedPanorama
from aognet.data.panoramas import PanoramaConfig, PanoramaSamples
from aognet.data.viewing import PLAIN, Curves, Pyramid
from aognet.system.transfer import to_device


@dataclass(frozen=True)
class PanoramaBatch:
    """Equirectangular ``images`` in [-1, 1], with a prompt and a seed for each.

    ``wraps``: they are as wide as the panorama, so that their right edge goes on at the left one.
    """

    images: Float[Tensor, "batch 3 height width"]
    prompts: list[str]
    seeds: Int[Tensor, "batch"]
    wraps: bool = True

    def to(self, device: torch.device) -> "PanoramaBatch":
        """Return the batch with its images on a device."""
        return replace(self, images=to_device(self.images, device))


@dataclass(frozen=True)
class PanoramaSample:
    """One panorama, or a patch of it, its prompt and its seed."""

    image: Float[Tensor, "3 height width"]
    prompt: str
    seed: int


class PanoramaImages(PanoramaSamples[PanoramaSample]):
    """Infinite samples: ``self[n]`` depends only on the configuration and ``n``.

    A random panorama is turned by a random whole number of columns. Mirror, light and words change as in views.
    """

    Config = PanoramaConfig

    def draw(self, panorama: CaptionedPanorama, number: int) -> PanoramaSample:
        return drawn_panorama(self, panorama, number)

    def collate(self, samples: Sequence[PanoramaSample]) -> PanoramaBatch:
        """Return samples as a batch."""
        return panorama_batch(samples)


def drawn_panorama(samples: PanoramaSamples, panorama: CaptionedPanorama, number: int) -> PanoramaSample:
    """Return the panorama turned and changed as the number and the samples' config say."""
    augment, rng = samples.config.augment, np.random.default_rng([samples.config.seed, number])
    columns = samples.draw_turn(rng)
    mirror = augment.mirror and rng.random() < 0.5
    prompt = draw_prompt(augment, panorama.captions, panorama.augmented, mirror, rng)
    image = turned(panorama.pixels, columns, mirror, light_curves(augment, rng))
    return PanoramaSample(image, prompt, int(rng.integers(2**62)))


def panorama_batch(samples: Sequence[PanoramaSample], wraps: bool = True) -> PanoramaBatch:
    """Return samples of one size as a batch."""
    images, seeds = torch.stack([one.image for one in samples]), torch.tensor([one.seed for one in samples])
    return PanoramaBatch(images, [one.prompt for one in samples], seeds, wraps)


def turned(
    panorama: Pyramid, turn_columns: int = 0, mirror: bool = False, curves: Curves = PLAIN
) -> Float[Tensor, "3 height width"]:
    """Return the panorama as floats by ``curves``, its middle moved right by whole columns, as ``view_all`` turns
    cameras.

    With ``mirror``, the mirrored panorama is turned.
    """
    import cv2

    pixels = panorama.image[:, ::-1] if mirror else panorama.image
    shown = cv2.LUT(np.roll(pixels, -turn_columns, axis=1), np.ascontiguousarray(curves)[None])
    return torch.from_numpy(shown).permute(2, 0, 1)
