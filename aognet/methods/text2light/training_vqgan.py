"""Training of Text2Light's autoencoders, on whole panoramas or patches (Esser et al. 2021, arXiv 2012.09841)."""

import math
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from aognet.diffusion.loading import DTYPES, check_dtype
from aognet.errors import UserError
from aognet.gan.patch_discriminator import PatchDiscriminator, adversarial_losses
from aognet.metrics.psnr import psnr
from aognet.metrics.ssim import ssim
from aognet.nn.block_transform import block_transform
from aognet.nn.circular import padded_as, wrap_around
from aognet.nn.optimized_parts import OptimizedParts, Phase
from aognet.perception.lpips import SMALLEST, PerceptualDistance
from aognet.perception.perceptual_loss import perceptual_loss
from aognet.vq.autoencoder import VqAutoencoder, VqAutoencoderConfig
from aognet.vq.code_use import CodeUse
from aognet.vq.quantizer import Codebook, Quantized

REVIVED = 10  # stream of a sample's seed
WEIGHTS = ("perceptual_weight", "codebook_weight", "adversarial_weight", "guide_weight")
MOST_ADAPTED = 5.0
"""How many times its weight the adversarial loss counts at most."""


class VqganTraining(nn.Module):
    """Learns to encode images as codes and to decode them. It writes the folder of a `VqAutoencoder`.

    Whole panoramas wrap around, patches of them and views do not: ``batch.wraps`` says which they are.
    """

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """The autoencoder, and the weights of its losses; defaults are the published ones.

        ``start``: folder of an autoencoder to go on from, which gives sizes and weights; padding is the config's.
        ``perceptual``: weights of LPIPS (safetensors); its distance is that of a square of ``perceptual_size`` pixels
        of each image (0: the whole). ``adversarial_weight``: weight of the discriminator, whose layers have
        ``discriminator`` channels, from training step ``adversarial_start`` on (0: none). ``adaptive``: it counts as
        much more as the gradient of the other losses in the last layer is larger than its own. ``bounded_scores``: the
        discriminator's scores pass a tanh. ``revive_below``: codes with less than this part of an even share get a new
        vector (0: never). ``guide_weight``: weight of the latents' difference from transform coding
        (`aognet.nn.block_transform`): without it few codes for much colour are learned late. ``dtype``: of the weights
        in the file.
        """

        autoencoder: VqAutoencoderConfig = field(default_factory=VqAutoencoderConfig)
        start: str = ""
        perceptual: str = ""
        perceptual_weight: float = 1.0
        perceptual_size: int = 0
        codebook_weight: float = 1.0
        adversarial_weight: float = 0.2
        adversarial_start: int = 10_000
        discriminator: tuple[int, ...] = (64, 128, 256)
        adaptive: bool = True
        bounded_scores: bool = True
        revive_below: float = 0.1
        guide_weight: float = 0.0
        dtype: str = "float32"

        def __post_init__(self) -> None:
            check_dtype(self.dtype)
            for name in (*WEIGHTS, "adversarial_start"):
                if not 0 <= getattr(self, name) < math.inf:
                    raise UserError("must be at least 0", key=name, value=getattr(self, name))
            if not 0 <= self.revive_below < 1:
                raise UserError("must lie in [0, 1)", key="revive_below", value=self.revive_below)
            if self.perceptual_size and self.perceptual_size < SMALLEST:
                raise UserError(f"must be 0 or at least {SMALLEST}", key="perceptual_size", value=self.perceptual_size)
            if self.guide_weight and self.autoencoder.quantizer.channels < 3:
                raise UserError("needs a quantizer of at least 3 numbers", key="guide_weight", value=self.guide_weight)
            if not self.discriminator or min(self.discriminator) < 1:
                raise UserError("must be numbers from 1 on", key="discriminator", value=[*self.discriminator])

    def __init__(self, config: Config):
        super().__init__()
        self.config = config
        self.autoencoder = _started(config) if config.start else VqAutoencoder(config.autoencoder)
        shape = self.autoencoder.config
        self.use = CodeUse(shape.quantizer.size, even=bool(config.start))
        lpips = config.perceptual and PerceptualDistance.load(config.perceptual, torch.device("cpu"))
        self.perceptual = lpips.network if lpips else None
        self.discriminator: PatchDiscriminator | None = None
        if config.adversarial_weight:
            self.discriminator = PatchDiscriminator(config.discriminator, config.bounded_scores)
            if shape.padding == "circular":
                wrap_around(self.discriminator)

    def trainable_parts(self) -> dict[str, nn.Module]:
        parts: dict[str, nn.Module] = {"autoencoder": self.autoencoder, "use": self.use}
        return parts if self.discriminator is None else parts | {"discriminator": self.discriminator}

    def optimizers(self) -> dict[str, OptimizedParts]:
        """Return one optimizer for both networks: their losses do not disturb each other
        (`aognet.gan.patch_discriminator`).
        """
        return {"vqgan": OptimizedParts(parts=tuple(self.trainable_parts()), phases=(Phase(name="vqgan"),))}

    def training_step(self, batch: Any, phase: str, step: int) -> dict[str, Tensor]:
        """Return the losses: L1, perceptual distance, codebook, and from a step on those of the discriminator's two
        sides. ``perplexity`` and ``used`` say how many codes are in use, ``revived`` which share was not.
        """
        config, images = self.config, batch.images
        with _padded(batch):
            latents = self.autoencoder.latents(images)
            found: dict[str, Tensor] = {}
            book = self.autoencoder.quantize
            if config.revive_below and isinstance(book, Codebook):
                found["revived"] = self.use.revive(book, latents, batch.seeds, config.revive_below, REVIVED)
            quantized = book(latents)
            self.use.count(quantized.codes)
            output = self.autoencoder.decode_latents(quantized.latents).float()
            loss, parts = self._reconstruction(output, quantized, batch)
            if config.guide_weight:
                guide = block_transform(images, latents.shape[1], self.autoencoder.config.stride)
                loss = loss + config.guide_weight * functional.mse_loss(latents.float(), guide)
            found |= parts | {"perplexity": self.use.perplexity(), "used": self.use.used()}
            if self.discriminator is not None and step >= config.adversarial_start:
                losses = adversarial_losses(self.discriminator, images, output)
                weight = self._adapted(loss, losses.generator) if config.adaptive else 1.0
                loss = loss + config.adversarial_weight * weight * losses.generator + losses.discriminator
                found |= {"painter": losses.generator.detach(), "judge": losses.discriminator.detach()}
        return {"loss": loss + config.codebook_weight * quantized.loss} | found

    def _reconstruction(self, output: Tensor, quantized: Quantized, batch: Any) -> tuple[Tensor, dict[str, Tensor]]:
        config, images = self.config, batch.images
        loss = functional.l1_loss(output, images)
        found = {"codebook": quantized.loss.detach(), "psnr": psnr(output.detach().clamp(-1, 1), images).mean()}
        if self.perceptual is not None:
            size = config.perceptual_size if self.training else 0
            distance = perceptual_loss(self.perceptual, output, images, batch.seeds, size)
            loss = loss + config.perceptual_weight * distance
            found["lpips"] = distance.detach()
        return loss, found

    def _adapted(self, loss: Tensor, adversarial: Tensor) -> Float[Tensor, ""]:
        """Return the ratio of the two gradients in the decoder's last layer (Esser et al. 2021, equation 7)."""
        last = self.autoencoder.decoder.conv_out.weight
        of_others, of_adversary = (
            torch.autograd.grad(one, last, retain_graph=True)[0].norm() for one in (loss, adversarial)
        )
        return (of_others / (of_adversary + 1e-4)).clamp(0, MOST_ADAPTED).detach()

    def forward(self, batch: Any) -> dict[str, Tensor]:
        """Return how well held-out images come back: the loss without discriminator, PSNR, SSIM, LPIPS."""
        with _padded(batch):
            output, quantized = self.autoencoder(batch.images)
            loss, found = self._reconstruction(output.float(), quantized, batch)
        found["ssim"] = ssim(output.float().clamp(-1, 1), batch.images).mean()
        found["codes"] = torch.tensor(float(len(quantized.codes.unique())), device=loss.device)
        return {"loss": loss + self.config.codebook_weight * quantized.loss} | found

    def preview(self, batch: Any) -> dict[str, Tensor]:
        with _padded(batch):
            output, _ = self.autoencoder(batch.images)
        return {"input": batch.images, "output": output.float().clamp(-1, 1)}

    def enable_gradient_checkpointing(self) -> None:
        self.autoencoder.enable_gradient_checkpointing()

    def save_pretrained(self, folder: Path) -> None:
        """Write ``config.json`` and ``model.safetensors`` of the autoencoder."""
        self.autoencoder.save_pretrained(folder, DTYPES[self.config.dtype])


def _padded(batch: Any) -> Any:
    return padded_as(None if getattr(batch, "wraps", False) else "view")


def _started(config: VqganTraining.Config) -> VqAutoencoder:
    loaded = VqAutoencoder.from_pretrained(config.start)
    network = VqAutoencoder(replace(loaded.config, padding=config.autoencoder.padding))
    network.load_state_dict(loaded.state_dict())
    return network
