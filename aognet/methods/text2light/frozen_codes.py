"""The codes of panoramas, which frozen autoencoders make and samplers learn to write."""

from pathlib import Path

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn
from torch.nn import functional

from aognet.diffusion.encodings import EncodingCache
from aognet.diffusion.loading import resolve
from aognet.errors import UserError
from aognet.io.store import CacheConfig
from aognet.vq.autoencoder import VqAutoencoder


class FrozenCodes(nn.Module):
    """A frozen autoencoder that encodes panoramas at one size.

    Codes of images that come again (`aognet.data.panoramas.PanoramaConfig.turns`, no random light) are stored.
    """

    def __init__(self, folder: str, rows: int, columns: int, encodings: CacheConfig):
        """Load the autoencoder. ``rows`` and ``columns``: of the codes.

        :raises UserError: naming the folder, if it holds no autoencoder.
        """
        super().__init__()
        self.autoencoder: VqAutoencoder = VqAutoencoder.from_pretrained(resolve(folder))
        self.height, self.width = (number * self.autoencoder.config.stride for number in (rows, columns))
        self._kept = EncodingCache(encodings, self.autoencoder)
        self._kept.distinguish(f"codes {self.height}x{self.width} {self.autoencoder.config}")

    def train(self, mode: bool = True) -> "FrozenCodes":
        """Stay in evaluation mode."""
        return super().train(False)

    @property
    def kinds(self) -> int:
        """How many codes there are."""
        return self.autoencoder.config.quantizer.size

    @torch.no_grad()
    def encode(self, images: Float[Tensor, "batch 3 height width"]) -> Int64[Tensor, "batch rows columns"]:
        """Return the codes of panoramas, which are shrunk to the size of the codes' image.

        They are found in float32, one image at a time: neither precision nor batch of a training changes them.

        :raises UserError: for smaller panoramas.
        """
        with torch.autocast(images.device.type, enabled=False):
            return self._kept.encoded(images, self._encoded, images.device)[0].long()

    @torch.no_grad()
    def decode(self, codes: Int64[Tensor, "batch rows columns"]) -> Float[Tensor, "batch 3 height width"]:
        """Return the panoramas of codes in [-1, 1]."""
        with torch.autocast(codes.device.type, enabled=False):
            return self.autoencoder.decode(codes).float().clamp(-1, 1)

    def shrunk(self, images: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch 3 rows columns"]:
        """Return panoramas at the size that is encoded."""
        height, width = images.shape[-2:]
        if height < self.height or width < self.width:
            raise UserError(
                f"data.*.height: panoramas of {width}x{height} pixels are too small for codes of "
                f"{self.width}x{self.height}; it must be at least {self.height}"
            )
        if (height, width) == (self.height, self.width):
            return images
        return functional.interpolate(images, size=(self.height, self.width), mode="area")

    def _encoded(self, images: Tensor) -> tuple[Tensor]:
        return (torch.cat([self.autoencoder.encode(image[None]) for image in self.shrunk(images)]).int(),)


def check_kinds(codes: FrozenCodes, expected: int, key: str, folder: str | Path) -> None:
    """Raise UserError unless an autoencoder has as many codes as a sampler writes or reads."""
    if codes.kinds != expected:
        raise UserError(f"must be {codes.kinds}, the number of codes of {folder}", key=key, value=expected)
