"""CLIP's frozen encoders: images to one vector each, prompts to one vector per token."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from aognet.diffusion.condition import TextCondition
from aognet.diffusion.encodings import EncodingCache
from aognet.diffusion.loading import check_dtype, freeze, load_part, load_tokenizer, load_weights, resolve
from aognet.diffusion.sampling.sampler import LongPrompts
from aognet.diffusion.texts import Layer, chunks, encode_prompts, framed, joined
from aognet.diffusion.vocabulary import Vocabulary, read_vocabulary
from aognet.errors import UserError
from aognet.io.store import CacheConfig

# OpenAI's normalisation, which OpenCLIP's models share; a preprocessor config beside the weights overrules it.
MEAN = (0.48145466, 0.4578275, 0.40821073)
STD = (0.26862954, 0.26130258, 0.27577711)


@dataclass(frozen=True)
class ClipConfig:
    """Which CLIP is used.

    ``model``: hub id or folder of a CLIP. ``subfolder`` and ``processor``: where in it the image encoder and its
    preprocessing lie (``image_encoder`` and ``feature_extractor`` in a diffusers folder). ``text``: whether prompts are
    read by this CLIP's text encoder (which then lies beside the image encoder) and not by the backbone's.
    ``encodings``: where training stores encoded images and texts that come again (a folder of null: nowhere).
    """

    model: str
    revision: str | None = None
    subfolder: str = ""
    processor: str = ""
    text: bool = False
    dtype: str = "float32"
    encodings: CacheConfig = field(default_factory=lambda: CacheConfig(folder=None))

    def __post_init__(self) -> None:
        check_dtype(self.dtype)


class ClipImageEncoder(nn.Module):
    """CLIP's image encoder with projection (Radford et al. 2021). It stays frozen and in evaluation mode."""

    tower: Any
    mean: Tensor
    std: Tensor

    def __init__(
        self,
        tower: nn.Module,
        mean: tuple[float, ...] = MEAN,
        std: tuple[float, ...] = STD,
        encodings: CacheConfig = CacheConfig(folder=None),  # noqa: B008 (frozen)
    ):
        super().__init__()
        self.tower = freeze(tower)
        self.register_buffer("mean", torch.tensor(mean).view(3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(3, 1, 1), persistent=False)
        self._kept = EncodingCache(encodings, self)

    @classmethod
    def load(cls, config: ClipConfig) -> "ClipImageEncoder":
        """Load the encoder that a config names. A whole CLIP model works too; its text encoder is left out."""
        from transformers import CLIPImageProcessorPil, CLIPVisionModelWithProjection

        parts = [part for part in (config.subfolder, config.processor) if part]
        folder = resolve(config.model, parts, config.revision)
        tower = load_weights(CLIPVisionModelWithProjection, folder, config.subfolder, config.dtype)
        if not (folder / config.processor / "preprocessor_config.json").is_file():
            return cls(tower, encodings=config.encodings)
        processor = load_part(CLIPImageProcessorPil, folder, config.processor)
        if len(processor.image_mean) != 3 or len(processor.image_std) != 3:
            raise UserError(f"{folder / config.processor}: image_mean and image_std must have 3 numbers")
        return cls(tower, tuple(processor.image_mean), tuple(processor.image_std), config.encodings)

    def train(self, mode: bool = True) -> "ClipImageEncoder":
        """Stay in evaluation mode."""
        return super().train(False)

    @property
    def dim(self) -> int:
        """The length of the vectors."""
        return self.tower.config.projection_dim

    @torch.no_grad()
    def forward(self, images: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch dim"]:
        """Return CLIP embeddings (not normalised) of square images in [-1, 1] of any size."""
        return self._kept.encoded(images, lambda new: (self.embed(new),), self.tower.device)[0]

    def embed(self, images: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch dim"]:
        """Return what calling it returns, with gradients for the images; nothing is stored."""
        size = self.tower.config.image_size
        if images.shape[-1] != size or images.shape[-2] != size:
            images = functional.interpolate(images, size=(size, size), mode="bicubic", antialias=True).clamp(-1, 1)
        pixels = ((images + 1) / 2 - self.mean) / self.std
        return self.tower(pixels.to(self.tower.dtype)).image_embeds.float()


class ClipTextEncoder(nn.Module):
    """CLIP's text encoder. It stays frozen and in evaluation mode. ``layer`` says whose hidden states it returns.

    ``vocabulary``: the learned words, which the encoder and its tokenizer have been taught.
    """

    tower: Any

    def __init__(
        self,
        tower: nn.Module,
        tokenizer: Any,
        encodings: CacheConfig = CacheConfig(folder=None),  # noqa: B008 (frozen)
        layer: Layer = "last",
        vocabulary: Vocabulary | None = None,
    ):
        super().__init__()
        self.tower = freeze(tower)
        self.tokenizer = tokenizer
        self.vocabulary = vocabulary or Vocabulary()
        self.layer: Layer = layer
        self._kept = EncodingCache(encodings, self)

    @classmethod
    def load(cls, config: ClipConfig, words: Sequence[str] = ()) -> "ClipTextEncoder":
        """Load the text encoder and tokenizer of the CLIP that a config names, and learned words of files."""
        from transformers import CLIPTextModel

        folder, vocabulary = resolve(config.model, (), config.revision), read_vocabulary(words)
        tower, tokenizer = load_weights(CLIPTextModel, folder, "", config.dtype), load_tokenizer(folder, "")
        vocabulary.teach([tower], [tokenizer])
        return cls(tower, tokenizer, config.encodings, vocabulary=vocabulary)

    def train(self, mode: bool = True) -> "ClipTextEncoder":
        """Stay in evaluation mode."""
        return super().train(False)

    @property
    def dim(self) -> int:
        """The length of the vectors."""
        return self.tower.config.hidden_size

    @property
    def pooled_dim(self) -> int:
        """The length of the pooled vector; 0 without one."""
        projects = self.layer == "penultimate" and hasattr(self.tower, "text_projection")
        return self.tower.config.projection_dim if projects else 0

    @property
    def length(self) -> int:
        """The number of tokens of every prompt."""
        return min(self.tokenizer.model_max_length, self.tower.config.max_position_embeddings)

    def read(self, vocabulary: Vocabulary) -> None:
        """Read words that the tower was taught since this was made. Encodings are kept no longer: words may learn."""
        self.vocabulary, self._kept = vocabulary, EncodingCache(CacheConfig(folder=None), self)

    @property
    def learns(self) -> bool:
        """Whether learned words are in training, so that texts mean something else after each step."""
        return any(weight.requires_grad for weight in self.tower.parameters())

    def forward(self, prompts: Sequence[str]) -> TextCondition:
        """Encode prompts, cut or padded to ``length`` tokens. There are gradients for words that learn."""
        learns, spelled = self.learns, [self.vocabulary.spelled(prompt) for prompt in prompts]
        with torch.set_grad_enabled(learns and torch.is_grad_enabled()):
            return encode_prompts(self.tower, self.tokenizer, self.length, spelled, self._kept, self.layer)

    def chunks(self, prompt: str, how: LongPrompts) -> list[str]:
        """Return a prompt as texts that are read one by one: itself, cut if it is too long, or as many as hold it."""
        return chunks(self.tokenizer, self.length, self.vocabulary.spelled(prompt), how)

    def framed(self, before: str, text: str, after: str, how: LongPrompts) -> str:
        """Return a text between two, of which both are read whole: if need be, the text's own end is cut."""
        before, text, after = (self.vocabulary.spelled(part) for part in (before, text, after))
        return f"{before}{text}{after}" if how == "chunks" else framed(self.tokenizer, self.length, before, text, after)

    def joined(self, words: str, prompt: str, how: LongPrompts) -> str:
        """Return the words of a direction before the common prompt, so short that neither is pushed out."""
        words, prompt = self.vocabulary.spelled(words), self.vocabulary.spelled(prompt)
        return joined(self.tokenizer, self.length, words, prompt, how)
