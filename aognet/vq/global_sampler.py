"""The global sampler of Text2Light (arXiv 2209.09898, section 4.1): a description to the codes of a small panorama."""

from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn
from torch.nn import functional

from aognet.errors import UserError
from aognet.vq.code_sampler import CodeSampler, Writing
from aognet.vq.transformer import Cache, Gpt, GptConfig

Condition = Literal["neighbours", "text"]
MOST_TOKENS = 256


@dataclass(frozen=True, kw_only=True)
class GlobalSamplerConfig:
    """The transformer and what it is conditioned by; the defaults are the published ones.

    ``condition``: the embeddings of the ``tokens`` ``neighbours`` that are nearest to a text, each joined with itself
    (published), or the embedding of the ``text`` itself, which a learned layer makes ``tokens`` vectors of.
    ``embedding``: the numbers of a CLIP embedding. ``rows`` and ``columns``: of the codes.
    """

    rows: int = 8
    columns: int = 16
    condition: Condition = "neighbours"
    tokens: int = 5
    embedding: int = 512
    vocabulary: int = 1024
    layers: int = 12
    heads: int = 8
    width: int = 1024

    def __post_init__(self) -> None:
        if not 1 <= self.tokens <= MOST_TOKENS:
            raise UserError(f"must lie in [1, {MOST_TOKENS}]", key="tokens", value=self.tokens)
        for name in ("rows", "columns", "embedding"):
            if not 1 <= getattr(self, name) <= 4096:
                raise UserError("must lie in [1, 4096]", key=name, value=getattr(self, name))
        if self.condition == "neighbours" and self.width != 2 * self.embedding:
            raise UserError(
                f"must be twice embedding ({self.embedding}), whose neighbours are joined with themselves",
                key="width",
                value=self.width,
            )
        self.gpt()

    def gpt(self) -> GptConfig:
        """Return the transformer's sizes."""
        length = self.tokens + self.rows * self.columns
        return GptConfig(
            length=length, vocabulary=self.vocabulary, layers=self.layers, heads=self.heads, width=self.width
        )


class GlobalSampler(CodeSampler):
    """A transformer over a prefix of conditioning vectors and codes in raster order."""

    kind = "vq_global_sampler"
    Config = GlobalSamplerConfig

    def __init__(self, config: GlobalSamplerConfig):
        super().__init__()
        self.config = config
        self.gpt = Gpt(config.gpt())
        if config.condition == "text":
            self.project = nn.Linear(config.embedding, config.tokens * config.width)

    def prefix(self, condition: Float[Tensor, "batch given embedding"]) -> Float[Tensor, "batch tokens width"]:
        """Return the vectors that precede the codes: of the neighbours' embeddings, or of one embedding of a text."""
        if self.config.condition == "neighbours":
            return torch.cat([condition, condition], dim=-1)
        return self.project(condition[:, 0]).unflatten(1, (self.config.tokens, -1))

    def loss(
        self, condition: Float[Tensor, "batch given embedding"], codes: Int64[Tensor, "batch rows columns"]
    ) -> Float[Tensor, ""]:
        """Return the cross-entropy of the codes, each predicted from the condition and the codes before it."""
        flat, first = codes.flatten(1), self.config.tokens - 1
        logits = self.gpt(self.prefix(condition), flat[:, :-1])[:, first:]
        return functional.cross_entropy(logits.flatten(0, 1).float(), flat.flatten())

    def write(self, given: Float[Tensor, "batch given embedding"], writing: Writing) -> None:
        """Write in raster order. Every token passes once: its keys and values are cached."""
        columns, first = self.config.columns, writing.first * self.config.columns
        cache = Cache(self.gpt.config.length)
        embedded = self.gpt.embedded(writing.codes.flatten(1)[:, :first], 0, self.prefix(given))
        for place in range(first, self.config.rows * columns):
            piece, (row, column) = (embedded, cache), divmod(place, columns)
            writing.work.add(self.gpt.flops([piece]))
            codes = writing.draw([row], [column], self.gpt.extend([piece]))
            embedded = self.gpt.embedded(codes, cache.length)
