"""Transformer blocks on token sequences (Vaswani et al. 2017), most of them pre-normalised (Xiong et al. 2020)."""

from jaxtyping import Float
from torch import Tensor, nn


def feed_forward(dim: int) -> nn.Sequential:
    """Return a feed-forward layer: normalise, widen four times, narrow again."""
    return nn.Sequential(nn.LayerNorm(dim), nn.Linear(dim, 4 * dim), nn.GELU(), nn.Linear(4 * dim, dim))


class SelfAttentionBlock(nn.Module):
    """Tokens attend to each other, then pass a feed-forward layer. Both are residual."""

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
    """Tokens attend to a memory, then pass a feed-forward layer. Both are residual."""

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


class PostNormBlock(nn.Module):
    """Self-attention, attention to a memory if it ``remembers``, and a feed-forward layer of the same width.

    Each is residual and normalised afterwards. Only the norms have a bias, as in AOG-Net's published code.
    """

    def __init__(self, dim: int, heads: int, remembers: bool = False):
        super().__init__()

        def attention() -> nn.MultiheadAttention:
            return nn.MultiheadAttention(dim, heads, bias=False, batch_first=True)

        self.attention, self.norm = attention(), nn.LayerNorm(dim)
        if remembers:
            self.cross_attention, self.cross_norm = attention(), nn.LayerNorm(dim)
        linear = [nn.Linear(dim, dim, bias=False) for _ in range(2)]
        self.feed_forward = nn.Sequential(linear[0], nn.GELU(), linear[1])
        self.last_norm = nn.LayerNorm(dim)

    def forward(
        self,
        tokens: Float[Tensor, "batch tokens dim"],
        memory: Float[Tensor, "batch memory dim"] | None = None,
    ) -> Float[Tensor, "batch tokens dim"]:
        tokens = self.norm(tokens + self.attention(tokens, tokens, tokens, need_weights=False)[0])
        if memory is not None:
            tokens = self.cross_norm(tokens + self.cross_attention(tokens, memory, memory, need_weights=False)[0])
        return self.last_norm(tokens + self.feed_forward(tokens))
