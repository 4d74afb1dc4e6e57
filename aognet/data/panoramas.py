"""Folders of panoramas with captions, decoded to one size and kept in memory within a bound."""

import logging
from collections import OrderedDict
from dataclasses import dataclass, field
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from aognet.data.captions import load_captions
from aognet.data.images import SUFFIXES, from_uint8, load_panorama, to_uint8
from aognet.errors import UserError

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class PanoramaConfig:
    """``folders`` are searched through; with ``captions`` (JSONL files) only the images named there are used.

    ``height``: panoramas are resized to ``height`` x ``2 height``. ``limit``: at most so many (0: all).
    ``cache_mb``: decoded panoramas kept in memory, per process. ``seed``: of everything drawn at random.
    """

    folders: list[str] = field(default_factory=list)
    captions: list[str] = field(default_factory=list)
    height: int = 512
    limit: int = 0
    cache_mb: int = 1024
    seed: int = 0

    def __post_init__(self) -> None:
        if not self.folders:
            raise UserError("folders must name at least one folder of panoramas, got []")
        if self.height < 16:
            raise UserError(f"height must be at least 16, got {self.height}")
        if self.limit < 0 or self.cache_mb < 0:
            raise UserError(f"limit and cache_mb must not be negative, got {self.limit} and {self.cache_mb}")
        if not 0 <= self.seed < 2**32:
            raise UserError(f"seed must lie in [0, 2^32), got {self.seed}")


class Panoramas:
    """The panoramas of a ``PanoramaConfig``, by number; files in the order of their folders and names."""

    def __init__(self, config: PanoramaConfig):
        self.config = config
        self.captions: dict[str, list[str]] = {}
        for file in config.captions:
            self.captions |= load_captions(Path(file))
        self.paths = [path for folder in config.folders for path in self._images(Path(folder))]
        self.paths = self.paths[: config.limit or None]
        if not self.paths:
            named = f" that {', '.join(config.captions)} names" if config.captions else ""
            raise UserError(f"folders: no panorama (PNG, JPEG or EXR){named} in {', '.join(config.folders)}")
        self._decoded: OrderedDict[int, Tensor] = OrderedDict()
        self._broken: set[int] = set()

    def _images(self, folder: Path) -> list[Path]:
        if not folder.is_dir():
            raise UserError(f"folders: no such folder: {folder}")
        paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES and path.name[0] != ".")
        return [path for path in paths if path.name in self.captions] if self.config.captions else paths

    def __len__(self) -> int:
        return len(self.paths)

    def captions_of(self, index: int) -> list[str]:
        """The captions of a panorama; one empty text where it has none."""
        return self.captions.get(self.paths[index].name) or [""]

    def image(self, index: int) -> Float[Tensor, "3 height width"]:
        """A panorama in [-1, 1]. Raises UserError for a broken file."""
        if index in self._decoded:
            self._decoded.move_to_end(index)
        else:
            self._decoded[index] = to_uint8(load_panorama(self.paths[index], self.config.height))
            panorama_bytes = 6 * self.config.height**2
            while len(self._decoded) > max(self.config.cache_mb * 2**20 // panorama_bytes, 1):
                self._decoded.popitem(last=False)
        return from_uint8(self._decoded[index])

    def sound(self, index: int) -> int:
        """The number of the panorama itself, or of the next one that can be read; a broken file is reported once."""
        for candidate in range(index, index + len(self)):
            candidate %= len(self)
            if candidate in self._broken:
                continue
            try:
                self.image(candidate)
            except UserError as error:
                self._broken.add(candidate)
                log.warning("%s; another panorama takes its place", error)
            else:
                return candidate
        raise UserError(f"folders: none of the {len(self)} panoramas in {', '.join(self.config.folders)} can be read")


def shuffled(count: int, seed: int, number: int) -> int:
    """The panorama of global sample ``number``: every epoch of ``count`` samples is a permutation of its own."""
    epoch, place = divmod(number, count)
    generator = torch.Generator().manual_seed(seed * 1_000_003 + epoch)
    return int(torch.randperm(count, generator=generator)[place])
