"""Panoramas of linear light in the size that the model learns."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from aognet.errors import UserError
from aognet.io.listing import find_images
from aognet.io.panorama_files import read_panorama


@dataclass(frozen=True)
class SunlightBatch:
    light: Tensor
    seeds: Tensor

    def to(self, device: Any) -> "SunlightBatch":
        return replace(self, light=self.light.to(device), seeds=self.seeds.to(device))


@dataclass(frozen=True)
class SunlightSamplesConfig:
    folder: str
    height: int = 16
    seed: int = 0


class SunlightSamples:
    Config = SunlightSamplesConfig

    def __init__(self, config: SunlightSamplesConfig) -> None:
        self.config = config
        self.files = find_images(Path(config.folder), "folder")
        if not self.files:
            raise UserError("holds no image", key="folder", value=config.folder)

    def __getitem__(self, number: int) -> SunlightBatch:
        path = self.files[number % len(self.files)]
        return SunlightBatch(read_panorama(path, self.config.height)[0][None], torch.tensor([number]))

    def collate(self, samples: Sequence[SunlightBatch]) -> SunlightBatch:
        light, seeds = (torch.cat([getattr(one, name) for one in samples]) for name in ("light", "seeds"))
        return SunlightBatch(light, seeds)
