"""Whole panoramas around a photograph: the samples that Seamless trains on."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from aognet.data.augment import check_fovs, check_pitches, draw_prompt, light_curves
from aognet.data.captioned_panorama import CaptionedPanorama
from aognet.data.panoramas import PanoramaConfig, PanoramaSamples, Sample
from aognet.data.whole import turned
from aognet.errors import UserError
from aognet.geometry.camera import Camera
from aognet.geometry.plans import known_by
from aognet.system.transfer import to_device


@dataclass(frozen=True)
class EquirectangularBatch:
    """Whole panoramas in [-1, 1] with ``width`` = 2 ``height``, and how each is to be turned before it is learned from.

    ``images`` are not turned yet: whoever encodes them may turn what the encoder made instead. ``columns`` says by how
    many columns the middle of each moves right, as ``view_all`` turns cameras. ``known`` is the mask of the photograph,
    straight ahead in the turned panorama.
    """

    images: Float[Tensor, "batch 3 height width"]
    columns: Int[Tensor, "batch"]
    known: Bool[Tensor, "batch 1 height width"]
    prompts: list[str]
    seeds: Int[Tensor, "batch"]

    def to(self, device: torch.device) -> "EquirectangularBatch":
        """Return the batch with its images on a device. Columns and seeds stay on the CPU, which reads them."""
        return replace(self, **{name: to_device(getattr(self, name), device) for name in ("images", "known")})

    def turned(self) -> Float[Tensor, "batch 3 height width"]:
        """Return the panoramas as they are learned."""
        return rolled(self.images, -self.columns)


@dataclass(frozen=True)
class EquirectangularSample:
    """One row of an ``EquirectangularBatch``, and whether its image is mirrored."""

    image: Float[Tensor, "3 height width"]
    columns: int
    known: Bool[Tensor, "1 height width"]
    prompt: str
    seed: int
    mirrored: bool


class TurnedSamples(PanoramaSamples[Sample]):
    """Infinite samples: ``self[n]`` depends only on the configuration and ``n``.

    A random panorama is turned by a random whole number of columns, which is exact: nothing is resampled.
    """

    @dataclass(frozen=True, kw_only=True)
    class Config(PanoramaConfig):
        """The known photograph, of which one field of view in degrees, one pitch and one roll are drawn for a sample.

        It is square. Its yaw is 0, as the panorama is turned.
        """

        input_fov_degrees: tuple[float, ...] = (90.0,)
        input_pitch_degrees: tuple[float, ...] = (0.0,)
        input_roll_degrees: tuple[float, ...] = (0.0,)

        def __post_init__(self) -> None:
            super().__post_init__()
            check_fovs(self.input_fov_degrees)
            check_pitches(self.input_pitch_degrees)
            rolls = self.input_roll_degrees
            if not rolls or not all(-180 <= roll <= 180 for roll in rolls):
                raise UserError("must be rolls between -180 and 180", key="input_roll_degrees", value=list(rolls))

    config: Config

    def __init__(self, config: Config):
        super().__init__(config)
        poses = product(config.input_pitch_degrees, config.input_roll_degrees, config.input_fov_degrees)
        self.photos = [Camera(0.0, *pose, width=config.height, height=config.height) for pose in poses]
        self._known: dict[int, Bool[Tensor, "1 height width"]] = {}

    def draw_turned(self, panorama: CaptionedPanorama, number: int) -> EquirectangularSample:
        """Return a sample without what samples of one kind have besides."""
        config, rng = self.config, np.random.default_rng([self.config.seed, number])
        columns = self.draw_turn(rng)
        mirror = config.augment.mirror and rng.random() < 0.5
        photo = int(rng.integers(len(self.photos)))
        prompt = draw_prompt(config.augment, panorama.captions, panorama.augmented, mirror, rng)
        image = turned(panorama.pixels, 0, mirror, light_curves(config.augment, rng))
        return EquirectangularSample(image, columns, self._known_by(photo), prompt, int(rng.integers(2**62)), mirror)

    def _known_by(self, photo: int) -> Bool[Tensor, "1 height width"]:
        # A plain dictionary and not lru_cache: worker processes may receive the dataset as a copy.
        if photo not in self._known:
            self._known[photo] = known_by([self.photos[photo]], self.config.height)[None]
        return self._known[photo]


class EquirectangularSamples(TurnedSamples[EquirectangularSample]):
    """Whole panoramas around a photograph."""

    def draw(self, panorama: CaptionedPanorama, number: int) -> EquirectangularSample:
        return self.draw_turned(panorama, number)

    def collate(self, samples: Sequence[EquirectangularSample]) -> EquirectangularBatch:
        return batch_of(samples)


def batch_of(samples: Sequence[EquirectangularSample]) -> EquirectangularBatch:
    """Return samples as a batch."""
    return EquirectangularBatch(
        torch.stack([sample.image for sample in samples]),
        torch.tensor([sample.columns for sample in samples]),
        torch.stack([sample.known for sample in samples]),
        [sample.prompt for sample in samples],
        torch.tensor([sample.seed for sample in samples]),
    )


def rolled(
    images: Float[Tensor, "batch channels height width"], columns: Int[Tensor, "batch"]
) -> Float[Tensor, "batch channels height width"]:
    """Return each image rolled to the right by columns of its own."""
    return torch.stack([image.roll(by, -1) for image, by in zip(images, columns.tolist(), strict=True)])
