"""The frozen latent diffusion model that every method conditions, composed of its parts.

Any diffusers model of the Stable Diffusion and SDXL families fits: 9-channel UNets (noisy latents, mask, latents of the
masked image) and plain 4-channel UNets, whose known area is put back after every step; epsilon and v prediction.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn
from torch.nn import functional

from aognet.canvas import MaskedView, filled
from aognet.diffusion.additions import Additions, LoraFile
from aognet.diffusion.clip_encoders import ClipTextEncoder
from aognet.diffusion.condition import ControlImage, InpaintCondition, TextCondition
from aognet.diffusion.conditioner import Conditioner, size_conditions
from aognet.diffusion.control_fit import check_fit
from aognet.diffusion.controlnets import load_controlnet
from aognet.diffusion.denoiser import TEXT_TIME, Denoiser
from aognet.diffusion.latent_space import LatentSpace
from aognet.diffusion.loading import check_dtype, load_scheduler, load_tokenizer, load_weights, resolve
from aognet.diffusion.lora.merge import add_loras
from aognet.diffusion.sampling.denoise import AfterStep
from aognet.diffusion.sampling.noise import Generators, normal
from aognet.diffusion.sampling.sampler import LongPrompts
from aognet.diffusion.vocabulary import Vocabulary, read_vocabulary
from aognet.errors import UserError
from aognet.geometry.surface import PLANE
from aognet.io.store import CacheConfig
from aognet.io.text_files import read_json
from aognet.nn.component import Component
from aognet.nn.network_folder import WEIGHTS
from aognet.nn.srvgg import SrvggCompact, read_upscaler

COMPONENTS = ("vae", "unet", "text_encoder", "tokenizer", "scheduler")
SECOND = ("text_encoder_2", "tokenizer_2")  # of SDXL
UPSCALER = "upscaler"  # of models that paint small
OPTIONAL = (*SECOND, UPSCALER)
CHANGED = ("unet", "text_encoder", "text_encoder_2")  # what a LoRA may change
PIPELINE = "model_index.json"
PREDICTION_TYPES = ("epsilon", "v_prediction")
NO_CACHE = CacheConfig(folder=None)


@dataclass(frozen=True)
class BackboneConfig(Additions):
    """Which diffusers model is loaded, with which additions, and in which precision its weights are held.

    ``encodings``: where training stores encoded images and texts that come again (a folder of null: nowhere).
    ``long_prompts``: whether prompts that are too long for the text encoders are ``cut`` or read in ``chunks``.
    """

    model: str  # hub id or local folder
    revision: str | None = None  # hub branch, tag or commit
    variant: str | None = None  # "fp16" reads *.fp16.safetensors
    dtype: str = "float32"
    encodings: CacheConfig = field(default_factory=lambda: NO_CACHE)
    long_prompts: LongPrompts = "cut"

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.model:
            raise UserError("must be a hub id or a folder", key="model", value="")
        check_dtype(self.dtype)


class Backbone(nn.Module):
    """The conditioner, latents and denoiser of a frozen model. It stays in evaluation mode whatever its parent does."""

    Config = BackboneConfig

    def __init__(self, conditioner: Conditioner, latents: LatentSpace, denoiser: Denoiser, scheduler: Any) -> None:
        """Compose the parts. `of` makes them from diffusers' objects, `load` from a folder or hub id.

        :raises UserError: if they do not fit together.
        """
        from diffusers import DDPMScheduler

        super().__init__()
        self.conditioner, self.latents, self.denoiser = conditioner, latents, denoiser
        self.scheduler = scheduler
        self.upscaler: SrvggCompact | None = None
        self.surface = PLANE  # of its images: a panorama that is made in one piece lies on the sphere
        self.training_scheduler: Any = DDPMScheduler.from_config(scheduler.config)
        self._check()

    @classmethod
    def of(
        cls,
        *,
        vae: Any,
        unet: Any,
        text_encoder: nn.Module,
        tokenizer: Any,
        scheduler: Any,
        text_encoder_2: nn.Module | None = None,
        tokenizer_2: Any = None,
        force_zeros_for_empty_prompt: bool = True,
        controlnets: Sequence[nn.Module] = (),
        vocabulary: Vocabulary | None = None,
        encodings: CacheConfig = NO_CACHE,
        long_prompts: LongPrompts = "cut",
        upscaler: SrvggCompact | None = None,
    ) -> "Backbone":
        """Return the backbone of diffusers' and transformers' objects, under the names that a diffusers pipeline gives
        them.

        A UNet that takes a pooled text makes it SDXL: its encoders return their penultimate layers. Text encoders and
        tokenizers are taught the ``vocabulary`` of learned words, in place. An ``upscaler`` makes what is painted
        larger (`aognet.methods.outpainter.paint_views`).
        """
        for network in controlnets:
            check_fit(network, unet, vae)
        denoiser = Denoiser(unet, controlnets)
        is_sdxl = denoiser.has_added_conditions
        layer = "penultimate" if is_sdxl else "last"
        towers = [text_encoder] + ([] if text_encoder_2 is None else [text_encoder_2])
        tokenizers, vocabulary = [tokenizer, tokenizer_2][: len(towers)], vocabulary or Vocabulary()
        vocabulary.teach(towers, tokenizers)
        pairs = zip(towers, tokenizers, strict=True)
        encoders = [ClipTextEncoder(*pair, encodings, layer, vocabulary) for pair in pairs]
        conditioner = Conditioner(encoders, long_prompts, is_sdxl and force_zeros_for_empty_prompt)
        half = not (is_sdxl and vae.config.force_upcast)
        backbone = cls(conditioner, LatentSpace(vae, encodings, half), denoiser, scheduler)
        backbone.upscaler = upscaler
        return backbone

    @classmethod
    def load(cls, config: BackboneConfig) -> "Backbone":
        """Load the model that ``config`` names.

        :raises UserError: if it cannot be loaded or does not fit together.
        """
        vocabulary = read_vocabulary(config.words)
        folder = resolve(config.model, COMPONENTS, config.revision, config.variant, (*OPTIONAL, PIPELINE))
        from diffusers import AutoencoderKL, UNet2DConditionModel
        from transformers import CLIPTextModel, CLIPTextModelWithProjection

        vae_dtype = "float32" if config.dtype == "float16" and _overflows(folder) else config.dtype
        parts = {
            "vae": load_weights(AutoencoderKL, folder, "vae", vae_dtype, config.variant),
            "unet": load_weights(UNet2DConditionModel, folder, "unet", config.dtype, config.variant),
            "text_encoder": load_weights(CLIPTextModel, folder, "text_encoder", config.dtype, config.variant),
            "tokenizer": load_tokenizer(folder),
            "scheduler": load_scheduler(folder),
        }
        if (folder / SECOND[0]).is_dir():
            second = load_weights(CLIPTextModelWithProjection, folder, SECOND[0], config.dtype, config.variant)
            zeros = _pipeline(folder).get("force_zeros_for_empty_prompt", True) is not False
            parts |= dict(zip(SECOND, (second, load_tokenizer(folder, SECOND[1])), strict=True))
            parts["force_zeros_for_empty_prompt"] = zeros
        if (folder / UPSCALER).is_dir():
            parts["upscaler"] = read_upscaler(folder / UPSCALER / WEIGHTS)
        # First, so that a small ControlNet is made of the same UNet as when it was trained with these LoRAs.
        add_loras({name: parts[name] for name in CHANGED if name in parts}, config.loras)
        parts["controlnets"] = [
            load_controlnet(model, parts["unet"], config.dtype, config.variant) for model in config.controlnets
        ]
        for name, network in zip(config.controlnets, parts["controlnets"], strict=True):
            check_fit(network, parts["unet"], parts["vae"], name, config.model)
        try:
            return cls.of(**parts, vocabulary=vocabulary, encodings=config.encodings, long_prompts=config.long_prompts)
        except UserError as error:
            raise UserError(f"{config.model}: {error}") from error

    def _check(self) -> None:
        channels, given = self.latents.channels, self.denoiser.in_channels
        if given not in (channels, 2 * channels + 1):
            raise UserError(
                f"unet: in_channels is {given}, but a VAE with {channels} latent channels needs {2 * channels + 1} "
                f"(inpainting) or {channels}"
            )
        if self.prediction_type not in PREDICTION_TYPES:
            known = ", ".join(PREDICTION_TYPES)
            raise UserError(f"scheduler: prediction_type is {self.prediction_type!r}, known are {known}")
        conditioner, denoiser = self.conditioner, self.denoiser
        give = "text_encoder gives" if len(conditioner.encoders) == 1 else "text_encoder and text_encoder_2 give"
        if conditioner.dim != denoiser.context_dim:
            raise UserError(f"unet: cross_attention_dim is {denoiser.context_dim}, but {give} {conditioner.dim}")
        if denoiser.pooled_dim and conditioner.pooled_dim != denoiser.pooled_dim:
            raise UserError(
                f"unet: projection_class_embeddings_input_dim asks for {denoiser.pooled_dim} numbers of pooled text, "
                f"but {give} {conditioner.pooled_dim}"
            )

    def add_loras(self, loras: Sequence[LoraFile]) -> None:
        """Add LoRA files to the weights as they are now. Raises UserError naming what does not fit."""
        texts = (encoder.tower for encoder in self.conditioner.encoders)
        add_loras(dict(zip(CHANGED, (self.denoiser.unet, *texts), strict=False)), loras)

    def train(self, mode: bool = True) -> "Backbone":
        """Stay in evaluation mode."""
        return super().train(False)

    @property
    def prediction_type(self) -> str:
        """What the denoiser predicts: "epsilon" or "v_prediction"."""
        return self.scheduler.config.prediction_type

    @property
    def training_steps(self) -> int:
        """The number of timesteps of the noise schedule (1000 in Stable Diffusion)."""
        return self.scheduler.config.num_train_timesteps

    @property
    def is_inpainting(self) -> bool:
        """Whether the UNet sees the mask and the masked image. If not, the known area is put back after each step."""
        return self.denoiser.in_channels == 2 * self.latents.channels + 1

    @property
    def device(self) -> torch.device:
        """The device of the denoiser's weights."""
        return self.denoiser.device

    @property
    def dtype(self) -> torch.dtype:
        """The precision of the denoiser's weights. Latents, texts and images are always returned in float32."""
        return self.denoiser.dtype

    def prepare_condition(
        self,
        images: Float[Tensor, "batch 3 height width"],
        known: Bool[Tensor, "batch 1 height width"],
        source: Generators,
    ) -> InpaintCondition:
        """Return the condition and the starting noise, drawn from ``source`` in the order of
        `StableDiffusionInpaintPipeline`.

        Pixels that are not ``known`` change nothing, in training as in painting. A 9-channel UNet gets the image with
        zeros there. A 4-channel UNet gets clean latents in place of noisy ones: the image is continued smoothly before
        it is encoded, and a latent pixel is known only if all its image pixels are.
        """
        self.latents.check_size(*images.shape[-2:])
        size = [side // self.latents.scale for side in images.shape[-2:]]
        shape = (len(images), self.latents.channels, *size)
        known = known.to(self.device)
        images, unknown = images.to(self.device) * known, (~known).float()
        if self.is_inpainting:
            # Nearest, like the pipeline: every latent pixel takes the first of its image pixels.
            mask = functional.interpolate(unknown, size=size)
            noise = normal(shape, source, self.device)
            latents = self.latents.encode(images, source)
        else:
            mask = functional.max_pool2d(unknown, self.latents.scale)
            latents = self.latents.encode(filled(MaskedView(images, known), self.surface), source)
            noise = normal(shape, source, self.device)
            normal(shape, source)  # the pipeline encodes the masked image too; keeps the generators in step with it
        return InpaintCondition(mask=mask, image=latents, noise=noise)

    def nothing_known(self, condition: InpaintCondition) -> InpaintCondition:
        """Return the condition of images of the same size and with the same noise of which nothing is known."""
        size = [side * self.latents.scale for side in condition.image.shape[-2:]]
        empty = self.latents.encode(torch.zeros(self.latents.together, 3, *size, device=self.device))
        times = len(condition.mask) // len(empty)
        return InpaintCondition(torch.ones_like(condition.mask), empty.repeat(times, 1, 1, 1), condition.noise)

    def predict(
        self,
        latents: Float[Tensor, "batch channels rows columns"],
        timesteps: Tensor,
        text: TextCondition,
        condition: InpaintCondition,
        residuals: Sequence[Tensor] | None = None,
        controls: Sequence[ControlImage] = (),
    ) -> Float[Tensor, "batch channels rows columns"]:
        """Return what the denoiser predicts (`prediction_type`) for noisy latents at ``timesteps`` (one, or one per
        row).

        ``residuals`` are added inside the encoder, one map per down block. ``controls`` has an image for each
        ControlNet. ``latents`` may repeat the rows of ``condition``, ``residuals`` and ``controls``, as the branches of
        guidance do.
        """
        blocks = len(self.denoiser.down_channels)
        if residuals is not None and len(residuals) != blocks:
            raise ValueError(f"{len(residuals)} residuals for a UNet with {blocks} down blocks")
        inputs = latents
        if self.is_inpainting:
            condition = condition.repeated(len(latents))
            inputs = torch.cat([latents, condition.mask.to(latents), condition.image.to(latents)], dim=1)
        return self.run_unet(inputs, timesteps, text, residuals, controls).to(latents.dtype)

    def run_unet(
        self,
        inputs: Tensor,
        timesteps: Tensor,
        text: TextCondition,
        residuals: Sequence[Tensor] | None = None,
        controls: Sequence[ControlImage] = (),
    ) -> Tensor:
        """Run the denoiser on its whole input, in its own precision. SDXL is given the size of the picture."""
        sizes = None
        if self.denoiser.has_added_conditions:
            height, width = (side * self.latents.scale for side in inputs.shape[-2:])
            sizes = size_conditions(len(inputs), height, width, self.device)
        return self.denoiser(inputs, timesteps, text, sizes, residuals, controls)

    def repaint_known(self, condition: InpaintCondition, scheduler: Any) -> AfterStep | None:
        """Return what `denoise` must do after each step: nothing (None) if the UNet sees the mask itself.

        Otherwise the known area is put back at the noise level of the next step (as the diffusers pipeline does, after
        RePaint, Lugmayr et al. 2022, eq. 8).
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
        """Return latents at the noise level of ``timesteps``, for training."""
        return self.training_scheduler.add_noise(latents, noise, timesteps)

    def target(
        self,
        latents: Float[Tensor, "batch channels rows columns"],
        noise: Float[Tensor, "batch channels rows columns"],
        timesteps: Int64[Tensor, "batch"],
    ) -> Float[Tensor, "batch channels rows columns"]:
        """Return what `predict` should return, for training: the noise or the velocity (Salimans and Ho 2022, appendix
        D).
        """
        if self.prediction_type == "epsilon":
            return noise
        return self.training_scheduler.get_velocity(latents, noise, timesteps)

    def components(self, inseparable: int = 1) -> dict[str, Component]:
        """Return its networks, for placement. ``inseparable`` is how many images the VAE always decodes together."""
        found = self.conditioner.components() | self.latents.components(inseparable) | self.denoiser.components()
        return found if self.upscaler is None else found | {UPSCALER: Component(self.upscaler)}


def _pipeline(folder: Path) -> dict[str, Any]:
    path = folder / PIPELINE
    return read_json(path) if path.is_file() else {}


def _overflows(folder: Path) -> bool:
    """Return whether the VAE of a folder must not be held in float16: SDXL's own, unless its config says otherwise.

    The pipelines of Stable Diffusion ignore ``force_upcast``, which is true by default.
    """
    unet, vae = (read_json(folder / part / "config.json") for part in ("unet", "vae"))
    return unet.get("addition_embed_type") == TEXT_TIME and bool(vae.get("force_upcast", True))
