"""Captioned panoramas by number, decoded once to one size."""

import logging
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Generic, TypeVar

import numpy as np
import torch

from aognet.data.augment import AugmentConfig
from aognet.data.cache import PanoramaCache
from aognet.data.captioned_panorama import CaptionedPanorama
from aognet.data.sources import SourceConfig, find_entries
from aognet.data.streams import PanoramaStream, StreamConfig
from aognet.errors import UserError
from aognet.io.store import CacheConfig

log = logging.getLogger(__name__)

Sample = TypeVar("Sample")


@dataclass(frozen=True, kw_only=True)
class PanoramaConfig(SourceConfig):
    """Where panoramas come from (or ``stream``), and how they are prepared.

    ``height``: panoramas are resized to ``height`` x ``2 height``. ``cache``: decoded panoramas on disk. ``augment``:
    random changes. ``turns``: the number of yaws by which panoramas are turned (0: any number of columns); with few,
    frozen encoders see the same images again. ``seed`` decides everything that is drawn at random.
    """

    stream: StreamConfig | None = None
    height: int = 512
    cache: CacheConfig = field(default_factory=CacheConfig)
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    turns: int = 0
    seed: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.folders and not self.manifests and self.stream is None:
            raise UserError(
                "must name at least one folder of panoramas; or set manifests, or stream", key="folders", value=[]
            )
        if self.stream is not None and (self.folders or self.manifests):
            raise UserError("excludes folders and manifests", key="stream", value=[*self.folders, *self.manifests])
        if not 16 <= self.height <= 16384:
            raise UserError("must lie in [16, 16384]", key="height", value=self.height)
        if not 0 <= self.turns <= 2 * self.height:
            raise UserError(f"must lie in [0, {2 * self.height}], the columns", key="turns", value=self.turns)
        if not 0 <= self.seed < 2**32:
            raise UserError("must lie in [0, 2^32)", key="seed", value=self.seed)


class Panoramas:
    """The panoramas of a ``PanoramaConfig``, by number."""

    def __init__(self, config: PanoramaConfig):
        self.config = config
        self.entries = find_entries(config)
        self.cache = PanoramaCache(config.cache, config.height)
        self._broken: set[int] = set()

    def __len__(self) -> int:
        return len(self.entries)

    def __getitem__(self, index: int) -> CaptionedPanorama:
        """Return a panorama.

        :raises UserError: for a broken file.
        """
        entry = self.entries[index]
        return CaptionedPanorama(self.cache.get(entry.path), entry.captions, entry.augmented, entry.yaws)

    def pick(self, number: int) -> CaptionedPanorama:
        """Return the panorama of global sample ``number``. A broken one is reported once, and the next good one takes
        its place.
        """
        first = shuffled(len(self), self.config.seed, number)
        for index in range(first, first + len(self)):
            index %= len(self)
            if index in self._broken:
                continue
            try:
                return self[index]
            except UserError as error:
                self._broken.add(index)
                log.warning("%s; another panorama takes its place", error)
        where = ", ".join([*self.config.folders, *self.config.manifests])
        raise UserError(f"folders: none of the {len(self)} panoramas in {where} can be read")


class PanoramaSamples(ABC, Generic[Sample]):
    """Infinite samples of panoramas: ``self[n]`` depends only on the configuration and ``n``.

    With ``config.stream``, the panoramas and numbers come from ``stream``, which the loader of the samples reads.
    """

    def __init__(self, config: PanoramaConfig):
        self.config = config
        self.stream = None if config.stream is None else PanoramaStream(config.stream, config.height, config.seed)
        self.panoramas = self.find() if config.stream is None else None

    def find(self) -> Panoramas:
        """Return the panoramas that samples are drawn from if there is no stream."""
        return Panoramas(self.config)

    def __len__(self) -> int:
        """Return the number of panoramas of an epoch."""
        return len(self._files())

    def __getitem__(self, number: int) -> Sample:
        return self.draw(self._files().pick(number), number)

    def _files(self) -> Panoramas:
        assert self.panoramas is not None, "samples of a stream are numbered by whoever reads it"
        return self.panoramas

    def draw_turn(self, rng: np.random.Generator) -> int:
        """Draw by how many columns a panorama is turned."""
        width, turns = 2 * self.config.height, self.config.turns
        return int(rng.integers(turns)) * width // turns if turns else int(rng.integers(width))

    @abstractmethod
    def draw(self, panorama: CaptionedPanorama, number: int) -> Sample:
        """Return sample ``number`` of that panorama. It depends only on the two and on the configuration."""


def shuffled(count: int, seed: int, number: int) -> int:
    """Return the index of the panorama of global sample ``number``. Every epoch of ``count`` samples is another
    permutation.
    """
    epoch, place = divmod(number, count)
    return int(_permutation(count, seed * 1_000_003 + epoch)[place])


@lru_cache(maxsize=4)
def _permutation(count: int, seed: int) -> torch.Tensor:
    return torch.randperm(count, generator=torch.Generator().manual_seed(seed))
