"""CLIP as a feature network (Radford et al. 2021, arXiv 2103.00020): both encoders, projected into their common
space.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from aognet.diffusion.clip_encoders import ClipConfig, ClipImageEncoder
from aognet.diffusion.loading import load_tokenizer, load_weights, resolve
from aognet.diffusion.texts import token_rows
from aognet.errors import UserError
from aognet.io.text_files import read_json
from aognet.perception.network import NetworkConfig
from aognet.perception.network_weights import digest, fingerprint, named

TEMPLATE = "a photo of a {}"


class ClipNetwork:
    """A loaded CLIP as a `FeatureNetwork`. Its embeddings are not normalised."""

    is_fid_inception = False

    def __init__(
        self,
        image_encoder: ClipImageEncoder,
        words: tuple[Any, Any] | None,
        config: NetworkConfig,
        device: torch.device,
    ):
        """Take an image encoder and ``words``, the text encoder with projection and its tokenizer, or None."""
        self.device, self.centre_crop = device, config.centre_crop
        self.image_encoder = image_encoder.to(device)
        self.reads_text = words is not None
        tower, self.tokenizer = words or (None, None)
        self.text_encoder = None if tower is None else tower.to(device)
        shape = image_encoder.tower.config
        self.size, self.dim = shape.image_size, image_encoder.dim
        crop = "centre crop" if config.centre_crop else "whole image to a square"
        what = f"CLIP ({self.size} px, patches of {shape.patch_size}, {self.dim} features, {crop})"
        weights = digest([image_encoder, *([] if self.text_encoder is None else [self.text_encoder])])
        scaling = [image_encoder.mean.flatten().tolist(), image_encoder.std.flatten().tolist()]
        self.name = named(what, config.model, weights)
        self.fingerprint = fingerprint(weights, f"clip 1 {crop} {scaling} {config.classes}")
        self.classes = len(config.classes)
        self.class_texts = self.texts([TEMPLATE.format(word) for word in config.classes]) if self.classes else None

    @classmethod
    def load(cls, config: NetworkConfig, device: torch.device) -> "ClipNetwork":
        """Load it from one folder or hub id, or from the subfolders of a diffusers folder that the config names.

        :raises UserError: naming the folder that is missing or cannot be read.
        """
        from transformers import CLIPTextModelWithProjection

        parts = (config.image_encoder, config.feature_extractor, config.text_encoder, config.tokenizer)
        folder = resolve(config.model, [part for part in parts if part], config.revision)
        images = ClipConfig(
            str(folder), subfolder=config.image_encoder, processor=config.feature_extractor, dtype=config.dtype
        )
        image_encoder = ClipImageEncoder.load(images)
        if not config.text_encoder and (config.image_encoder or not _is_whole(folder)):
            return cls(image_encoder, None, config, device)
        tower = load_weights(CLIPTextModelWithProjection, folder, config.text_encoder, config.dtype)
        if tower.config.projection_dim != image_encoder.dim:
            raise UserError(
                f"{folder / config.text_encoder}: gives {tower.config.projection_dim} numbers, "
                f"the image tower {image_encoder.dim}; they are not of one CLIP"
            )
        return cls(image_encoder, (tower, load_tokenizer(folder, config.tokenizer)), config, device)

    def features(self, images: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch dim"]:
        """Return the projected embeddings of images in [-1, 1]."""
        images = images.to(self.device)
        return self.image_encoder(_centre(images, self.size) if self.centre_crop else images)

    def logits(self, features: Float[Tensor, "batch dim"]) -> Float[Tensor, "batch classes"]:
        """Return zero-shot scores: 100 times the cosine to "a photo of a" each class (section 3.1.2 of the paper)."""
        if self.class_texts is None:
            raise UserError(f"{self.name}: has no classes; name them in the network's classes")
        unit = functional.normalize(features.to(self.device), dim=-1)
        return 100 * unit @ functional.normalize(self.class_texts, dim=-1).T

    @torch.no_grad()
    def texts(self, prompts: Sequence[str]) -> Float[Tensor, "batch dim"]:
        """Return projected text embeddings. Prompts that are too long for the encoder are cut."""
        if self.text_encoder is None or self.tokenizer is None:
            raise UserError(f"{self.name}: has no text tower")
        length = min(self.tokenizer.model_max_length, self.text_encoder.config.max_position_embeddings)
        rows = token_rows(self.tokenizer, length, prompts)
        found = self.text_encoder(**{name: part.to(self.device) for name, part in rows.items()})
        return found.text_embeds.float()


def _is_whole(folder: Path) -> bool:
    """Return whether the folder has both encoders. Its config has been read before, as that of the image encoder."""
    return read_json(folder / "config.json").get("model_type") == "clip"


def _centre(images: Float[Tensor, "batch 3 height width"], size: int) -> Float[Tensor, "batch 3 size size"]:
    """Return the central square after resizing the short side to ``size`` pixels."""
    height, width = images.shape[-2:]
    short = min(height, width)
    if short != size:
        shape = (int(size * height / short), int(size * width / short))
        images = functional.interpolate(images, size=shape, mode="bicubic", antialias=True).clamp(-1, 1)
    top, left = (images.shape[-2] - size) // 2, (images.shape[-1] - size) // 2
    return images[..., top : top + size, left : left + size]
