"""How Seamless is trained: whole panoramas are noised, and a photograph of them, or nothing, is known."""

from dataclasses import dataclass, field
from typing import Literal

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from aognet.data.augment import check_share
from aognet.data.equirectangular import EquirectangularBatch, rolled
from aognet.diffusion.backbone import Backbone
from aognet.diffusion.condition import InpaintCondition, Predict
from aognet.diffusion.latent_space import LatentSpace
from aognet.diffusion.learning_words import LearnWordsConfig, learn_words
from aognet.diffusion.lora.trained import Layers, Trained, check_rank, open_parts
from aognet.diffusion.objective import NOISE, Denoising, Emphasis, check_draws, drawn, noised_loss
from aognet.diffusion.sampling.noise import generators, normal, uniform

# Streams of a sample's seed, beside those of `aognet.diffusion.objective`.
HIDE, SILENCE, PREVIEW = 11, 12, 20


@dataclass(frozen=True, kw_only=True)
class TrainingConfig:
    """What is trained, and on which loss.

    ``train``: what learns: nothing, low-rank additions of ``lora_rank`` to ``lora_layers``, the weights of the
    attention, or the whole UNet. ``learn_words``: words that learn, alone or beside it. ``drop_text`` and
    ``drop_known``: how often training leaves out the text, and what is known. ``noise_offset``: strength of the noise
    that a whole channel shares. ``known_weight``: the weight of known pixels in the loss of an inpainting UNet.
    ``draws``: how many times an encoded panorama is noised and learned from. ``emphasis``: which noise levels count
    more.
    """

    train: Trained | Literal["none"] = "none"
    learn_words: LearnWordsConfig = field(default_factory=LearnWordsConfig)
    lora_rank: int = 16
    lora_layers: Layers = "attention"
    drop_text: float = 0.1
    drop_known: float = 0.5
    noise_offset: float = 0.0
    known_weight: float = 1.0
    draws: int = 1
    emphasis: Emphasis = field(default_factory=Emphasis)

    def __post_init__(self) -> None:
        check_rank(self.lora_rank)
        check_draws(self.draws)
        check_share("drop_text", self.drop_text)
        check_share("drop_known", self.drop_known)


def learning(backbone: Backbone, config: TrainingConfig) -> dict[str, nn.Module]:
    """Let what the configuration chooses learn, and return it by name. Convolutions are to wrap around after this."""
    words = {"words": learn_words(backbone.conditioner, config.learn_words)} if config.learn_words.count else {}
    if config.train == "none":
        return words
    return open_parts(backbone.denoiser.unet, config.train, config.lora_rank, config.lora_layers) | words


def training_loss(backbone: Backbone, config: TrainingConfig, given: Denoising) -> Float[Tensor, ""]:
    """Return the diffusion loss of what is learned from in one step (`turned_denoising`)."""
    return noised_loss(backbone, given, config.noise_offset, config.known_weight, config.emphasis)


def turned_denoising(
    backbone: Backbone, config: TrainingConfig, batch: EquirectangularBatch, predict: Predict | None = None
) -> Denoising:
    """Return what is learned from in one step: turned panoramas, of which an inpainting UNet is told the photograph or
    nothing.

    A text-to-image UNet learns from text alone: what is known is put back while it paints. ``predict`` takes the place
    of `Backbone.predict`.
    """
    seeds, draws = batch.seeds, config.draws
    hidden = (uniform(seeds, HIDE) < config.drop_known)[:, None, None, None]
    known = batch.known & ~hidden.to(batch.known.device)
    prompts = config.learn_words.prompts(backbone.conditioner, batch.prompts)
    text, nothing = backbone.conditioner.with_unconditional(prompts)
    silent = drawn(draws, lambda stream: uniform(seeds, stream) < config.drop_text, SILENCE)
    return Denoising(
        turned_latents(backbone.latents, batch.images, batch.columns),
        known_condition(backbone, batch.turned(), known, seeds),
        seeds,
        text.repeated(draws).replaced(silent.to(text.tokens.device), nothing),
        predict,
    )


def turned_latents(
    latents: LatentSpace, images: Float[Tensor, "batch 3 height width"], columns: Int[Tensor, "batch"]
) -> Float[Tensor, "batch channels rows cells"]:
    """Return the latents of panoramas whose middles move right by ``columns``, for a VAE that wraps around.

    Where the image turns by whole latent pixels, so do its latents. Only the rest of ``columns`` turns the image before
    it is encoded, so that few images are encoded of each panorama, and once where encodings are kept.
    """
    rest = columns % latents.scale
    return rolled(latents.encode(rolled(images, -rest)), -(columns - rest) // latents.scale)


def known_condition(
    backbone: Backbone,
    images: Float[Tensor, "batch 3 height width"],
    known: Bool[Tensor, "batch 1 height width"],
    seeds: Int[Tensor, "batch"],
) -> InpaintCondition:
    """Return `Backbone.prepare_condition` of what is known, with its noise. Rows that know nothing are encoded once."""
    sources = generators(seeds, NOISE)
    size = [side // backbone.latents.scale for side in images.shape[-2:]]
    noise = normal((len(images), backbone.latents.channels, *size), sources, backbone.device)
    blank = InpaintCondition(torch.ones_like(noise[:, :1]), torch.zeros_like(noise), noise)
    if not backbone.is_inpainting:
        return blank
    shown = known.flatten(1).any(1)
    condition = blank if shown.all() else backbone.nothing_known(blank)
    if shown.any():
        sources = generators(seeds[shown.cpu()], NOISE)
        told = backbone.prepare_condition(images[shown], known[shown], sources)
        condition.mask[shown], condition.image[shown] = told.mask, told.image
    return condition
