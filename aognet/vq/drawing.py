"""How codes are drawn from logits, and what was computed for them.

Every cell of every image has a random number of its own, which depends on the image's seed alone. So neither the order
in which cells are written nor what is written beside them changes what is drawn.
"""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from jaxtyping import Float, Float64, Int64
from torch import Tensor

from aognet.diffusion.sampling.noise import generators
from aognet.errors import UserError

OnRow = Callable[[int, Tensor], None]
"""Told the number of a row of codes and its codes [batch, columns] when it is complete; rows come in order."""
Progress = Callable[[int, int], None]
"""Told how many codes of how many are written."""


def unheard(*_: object) -> None:
    """Do nothing."""


@dataclass(frozen=True)
class Drawing:
    """How a code is drawn.

    ``top_k``: from so many of the likeliest codes (0: from all). ``temperature``: what logits are divided by; at 0 the
    likeliest code is taken.
    """

    top_k: int = 100
    temperature: float = 1.0

    def __post_init__(self) -> None:
        if self.top_k < 0:
            raise UserError("must not be negative", key="top_k", value=self.top_k)
        if not 0 <= self.temperature < math.inf:
            raise UserError("must be a finite number from 0 on", key="temperature", value=self.temperature)


@dataclass
class Work:
    """What sampling has computed for each image of a batch.

    ``tokens``: how many tokens passed the transformer. ``steps``: how many passes followed one another. ``flops``: the
    multiplications and additions of matrix products.
    """

    tokens: int = 0
    steps: int = 0
    flops: float = 0.0

    def add(self, pieces: Iterable[tuple[int, float]]) -> None:
        """Count a step: of each piece, how many tokens passed and their work."""
        self.steps += 1
        for tokens, flops in pieces:
            self.tokens += tokens
            self.flops += flops


def cell_numbers(
    seeds: Int64[Tensor, "batch"] | Iterable[int], stream: int, rows: int, columns: int
) -> Float64[Tensor, "batch rows columns"]:
    """Return a number in [0, 1) for each cell of each image, from the image's seed."""
    return torch.stack(
        [torch.rand(rows, columns, generator=row, dtype=torch.float64) for row in generators(seeds, stream)]
    )


def drawn(
    logits: Float[Tensor, "batch cells vocabulary"], numbers: Float64[Tensor, "batch cells"], drawing: Drawing
) -> Int64[Tensor, "batch cells"]:
    """Return the codes that numbers in [0, 1) choose: where their sums of probabilities pass the number."""
    if drawing.temperature == 0:
        return logits.argmax(dim=-1)
    logits = logits.double() / drawing.temperature
    if 0 < drawing.top_k < logits.shape[-1]:
        least = logits.topk(drawing.top_k, dim=-1).values[..., -1:]
        logits = logits.masked_fill(logits < least, -math.inf)
    sums = logits.softmax(dim=-1).cumsum(dim=-1)
    wanted = numbers.to(sums)[..., None] * sums[..., -1:]
    return torch.searchsorted(sums, wanted, right=True)[..., 0].clamp(max=logits.shape[-1] - 1)


def check_known(known: Int64[Tensor, "_ known_rows known_columns"] | None, numbers: Tensor, vocabulary: int) -> int:
    """Return how many rows of codes are known.

    :raises UserError: for another form, or codes out of the vocabulary: they do not belong to this panorama.
    """
    if known is None:
        return 0
    batch, rows, columns = numbers.shape
    if known.shape[0] != batch or known.shape[1] > rows or known.shape[2] != columns:
        raise UserError(f"known codes have the shape {list(known.shape)}, which does not fit {[batch, rows, columns]}")
    if known.numel() and not 0 <= int(known.min()) <= int(known.max()) < vocabulary:
        raise UserError(f"known codes must lie in [0, {vocabulary})")
    return known.shape[1]
