"""Training of a method to paint in a few steps, against a discriminator.

A denoiser that learns from mean squared errors alone needs many steps and long training before what it paints is not
the mean of all that could be there. A discriminator wants one of those things, and gets it early (Sauer et al. 2023,
"Adversarial diffusion distillation", arXiv 2311.17042). Unlike there, what is real are views, not what a larger model
paints, so nothing is distilled, and latents are not decoded to be judged (`aognet.embedded.few_steps.critic`).
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from aognet.diffusion.backbone import Backbone
from aognet.diffusion.inpaint import check_settings
from aognet.diffusion.objective import TIMESTEP, Denoising
from aognet.diffusion.sampling.noise import uniform
from aognet.diffusion.sampling.sampler import SamplerConfig
from aognet.diffusion.sampling.schedulers import make_scheduler
from aognet.diffusion.saved import SETTINGS
from aognet.embedded.few_steps.critic import LatentCritic
from aognet.errors import UserError
from aognet.gan.projected import ProjectedDiscriminatorConfig
from aognet.gan.reconstruction import feature_distances

LEAST_SHARE = 0.25
"""How much the features of a view count of which nothing is known: without them, contrasts grow beyond measure."""
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

    NESTED = ("model",)
    """Sections of the configuration that are objects of their own, see `aognet.targets`."""

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """The steps, and the losses, which are those of views of which nothing or a part is known.

        ``often``: how often each step is learned, the first (pure noise) first; their number is the number of steps.
        ``mean_weight``: weight of the squared error of the clean latents, in proportion to the signal (alpha bar) of
        what it is told from; ``known_weight``: that of known places in it. ``feature_weight``: of how far the features
        of what is painted are from those of the view, the more, the more of it is known; they tell early what belongs
        where (Suvorov et al. 2022, "LaMa", section 2.2). ``projected``: the critic's discriminator.
        """

        projected: ProjectedDiscriminatorConfig
        often: tuple[float, ...] = (4.0, 3.0, 2.0, 1.0)
        mean_weight: float = 2.0
        known_weight: float = 0.2
        feature_weight: float = 5.0

        def __post_init__(self) -> None:
            if not self.often or min(self.often) < 0 or not sum(self.often) > 0:
                raise UserError("must be one number per step, none negative", key="often", value=list(self.often))
            for name in ("mean_weight", "known_weight", "feature_weight"):
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
        if self.backbone.prediction_type == "epsilon" and not float(self._signal[-1]):
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
        """
        config, given = self.config, self.method.denoising(batch)
        latents, condition = given.latents, given.condition
        painted, kept = self._painted(given)
        weights = condition.mask * kept + config.known_weight * (1 - condition.mask)
        distance = ((painted - latents).square() * weights).mean()
        with torch.no_grad():
            of_truth = self.critic.features(squares(latents))
        shown = squares(joined(painted, given))
        features = self.critic.features(shown)
        scores = self.critic.scores(of_truth, features, given.text.repeated_each(len(shown) // len(latents)).tokens)
        # Mostly in proportion to what is known: of what could be anything, the features would be a mean, too.
        shares = LEAST_SHARE + (1 - LEAST_SHARE) * (1 - squares(condition.mask).mean((1, 2, 3)))
        away = (shares * feature_distances(features, of_truth)).mean()
        painter = config.mean_weight * distance + config.feature_weight * away - scores.to_painter
        found = {"distance": distance, "away": away, "judged": scores.hinge, "real": scores.real}
        found |= {"painted": scores.painted, "mistaken": scores.mistaken}
        return {"loss": painter + scores.hinge} | {name: value.detach() for name, value in found.items()}

    def _painted(
        self, given: Denoising
    ) -> tuple[Float[Tensor, "batch channels rows columns"], Float[Tensor, "batch 1 1 1"]]:
        """Return the clean latents that are predicted in one of the steps, and the share of signal that was seen."""
        chosen = self._drawn_steps(given.seeds[:: given.together]).repeat_interleave(given.together)
        timesteps = chosen.to(given.latents.device)
        noisy = self.backbone.add_noise(given.latents, given.condition.noise, timesteps)
        predict = given.predict or self.backbone.predict
        predicted = predict(noisy, timesteps, given.text, given.condition).float()
        kept = self._signal.to(timesteps.device)[timesteps][:, None, None, None]
        if self.backbone.prediction_type == "epsilon":
            return (noisy - (1 - kept).sqrt() * predicted) / kept.sqrt(), kept
        return kept.sqrt() * noisy - (1 - kept).sqrt() * predicted, kept

    @property
    def _signal(self) -> Float[Tensor, "steps"]:
        return self.backbone.training_scheduler.alphas_cumprod

    def _drawn_steps(self, seeds: Int64[Tensor, "batch"]) -> Int64[Tensor, "batch"]:
        shares = torch.tensor(self.config.often).cumsum(0)
        chosen = torch.searchsorted(shares, uniform(seeds, TIMESTEP) * shares[-1], right=True)
        return self.timesteps[chosen.clamp(max=len(shares) - 1)]

    @torch.no_grad()
    def preview(self, batch: Any) -> dict[str, Tensor]:
        """Return views, and what is painted of each in one of the steps beside what is known of it."""
        given = self.method.denoising(batch)
        painted, decode = joined(self._painted(given)[0], given), self.backbone.latents.decode
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
