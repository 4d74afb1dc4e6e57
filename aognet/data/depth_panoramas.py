"""Whole panoramas with their depth: the samples that depth ControlNets train on."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from aognet.data.captioned_panorama import CaptionedPanorama
from aognet.data.depths import KEY, Depths, find_depths
from aognet.data.equirectangular import EquirectangularBatch, EquirectangularSample, TurnedSamples, batch_of, rolled
from aognet.data.panoramas import Panoramas
from aognet.errors import UserError
from aognet.io.depth_maps import DepthKind
from aognet.system.transfer import to_device


@dataclass(frozen=True)
class DepthBatch(EquirectangularBatch):
    """Whole panoramas with their ``depth`` in [0, 1], where 1 is near. It is to be turned like the images."""

    depth: Float[Tensor, "batch 1 height width"]

    def to(self, device: torch.device) -> "DepthBatch":
        return replace(self, **{name: to_device(getattr(self, name), device) for name in ("images", "known", "depth")})

    def turned_depth(self) -> Float[Tensor, "batch 1 height width"]:
        """Return the depth of the panoramas as they are learned."""
        return rolled(self.depth, -self.columns)


@dataclass(frozen=True)
class DepthSample:
    """One row of a ``DepthBatch``."""

    panorama: EquirectangularSample
    depth: Float[Tensor, "1 height width"]


class DepthSamples(TurnedSamples[DepthSample]):
    """Infinite samples: ``self[n]`` depends only on the configuration and ``n``.

    Panoramas are drawn as for other samples of whole panoramas. Their depth is turned and mirrored with them.
    """

    @dataclass(frozen=True, kw_only=True)
    class Config(TurnedSamples.Config):
        """``depth_folders``: a folder of depth maps for each of the ``folders``, in the same order; a map has the name
        of its panorama. Panoramas without one are left out. ``depth_kind``: see `aognet.io.depth_maps.load_depth`.
        """

        depth_folders: list[str] = field(default_factory=list)
        depth_kind: DepthKind = "auto"

        def __post_init__(self) -> None:
            super().__post_init__()
            if self.manifests or self.stream is not None:
                key = "manifests" if self.manifests else "stream"
                raise UserError("has no depth maps; give folders and depth_folders", key=key)
            if len(self.depth_folders) != len(self.folders):
                count = len(self.folders)
                raise UserError(f"must be one folder for each of {count} folders", key=KEY, value=self.depth_folders)

    config: Config

    def find(self) -> Panoramas:
        return DeepPanoramas(self.config)

    def draw(self, panorama: CaptionedPanorama, number: int) -> DepthSample:
        sample = self.draw_turned(panorama, number)
        assert panorama.depth is not None, "panoramas without a depth map are left out"
        levels = panorama.depth[:, ::-1] if sample.mirrored else panorama.depth
        return DepthSample(sample, torch.from_numpy(levels.astype(np.float32) / 65535)[None])

    def collate(self, samples: Sequence[DepthSample]) -> DepthBatch:
        batch = batch_of([sample.panorama for sample in samples])
        return DepthBatch(**vars(batch), depth=torch.stack([sample.depth for sample in samples]))


class DeepPanoramas(Panoramas):
    """The panoramas of a ``DepthSamples.Config`` that have a depth map."""

    def __init__(self, config: DepthSamples.Config):
        super().__init__(config)
        self.maps = find_depths(self.entries, config.folders, config.depth_folders)
        self.entries = [entry for entry in self.entries if entry.path in self.maps]
        self.depths = Depths(config.cache, config.height, config.depth_kind)

    def __getitem__(self, index: int) -> CaptionedPanorama:
        return replace(super().__getitem__(index), depth=self.depths.get(self.maps[self.entries[index].path]))
