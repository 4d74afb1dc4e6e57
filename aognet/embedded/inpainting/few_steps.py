"""Training of an inpainting UNet to paint in a few steps, against a discriminator.

A UNet that was trained with mean squared errors alone needs many steps and long training before what it paints is not
the mean of all that could be there. A discriminator wants one of those things, and gets it early (Sauer et al. 2023,
"Adversarial diffusion distillation", arXiv 2311.17042). Unlike there, what is real are views, not what a larger model
paints, so nothing is distilled, and latents are not decoded to be judged (`aognet.embedded.inpainting.critic`).
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from aognet.data.latents import LatentBatch
from aognet.diffusion.backbone import Backbone
from aognet.diffusion.condition import InpaintCondition, TextCondition
from aognet.diffusion.inpaint import check_settings
from aognet.diffusion.loading import load_scheduler, load_tokenizer, load_weights
from aognet.diffusion.lora.exported import lora_tensors
from aognet.diffusion.lora.trained import check_rank, open_parts
from aognet.diffusion.objective import NOISE, TIMESTEP
from aognet.diffusion.sampling.noise import generators, uniform
from aognet.diffusion.sampling.sampler import SamplerConfig
from aognet.diffusion.sampling.schedulers import make_scheduler
from aognet.diffusion.saved import SETTINGS
from aognet.embedded.inpainting.conditions import EncodedConditions, painted_views
from aognet.embedded.inpainting.critic import LatentCritic
from aognet.embedded.inpainting.model import HIDE, SILENCE, use_plain_attention
from aognet.errors import UserError
from aognet.gan.projected import ProjectedDiscriminatorConfig
from aognet.gan.reconstruction import feature_distance
from aognet.nn.weights import write_tensors

LORA = "few_steps_lora.safetensors"
SCHEDULER = "lcm"  # each step predicts the clean latents, which are then noised less than before


class FewStepTraining(nn.Module):
    """A UNet that paints, and the `LatentCritic` of what it paints.

    It writes ``few_steps_lora.safetensors``, or if all weights learn ``unet`` and ``scheduler``.
    """

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """What it begins with, the steps, and the losses.

        ``start``: folder with the trained ``unet`` and its ``scheduler``. ``vae`` and ``text``: folders with the parts
        that it was trained on. ``train``: low-rank additions of rank ``lora_rank``, or all of the UNet's weights.
        ``often``: how often each step is learned, the first (pure noise) first; their number is the number of steps.
        ``mean_weight``: weight of the squared error of the clean latents, in proportion to the signal (alpha bar) of
        what it is told from; ``known_weight``: that of known places in it. ``feature_weight``: of how far the features
        of what is painted are from those of the view; they tell early what belongs where (Suvorov et al. 2022, "LaMa",
        section 2.2). ``projected``: the critic's discriminator. ``drop_text``, ``drop_known``: as in
        `InpaintingTraining`.
        """

        start: str
        vae: str
        text: str
        projected: ProjectedDiscriminatorConfig
        train: Literal["lora", "all"] = "lora"
        lora_rank: int = 24
        often: tuple[float, ...] = (4.0, 3.0, 2.0, 1.0)
        mean_weight: float = 0.5
        feature_weight: float = 10.0
        known_weight: float = 0.2
        drop_text: float = 0.1
        drop_known: float = 0.1

        def __post_init__(self) -> None:
            check_rank(self.lora_rank)
            if not self.often or min(self.often) < 0 or not sum(self.often) > 0:
                raise UserError("must be one number per step, none negative", key="often", value=list(self.often))

    find_unused_parameters = False
    timesteps: Tensor

    def __init__(self, config: Config):
        super().__init__()
        from diffusers import AutoencoderKL, UNet2DConditionModel
        from transformers import CLIPTextModel

        self.config = config
        start, text = Path(config.start), Path(config.text)
        unet = load_weights(UNet2DConditionModel, start, "unet")
        self.backbone = Backbone.of(
            vae=load_weights(AutoencoderKL, Path(config.vae), "vae"),
            unet=unet,
            text_encoder=load_weights(CLIPTextModel, text, "text_encoder"),
            tokenizer=load_tokenizer(text),
            scheduler=load_scheduler(start),
        )
        self._check()
        self._parts = open_parts(unet, config.train, config.lora_rank, "all")
        if not torch.accelerator.is_available():
            use_plain_attention(unet)
        self.critic = LatentCritic(config.projected, self.backbone.latents, self.backbone.denoiser.context_dim)
        scheduler: Any = make_scheduler(SCHEDULER, self.backbone.scheduler.config)
        scheduler.set_timesteps(len(config.often))
        self.register_buffer("timesteps", scheduler.timesteps.long(), persistent=False)
        self._conditions = EncodedConditions(self.backbone)

    def _check(self) -> None:
        if not self.backbone.is_inpainting:
            raise UserError("must be an inpainting UNet", key="start", value=self.config.start)
        if self.backbone.prediction_type != "v_prediction":
            said = f"must predict the velocity, not {self.backbone.prediction_type}"
            raise UserError(said, key="start", value=self.config.start)
        check_settings(self.backbone, self.backbone.latents.scale, self.sampler, True)

    @property
    def sampler(self) -> SamplerConfig:
        """How such a UNet paints."""
        return SamplerConfig(scheduler=SCHEDULER, steps=len(self.config.often), guidance=1.0)

    def trainable_parts(self) -> dict[str, nn.Module]:
        return self._parts | {"discriminator": self.critic.discriminator}

    def forward(self, batch: Any) -> dict[str, Tensor]:
        """Return the sum of both sides' losses, and what each of them is made of.

        One pass gives each side the gradient of its own loss alone (`LatentCritic.scores`): two phases would compute
        views and features twice.
        """
        config, seeds = self.config, batch.seeds
        latents, condition, text = self._encoded(batch)
        painted, kept = self._painted(seeds, latents, condition, text)
        weights = condition.mask * kept + config.known_weight * (1 - condition.mask)
        distance = ((painted - latents).square() * weights).mean()
        with torch.no_grad():
            of_truth = self.critic.features(latents)
        features = self.critic.features(self._joined(painted, latents, condition))
        scores = self.critic.scores(of_truth, features, text.tokens)
        away = feature_distance(features, of_truth)
        painter = config.mean_weight * distance + config.feature_weight * away - scores.to_painter
        found = {"distance": distance, "away": away, "judged": scores.hinge, "real": scores.real}
        found |= {"painted": scores.painted}
        return {"loss": painter + scores.hinge} | {name: value.detach() for name, value in found.items()}

    def _encoded(self, batch: Any) -> tuple[Tensor, InpaintCondition, TextCondition]:
        """Return the latents of the views, what is known of them, and their texts. Some views and texts are dropped."""
        config, backbone, seeds = self.config, self.backbone, batch.seeds
        hidden = (uniform(seeds, HIDE) < config.drop_known).to(batch.known.device)[:, None, None, None]
        text, nothing = backbone.conditioner.with_unconditional(batch.prompts)
        silent = uniform(seeds, SILENCE) < config.drop_text
        text = text.replaced(silent.to(text.tokens.device), nothing)
        if isinstance(batch, LatentBatch):
            return batch.latents, self._conditions(batch, hidden), text
        condition = backbone.prepare_condition(batch.view, batch.known & ~hidden, generators(seeds, NOISE))
        return backbone.latents.encode(batch.view), condition, text

    def _painted(
        self, seeds: Tensor, latents: Tensor, condition: InpaintCondition, text: TextCondition
    ) -> tuple[Float[Tensor, "batch channels rows columns"], Float[Tensor, "batch 1 1 1"]]:
        """Return the clean latents that the UNet predicts in one of the steps, and the share of signal it saw."""
        timesteps = self._drawn_steps(seeds).to(latents.device)
        noisy = self.backbone.add_noise(latents, condition.noise, timesteps)
        velocity = self.backbone.predict(noisy, timesteps, text, condition).float()
        kept = self._kept(timesteps)
        return kept.sqrt() * noisy - (1 - kept).sqrt() * velocity, kept

    def _drawn_steps(self, seeds: Int64[Tensor, "batch"]) -> Int64[Tensor, "batch"]:
        shares = torch.tensor(self.config.often).cumsum(0)
        chosen = torch.searchsorted(shares, uniform(seeds, TIMESTEP) * shares[-1], right=True)
        return self.timesteps.cpu()[chosen.clamp(max=len(shares) - 1)]

    def _kept(self, timesteps: Int64[Tensor, "batch"]) -> Float[Tensor, "batch 1 1 1"]:
        signal = self.backbone.training_scheduler.alphas_cumprod.to(timesteps.device)
        return signal[timesteps][:, None, None, None]

    def _joined(self, painted: Tensor, latents: Tensor, condition: InpaintCondition) -> Tensor:
        """Return what is painted beside what is known: the critic shall see whether they fit."""
        return condition.mask * painted + (1 - condition.mask) * latents

    @torch.no_grad()
    def preview(self, batch: Any) -> dict[str, Tensor]:
        """Return what `painted_views` returns, in the steps that are trained."""
        return painted_views(self.backbone, batch, self.sampler)

    def enable_gradient_checkpointing(self) -> None:
        self.backbone.denoiser.enable_gradient_checkpointing()

    def save_pretrained(self, folder: Path) -> None:
        """Write the LoRA, in half precision, or ``unet`` and ``scheduler`` below ``folder``, and how it paints
        (`aognet.methods.preferred`).
        """
        folder.mkdir(parents=True, exist_ok=True)
        how = {"scheduler": SCHEDULER, "steps": self.sampler.steps, "guidance": self.sampler.guidance}
        (folder / SETTINGS).write_text(json.dumps({"sampler": how}, indent=2) + "\n", encoding="utf-8")
        if self.config.train == "lora":
            named = lora_tensors({f"unet.{key}": value for key, value in self._parts["unet"].state_dict().items()})
            write_tensors(folder / LORA, {key: value.half() for key, value in named.items()})
            return
        self.backbone.denoiser.unet.save_pretrained(folder / "unet", safe_serialization=True)
        self.backbone.scheduler.save_pretrained(folder / "scheduler")
