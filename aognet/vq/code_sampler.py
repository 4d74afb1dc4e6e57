"""What samplers of codes share: how they are saved and called, and how each code is drawn and noted."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Float64, Int64, Shaped
from torch import Tensor

from aognet.nn.blocks import Blocks
from aognet.nn.network_folder import SavedNetwork
from aognet.vq.drawing import Drawing, OnRow, Progress, Work, check_known, drawn, unheard


class CodeSampler(SavedNetwork, ABC):
    """A transformer that writes the codes of an image under what it is given."""

    @abstractmethod
    def write(self, given: Tensor, writing: "Writing") -> None:
        """Draw the codes of all rows from ``writing.first`` on, each when those that it depends on are there."""

    def enable_gradient_checkpointing(self) -> None:
        """Compute each block again in the backward pass."""
        for module in self.modules():
            if isinstance(module, Blocks):
                module.checkpointing = True

    @torch.no_grad()
    def sample(
        self,
        given: Shaped[Tensor, "batch _ _"],
        numbers: Float64[Tensor, "batch rows columns"],
        drawing: Drawing = Drawing(),  # noqa: B008 (frozen)
        known: Int64[Tensor, "_ known_rows known_columns"] | None = None,
        on_row: OnRow = unheard,
        progress: Progress = unheard,
        work: Work | None = None,
        cache_gigabytes: float = 4.0,
    ) -> Int64[Tensor, "batch rows columns"]:
        """Return codes under what is ``given`` (embeddings or global codes), of which the ``known`` rows are kept.

        ``numbers``: the random number of each cell (`aognet.vq.drawing.cell_numbers`). ``work`` is added to.
        ``cache_gigabytes``: how much may be kept of windows that several codes have, if codes have windows; what does
        not fit is computed again for each code. The published model would keep 3.6 GB a panorama.

        :raises UserError: for known codes that do not belong to such an image.
        """
        device = next(self.parameters()).device
        first = check_known(known, numbers, self.config.vocabulary)
        codes = torch.zeros(numbers.shape, dtype=torch.long, device=device)
        if known is not None:
            codes[:, :first] = known
        writing = Writing(codes, numbers.to(device), first, drawing, on_row, progress, work or Work(), cache_gigabytes)
        self.write(given.to(device), writing)
        return codes


@dataclass
class Writing:
    """Codes that are being written, from the row ``first`` on, and who hears of it (`CodeSampler.sample`)."""

    codes: Int64[Tensor, "batch rows columns"]
    numbers: Float64[Tensor, "batch rows columns"]
    first: int
    drawing: Drawing
    on_row: OnRow
    progress: Progress
    work: Work
    cache_gigabytes: float

    def __post_init__(self) -> None:
        _, rows, columns = self.codes.shape
        self._left = [columns] * rows  # in each row
        self._done = self.first * columns

    def draw(
        self, rows: Sequence[int], columns: Sequence[int], logits: Float[Tensor, "batch cells vocabulary"]
    ) -> Int64[Tensor, "batch cells"]:
        """Draw the codes of cells, note and return them. Rows are completed in order."""
        codes = drawn(logits, self.numbers[:, rows, columns], self.drawing)
        self.codes[:, rows, columns] = codes
        self._done += len(rows)
        self.progress(self._done, self.codes[0].numel())
        for row in rows:
            self._left[row] -= 1
            if not self._left[row]:
                self.on_row(row, self.codes[:, row])
        return codes
