"""A causal transformer over codes in the layout of minGPT, which the samplers of Text2Light have (arXiv 2209.09898).

Parameters have the published names without prefix, such as ``blocks.0.attn.key.weight``. In training all tokens pass at
once. In sampling each token passes once: a `Cache` keeps its keys and values.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn
from torch.nn import functional

from aognet.errors import UserError
from aognet.nn.blocks import Blocks

MOST = {"vocabulary": 2**20, "length": 2**16, "layers": 512, "heads": 512, "width": 2**15}
DEVIATION = 0.02  # of the first weights


@dataclass(frozen=True, kw_only=True)
class GptConfig:
    """The sizes of a transformer. ``length``: the most tokens that it sees, the prefix among them."""

    length: int
    vocabulary: int = 1024
    layers: int = 12
    heads: int = 8
    width: int = 1024

    def __post_init__(self) -> None:
        check_sizes(self, MOST)


def check_sizes(config: object, most: dict[str, int]) -> None:
    """Raise UserError for a size out of its bounds, and for a width that the heads do not share evenly."""
    for name, bound in most.items():
        if not 1 <= getattr(config, name) <= bound:
            raise UserError(f"must lie in [1, {bound}]", key=name, value=getattr(config, name))
    width, heads = (getattr(config, name) for name in ("width", "heads"))
    if width % heads:
        raise UserError(f"must be a multiple of heads ({heads})", key="width", value=width)


class Cache:
    """Keys and values of the tokens of one sequence, or of a batch of equally long ones, that have passed."""

    def __init__(self, capacity: int):
        """``capacity``: the most tokens that it will hold."""
        self.capacity, self.length = capacity, 0
        self._kept: dict[int, Tensor] = {}

    def extended(self, layer: int, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Store the keys and values [batch, heads, tokens, channels] of new tokens; return those of all tokens."""
        end = self.length + keys.shape[2]
        if end > self.capacity:
            raise ValueError(f"a cache of {self.capacity} tokens was given {end}")
        if layer not in self._kept:
            batch, heads, _, channels = keys.shape
            self._kept[layer] = keys.new_empty(2, batch, heads, self.capacity, channels)
        kept = self._kept[layer]
        kept[0, :, :, self.length : end], kept[1, :, :, self.length : end] = keys, values
        return kept[0, :, :, :end], kept[1, :, :, :end]


Piece = tuple[Tensor, Cache]
"""Embedded tokens [batch, new, width] that follow those in a cache."""


class Attention(nn.Module):
    """Causal attention with separate projections, all with bias."""

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.heads = heads
        self.key, self.query, self.value, self.proj = (nn.Linear(width, width) for _ in range(4))

    def forward(
        self,
        tokens: Float[Tensor, "batch tokens width"],
        layer: int = 0,
        caches: Sequence[tuple[int, Cache]] = (),
        last: Int64[Tensor, "pieces"] | None = None,
    ) -> Float[Tensor, "batch asking width"]:
        """Let tokens attend to themselves and earlier ones.

        ``caches``: how many tokens in turn belong to which. ``last``: the last token of each, if only these ask.
        """
        query = self._by_head(self.query(tokens if last is None else tokens[:, last]))
        key, value = (self._by_head(part(tokens)) for part in (self.key, self.value))
        if not caches:
            mixed = functional.scaled_dot_product_attention(query, key, value, is_causal=True)
        else:
            new = [count for count, _ in caches]
            asking = query.split(new if last is None else 1, 2)
            parts = zip(caches, asking, key.split(new, 2), value.split(new, 2), strict=True)
            mixed = torch.cat([_attended(q, *cache.extended(layer, k, v)) for (_, cache), q, k, v in parts], dim=2)
        return self.proj(mixed.transpose(1, 2).flatten(2))

    def _by_head(self, tokens: Tensor) -> Tensor:
        return tokens.unflatten(2, (self.heads, -1)).transpose(1, 2)


def _attended(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Attend from the last tokens to all of a sequence: each to itself and those before."""
    new, tokens = query.shape[2], key.shape[2]
    mask = None
    if 1 < new < tokens:
        mask = torch.ones(new, tokens, dtype=torch.bool, device=query.device).tril(tokens - new)
    return functional.scaled_dot_product_attention(query, key, value, mask, is_causal=new == tokens)


class GptBlock(nn.Module):
    """Attention and a feed-forward layer, each after a norm and residual."""

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.ln1, self.ln2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attn = Attention(width, heads)
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

    def forward(
        self, tokens: Tensor, layer: int = 0, caches: Sequence[tuple[int, Cache]] = (), last: Tensor | None = None
    ) -> Tensor:
        mixed = self.attn(self.ln1(tokens), layer, caches, last)
        tokens = (tokens if last is None else tokens[:, last]) + mixed
        return tokens + self.mlp(self.ln2(tokens))


class Gpt(nn.Module):
    """Codes, after a prefix of vectors, to the logits of the code that follows each of them."""

    def __init__(self, config: GptConfig):
        super().__init__()
        self.config = config
        self.tok_emb = nn.Embedding(config.vocabulary, config.width)
        self.pos_emb = nn.Parameter(torch.zeros(1, config.length, config.width))
        self.blocks = Blocks([GptBlock(config.width, config.heads) for _ in range(config.layers)])
        self.ln_f = nn.LayerNorm(config.width)
        self.head = nn.Linear(config.width, config.vocabulary, bias=False)
        self.apply(start)

    def forward(
        self, prefix: Float[Tensor, "batch prefix width"], codes: Int64[Tensor, "batch codes"]
    ) -> Float[Tensor, "batch tokens vocabulary"]:
        """Return the logits after each token of ``prefix`` and ``codes``: one for each code and what follows the last.

        Entry ``i`` of the codes is predicted at token ``prefix + i - 1``.
        """
        return self.head(self.ln_f(self.blocks(self.embedded(codes, 0, prefix))))

    def extend(self, pieces: Sequence[Piece]) -> Float[Tensor, "batch pieces vocabulary"]:
        """Let each piece's tokens pass after those in its cache; return the logits after the last token of each.

        The linear layers see all pieces together, so that several short pieces cost little more than one. Of the last
        block only what these logits need is computed.
        """
        tokens = torch.cat([embedded for embedded, _ in pieces], dim=1)
        caches = [(embedded.shape[1], cache) for embedded, cache in pieces]
        last = torch.tensor([new for new, _ in caches], device=tokens.device).cumsum(0) - 1
        for layer, block in enumerate(self.blocks):
            tokens = block(tokens, layer, caches, last if layer == len(self.blocks) - 1 else None)
        for new, cache in caches:
            cache.length += new
        return self.head(self.ln_f(tokens))

    def flops(self, pieces: Sequence[Piece]) -> list[tuple[int, float]]:
        """Return how many tokens of each piece pass in `extend`, and the work of their matrix products."""
        width, found = self.config.width, []
        for embedded, cache in pieces:
            new, before = embedded.shape[1], cache.length
            whole = 24 * width**2 * new + 4.0 * width * (new * before + new * (new + 1) / 2)
            last = 4.0 * width**2 * new + 20 * width**2 + 4 * width * (before + new)
            found.append((new, (self.config.layers - 1) * whole + last + 2 * width * self.config.vocabulary))
        return found

    def embedded(
        self,
        codes: Int64[Tensor, "batch codes"],
        first: int = 0,
        prefix: Float[Tensor, "batch prefix width"] | None = None,
    ) -> Float[Tensor, "batch tokens width"]:
        """Return the prefix and the embedded codes with their positions, which are counted from ``first``."""
        tokens = self.tok_emb(codes)
        if prefix is not None:
            tokens = torch.cat([prefix.to(tokens), tokens], dim=1)
        return tokens + self.pos_emb[:, first : first + tokens.shape[1]]


def start(module: nn.Module) -> None:
    """Give a layer the first weights of minGPT."""
    if isinstance(module, nn.Linear | nn.Embedding):
        module.weight.data.normal_(0.0, DEVIATION)
    if isinstance(module, nn.Linear) and module.bias is not None:
        module.bias.data.zero_()


def has_decay(network: nn.Module) -> frozenset[str]:
    """Return the names of the parameters that weight decay is for: the weights of linear layers (minGPT)."""
    return frozenset(f"{name}.weight" for name, module in network.named_modules() if isinstance(module, nn.Linear))


PUBLISHED_GLOBAL = GptConfig(length=133, layers=12, heads=8, width=1024)
PUBLISHED_LOCAL = GptConfig(length=402, layers=24, heads=16, width=1024)
