"""The frozen Stable Diffusion that every method conditions: VAE, UNet, text encoder, tokenizer, scheduler.

Any diffusers inpainting model fits: 9-channel UNets (noisy latents, mask, latents of the masked image) and plain
4-channel UNets, whose known area is put back after every step; epsilon and v prediction.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn
from torch.nn import functional

from aognet.canvas import MaskedView, filled
from aognet.diffusion.condition import InpaintCondition
from aognet.diffusion.encodings import EncodingCache
from aognet.diffusion.loading import check_dtype, freeze, load_scheduler, load_tokenizer, load_weights, resolve
from aognet.diffusion.sampling.denoise import AfterStep
from aognet.diffusion.sampling.noise import Generators, normal
from aognet.diffusion.sampling.sampler import LongPrompts
from aognet.diffusion.texts import chunks, hidden_states, joined, side_by_side
from aognet.errors import UserError
from aognet.io.store import CacheConfig
from aognet.transfer import to_device

COMPONENTS = ("vae", "unet", "text_encoder", "tokenizer", "scheduler")
PREDICTION_TYPES = ("epsilon", "v_prediction")
MAX_TEXTS = 256


@dataclass(frozen=True)
class BackboneConfig:
    """Which diffusers model, and in which precision its weights are held.

    ``encodings``: where training keeps what the VAE makes of images and the text encoder of texts, if they come again
    (a folder of null: nowhere). ``long_prompts``: whether prompts that are longer than the text encoder reads are
    ``cut`` or read in ``chunks``.
    """

    model: str  # hub id or local folder
    revision: str | None = None  # hub branch, tag or commit
    variant: str | None = None  # "fp16" reads *.fp16.safetensors
    dtype: str = "float32"
    encodings: CacheConfig = field(default_factory=lambda: CacheConfig(folder=None))
    long_prompts: LongPrompts = "cut"

    def __post_init__(self) -> None:
        if not self.model:
            raise UserError("must be a hub id or a folder", key="model", value="")
        check_dtype(self.dtype)


class Backbone(nn.Module):
    """A frozen diffusers inpainting model; it stays in evaluation mode whatever its parent does."""

    Config = BackboneConfig
    vae: Any
    unet: Any
    text_encoder: Any

    def __init__(
        self,
        *,
        vae: nn.Module,
        unet: nn.Module,
        text_encoder: nn.Module,
        tokenizer: Any,
        scheduler: Any,
        encodings: CacheConfig = CacheConfig(folder=None),  # noqa: B008 (frozen)
        long_prompts: LongPrompts = "cut",
    ) -> None:
        """Takes diffusers and transformers objects; `load` reads them from a folder or the hub."""
        from diffusers import DDPMScheduler

        super().__init__()
        self.vae = freeze(vae)
        self.unet = freeze(unet)
        self.text_encoder = freeze(text_encoder)
        self.tokenizer = tokenizer
        self.scheduler = scheduler
        self.long_prompts: LongPrompts = long_prompts
        self.training_scheduler = DDPMScheduler.from_config(scheduler.config)
        self._check()
        self._kept_latents = EncodingCache(encodings, self.vae)
        self._kept_texts = EncodingCache(encodings, self.text_encoder)
        self._texts: dict[tuple, Tensor] = {}
        self.encoded_together = 1  # images whose latents depend on each other
        self._encoded = self._decoded = 0  # images together; 0: all

    @classmethod
    def load(cls, config: BackboneConfig) -> "Backbone":
        """The model that ``config`` names. Raises UserError when it cannot be had or does not fit together."""
        folder = resolve(config.model, COMPONENTS, config.revision, config.variant)
        from diffusers import AutoencoderKL, UNet2DConditionModel
        from transformers import CLIPTextModel

        parts = {
            "vae": load_weights(AutoencoderKL, folder, "vae", config.dtype, config.variant),
            "unet": load_weights(UNet2DConditionModel, folder, "unet", config.dtype, config.variant),
            "text_encoder": load_weights(CLIPTextModel, folder, "text_encoder", config.dtype, config.variant),
            "tokenizer": load_tokenizer(folder),
            "scheduler": load_scheduler(folder),
        }
        try:
            return cls(**parts, encodings=config.encodings, long_prompts=config.long_prompts)
        except UserError as error:
            raise UserError(f"{config.model}: {error}") from error

    def _check(self) -> None:
        channels, given = self.latent_channels, self.unet.config.in_channels
        if given not in (channels, 2 * channels + 1):
            raise UserError(
                f"unet: in_channels is {given}, but a VAE with {channels} latent channels needs {2 * channels + 1} "
                f"(inpainting) or {channels}"
            )
        if self.prediction_type not in PREDICTION_TYPES:
            known = ", ".join(PREDICTION_TYPES)
            raise UserError(f"scheduler: prediction_type is {self.prediction_type!r}, known are {known}")
        text_dim = self.text_encoder.config.hidden_size
        if text_dim != self.context_dim:
            raise UserError(f"unet: cross_attention_dim is {self.context_dim}, but text_encoder gives {text_dim}")
        tokens, known = len(self.tokenizer), self.text_encoder.config.vocab_size
        if tokens > known:
            raise UserError(f"tokenizer: has {tokens} tokens, but text_encoder knows {known} (vocab_size)")

    def train(self, mode: bool = True) -> "Backbone":
        """Stays in evaluation mode."""
        return super().train(False)

    @property
    def latent_channels(self) -> int:
        """Channels of a latent (4 in Stable Diffusion)."""
        return self.vae.config.latent_channels

    @property
    def vae_scale(self) -> int:
        """Image pixels per latent pixel (8 in Stable Diffusion)."""
        return 2 ** (len(self.vae.config.block_out_channels) - 1)

    @property
    def prediction_type(self) -> str:
        """What the UNet predicts: "epsilon" or "v_prediction"."""
        return self.scheduler.config.prediction_type

    @property
    def training_steps(self) -> int:
        """Timesteps of the noise schedule (1000 in Stable Diffusion)."""
        return self.scheduler.config.num_train_timesteps

    @property
    def is_inpainting(self) -> bool:
        """Whether the UNet sees the mask and the masked image; if not, the known area is blended in after each step."""
        return self.unet.config.in_channels == 2 * self.latent_channels + 1

    @property
    def context_dim(self) -> int:
        """Size of a cross-attention token."""
        return self.unet.config.cross_attention_dim

    @property
    def text_length(self) -> int:
        """Tokens that the text encoder reads (77 in CLIP)."""
        return min(self.tokenizer.model_max_length, self.text_encoder.config.max_position_embeddings)

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.unet.parameters()).device  # `unet.device` looks through all modules each time

    @property
    def dtype(self) -> torch.dtype:
        """Precision of the weights. Latents, context and images come out in float32 whatever it is."""
        return next(self.unet.parameters()).dtype

    def chunks(self, prompts: Sequence[str], how: LongPrompts | None = None) -> list[list[str]]:
        """Each prompt as texts for the encoder: one that is cut if it is too long, or as many as hold it all."""
        how = how or self.long_prompts
        return [chunks(self.tokenizer, self.text_length, prompt, how) for prompt in prompts]

    def encode_text(self, prompts: Sequence[str], how: LongPrompts | None = None) -> Float[Tensor, "batch tokens dim"]:
        """Last hidden states of the text encoder: `text_length` tokens, or a multiple for several chunks."""
        rows = self.chunks(prompts, how)
        texts = [text for row in rows for text in row]
        states = hidden_states(self.text_encoder, self.tokenizer, self.text_length, texts, self._kept_texts)
        return side_by_side(states, [len(row) for row in rows])

    def known_text(self, prompts: Sequence[str], how: LongPrompts | None = None) -> Float[Tensor, "batch tokens dim"]:
        """`encode_text` for painting, where the same few prompts come again and again: each is encoded once."""
        rows, encoded = self.chunks(prompts, how), []
        for text in (text for row in rows for text in row):
            key = (text, self.text_encoder.device, self.text_encoder.dtype)
            if key not in self._texts:
                if len(self._texts) >= MAX_TEXTS:
                    del self._texts[next(iter(self._texts))]
                self._texts[key] = self.encode_text([text], "cut")[0]
            encoded.append(self._texts[key])
        return side_by_side(torch.stack(encoded), [len(row) for row in rows])

    def joined(self, words: str, prompt: str, how: LongPrompts | None = None) -> str:
        """The words of a direction before the common prompt, so short that neither is pushed out."""
        return joined(self.tokenizer, self.text_length, words, prompt, how or self.long_prompts)

    def forget_texts(self) -> None:
        """Encodes every prompt anew from here on."""
        self._texts.clear()

    @torch.no_grad()
    def encode_images(
        self, images: Float[Tensor, "batch 3 height width"], source: Generators | None = None
    ) -> Float[Tensor, "batch channels rows columns"]:
        """Scaled latents of images in [-1, 1]: a sample drawn from ``source``, or the mode without one."""
        self.check_size(*images.shape[-2:])
        together = self.encoded_together
        rows = images if together == 1 else images.unflatten(0, (-1, together))
        latents, deviation = self._kept_latents.encoded(rows, self._moments, self.device)
        if together > 1:
            latents, deviation = latents.flatten(0, 1), deviation.flatten(0, 1)
        if source is not None:
            latents = latents + deviation * normal(latents.shape, source, latents.device)
        return latents * self.vae.config.scaling_factor

    def _moments(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and deviation of rows of images, or of rows of several that belong together."""
        single = images.flatten(0, -4)
        parts = single.to(self.device, self.dtype).split(self._encoded or len(single))
        posteriors = [self.vae.encode(part).latent_dist for part in parts]
        means, deviations = (torch.cat([getattr(one, name).float() for one in posteriors]) for name in ("mean", "std"))
        shape = images.shape[:-3]
        return means.unflatten(0, shape), deviations.unflatten(0, shape)

    @torch.no_grad()
    def decode(self, latents: Float[Tensor, "batch channels rows columns"]) -> Float[Tensor, "batch 3 height width"]:
        """Images in [-1, 1] of scaled latents."""
        scaled = latents.to(self.device, self.dtype) / self.vae.config.scaling_factor
        parts = scaled.split(self._decoded or len(scaled))
        return torch.cat([self.vae.decode(part).sample.float().clamp(-1, 1) for part in parts])

    def prepare_condition(
        self,
        images: Float[Tensor, "batch 3 height width"],
        known: Bool[Tensor, "batch 1 height width"],
        source: Generators,
    ) -> InpaintCondition:
        """Condition and starting noise, drawn from ``source`` in the order of `StableDiffusionInpaintPipeline`.

        What is not ``known`` of an image changes nothing, in training as in painting. A 9-channel UNet is told the
        image with zeros there. A 4-channel UNet is given clean latents in place of noisy ones: the image is continued
        smoothly before it is encoded, and a latent pixel is known only if all its image pixels are.
        """
        self.check_size(*images.shape[-2:])
        size = [side // self.vae_scale for side in images.shape[-2:]]
        shape = (len(images), self.latent_channels, *size)
        known = known.to(self.device)
        images, unknown = images.to(self.device) * known, (~known).float()
        if self.is_inpainting:
            # Nearest, like the pipeline: every latent pixel takes the first of its image pixels.
            mask = functional.interpolate(unknown, size=size)
            noise = normal(shape, source, self.device)
            latents = self.encode_images(images, source)
        else:
            mask = functional.max_pool2d(unknown, self.vae_scale)
            latents = self.encode_images(filled(MaskedView(images, known)), source)
            noise = normal(shape, source, self.device)
            normal(shape, source)  # the pipeline encodes the masked image too; keeps the generators in step with it
        return InpaintCondition(mask=mask, image=latents, noise=noise)

    def nothing_known(self, condition: InpaintCondition) -> InpaintCondition:
        """The condition of images of the same size and with the same noise of which nothing is known."""
        size = [side * self.vae_scale for side in condition.image.shape[-2:]]
        empty = self.encode_images(torch.zeros(self.encoded_together, 3, *size, device=self.device))
        times = len(condition.mask) // len(empty)
        return InpaintCondition(torch.ones_like(condition.mask), empty.repeat(times, 1, 1, 1), condition.noise)

    def predict(
        self,
        latents: Float[Tensor, "batch channels rows columns"],
        timesteps: Tensor,
        context: Float[Tensor, "batch tokens dim"],
        condition: InpaintCondition,
        residuals: Sequence[Tensor] | None = None,
    ) -> Float[Tensor, "batch channels rows columns"]:
        """What the UNet predicts (`prediction_type`) for noisy latents at ``timesteps`` (one, or one per row).

        ``residuals`` are added inside the encoder, one map per down block. ``latents`` may hold the rows of
        ``condition`` (and of ``residuals``) several times over, as the branches of guidance do.
        """
        rows = len(latents)
        blocks = len(self.unet.config.block_out_channels)
        if residuals is not None and len(residuals) != blocks:
            raise ValueError(f"{len(residuals)} residuals for a UNet with {blocks} down blocks")
        inputs = latents
        if self.is_inpainting:
            condition = condition.repeated(rows)
            inputs = torch.cat([latents, condition.mask.to(latents), condition.image.to(latents)], dim=1)
        if residuals is not None:  # a new list: the UNet empties it
            residuals = [part if len(part) == rows else part.repeat(rows // len(part), 1, 1, 1) for part in residuals]
            residuals = [part.to(self.dtype) for part in residuals]
        return self.run_unet(inputs, timesteps, context, residuals).to(latents.dtype)

    def run_unet(
        self, inputs: Tensor, timesteps: Tensor, context: Tensor, residuals: Sequence[Tensor] | None = None
    ) -> Tensor:
        """The UNet on its whole input, in its own precision."""
        output = self.unet(
            inputs.to(self.dtype),
            to_device(timesteps, self.device),
            encoder_hidden_states=context.to(self.dtype),
            down_intrablock_additional_residuals=residuals,
            return_dict=False,
        )[0]
        # A replayed graph writes its next output over this one.
        return output if self.unet._compiled_call_impl is None else output.clone()

    def repaint_known(self, condition: InpaintCondition, scheduler: Any) -> AfterStep | None:
        """What `denoise` must do after each step: nothing (None) if the UNet sees the mask itself.

        Otherwise the known area is put back at the noise level of the step that follows (as the diffusers pipeline
        does, after RePaint, Lugmayr et al. 2022, eq. 8).
        """
        if self.is_inpainting:
            return None

        def blend(latents: Tensor, next_timestep: Tensor | None) -> Tensor:
            known = condition.image
            if next_timestep is not None:
                known = scheduler.add_noise(known, condition.noise, next_timestep[None])
            return (1 - condition.mask) * known + condition.mask * latents

        return blend

    def add_noise(
        self,
        latents: Float[Tensor, "batch channels rows columns"],
        noise: Float[Tensor, "batch channels rows columns"],
        timesteps: Int64[Tensor, "batch"],
    ) -> Float[Tensor, "batch channels rows columns"]:
        """Training: latents at the noise level of ``timesteps``."""
        return self.training_scheduler.add_noise(latents, noise, timesteps)

    def target(
        self,
        latents: Float[Tensor, "batch channels rows columns"],
        noise: Float[Tensor, "batch channels rows columns"],
        timesteps: Int64[Tensor, "batch"],
    ) -> Float[Tensor, "batch channels rows columns"]:
        """Training: what `predict` should return, the noise or the velocity (Salimans and Ho 2022, appendix D)."""
        if self.prediction_type == "epsilon":
            return noise
        return self.training_scheduler.get_velocity(latents, noise, timesteps)

    def enable_gradient_checkpointing(self) -> None:
        """Recompute the UNet's activations in the backward pass: less memory, about a third more time."""
        self.unet.enable_gradient_checkpointing()

    def save_memory(self, inseparable: int = 1) -> None:
        """Encode few images at a time; decode ``inseparable`` ones together, or large ones in tiles if that is 1."""
        self._encoded, self._decoded = self.encoded_together, inseparable
        if inseparable == 1:
            self.vae.enable_tiling()

    def check_size(self, height: int, width: int) -> None:
        """Raises UserError where the VAE cannot take images of that size."""
        if height % self.vae_scale or width % self.vae_scale:
            raise UserError(f"image sides must be multiples of {self.vae_scale}, got {height}x{width}")
