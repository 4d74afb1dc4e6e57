"""Training of an `AutoencoderKL` by reconstruction, and optionally by perceptual distance and a discriminator."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from aognet.diffusion.loading import load_weights
from aognet.diffusion.sampling.noise import noise_like
from aognet.embedded.autoencoder.balance import balance
from aognet.errors import UserError
from aognet.gan.patch_discriminator import PatchDiscriminator, adversarial_losses
from aognet.metrics.psnr import psnr
from aognet.metrics.ssim import ssim
from aognet.nn.block_transform import block_transform
from aognet.perception.lpips import SMALLEST, PerceptualDistance
from aognet.perception.perceptual_loss import perceptual_loss

LATENTS = 0  # stream of a sample's seed; others are those of the perceptual loss


class AutoencoderTraining(nn.Module):
    """Learns to encode and decode views. It writes the folder that a Stable Diffusion pipeline calls ``vae``."""

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """The shape of the autoencoder (factor ``2 ** (len(channels) - 1)``) and the weights of its losses.

        ``guide_weight``: weight of the latents' difference from transform coding (`block_transform`), which teaches
        them what to keep. ``perceptual``: weights of LPIPS (safetensors). Its distance is computed on one square of
        ``perceptual_size`` pixels of every view (0: the whole view), since it costs more than the autoencoder.
        ``adversarial_weight``: weight of the discriminator, whose layers have ``discriminator`` channels. ``start``:
        folder with the ``vae`` to continue from, which also gives the shape. ``decoder_only``: the encoder stays, so
        that what was trained on its latents remains usable.
        """

        channels: tuple[int, ...] = (24, 48, 96)
        latent_channels: int = 4
        layers_per_block: int = 1
        groups: int = 8
        gradient_weight: float = 1.0
        kl_weight: float = 1e-6
        guide_weight: float = 0.0
        perceptual: str = ""
        perceptual_weight: float = 1.0
        perceptual_size: int = 0
        adversarial_weight: float = 0.0
        discriminator: tuple[int, ...] = (32, 64, 128)
        start: str = ""
        decoder_only: bool = False

        def __post_init__(self) -> None:
            if self.guide_weight and self.latent_channels < 3:
                raise UserError("must be at least 3 with a guide", key="latent_channels", value=self.latent_channels)
            if any(width % self.groups for width in self.channels):
                raise UserError(
                    f"must be multiples of groups ({self.groups})", key="channels", value=list(self.channels)
                )
            if self.perceptual_size and self.perceptual_size < SMALLEST:
                raise UserError(f"must be 0 or at least {SMALLEST}", key="perceptual_size", value=self.perceptual_size)
            if self.decoder_only and not self.start:
                raise UserError("needs start, the folder with the autoencoder whose encoder stays", key="decoder_only")
            if self.decoder_only and self.guide_weight:
                raise UserError(
                    "is for the encoder, which decoder_only keeps", key="guide_weight", value=self.guide_weight
                )

    vae: Any

    def __init__(self, config: Config):
        super().__init__()
        self.config = config
        self.vae = _load(config) if config.start else _new(config)
        lpips = config.perceptual and PerceptualDistance.load(config.perceptual, torch.device("cpu"))
        self.perceptual = lpips.network if lpips else None
        self.discriminator = PatchDiscriminator(config.discriminator) if config.adversarial_weight else None

    def trainable_parts(self) -> dict[str, nn.Module]:
        vae = self.vae
        decoder = {"decoder": vae.decoder, "post_quant_conv": vae.post_quant_conv}
        parts = decoder if self.config.decoder_only else {"vae": vae}
        return parts if self.discriminator is None else parts | {"discriminator": self.discriminator}

    def forward(self, batch) -> dict[str, Tensor]:
        """Return the losses: L1 on colours and on their differences between neighbours (which keeps edges sharp), a
        weak KL term, and the guide.

        If they are wanted, also the perceptual distance and the losses of both sides of the discriminator.
        """
        config, images = self.config, batch.images
        with torch.set_grad_enabled(torch.is_grad_enabled() and not config.decoder_only):
            posterior = self.vae.encode(images).latent_dist
            latents = posterior.mean + posterior.std * noise_like(posterior.mean, batch.seeds, stream=LATENTS)
        output = self.vae.decode(latents).sample.float()
        colour = functional.l1_loss(output, images)
        gradient = _gradient_loss(output, images)
        kl = posterior.kl().mean() / latents[0].numel()
        loss = colour + config.gradient_weight * gradient + config.kl_weight * kl
        if config.guide_weight:
            guide = block_transform(images, latents.shape[1], images.shape[-1] // latents.shape[-1])
            loss = loss + config.guide_weight * functional.mse_loss(posterior.mean.float(), guide)
        found = {"kl": kl.detach(), "psnr": psnr(output.detach().clamp(-1, 1), images).mean()}
        if not self.training:
            found["ssim"] = ssim(output.clamp(-1, 1), images).mean()
        if self.perceptual is not None:
            size = config.perceptual_size if self.training else 0
            distance = perceptual_loss(self.perceptual, output, images, batch.seeds, size)
            loss = loss + config.perceptual_weight * distance
            found["lpips"] = distance.detach()
        if self.discriminator is not None:
            losses = adversarial_losses(self.discriminator, images, output)
            loss = loss + config.adversarial_weight * losses.generator + losses.discriminator
            found |= {"painter": losses.generator.detach(), "judge": losses.discriminator.detach()}
        return {"loss": loss} | found

    def preview(self, batch) -> dict[str, Tensor]:
        posterior = self.vae.encode(batch.images).latent_dist
        return {"input": batch.images, "output": self.vae.decode(posterior.mode()).sample.float().clamp(-1, 1)}

    def finish(self, batches) -> None:
        """Balance the latents' channels and set the scaling factor so that scaled latents have unit variance.

        An encoder that stays keeps both.
        """
        if self.config.decoder_only:
            return
        images = [batch.images for batch in batches]
        balance(self.vae, images)
        with torch.no_grad():
            latents = torch.cat([self.vae.encode(batch).latent_dist.mode().float() for batch in images])
        self.vae.register_to_config(scaling_factor=round(1 / latents.std().item(), 5))

    def enable_gradient_checkpointing(self) -> None:
        self.vae.enable_gradient_checkpointing()

    def save_pretrained(self, folder: Path) -> None:
        """Write ``folder/vae`` as diffusers does."""
        self.vae.save_pretrained(folder / "vae", safe_serialization=True)


def _new(config: AutoencoderTraining.Config) -> Any:
    from diffusers import AutoencoderKL

    levels = len(config.channels)
    return AutoencoderKL(
        block_out_channels=tuple(config.channels),
        down_block_types=("DownEncoderBlock2D",) * levels,
        up_block_types=("UpDecoderBlock2D",) * levels,
        latent_channels=config.latent_channels,
        layers_per_block=config.layers_per_block,
        norm_num_groups=config.groups,
        mid_block_add_attention=False,
    )


def _load(config: AutoencoderTraining.Config) -> Any:
    from diffusers import AutoencoderKL

    vae = load_weights(AutoencoderKL, Path(config.start), "vae")
    trained = [vae.decoder, vae.post_quant_conv] if config.decoder_only else [vae]
    for part in trained:
        part.requires_grad_(True)
    return vae.train()


def _gradient_loss(
    output: Float[Tensor, "batch 3 height width"], target: Float[Tensor, "batch 3 height width"]
) -> Tensor:
    # In this order: the other one adds up gradients differently, and changes the last bits of a training.
    down, across = (functional.l1_loss(output.diff(dim=axis), target.diff(dim=axis)) for axis in (-2, -1))
    return down + across
