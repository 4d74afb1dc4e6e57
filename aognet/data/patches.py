"""Patches of equirectangular panoramas, as they lie in the image: autoencoders of large panoramas train on them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from aognet.data.captioned_panorama import CaptionedPanorama
from aognet.data.panoramas import PanoramaConfig, PanoramaSamples
from aognet.data.whole import PanoramaBatch, PanoramaSample, drawn_panorama, panorama_batch
from aognet.errors import UserError

TOP = 1  # stream of random numbers beside the panorama's own


@dataclass(frozen=True, kw_only=True)
class PatchConfig(PanoramaConfig):
    """``rows`` and ``columns`` of a patch of a panorama of ``height`` x ``2 height`` pixels."""

    rows: int = 256
    columns: int = 256

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, most in (("rows", self.height), ("columns", 2 * self.height)):
            if not 1 <= getattr(self, name) <= most:
                raise UserError(f"must lie in [1, {most}], the panorama's", key=name, value=getattr(self, name))


class PanoramaPatches(PanoramaSamples[PanoramaSample]):
    """Infinite samples: a random panorama, turned at random, and of it some rows and columns at a random height."""

    Config = PatchConfig

    def __init__(self, config: PatchConfig):
        super().__init__(config)
        self.shape = config.rows, config.columns

    def draw(self, panorama: CaptionedPanorama, number: int) -> PanoramaSample:
        (rows, columns), config = self.shape, self.config
        top = int(np.random.default_rng([config.seed, number, TOP]).integers(config.height - rows + 1))
        whole = drawn_panorama(self, panorama, number)
        patch = whole.image[:, top : top + rows, :columns].contiguous()
        return PanoramaSample(patch, whole.prompt, whole.seed)

    def collate(self, samples: Sequence[PanoramaSample]) -> PanoramaBatch:
        """Return samples as a batch, which wraps around if patches are as wide as panoramas."""
        return panorama_batch(samples, wraps=self.shape[1] == 2 * self.config.height)
