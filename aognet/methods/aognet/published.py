"""The two streams as in AOG-Net's published code, whose layers differ from the paper's drawing and from ours.

docs/deviations.md lists the differences, their reasons and what was measured.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from aognet.errors import UserError
from aognet.methods.aognet.global_stream import GlobalStreamConfig
from aognet.methods.aognet.local_stream import LocalStream, LocalStreamConfig
from aognet.nn.attention import PostNormBlock

JOINED, DROPOUT = 512, 0.2
UNKNOWN = -1.0  # the colour of what is not known: black


class PublishedGlobalStream(nn.Module):
    """Queries and view are joined by four narrow blocks. Nothing is projected, so all embeddings have one size."""

    def __init__(
        self, config: GlobalStreamConfig, context_dim: int, image_dim: int, text_dim: int, text_length: int
    ) -> None:
        super().__init__()
        if not context_dim == image_dim == text_dim:
            raise UserError(
                "variant: published projects nothing, so the UNet's context, the CLIP's image embedding and its text "
                f"tower must have one size; got {context_dim}, {image_dim} and {text_dim}"
            )
        if context_dim % config.heads:
            raise UserError(f"must divide the context dimension {context_dim}", key="heads", value=config.heads)
        self.config, dim = config, context_dim
        self.queries = nn.Parameter(torch.randn(config.tokens, dim))
        self.positions = nn.Parameter(torch.randn(config.tokens + 6 + (text_length if config.text else 0), dim))
        self.vision = nn.Parameter(torch.randn(dim))
        if config.text:
            self.text = nn.Parameter(torch.randn(dim))
        wide, narrow = (_narrow(2 * dim), _narrow(2 * dim)), (_narrow(dim), _narrow(dim))
        self.join = nn.Sequential(*wide, nn.Linear(2 * dim, dim), *narrow)
        self.transformer = nn.Sequential(*(PostNormBlock(dim, config.heads) for _ in range(config.depth)))

    def forward(
        self,
        face_embeddings: Float[Tensor, "batch 6 image_dim"],
        view_embedding: Float[Tensor, "batch image_dim"],
        text: Float[Tensor, "batch text_length text_dim"],
    ) -> Float[Tensor, "batch tokens context_dim"]:
        """Return the tokens to put before the text in the UNet's cross-attention."""
        queries = self.queries.expand(len(text), -1, -1)
        views = view_embedding[:, None].expand(-1, self.config.tokens, -1)
        sequence = [self.join(torch.cat([queries, views], dim=-1)), face_embeddings + self.vision]
        if self.config.text:
            sequence.append(text + self.text)
        return self.transformer(torch.cat(sequence, dim=1) + self.positions)[:, : self.config.tokens]


def _narrow(dim: int) -> nn.Sequential:
    """Return layers to 512 channels and back, with dropout and without a residual path."""
    down, up = nn.Linear(dim, JOINED, bias=False), nn.Linear(JOINED, dim, bias=False)
    return nn.Sequential(down, nn.GELU(), nn.Dropout(DROPOUT), up, nn.Dropout(DROPOUT))


class PublishedLocalStream(LocalStream):
    """Its input is RGB, black where nothing is known, and latitude and longitude in radians.

    The last layers start at zero here too (the published code has none), so that an untrained stream changes nothing.
    """

    @staticmethod
    def channels_of(config: LocalStreamConfig) -> int:
        """Return the channels of the adapter's input."""
        return 5 if config.geometry else 3

    @staticmethod
    def make_blocks(width: int, heads: int, depth: int) -> Sequence[nn.Module]:
        """Return blocks that attend to a memory and normalise after the attention."""
        return [PostNormBlock(width, heads, remembers=True) for _ in range(depth)]

    def _input(self, images: Tensor, known: Tensor, positions: Tensor) -> Tensor:
        images = images.where(known, UNKNOWN)
        if not self.config.geometry:
            return images
        x, y, z = positions.unbind(1)
        return torch.cat([images, torch.stack([y.clamp(-1, 1).asin(), torch.atan2(x, z)], dim=1)], dim=1)
