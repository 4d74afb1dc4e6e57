"""The global sampler of Text2Light (arXiv 2209.09898, section 4.1): a description to the codes of a small panorama."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from jaxtyping import Float, Float64, Int64
from torch import Tensor, nn
from torch.nn import functional

from aognet.errors import UserError
from aognet.nn.network_folder import load_network, save_network
from aognet.vq.drawing import Drawing, OnRow, Progress, Work, check_known, drawn, unheard
from aognet.vq.transformer import Cache, Gpt, GptConfig

KIND = "vq_global_sampler"
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


class GlobalSampler(nn.Module):
    """A transformer over a prefix of conditioning vectors and codes in raster order."""

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

    def enable_gradient_checkpointing(self) -> None:
        """Compute each block again in the backward pass."""
        self.gpt.checkpointing = True

    def save_pretrained(self, folder: Path, dtype: torch.dtype = torch.float32) -> None:
        """Write ``config.json`` and ``model.safetensors``."""
        save_network(folder, self, KIND, dtype)

    @classmethod
    def from_pretrained(cls, folder: str | Path) -> "GlobalSampler":
        """Return what `save_pretrained` wrote, frozen and in float32.

        :raises UserError: naming the file, and the key or weight that does not fit.
        """
        return load_network(cls, Path(folder), KIND)

    @torch.no_grad()
    def sample(
        self,
        condition: Float[Tensor, "batch given embedding"],
        numbers: Float64[Tensor, "batch rows columns"],
        drawing: Drawing = Drawing(),  # noqa: B008 (frozen)
        known: Int64[Tensor, "_ known_rows known_columns"] | None = None,
        on_row: OnRow = unheard,
        progress: Progress = unheard,
        work: Work | None = None,
    ) -> Int64[Tensor, "batch rows columns"]:
        """Return codes, of which the ``known`` rows are kept. Every token passes once: its keys and values are cached.

        ``numbers``: the random number of each cell (`aognet.vq.drawing.cell_numbers`). ``work`` is added to.
        """
        config, work = self.config, work or Work()
        device = self.gpt.head.weight.device
        count = check_known(known, numbers, config.vocabulary) * config.columns
        total, flat = config.rows * config.columns, numbers.flatten(1).to(device)
        codes = torch.zeros(flat.shape, dtype=torch.long, device=device)
        if known is not None:
            codes[:, :count] = known.flatten(1)
        cache, prefix = Cache(self.gpt.config.length), self.prefix(condition.to(device))
        embedded = self.gpt.embedded(codes[:, :count], 0, prefix)
        for place in range(count, total):
            work.add(self.gpt.flops([(embedded, cache)]))
            logits = self.gpt.extend([(embedded, cache)])
            codes[:, place : place + 1] = drawn(logits, flat[:, place : place + 1], drawing)
            embedded = self.gpt.embedded(codes[:, place : place + 1], cache.length)
            progress(place + 1, total)
            row, column = divmod(place, config.columns)
            if column == config.columns - 1:
                on_row(row, codes[:, row * config.columns : place + 1])
        return codes.unflatten(1, (config.rows, config.columns))
