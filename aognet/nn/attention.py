"""Transformer blocks on token sequences, pre-normalised (Vaswani et al. 2017; Xiong et al. 2020)."""

from jaxtyping import Float
from torch import Tensor, nn


def feed_forward(dim: int) -> nn.Sequential:
    """Normalise, widen four times, narrow again."""
    return nn.Sequential(nn.LayerNorm(dim), nn.Linear(dim, 4 * dim), nn.GELU(), nn.Linear(4 * dim, dim))


class SelfAttentionBlock(nn.Module):
    """Tokens attend to each other, then pass a feed-forward layer; both are residual."""

    def __init__(self, dim: int, heads: int):
        super().__init__()
        self.norm = nn.LayerNorm(dim)
        self.attention = nn.MultiheadAttention(dim, heads, batch_first=True)
        self.feed_forward = feed_forward(dim)

    def forward(self, tokens: Float[Tensor, "batch tokens dim"]) -> Float[Tensor, "batch tokens dim"]:
        normed = self.norm(tokens)
        tokens = tokens + self.attention(normed, normed, normed, need_weights=False)[0]
        return tokens + self.feed_forward(tokens)


class CrossAttentionBlock(nn.Module):
    """Tokens attend to a memory, then pass a feed-forward layer; both are residual."""

    def __init__(self, dim: int, heads: int):
        super().__init__()
        self.norm = nn.LayerNorm(dim)
        self.memory_norm = nn.LayerNorm(dim)
        self.attention = nn.MultiheadAttention(dim, heads, batch_first=True)
        self.feed_forward = feed_forward(dim)

    def forward(
        self, tokens: Float[Tensor, "batch tokens dim"], memory: Float[Tensor, "batch memory dim"]
    ) -> Float[Tensor, "batch tokens dim"]:
        memory = self.memory_norm(memory)
        tokens = tokens + self.attention(self.norm(tokens), memory, memory, need_weights=False)[0]
        return tokens + self.feed_forward(tokens)
