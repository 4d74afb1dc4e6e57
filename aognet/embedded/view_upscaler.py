"""Training of a small upscaler behind an autoencoder: it makes decoded views larger, with the texture they lost."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from aognet.diffusion.backbone import UPSCALER
from aognet.diffusion.loading import load_weights
from aognet.diffusion.sampling.noise import noise_like, uniform
from aognet.embedded.feature_critic import FeatureCritic, Features
from aognet.errors import UserError
from aognet.gan.discriminator import hinge_of_discriminator
from aognet.gan.projected import ProjectedDiscriminatorConfig
from aognet.gan.reconstruction import view_distance
from aognet.gan.spectral import steady
from aognet.metrics.psnr import psnr
from aognet.metrics.sharpness import view_sharpness
from aognet.nn.network_folder import WEIGHTS
from aognet.nn.optimized_parts import OptimizedParts, Phase
from aognet.nn.srvgg import MOST_CHANNELS, MOST_LAYERS, MOST_SCALE, SrvggCompact, unbounded_views
from aognet.nn.weights import write_tensors

# Streams of a sample's seed.
LATENTS, LEVEL = 0, 1


class UpscalerTraining(nn.Module):
    """Learns to undo what shrinking and an autoencoder do to views. It writes a folder ``upscaler``."""

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """The network and its losses.

        ``vae``: folder with the autoencoder's ``vae``. ``channels`` and ``convolutions``: of the network, which makes
        views ``scale`` times larger. ``latent_noise``: up to so much noise, in standard deviations, is added to the
        latents, since painted ones are not without errors either. ``distance_weight``: of how far views and their
        features are from the truth. ``adversarial_weight``: of the discriminator, which is ``projected``.
        """

        vae: str
        projected: ProjectedDiscriminatorConfig
        channels: int = 32
        convolutions: int = 8
        scale: int = 2
        latent_noise: float = 0.2
        distance_weight: float = 10.0
        adversarial_weight: float = 1.0

        def __post_init__(self) -> None:
            bounds = {"channels": MOST_CHANNELS, "convolutions": MOST_LAYERS, "scale": MOST_SCALE}
            for name, most in bounds.items():
                if not 1 <= getattr(self, name) <= most:
                    raise UserError(f"must lie in [1, {most}]", key=name, value=getattr(self, name))
            for name in ("latent_noise", "distance_weight", "adversarial_weight"):
                if getattr(self, name) < 0:
                    raise UserError("must not be negative", key=name, value=getattr(self, name))

    find_unused_parameters = False

    def __init__(self, config: Config):
        super().__init__()
        from diffusers import AutoencoderKL

        self.config = config
        self.vae: Any = load_weights(AutoencoderKL, Path(config.vae), "vae")
        self.network = SrvggCompact(config.channels, config.convolutions, config.scale)
        for parameter in self.network.body[-1].parameters():
            nn.init.zeros_(parameter)  # begins as the nearest pixel
        self.critic = FeatureCritic(config.projected, 1)

    def trainable_parts(self) -> dict[str, nn.Module]:
        return {"network": self.network, "discriminator": self.critic.discriminator}

    def optimizers(self) -> dict[str, OptimizedParts]:
        judging = Phase(name="discriminator")
        return {
            "discriminator": OptimizedParts(parts=("discriminator",), phases=(judging,), averaged=False),
            "network": OptimizedParts(parts=("network",), phases=(Phase(name="network"),)),
        }

    def training_step(self, batch: Any, phase: str, step: int) -> dict[str, Tensor]:
        """Return the hinge loss of the discriminator, or the network's losses, and what else is of interest."""
        with steady(self):
            return self._losses(batch, phase)

    def _losses(self, batch: Any, phase: str) -> dict[str, Tensor]:
        images = batch.images
        if phase == "discriminator":
            with torch.no_grad():
                larger = self._larger(images, batch.seeds)
            real, made = (self._scores(self.critic.features(one)) for one in (images, larger))
            scores = {"real": real.detach().mean(), "made": made.detach().mean()}
            return {"loss": hinge_of_discriminator(real, made)} | scores
        larger = self._larger(images, batch.seeds)
        features = self.critic.features(larger)
        distance = view_distance(larger, images, features, self.critic.features(images))
        score = self._scores(features).mean()
        loss = self.config.distance_weight * distance - self.config.adversarial_weight * score
        return {"loss": loss, "distance": distance.detach(), "score": score.detach()}

    def forward(self, batch: Any) -> dict[str, Tensor]:
        """Return how far larger views are from the truth, their PSNR (dB), and how sharp they are (1: as the truth)."""
        images, larger = batch.images, self._larger(batch.images, batch.seeds)
        distance = view_distance(larger, images, *map(self.critic.features, (larger, images)))
        sharpness = view_sharpness(larger, images)
        return {"loss": distance, "psnr": psnr(larger.clamp(-1, 1), images).mean(), "sharpness": sharpness}

    @torch.no_grad()
    def _seen(self, images: Tensor, seeds: Tensor) -> Tensor:
        """Return views as they are to be made larger: small, through the autoencoder, with errors in their latents."""
        small = functional.avg_pool2d(images, self.config.scale)
        latents = self.vae.encode(small).latent_dist.mode()
        level = self.config.latent_noise / self.vae.config.scaling_factor * uniform(seeds, LEVEL)
        latents = latents + level.to(latents.device)[:, None, None, None] * noise_like(latents, seeds, LATENTS)
        return self.vae.decode(latents).sample.float().clamp(-1, 1)

    def _larger(self, images: Tensor, seeds: Tensor) -> Float[Tensor, "batch 3 height width"]:
        return unbounded_views(self.network, self._seen(images, seeds)).float()

    def _scores(self, features: Features) -> Tensor:
        return self.critic.judge(features, torch.zeros(len(features[0]), 1, device=features[0].device))

    @torch.no_grad()
    def preview(self, batch: Any) -> dict[str, Tensor]:
        """Return views, what is seen of them, and how it is made larger."""
        seen = functional.interpolate(self._seen(batch.images, batch.seeds), scale_factor=self.config.scale)
        return {"truth": batch.images, "seen": seen, "larger": self._larger(batch.images, batch.seeds).clamp(-1, 1)}

    def enable_gradient_checkpointing(self) -> None:
        """Refuse it: the network is small."""
        raise UserError("is not for this training", key="trainer.gradient_checkpointing")

    def save_pretrained(self, folder: Path) -> None:
        """Write ``folder/upscaler/model.safetensors``, in half precision."""
        (folder / UPSCALER).mkdir(parents=True, exist_ok=True)
        halves = {key: value.half() for key, value in self.network.state_dict().items()}
        write_tensors(folder / UPSCALER / WEIGHTS, halves)
