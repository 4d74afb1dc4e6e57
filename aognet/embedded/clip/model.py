"""Contrastive training of a CLIP text encoder and image encoder on views and their captions."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from aognet.diffusion.loading import load_tokenizer
from aognet.diffusion.texts import token_rows
from aognet.errors import UserError


class LogitScale(nn.Module):
    """The factor of cosines (Radford et al. 2021, section 2.5), as a logarithm."""

    def __init__(self) -> None:
        super().__init__()
        self.logarithm = nn.Parameter(torch.tensor(2.66))

    def forward(self, cosines: Tensor) -> Tensor:
        return cosines * self.logarithm.exp().clamp(max=100)


class ClipTraining(nn.Module):
    """Learns both encoders. It writes the folders that a diffusers pipeline calls ``text_encoder`` and
    ``image_encoder``.
    """

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """``tokenizer`` is the folder of a trained CLIP tokenizer. The rest are the encoders' sizes."""

        tokenizer: str
        hidden_size: int = 192
        projection_size: int = 192
        heads: int = 4
        text_layers: int = 3
        image_layers: int = 4
        image_size: int = 64
        patch_size: int = 8
        label_smoothing: float = 0.1

        def __post_init__(self) -> None:
            if not Path(self.tokenizer).is_dir():
                raise UserError("must be a folder that is there", key="tokenizer", value=self.tokenizer)

    text_encoder: Any
    image_encoder: Any

    def __init__(self, config: Config):
        super().__init__()
        self.config = config
        self.tokenizer = load_tokenizer(Path(config.tokenizer), "")
        self.text_encoder, self.text_projection = _text_tower(config, self.tokenizer)
        self.image_encoder = _image_tower(config)
        self.scale = LogitScale()

    def trainable_parts(self) -> dict[str, nn.Module]:
        parts = ("text_encoder", "text_projection", "image_encoder", "scale")
        return {name: getattr(self, name) for name in parts}

    def forward(self, batch) -> dict[str, Tensor]:
        """Return the symmetric cross-entropy over the batch. Captions of one panorama count as matches of each
        other.
        """
        texts, images = self._embed(batch)
        logits = self.scale(texts @ images.T)
        same = torch.tensor([[a == b for b in batch.prompts] for a in batch.prompts], device=logits.device)
        target = same.to(logits.dtype)
        target = target / target.sum(-1, keepdim=True)
        smooth = self.config.label_smoothing
        target = target * (1 - smooth) + smooth / len(target)
        loss = (functional.cross_entropy(logits, target) + functional.cross_entropy(logits.T, target)) / 2
        right = same.gather(1, logits.argmax(-1, keepdim=True)).float().mean()
        return {"loss": loss, "accuracy": right}

    def _embed(self, batch) -> tuple[Tensor, Tensor]:
        tokens = token_rows(self.tokenizer, self.tokenizer.model_max_length, batch.prompts)["input_ids"]
        pooled = self.text_encoder(tokens.to(batch.images.device)).pooler_output
        images = functional.interpolate(batch.images, size=self.config.image_size, mode="area")
        vision = self.image_encoder(images).image_embeds
        texts = self.text_projection(pooled)
        return functional.normalize(texts.float(), dim=-1), functional.normalize(vision.float(), dim=-1)

    def preview(self, batch) -> dict[str, Tensor]:
        return {"input": batch.images}

    def enable_gradient_checkpointing(self) -> None:
        self.text_encoder.gradient_checkpointing_enable()
        self.image_encoder.gradient_checkpointing_enable()

    def save_pretrained(self, folder: Path) -> None:
        """Write ``tokenizer``, ``text_encoder``, ``image_encoder`` and ``feature_extractor`` below ``folder``."""
        from transformers import CLIPImageProcessorPil, CLIPTextModelWithProjection

        whole = CLIPTextModelWithProjection(self.text_encoder.config)
        # Older versions of transformers wrap the tower once more.
        tower = getattr(self.text_encoder, "text_model", self.text_encoder)
        whole.text_model.load_state_dict(tower.state_dict())
        whole.text_projection.load_state_dict(self.text_projection.state_dict())
        whole.save_pretrained(folder / "text_encoder")
        self.image_encoder.save_pretrained(folder / "image_encoder")
        self.tokenizer.save_pretrained(folder / "tokenizer")
        size = self.config.image_size
        CLIPImageProcessorPil(
            size={"shortest_edge": size},
            crop_size={"height": size, "width": size},
            image_mean=[0.5] * 3,
            image_std=[0.5] * 3,
        ).save_pretrained(folder / "feature_extractor")


def _text_tower(config: ClipTraining.Config, tokenizer: Any) -> tuple[Any, nn.Linear]:
    from transformers import CLIPTextConfig, CLIPTextModel

    text = CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=config.hidden_size,
        intermediate_size=config.hidden_size * 4,
        projection_dim=config.projection_size,
        num_hidden_layers=config.text_layers,
        num_attention_heads=config.heads,
        max_position_embeddings=tokenizer.model_max_length,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    return CLIPTextModel(text), nn.Linear(config.hidden_size, config.projection_size, bias=False)


def _image_tower(config: ClipTraining.Config) -> nn.Module:
    from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

    vision = CLIPVisionConfig(
        hidden_size=config.hidden_size,
        intermediate_size=config.hidden_size * 4,
        projection_dim=config.projection_size,
        num_hidden_layers=config.image_layers,
        num_attention_heads=config.heads,
        image_size=config.image_size,
        patch_size=config.patch_size,
    )
    return CLIPVisionModelWithProjection(vision)
