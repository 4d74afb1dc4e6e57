"""Training of a small inpainting UNet from random weights. The result loads like any Stable Diffusion inpainting
model.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Bool
from torch import Tensor, nn

from aognet.data.latents import LatentBatch
from aognet.diffusion.backbone import Backbone
from aognet.diffusion.condition import InpaintCondition
from aognet.diffusion.inpaint import TextContext, inpaint
from aognet.diffusion.loading import load_scheduler, load_tokenizer, load_weights
from aognet.diffusion.objective import NOISE, Denoising, Emphasis, check_draws, denoising_of, drawn, noised_loss
from aognet.diffusion.sampling.noise import generators, normal, uniform
from aognet.diffusion.sampling.sampler import SamplerConfig
from aognet.errors import UserError

# Streams of a sample's seed, beside those of `aognet.diffusion.objective`.
HIDE, SILENCE = 11, 12


class InpaintingTraining(nn.Module):
    """Learns to predict the velocity of noisy view latents from mask, masked view and caption (Rombach et al. 2022)."""

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """The UNet, the parts that it is trained on, and the loss.

        ``vae`` and ``text``: folders with trained parts. ``start``: a folder whose ``unet`` goes on learning, with its
        ``scheduler``; the settings of a new UNet's shape then do not count. ``attention``: which UNet levels have
        cross-attention. ``sample_size``: the side in latent pixels that diffusers pipelines paint by default.
        ``drop_text`` and ``drop_known``: how often the caption is empty, and how often nothing of the view is known.
        ``known_weight``: weight of known pixels in the loss. ``draws``: how many times an encoded view is noised and
        learned from; this costs less than as many views. ``emphasis``: which noise levels count more.
        """

        vae: str
        text: str
        start: str = ""
        channels: tuple[int, ...] = (48, 96, 144, 192)
        attention: tuple[bool, ...] = (False, False, True, True)
        head_dim: int = 24
        layers_per_block: int = 1
        groups: int = 16
        sample_size: int = 32
        drop_text: float = 0.1
        drop_known: float = 0.1
        noise_offset: float = 0.1
        known_weight: float = 1.0
        draws: int = 1
        emphasis: Emphasis = field(default_factory=Emphasis)

        def __post_init__(self) -> None:
            if len(self.attention) != len(self.channels):
                raise UserError(f"needs {len(self.channels)} entries", key="attention", value=len(self.attention))
            check_draws(self.draws)

    def __init__(self, config: Config):
        super().__init__()
        from diffusers import AutoencoderKL
        from transformers import CLIPTextModel

        self.config = config
        text = Path(config.text)
        tokenizer = load_tokenizer(text)
        vae = load_weights(AutoencoderKL, Path(config.vae), "vae")
        text_encoder = load_weights(CLIPTextModel, text, "text_encoder")
        unet, scheduler = _started(Path(config.start)) if config.start else _new(config, vae, text_encoder)
        self.backbone = Backbone.of(
            vae=vae, unet=unet, text_encoder=text_encoder, tokenizer=tokenizer, scheduler=scheduler
        )
        unet.requires_grad_(True)
        if not torch.accelerator.is_available():
            use_plain_attention(unet)
        self._nothing: Tensor | None = None  # latents of a view of which nothing is known

    def trainable_parts(self) -> dict[str, nn.Module]:
        return {"unet": self.backbone.denoiser.unet}

    def forward(self, batch) -> dict[str, Tensor]:
        """Return the mean squared error of the predicted velocity, for a batch of images or of encoded views."""
        config = self.config
        given = self.denoising(batch)
        return {"loss": noised_loss(self.backbone, given, config.noise_offset, config.known_weight, config.emphasis)}

    def denoising(self, batch: Any) -> Denoising:
        """Return what the UNet learns from in one step. Of some views nothing is known, and some texts are empty."""
        seeds, config = batch.seeds, self.config
        hidden = (uniform(seeds, HIDE) < config.drop_known).to(batch.known.device)[:, None, None, None]
        text, nothing = self.backbone.conditioner.with_unconditional(batch.prompts)
        silent = drawn(config.draws, lambda stream: uniform(seeds, stream) < config.drop_text, SILENCE)
        text = text.repeated(config.draws).replaced(silent.to(text.tokens.device), nothing)
        if isinstance(batch, LatentBatch):
            return Denoising(batch.latents, self._condition(batch, hidden), seeds, text)
        return denoising_of(self.backbone, batch.view, batch.known & ~hidden, seeds, text)

    def _condition(self, batch: LatentBatch, hidden: Bool[Tensor, "batch 1 1 1"]) -> InpaintCondition:
        """Return what `Backbone.prepare_condition` returns. ``hidden`` says of which views nothing is known."""
        latents = batch.latents
        if self._nothing is None:
            side = latents.shape[-1] * self.backbone.latents.scale
            self._nothing = self.backbone.latents.encode(torch.zeros(1, 3, side, side, device=latents.device))
        image = torch.where(hidden, self._nothing.to(latents), batch.known_latents)
        noise = normal(latents.shape, generators(batch.seeds, NOISE), latents.device)
        return InpaintCondition((~batch.known | hidden).float(), image, noise)

    @torch.no_grad()
    def preview(self, batch) -> dict[str, Tensor]:
        """Return the views, what is known of them, and how the UNet continues it in 20 steps; nothing for encoded
        views.
        """
        if isinstance(batch, LatentBatch):
            return {}
        backbone, known = self.backbone, batch.known
        source = generators(batch.seeds, 20)
        condition = backbone.prepare_condition(batch.view, known, source)
        context = TextContext.of_prompts(backbone, batch.prompts)
        output = inpaint(backbone, condition, context, SamplerConfig(steps=20), source)
        roundtrip = backbone.latents.decode(backbone.latents.encode(batch.view))
        return {"target": batch.view, "input": batch.view * known, "output": output, "decoded": roundtrip}

    def enable_gradient_checkpointing(self) -> None:
        self.backbone.denoiser.enable_gradient_checkpointing()

    def save_pretrained(self, folder: Path) -> None:
        """Write ``unet`` and ``scheduler`` below ``folder``."""
        self.backbone.denoiser.unet.save_pretrained(folder / "unet", safe_serialization=True)
        self.backbone.scheduler.save_pretrained(folder / "scheduler")


def _started(folder: Path) -> tuple[Any, Any]:
    from diffusers import UNet2DConditionModel

    return load_weights(UNet2DConditionModel, folder, "unet"), load_scheduler(folder)


def _new(config: InpaintingTraining.Config, vae: Any, text_encoder: Any) -> tuple[Any, Any]:
    from diffusers import DDIMScheduler

    scheduler = DDIMScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        prediction_type="v_prediction",
        clip_sample=False,
        set_alpha_to_one=False,
        steps_offset=1,
        # The last timestep is pure noise, in training as in sampling (Lin et al. 2024): otherwise the slow waves of
        # the starting noise are taken for what the picture shows, which a small model never mends.
        rescale_betas_zero_snr=True,
        timestep_spacing="trailing",
    )
    return new_unet(config, vae.config.latent_channels, text_encoder.config.hidden_size), scheduler


def use_plain_attention(unet: Any) -> None:
    """Compute attention as two matrix products. On CPUs this trains small UNets a quarter faster than the fused
    kernel.
    """
    from diffusers.models.attention_processor import AttnProcessor

    unet.set_attn_processor(AttnProcessor())


def new_unet(config: InpaintingTraining.Config, latent_channels: int, context_dim: int) -> Any:
    """Return an inpainting UNet with random weights for a VAE's latents and a text encoder's tokens."""
    from diffusers import UNet2DConditionModel

    down = tuple("CrossAttnDownBlock2D" if attends else "DownBlock2D" for attends in config.attention)
    up = tuple("CrossAttnUpBlock2D" if attends else "UpBlock2D" for attends in reversed(config.attention))
    return UNet2DConditionModel(
        sample_size=config.sample_size,
        in_channels=2 * latent_channels + 1,
        out_channels=latent_channels,
        block_out_channels=tuple(config.channels),
        down_block_types=down,
        up_block_types=up,
        layers_per_block=config.layers_per_block,
        norm_num_groups=config.groups,
        cross_attention_dim=context_dim,
        attention_head_dim=tuple(width // config.head_dim for width in config.channels),
        use_linear_projection=True,
    )
