"""The local stream: pixels and their positions on the sphere, as maps that are added inside the UNet's encoder."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional

from aognet.errors import UserError
from aognet.nn.attention import CrossAttentionBlock


@dataclass(frozen=True)
class LocalStreamConfig:
    """``geometry``: whether the stream knows where on the sphere each pixel lies. The rest is the size of adapter and
    transformer.
    """

    enabled: bool = True
    geometry: bool = True
    residual_blocks: int = 2
    depth: int = 8
    heads: int = 8

    def __post_init__(self) -> None:
        for name in ("residual_blocks", "depth", "heads"):
            if getattr(self, name) < 1:
                raise UserError("must be at least 1", key=name, value=getattr(self, name))


class LocalStream(nn.Module):
    """A T2I-Adapter (Mou et al. 2023) shared by view and faces. At its coarsest scale the view attends to the faces.

    Its input is RGB, the mask of what is known (so that black and unknown differ) and the position on the sphere. The
    last layers start at zero: an untrained stream changes nothing.
    """

    adapter: Any

    def __init__(self, config: LocalStreamConfig, channels: Sequence[int], scale: int, halved: Sequence[bool] = ()):
        """Make the layers for ``channels`` of the UNet's down blocks and ``scale`` image pixels per latent pixel.

        ``halved`` says which blocks take their map at half their size (default: none).
        """
        from diffusers import T2IAdapter

        super().__init__()
        if channels[-1] % config.heads:
            raise UserError(f"must divide the UNet's {channels[-1]} channels", key="heads", value=config.heads)
        self.config = config
        self.halved = list(halved) or [False] * len(channels)
        self.adapter = T2IAdapter(
            in_channels=self.channels_of(config),
            channels=list(channels),
            num_res_blocks=config.residual_blocks,
            downscale_factor=scale,
            adapter_type="full_adapter",
        )
        self.attention = nn.ModuleList(self.make_blocks(channels[-1], config.heads, config.depth))
        self.last = nn.ModuleList(nn.Conv2d(width, width, 1) for width in channels)
        for weight in self.last.parameters():
            nn.init.zeros_(weight)

    @staticmethod
    def channels_of(config: LocalStreamConfig) -> int:
        """Return the channels of the adapter's input."""
        return 7 if config.geometry else 4

    @staticmethod
    def make_blocks(width: int, heads: int, depth: int) -> Sequence[nn.Module]:
        """Return the blocks through which the view's tokens, of ``width`` channels, attend to the faces'."""
        return [CrossAttentionBlock(width, heads) for _ in range(depth)]

    def forward(
        self,
        view: Float[Tensor, "batch 3 size size"],
        known: Bool[Tensor, "batch 1 size size"],
        positions: Float[Tensor, "batch 3 size size"],
        faces: Float[Tensor, "panoramas 6 3 face face"],
        faces_known: Bool[Tensor, "panoramas 6 1 face face"],
        faces_positions: Float[Tensor, "6 3 face face"],
        panorama: Int[Tensor, "batch"],
    ) -> list[Float[Tensor, "batch width rows columns"]]:
        """Return one map for each down block of the UNet, finest first. ``panorama`` says which faces surround each
        view.
        """
        maps = self.adapter(self._input(view, known, positions))
        faces_positions = faces_positions.expand(len(faces), -1, -1, -1, -1).flatten(0, 1)
        face_maps = self.adapter(self._input(faces.flatten(0, 1), faces_known.flatten(0, 1), faces_positions))
        coarsest = maps[-1]
        tokens = coarsest.flatten(2).transpose(1, 2)
        memory = face_maps[-1].unflatten(0, (-1, 6)).flatten(3).permute(0, 1, 3, 2).flatten(1, 2)[panorama]
        for block in self.attention:
            tokens = block(tokens, memory)
        maps = [*maps[:-1], tokens.transpose(1, 2).reshape(coarsest.shape)]
        maps = [
            functional.avg_pool2d(values, 2, ceil_mode=True) if half else values
            for values, half in zip(maps, self.halved, strict=True)
        ]
        return [layer(values) for layer, values in zip(self.last, maps, strict=True)]

    def _input(self, images: Tensor, known: Tensor, positions: Tensor) -> Tensor:
        parts = [images * known, known.to(images.dtype)]
        return torch.cat([*parts, positions] if self.config.geometry else parts, dim=1)
