"""Vectors as codes: the nearest of a learned codebook, or finite scalar quantisation."""

import math
from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn
from torch.nn import functional

from aognet.errors import UserError

MOST_CODES, MOST_CHANNELS = 2**18, 4096


@dataclass(frozen=True, kw_only=True)
class QuantizerConfig:
    """How vectors become codes.

    ``kind``: ``codebook`` takes the nearest of ``codes`` learned vectors of ``dim`` numbers (van den Oord et al. 2017,
    arXiv 1711.00937); ``finite_scalars`` rounds as many numbers as there are ``levels``, each to so many values
    (Mentzer et al. 2023, arXiv 2309.15505). ``commitment`` is beta, the weight of the loss that keeps vectors near
    their codes. ``normalized``: the codebook compares directions alone, and its vectors have length 1 (Yu et al. 2021,
    arXiv 2110.04627, section 3.2).
    """

    kind: Literal["codebook", "finite_scalars"] = "codebook"
    codes: int = 1024
    dim: int = 256
    commitment: float = 0.25
    normalized: bool = False
    levels: tuple[int, ...] = (8, 5, 5, 5)

    def __post_init__(self) -> None:
        if not 2 <= self.codes <= MOST_CODES:
            raise UserError(f"must lie in [2, {MOST_CODES}]", key="codes", value=self.codes)
        if not 1 <= self.dim <= MOST_CHANNELS:
            raise UserError(f"must lie in [1, {MOST_CHANNELS}]", key="dim", value=self.dim)
        if not 0 <= self.commitment < math.inf:
            raise UserError("must be at least 0", key="commitment", value=self.commitment)
        levels = list(self.levels)
        if not 1 <= len(levels) <= 16 or min(levels) < 3 or math.prod(levels) > MOST_CODES:
            raise UserError(
                f"must be 1 to 16 numbers from 3 on, with a product of at most {MOST_CODES}", key="levels", value=levels
            )

    @property
    def size(self) -> int:
        """How many codes there are."""
        return self.codes if self.kind == "codebook" else math.prod(self.levels)

    @property
    def channels(self) -> int:
        """How many numbers a vector has."""
        return self.dim if self.kind == "codebook" else len(self.levels)


class Quantized(NamedTuple):
    """What became of latents.

    ``latents`` have the values of their codes, and the gradient goes through them as if nothing had happened (straight-
    through). ``loss`` pulls codebook and latents together; 0 where nothing is learned.
    """

    latents: Float[Tensor, "batch channels rows columns"]
    codes: Int64[Tensor, "batch rows columns"]
    loss: Float[Tensor, ""]


class Codebook(nn.Module):
    """The nearest of learned vectors by squared distance. ``embedding.weight`` has them, one a row."""

    def __init__(self, config: QuantizerConfig):
        super().__init__()
        self.config = config
        self.embedding = nn.Embedding(config.codes, config.dim)
        nn.init.uniform_(self.embedding.weight, -1 / config.codes, 1 / config.codes)

    def forward(self, latents: Float[Tensor, "batch channels rows columns"]) -> Quantized:
        """Quantise latents. Codes are found in float32, also where the rest is in half precision."""
        with torch.autocast(latents.device.type, enabled=False):
            latents = self._scaled(latents.float())
            codes = self.nearest(latents)
            found = self.vectors(codes)
            loss = functional.mse_loss(found, latents.detach())
            loss = loss + self.config.commitment * functional.mse_loss(latents, found.detach())
            return Quantized(latents + (found - latents).detach(), codes, loss)

    @torch.no_grad()
    def nearest(self, latents: Float[Tensor, "batch channels rows columns"]) -> Int64[Tensor, "batch rows columns"]:
        """Return the code of each vector; of equally near ones the first."""
        book = self._book().float()
        flat = self._scaled(latents.float()).movedim(1, -1).flatten(0, -2)
        # Squared distances: those of each vector less its own square, which does not change the order.
        distances = torch.addmm(book.square().sum(1), flat, book.T, alpha=-2)
        return distances.argmin(1).unflatten(0, (latents.shape[0], *latents.shape[2:]))

    def vectors(self, codes: Int64[Tensor, "batch rows columns"]) -> Float[Tensor, "batch channels rows columns"]:
        """Return the vectors of codes. Differentiable in the codebook."""
        return functional.embedding(codes, self._book()).movedim(-1, 1)

    def _scaled(self, latents: Float[Tensor, "batch channels rows columns"]) -> Tensor:
        return functional.normalize(latents, dim=1) if self.config.normalized else latents

    def _book(self) -> Float[Tensor, "codes channels"]:
        weight = self.embedding.weight
        return functional.normalize(weight, dim=1) if self.config.normalized else weight


class FiniteScalars(nn.Module):
    """Rounds each bounded number to one of a few values: no codebook, nothing learned (Mentzer et al. 2023, app. A.1).

    The first number changes the code fastest.
    """

    def __init__(self, config: QuantizerConfig):
        super().__init__()
        self.config = config

    def forward(self, latents: Float[Tensor, "batch channels rows columns"]) -> Quantized:
        """Quantise latents in float32, also where the rest is in half precision."""
        with torch.autocast(latents.device.type, enabled=False):
            bounded = self._bounded(latents.float())
            rounded = bounded + (bounded.round() - bounded).detach()
            halves = self._column(latents, self._halves())
            digits = (rounded.detach() + halves).round().long()
            codes = (digits * self._column(latents, self._bases()).long()).sum(1)
            return Quantized(rounded / halves, codes, rounded.new_zeros(()))

    def nearest(self, latents: Float[Tensor, "batch channels rows columns"]) -> Int64[Tensor, "batch rows columns"]:
        """Return the code of each vector."""
        return self(latents).codes

    def vectors(self, codes: Int64[Tensor, "batch rows columns"]) -> Float[Tensor, "batch channels rows columns"]:
        """Return the vectors of codes, each number in [-1, 1]."""
        levels, bases, halves = (
            self._column(codes, v).long() for v in (self.config.levels, self._bases(), self._halves())
        )
        digits = codes[:, None] // bases % levels
        return (digits - halves).float() / halves

    def _bounded(self, latents: Tensor, margin: float = 1e-3) -> Tensor:
        """Return numbers of which rounding makes just so many values, with 0 for 0."""
        spans = [(level - 1) * (1 - margin) / 2 for level in self.config.levels]
        offsets = [0.5 * (level % 2 == 0) for level in self.config.levels]
        shifts = [math.atanh(offset / span) for offset, span in zip(offsets, spans, strict=True)]
        span, offset, shift = (self._column(latents, values) for values in (spans, offsets, shifts))
        return (latents + shift).tanh() * span - offset

    def _halves(self) -> list[int]:
        return [level // 2 for level in self.config.levels]

    def _bases(self) -> list[int]:
        return [math.prod(self.config.levels[:place]) for place in range(len(self.config.levels))]

    def _column(
        self, like: Tensor, values: "list[float] | list[int] | tuple[int, ...]"
    ) -> Float[Tensor, "channels 1 1"]:
        return torch.tensor(values, dtype=torch.float32, device=like.device)[:, None, None]


def make_quantizer(config: QuantizerConfig) -> Codebook | FiniteScalars:
    """Return the quantizer that a config describes."""
    return Codebook(config) if config.kind == "codebook" else FiniteScalars(config)
