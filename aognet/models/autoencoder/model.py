"""Training of an `AutoencoderKL` by reconstruction alone: no discriminator, no perceptual network to download."""

from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from aognet.errors import UserError
from aognet.metrics.psnr import psnr
from aognet.metrics.ssim import ssim
from aognet.models.autoencoder.balance import balance
from aognet.models.autoencoder.transform import block_transform
from aognet.sampling.noise import noise_like


class AutoencoderTraining(nn.Module):
    """Learns to encode and decode views; writes the folder that a Stable Diffusion pipeline calls ``vae``."""

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """Shape of the autoencoder (factor ``2 ** (len(channels) - 1)``) and weights of its losses.

        ``guide_weight``: of the latents' difference from transform coding (`block_transform`), which teaches them what
        to keep.
        """

        channels: tuple[int, ...] = (24, 48, 96)
        latent_channels: int = 4
        layers_per_block: int = 1
        groups: int = 8
        gradient_weight: float = 1.0
        kl_weight: float = 1e-6
        guide_weight: float = 0.0

        def __post_init__(self) -> None:
            if self.guide_weight and self.latent_channels < 3:
                raise UserError(f"latent_channels must be at least 3 with a guide, got {self.latent_channels}")
            if any(width % self.groups for width in self.channels):
                raise UserError(f"channels must be multiples of groups ({self.groups}), got {list(self.channels)}")

    def __init__(self, config: Config):
        super().__init__()
        from diffusers import AutoencoderKL

        self.config = config
        levels = len(config.channels)
        self.vae = AutoencoderKL(
            block_out_channels=tuple(config.channels),
            down_block_types=("DownEncoderBlock2D",) * levels,
            up_block_types=("UpDecoderBlock2D",) * levels,
            latent_channels=config.latent_channels,
            layers_per_block=config.layers_per_block,
            norm_num_groups=config.groups,
            mid_block_add_attention=False,
        )

    def trainable_parts(self) -> dict[str, nn.Module]:
        return {"vae": self.vae}

    def forward(self, batch) -> dict[str, Tensor]:
        """L1 on colours and on their differences between neighbours (which keeps edges sharp), weak KL term, guide."""
        posterior = self.vae.encode(batch.images).latent_dist
        latents = posterior.mean + posterior.std * noise_like(posterior.mean, batch.seeds, stream=0)
        output = self.vae.decode(latents).sample.float()
        colour = functional.l1_loss(output, batch.images)
        gradient = _gradient_loss(output, batch.images)
        kl = posterior.kl().mean() / latents[0].numel()
        loss = colour + self.config.gradient_weight * gradient + self.config.kl_weight * kl
        if self.config.guide_weight:
            guide = block_transform(batch.images, latents.shape[1], batch.images.shape[-1] // latents.shape[-1])
            loss = loss + self.config.guide_weight * functional.mse_loss(posterior.mean.float(), guide)
        found = {"loss": loss, "kl": kl.detach(), "psnr": psnr(output.detach().clamp(-1, 1), batch.images).mean()}
        return found if self.training else found | {"ssim": ssim(output.clamp(-1, 1), batch.images).mean()}

    def preview(self, batch) -> dict[str, Tensor]:
        posterior = self.vae.encode(batch.images).latent_dist
        return {"input": batch.images, "output": self.vae.decode(posterior.mode()).sample.float().clamp(-1, 1)}

    def finish(self, batches) -> None:
        """Balances the latents' channels and sets the scaling factor so that scaled latents have unit variance."""
        images = [batch.images for batch in batches]
        balance(self.vae, images)
        with torch.no_grad():
            latents = torch.cat([self.vae.encode(batch).latent_dist.mode().float() for batch in images])
        self.vae.register_to_config(scaling_factor=round(1 / latents.std().item(), 5))

    def enable_gradient_checkpointing(self) -> None:
        self.vae.enable_gradient_checkpointing()

    def save_pretrained(self, folder: Path) -> None:
        """Writes ``folder/vae`` as diffusers does."""
        self.vae.save_pretrained(folder / "vae", safe_serialization=True)


def _gradient_loss(
    output: Float[Tensor, "batch 3 height width"], target: Float[Tensor, "batch 3 height width"]
) -> Tensor:
    return sum(functional.l1_loss(output.diff(dim=axis), target.diff(dim=axis)) for axis in (-2, -1))
