"""The global stream: what the text says and what the unfinished panorama shows, as a few cross-attention tokens."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from aognet.errors import UserError
from aognet.nn.attention import SelfAttentionBlock, feed_forward


@dataclass(frozen=True)
class GlobalStreamConfig:
    """``tokens``: how many tokens are put before the text. ``text``: whether the stream reads the text. The rest is the
    transformer's size.
    """

    enabled: bool = True
    text: bool = True
    tokens: int = 5
    depth: int = 8
    heads: int = 8

    def __post_init__(self) -> None:
        for name in ("tokens", "depth", "heads"):
            if getattr(self, name) < 1:
                raise UserError("must be at least 1", key=name, value=getattr(self, name))


class GlobalStream(nn.Module):
    """Learned queries, each joined with the CLIP embedding of the view, gather from the faces' embeddings and the
    text.
    """

    def __init__(
        self, config: GlobalStreamConfig, context_dim: int, image_dim: int, text_dim: int, text_length: int
    ) -> None:
        super().__init__()
        if context_dim % config.heads:
            raise UserError(f"must divide the context dimension {context_dim}", key="heads", value=config.heads)
        self.config = config
        length = config.tokens + 6 + (text_length if config.text else 0)
        self.queries = nn.Parameter(torch.randn(config.tokens, context_dim) * 0.02)
        self.positions = nn.Parameter(torch.randn(length, context_dim) * 0.02)
        self.vision = nn.Parameter(torch.randn(context_dim) * 0.02)
        self.faces = nn.Linear(image_dim, context_dim)
        if config.text:
            self.text = nn.Parameter(torch.randn(context_dim) * 0.02)
            self.words = nn.Identity() if text_dim == context_dim else nn.Linear(text_dim, context_dim)
        self.join = nn.Sequential(nn.Linear(context_dim + image_dim, context_dim), nn.GELU(), feed_forward(context_dim))
        self.transformer = nn.Sequential(*(SelfAttentionBlock(context_dim, config.heads) for _ in range(config.depth)))
        self.norm = nn.LayerNorm(context_dim)

    def forward(
        self,
        face_embeddings: Float[Tensor, "batch 6 image_dim"],
        view_embedding: Float[Tensor, "batch image_dim"],
        text: Float[Tensor, "batch text_length text_dim"],
    ) -> Float[Tensor, "batch tokens context_dim"]:
        """Return the tokens to put before the text in the UNet's cross-attention."""
        batch = len(text)
        queries = self.queries.expand(batch, -1, -1)
        views = view_embedding[:, None].expand(-1, self.config.tokens, -1)
        sequence = [self.join(torch.cat([queries, views], dim=-1)), self.faces(face_embeddings) + self.vision]
        if self.config.text:
            sequence.append(self.words(text) + self.text)
        tokens = self.transformer(torch.cat(sequence, dim=1) + self.positions)
        return self.norm(tokens[:, : self.config.tokens])
