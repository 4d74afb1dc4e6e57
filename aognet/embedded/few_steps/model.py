"""Training of a method to paint in a few steps: by an energy score, and against a discriminator.

A denoiser that learns from mean squared errors alone needs many steps and long training before what it paints is not
the mean of all that could be there. Here each view is painted twice, and the two shall be near the view but far from
each other (`aognet.embedded.few_steps.energy`; De Bortoli et al. 2025, "Distributional diffusion models with scoring
rules", arXiv 2502.02483, has it of pixels). A discriminator makes them sharper (Sauer et al. 2023, "Adversarial
diffusion distillation", arXiv 2311.17042); alone it ends at one layout for all rooms. Unlike there, what is real are
views, not what a larger model paints, so nothing is distilled, and latents are not decoded to be judged
(`aognet.embedded.few_steps.critic`).
"""

import json
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from aognet.diffusion.backbone import Backbone
from aognet.diffusion.inpaint import check_settings
from aognet.diffusion.objective import TIMESTEP, Denoising
from aognet.diffusion.sampling.noise import noise_like, uniform
from aognet.diffusion.sampling.sampler import SamplerConfig
from aognet.diffusion.sampling.schedulers import make_scheduler
from aognet.diffusion.saved import SETTINGS
from aognet.embedded.feature_critic import Features
from aognet.embedded.few_steps.critic import LatentCritic
from aognet.embedded.few_steps.energy import described, energy_score
from aognet.errors import UserError
from aognet.gan.augmentation import AugmentationConfig, augmented, drawn_numbers
from aognet.gan.projected import ProjectedDiscriminatorConfig

# Streams of a sample's seed, beside those of the methods.
BETWEEN, AGAIN, AUGMENTATION = 41, 42, 43
SCHEDULER = "lcm"  # each step predicts the clean latents, which are then noised less than before


@runtime_checkable
class FewStepMethod(Protocol):
    """A method that can learn to paint in few steps."""

    backbone: Backbone
    config: Any

    def denoising(self, batch: Any) -> Denoising:
        """Return what it learns from in one step, each view once."""

    def trainable_parts(self) -> dict[str, nn.Module]:
        """Return the parts that learn, by name."""

    def save_pretrained(self, folder: Path) -> None:
        """Write what was trained."""

    def enable_gradient_checkpointing(self) -> None:
        """Compute activations again in the backward pass."""


class FewStepTraining(nn.Module):
    """A method that paints, and the `LatentCritic` of what it paints. It writes what the method writes."""

    learner = FewStepMethod
    """What can learn so: an objective has this, see `aognet.commands.train`."""

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """The steps, and the losses.

        ``often``: how often each step is learned, the first (pure noise) first; their number is the number of steps.
        ``mean_weight``: weight of the squared error of the clean latents, in proportion to the signal (alpha bar) of
        what it is told from; ``known_weight``: that of known places in it. ``energy_weight``: of the energy score;
        ``adversarial_weight``: of the discriminator's scores. ``augmentation``: of the pictures that both see.
        ``projected``: the critic's discriminator.
        """

        projected: ProjectedDiscriminatorConfig
        often: tuple[float, ...] = (4.0, 3.0, 2.0, 1.0)
        mean_weight: float = 2.0
        known_weight: float = 0.2
        energy_weight: float = 10.0
        adversarial_weight: float = 0.3
        augmentation: AugmentationConfig = field(default_factory=lambda: AugmentationConfig(colour=0.5, cutout=0.25))

        def __post_init__(self) -> None:
            if not self.often or min(self.often) < 0 or not sum(self.often) > 0:
                raise UserError("must be one number per step, none negative", key="often", value=list(self.often))
            for name in ("mean_weight", "known_weight", "energy_weight", "adversarial_weight"):
                if getattr(self, name) < 0:
                    raise UserError("must not be negative", key=name, value=getattr(self, name))

    method: Any

    def __init__(self, config: Config, model: FewStepMethod):
        """``model``: the method.

        :raises UserError: if it learns from a view several times, or its backbone is not told what is known or predicts
            nothing of use from pure noise.
        """
        super().__init__()
        self.config, self.method = config, model
        self.backbone = model.backbone
        self._check()
        self.critic = LatentCritic(config.projected, self.backbone.latents, self.backbone.denoiser.context_dim)
        scheduler: Any = make_scheduler(SCHEDULER, self.backbone.scheduler.config)
        scheduler.set_timesteps(len(config.often))
        self.timesteps = scheduler.timesteps.long()

    def _check(self) -> None:
        draws = self.method.config.draws
        if draws != 1:
            raise UserError("must be 1: each view is learned from once", key="model.draws", value=draws)
        if not self.backbone.is_inpainting:
            raise UserError("has a UNet that is not told what is known; few steps need an inpainting UNet", key="model")
        if self.backbone.prediction_type == "epsilon" and not float(self._signal(torch.tensor([-1]))):
            raise UserError("predicts noise, from which pure noise cannot be told apart; velocities can", key="model")
        check_settings(self.backbone, self.backbone.latents.scale, self.sampler, True)

    @property
    def sampler(self) -> SamplerConfig:
        """How such a model paints."""
        return SamplerConfig(scheduler=SCHEDULER, steps=len(self.config.often), guidance=1.0)

    def trainable_parts(self) -> dict[str, nn.Module]:
        return self.method.trainable_parts() | {"discriminator": self.critic.discriminator}

    def forward(self, batch: Any) -> dict[str, Tensor]:
        """Return the sum of both sides' losses, and what each of them is made of.

        One pass gives each side the gradient of its own loss alone (`LatentCritic.scores`): two phases would compute
        views and features twice.

        :raises UserError: for a single picture.
        """
        config, given = self.config, self.method.denoising(batch)
        true = squares(given.latents)
        if len(true) < 2:  # distances are compared with those between different ones
            raise UserError("must be at least 2 here", key="trainer.batch_size", value=len(true))
        parts = len(true) // len(given.latents)
        numbers = drawn_numbers(given.seeds, AUGMENTATION).repeat_interleave(parts, 0)
        painted = [self._painted(one) for one in (given, self._noised_anew(given))]
        distance = self._distance(torch.stack(painted), given)
        shown = torch.cat([squares(joined(each, given)) for each in painted])
        images, of_truth = self._seen(true, numbers)
        both, features = self._seen(shown, numbers.repeat(2, 1))
        one, other = ([vectors.chunk(2)[half] for vectors in described(features, both)] for half in range(2))
        energy = energy_score(one, other, described(of_truth, images))
        scores = self.critic.scores(of_truth, features, given.text.repeated_each(parts).tokens)
        painter = config.mean_weight * distance + config.energy_weight * energy.loss
        painter = painter - config.adversarial_weight * scores.to_painter
        found = {"distance": distance, "near": energy.near, "spread": energy.spread, "judged": scores.hinge}
        found |= {"real": scores.real, "painted": scores.painted, "mistaken": scores.mistaken}
        return {"loss": painter + scores.hinge} | {name: value.detach() for name, value in found.items()}

    def _noised_anew(self, given: Denoising) -> Denoising:
        """Return the same with other noise: what is painted of it shall be another picture."""
        condition = given.condition
        return replace(given, condition=replace(condition, noise=noise_like(condition.noise, given.seeds, AGAIN)))

    def _distance(
        self, painted: Float[Tensor, "times batch channels rows columns"], given: Denoising
    ) -> Float[Tensor, ""]:
        """Return the squared error of clean latents, which counts the more, the more of them was seen."""
        mask, signal = given.condition.mask, self._signal(self._timesteps(given))
        weights = mask * signal + self.config.known_weight * (1 - mask)
        return ((painted - given.latents).square() * weights).mean()

    def _seen(
        self, latents: Float[Tensor, "parts channels rows side"], numbers: Float[Tensor, "parts numbers"]
    ) -> tuple[Float[Tensor, "parts 3 height width"], Features]:
        """Return the augmented pictures of latents, and their features."""
        images = augmented(self.critic.images(latents), numbers, self.config.augmentation)
        return images, self.critic.features(images)

    def _painted(self, given: Denoising) -> Float[Tensor, "batch channels rows columns"]:
        """Return the clean latents that are predicted in one of the steps."""
        timesteps = self._timesteps(given)
        noisy = self.backbone.add_noise(given.latents, given.condition.noise, timesteps)
        predict = given.predict or self.backbone.predict
        predicted = predict(noisy, timesteps, given.text, given.condition).float()
        signal = self._signal(timesteps)
        if self.backbone.prediction_type == "epsilon":
            return (noisy - (1 - signal).sqrt() * predicted) / signal.sqrt()
        return signal.sqrt() * noisy - (1 - signal).sqrt() * predicted

    def _signal(self, timesteps: Int64[Tensor, "batch"]) -> Float[Tensor, "batch 1 1 1"]:
        """Return the share of the power of noised latents that is theirs (alpha bar)."""
        return self.backbone.training_scheduler.alphas_cumprod.to(timesteps.device)[timesteps][:, None, None, None]

    def _timesteps(self, given: Denoising) -> Int64[Tensor, "batch"]:
        drawn = self._drawn_timesteps(given.seeds[:: given.together]).repeat_interleave(given.together)
        return drawn.to(given.latents.device)

    def _drawn_timesteps(self, seeds: Int64[Tensor, "batch"]) -> Int64[Tensor, "batch"]:
        """Return timesteps of steps, and every second time some between a step and the next.

        From a trace of the view in the noise it learns early that what is painted shall depend on the noise.
        """
        shares = torch.tensor(self.config.often).cumsum(0)
        chosen = torch.searchsorted(shares, uniform(seeds, TIMESTEP).cpu() * shares[-1], right=True)
        steps = torch.cat([self.timesteps, self.timesteps.new_zeros(1)])
        first, after = (steps[(chosen + one).clamp(max=len(shares) - 1 + one)] for one in range(2))
        below = (2 * uniform(seeds, BETWEEN).cpu() - 1).clamp(min=0)
        return first - (below * (first - after)).long()

    @torch.no_grad()
    def preview(self, batch: Any) -> dict[str, Tensor]:
        """Return views, and what is painted of each in one of the steps beside what is known of it."""
        given = self.method.denoising(batch)
        painted, decode = joined(self._painted(given), given), self.backbone.latents.decode
        return {"target": decode(given.latents), "one step": decode(painted)}

    def enable_gradient_checkpointing(self) -> None:
        self.method.enable_gradient_checkpointing()

    def save_pretrained(self, folder: Path) -> None:
        """Write what the method writes, and how it paints (`aognet.methods.preferred`)."""
        self.method.save_pretrained(folder)
        how = {"scheduler": SCHEDULER, "steps": self.sampler.steps, "guidance": self.sampler.guidance}
        (folder / SETTINGS).write_text(json.dumps({"sampler": how}, indent=2) + "\n", encoding="utf-8")


def joined(painted: Float[Tensor, "batch channels rows columns"], given: Denoising) -> Tensor:
    """Return what is painted beside what is known: the critic shall see whether they fit."""
    mask = given.condition.mask
    return mask * painted + (1 - mask) * given.latents


def squares(latents: Float[Tensor, "batch channels rows columns"]) -> Float[Tensor, "parts channels rows side"]:
    """Return the square parts of wide latents, those of a row one after the other; others as they are."""
    rows, columns = latents.shape[-2:]
    count = max(columns // rows, 1)
    if count == 1:
        return latents
    return latents[..., : count * rows].unflatten(-1, (count, rows)).movedim(-2, 1).flatten(0, 1)
