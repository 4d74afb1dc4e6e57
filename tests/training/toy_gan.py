"""A VQGAN and a StyleGAN in small: two optimizers, four phases, an adaptive weight, a late discriminator."""

from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional

from aognet.training.phases import OptimizedParts, Phase
from tests.training.toy import ToyBatch


@dataclass(frozen=True)
class ToyGanConfig:
    start: int = 2
    """The first step with a discriminator."""
    r1_every: int = 3
    dropout: float = 0.3
    """Drawn from the global random state, to see whether that is restored."""
    adaptive: bool = True
    """Whether the adversarial loss has a weight for which a batch is not the mean of its halves."""
    nan_phase: str = ""
    """The phase whose loss is not a number."""


class ToyGan(nn.Module):
    """An autoencoder that a discriminator judges (Esser et al. 2021), with lazy regularization (Karras et al. 2020)."""

    Config = ToyGanConfig

    def __init__(self, config: ToyGanConfig) -> None:
        super().__init__()
        self.config = config
        self.frozen = nn.Conv2d(3, 3, 1).requires_grad_(False)
        self.encoder = nn.Conv2d(3, 4, 3, padding=1)
        self.decoder = nn.Sequential(nn.SiLU(), nn.Conv2d(4, 3, 3, padding=1))
        self.discriminator = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.SiLU(), nn.Conv2d(4, 1, 1))
        self.discriminator.register_buffer("mean_score", torch.zeros(()))
        self.seen: list[tuple[int, str, list[int]]] = []

    def trainable_parts(self) -> dict[str, nn.Module]:
        return {"encoder": self.encoder, "decoder": self.decoder, "discriminator": self.discriminator}

    def optimizers(self) -> dict[str, OptimizedParts]:
        start = self.config.start
        return {
            "generator": OptimizedParts(
                parts=("encoder", "decoder"), phases=(Phase(name="generator"), Phase(name="path", every=2))
            ),
            "discriminator": OptimizedParts(
                parts=("discriminator",),
                phases=(
                    Phase(name="discriminator", start=start),
                    Phase(name="r1", start=start, every=self.config.r1_every),
                ),
                averaged=False,
            ),
        }

    def training_step(self, batch: ToyBatch, phase: str, step: int) -> dict[str, Tensor]:
        self.seen.append((step, phase, batch.seeds.tolist()))
        found = getattr(self, f"{phase}_losses")(batch, step)
        return found | {"loss": found["loss"] * (float("nan") if phase == self.config.nan_phase else 1.0)}

    def generator_losses(self, batch: ToyBatch, step: int) -> dict[str, Tensor]:
        images = self.reconstruct(batch.images)
        error = functional.l1_loss(images, batch.images)
        if step < self.config.start:
            return {"loss": error}
        adversarial = -self.discriminator(images).mean()
        if not self.config.adaptive:
            return {"loss": error + 0.1 * adversarial}
        last = self.decoder[-1].weight
        sizes = [torch.autograd.grad(loss, last, retain_graph=True)[0].norm() for loss in (error, adversarial)]
        weight = (sizes[0] / (sizes[1] + 1e-4)).clamp(0, 10).detach()
        return {"loss": error + 0.1 * weight * adversarial, "weight": weight}

    def path_losses(self, batch: ToyBatch, step: int) -> dict[str, Tensor]:
        latents = self.encoder(self.frozen(batch.images)).detach().requires_grad_(True)
        (slope,) = torch.autograd.grad(self.decoder(latents).square().sum(), latents, create_graph=True)
        return {"loss": 2 * slope.square().mean()}

    def discriminator_losses(self, batch: ToyBatch, step: int) -> dict[str, Tensor]:
        real, fake = (self.discriminator(images) for images in (batch.images, self.reconstruct(batch.images)))
        self.discriminator.mean_score.lerp_(real.detach().float().mean(), 0.1)
        return {"loss": functional.relu(1 - real).mean() + functional.relu(1 + fake).mean()}

    def r1_losses(self, batch: ToyBatch, step: int) -> dict[str, Tensor]:
        images = batch.images.clone().requires_grad_(True)
        (slope,) = torch.autograd.grad(self.discriminator(images).sum(), images, create_graph=True)
        return {"loss": self.config.r1_every * slope.square().sum((1, 2, 3)).mean()}

    def reconstruct(self, images: Tensor) -> Tensor:
        hidden = functional.dropout(self.encoder(self.frozen(images)), self.config.dropout, self.training)
        return self.decoder(hidden)

    def forward(self, batch: ToyBatch) -> dict[str, Tensor]:
        return {"loss": functional.l1_loss(self.reconstruct(batch.images), batch.images)}

    def preview(self, batch: ToyBatch) -> dict[str, Tensor]:
        return {"input": batch.images, "output": self.reconstruct(batch.images)}

    def enable_gradient_checkpointing(self) -> None:
        """It is small as it is."""

    def save_pretrained(self, folder: Path) -> None:
        folder.mkdir(parents=True)
        save_file(self.state_dict(), folder / "model.safetensors")
