"""The autoencoder of the Fréchet Auto-Encoder Distance, and its training by reconstruction.

Oh et al., "BIPS: Bi-modal Indoor Panorama Synthesis via Residual Depth-aided Adversarial Learning", ECCV 2022, in the
shape that Zhang et al., "PanFusion", arXiv 2404.07949, retrain for colour alone: convolutions wrap around in x.
"""

from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from aognet.diffusion.loading import DTYPES, check_dtype
from aognet.diffusion.saved import load_trained, save_trained
from aognet.errors import UserError
from aognet.metrics.psnr import psnr
from aognet.nn.blocks import Blocks
from aognet.nn.circular import CircularConv2d, upsample
from aognet.nn.weights import part_tensors

METHOD = "faed"


@dataclass(frozen=True, kw_only=True)
class FaedConfig:
    """The shape of the autoencoder. The defaults are the published one: 128 channels of 16 rows from 512 x 1024 pixels.

    ``channels`` and ``kernels``: width and kernel of the residual block at each scale, finest first. Each scale is half
    as large as the one before, and the features of ``latent_channels`` half as large as the last. The decoder mirrors
    all but the last. ``height``: rows of the panoramas that it is trained on and measures. ``dtype``: that of the
    weights in the saved file.
    """

    channels: tuple[int, ...] = (32, 64, 128, 128, 128)
    kernels: tuple[int, ...] = (9, 7, 5, 3, 3)
    latent_channels: int = 128
    height: int = 512
    dtype: str = "float32"

    def __post_init__(self) -> None:
        check_dtype(self.dtype)
        if len(self.kernels) != len(self.channels) or not self.channels:
            raise UserError(
                f"must be one for each of channels {[*self.channels]}", key="kernels", value=[*self.kernels]
            )
        if min(*self.channels, self.latent_channels) < 1 or max(*self.channels, self.latent_channels) > 4096:
            raise UserError("must lie in [1, 4096]", key="channels", value=[*self.channels, self.latent_channels])
        if not all(kernel % 2 and 1 <= kernel <= 15 for kernel in self.kernels):
            raise UserError("must be odd and at most 15", key="kernels", value=[*self.kernels])
        if self.height % self.factor or self.height < self.factor or self.height > 8192:
            raise UserError(f"must be a multiple of {self.factor} and at most 8192", key="height", value=self.height)
        if any(kernel // 2 > 2 * self.height >> scale for scale, kernel in enumerate(self.kernels)):
            raise UserError(
                f"must fit the {self.height} rows halved at each scale", key="kernels", value=[*self.kernels]
            )

    @property
    def factor(self) -> int:
        """How many times smaller than the panorama the features are, along each axis."""
        return 2 ** len(self.channels)


class ResidualBlock(nn.Module):
    """Two normalised convolutions beside a straight path, with no activation after the sum."""

    def __init__(self, channels: int, kernel: int):
        super().__init__()
        self.layers = nn.Sequential(
            *_convolution(channels, channels, kernel),
            nn.ReLU(),
            *_convolution(channels, channels, kernel),
        )

    def forward(self, x: Float[Tensor, "batch channels height width"]) -> Tensor:
        return x + self.layers(x)


class Encoder(nn.Module):
    """Maps panoramas in [-1, 1] to features. A turn by ``factor`` columns moves the features by one column."""

    def __init__(self, config: FaedConfig):
        super().__init__()
        widths = (*config.channels, config.latent_channels)
        kernel = config.kernels[0]
        self.first = CircularConv2d(3, widths[0], kernel, padding=kernel // 2)
        self.scales = Blocks(
            nn.Sequential(ResidualBlock(wide, kernel), *_halving(wide, narrow), nn.ReLU())
            for wide, narrow, kernel in zip(widths, widths[1:], config.kernels, strict=False)
        )
        self.fuse = CircularConv2d(config.latent_channels, config.latent_channels, 3, padding=1)

    def forward(self, images: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch channels rows columns"]:
        return self.fuse(self.scales(self.first(images)))


class Decoder(nn.Module):
    """Maps features to panoramas in [-1, 1]."""

    def __init__(self, config: FaedConfig):
        super().__init__()
        widths = (config.latent_channels, *reversed(config.channels[:-1]))
        kernels = tuple(reversed(config.kernels[:-1]))
        self.scales = Blocks(
            nn.Sequential(Upsample(), *_convolution(narrow, wide, 3), nn.ReLU(), ResidualBlock(wide, kernel))
            for narrow, wide, kernel in zip(widths, widths[1:], kernels, strict=False)
        )
        self.upsample = Upsample()
        self.last = CircularConv2d(widths[-1], 3, config.kernels[0], padding=config.kernels[0] // 2)

    def forward(self, features: Float[Tensor, "batch channels rows columns"]) -> Float[Tensor, "batch 3 height width"]:
        return self.last(self.upsample(self.scales(features))).tanh()


class Upsample(nn.Module):
    """`aognet.nn.circular.upsample` as a layer."""

    def forward(self, features: Float[Tensor, "batch channels rows columns"]) -> Tensor:
        return upsample(features)


class FaedTraining(nn.Module):
    """Learns to reconstruct whole panoramas. `PanoramaEncoder` measures with its encoder."""

    Config = FaedConfig

    def __init__(self, config: FaedConfig):
        super().__init__()
        self.config = config
        self.encoder = Encoder(config)
        self.decoder = Decoder(config)

    @classmethod
    def from_pretrained(cls, model: str | Path, revision: str | None = None) -> "FaedTraining":
        """Load what ``save_pretrained`` wrote, from a folder or hub id.

        :raises UserError: naming the file and the key.
        """
        return load_trained(cls, str(model), METHOD, revision, None)

    def trainable_parts(self) -> dict[str, nn.Module]:
        return {"encoder": self.encoder, "decoder": self.decoder}

    def forward(self, batch: Any) -> dict[str, Tensor]:
        """Return the L1 loss of the reconstruction (the published loss) and its mean PSNR."""
        self._check(batch.images)
        output = self.decoder(self.encoder(batch.images)).float()
        return {"loss": functional.l1_loss(output, batch.images), "psnr": psnr(output.detach(), batch.images).mean()}

    def preview(self, batch: Any) -> dict[str, Tensor]:
        return {"input": batch.images, "output": self.decoder(self.encoder(batch.images)).float()}

    def enable_gradient_checkpointing(self) -> None:
        """Compute every scale again in the backward pass, which moves its running statistics a second time."""
        self.encoder.scales.checkpointing = self.decoder.scales.checkpointing = True

    def save_pretrained(self, folder: Path) -> None:
        """Write ``config.json`` and ``model.safetensors`` (encoder and decoder, in ``config.dtype``)."""
        dtype = DTYPES[self.config.dtype]
        parts = {name: deepcopy(part).to(dtype) for name, part in self.trainable_parts().items()}
        if not all(bool(value.isfinite().all()) for value in part_tensors(parts).values()):
            raise UserError(f"{folder}: a weight does not fit dtype {self.config.dtype!r}")
        save_trained(folder, self.config, parts, METHOD)

    def _check(self, images: Tensor) -> None:
        size, expected = tuple(images.shape[-2:]), (self.config.height, 2 * self.config.height)
        if size != expected:
            raise UserError(
                f"height: the autoencoder is for panoramas of {expected[0]}x{expected[1]} pixels, the data has "
                f"{size[0]}x{size[1]}; set model.height and data.*.height alike"
            )


def _convolution(inputs: int, outputs: int, kernel: int) -> tuple[nn.Module, nn.Module]:
    """Return a convolution of the same size and its normalisation.

    Statistics are those of the batch, as published: those of one image would remove brightness and contrast from the
    features.
    """
    return CircularConv2d(inputs, outputs, kernel, padding=kernel // 2), nn.BatchNorm2d(outputs)


def _halving(inputs: int, outputs: int) -> tuple[nn.Module, nn.Module]:
    return CircularConv2d(inputs, outputs, 4, stride=2, padding=1), nn.BatchNorm2d(outputs)
