"""SR-iTMO on whole panoramas of any size, in bounded memory.

The encoder works on strips of rows with a halo as wide as it sees. Queries are answered in blocks of rows. So what is
held besides the image and the results is some hundred megabytes for the published size, whatever the factor.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import reduce

import torch
from jaxtyping import Float
from torch import Tensor

from aognet.callbacks import UNHEARD, Listener
from aognet.errors import UserError
from aognet.geometry.sphere import pixel_latitudes
from aognet.hdr.kept_strips import KeptStrips
from aognet.hdr.queries import Neighbours, neighbours, pixel_centres, shares
from aognet.hdr.sritmo import SrItmo
from aognet.io.hdr import MAX_PIXELS

STRIP_PIXELS = 2**18
"""Pixels of the image whose features are held at a time, without the halo."""
BLOCK_VALUES = 2**21
"""Values of the hidden layers that are held at a time: few enough to stay in a processor's cache."""
MIN_FACTOR, MAX_FACTOR = 1.0, 8.0


@dataclass(frozen=True)
class Expanded:
    """``display``: about [-1, 1]. ``log_light``: the natural logarithm of light, up to the network's own scale."""

    display: Float[Tensor, "3 rows columns"]
    log_light: Float[Tensor, "3 rows columns"]


def check_factor(factor: float, height: int = 0, key: str = "factor") -> None:
    """Raise UserError for a factor that is not from 1 to 8, or makes more pixels than a panorama may have."""
    if not MIN_FACTOR <= factor <= MAX_FACTOR:  # also false for NaN
        raise UserError(f"must lie in [{MIN_FACTOR:g}, {MAX_FACTOR:g}]", key=key, value=factor)
    rows = scaled(height, factor)
    if 2 * rows * rows > MAX_PIXELS:
        said = f"of {height} rows would make {rows}; a panorama has at most {MAX_PIXELS} pixels"
        raise UserError(said, key=key, value=factor)


def scaled(count: int, factor: float) -> int:
    """Return how many pixels become of ``count``: rounded down, as published."""
    return int(count * factor + 1e-6)


@torch.no_grad()
def expand(
    network: SrItmo,
    image: Float[Tensor, "3 height width"],
    factor: float,
    listener: Listener = UNHEARD,
    whole: bool = True,
    kept: KeptStrips | None = None,
    inner: torch.dtype | None = None,
) -> Expanded:
    """Return an image of display values in [-1, 1] at ``factor`` times its size, and its light, on the CPU.

    The network's device computes. ``whole``: the image is a panorama, so that it wraps around if the network does.
    ``kept``: where strips that are done are kept, and read again. ``inner``: the precision of the hidden layers
    (`SrItmo.answers`).

    :raises UserError: for a factor outside of [1, 8].
    :raises aognet.callbacks.Cancelled: if the ``listener`` wants it.
    """
    check_factor(factor)
    height, width = image.shape[-2:]
    rows, columns = scaled(height, factor), scaled(width, factor)
    result = Expanded(*(torch.empty(3, rows, columns) for _ in range(2)))
    sphere = network.config.sphere
    down = neighbours(pixel_centres(rows, height), height, "repeats" if sphere else "published")
    edge = ("wraps" if whole else "repeats") if sphere else "published"
    across = neighbours(pixel_centres(columns, width), width, edge)
    plan = _Plan(
        network, down, across, _positions(network, rows, columns), (2 * height / rows, 2 * width / columns), inner
    )
    for begin, end, top, bottom in _ranges(network, image, down):
        part = [values[:, begin:end] for values in (result.display, result.log_light)]
        found = kept.read(begin, end, *part[0].shape) if kept else None
        if found is not None:
            for values, read in zip(part, found, strict=True):
                values.copy_(read)
        else:
            strip = _strip(network, image, top, bottom, whole)
            for first, last in plan.blocks(begin, end):
                answered = plan.answer(image, strip, first, last)
                for values, made in zip(part, answered, strict=True):
                    values[:, first - begin : last - begin] = made.permute(2, 0, 1).float().cpu()
                listener.tell("rows", last, rows)
            if kept:
                kept.keep(begin, end, *part)
    return result


@dataclass(frozen=True)
class _Strip:
    """The first layer of some rows of cells, the number of the first of these."""

    values: Float[Tensor, "rows width hidden"]
    top: int


def _ranges(
    network: SrItmo, image: Float[Tensor, "3 height width"], down: Neighbours
) -> Iterator[tuple[int, int, int, int]]:
    """Yield ranges of rows of the result, and the rows of the image whose cells lie before theirs."""
    height, width = image.shape[-2:]
    step = max(2 * network.halo, STRIP_PIXELS // width)
    above = down.cells[0].contiguous()
    for top in range(0, height, step):
        bottom = min(top + step, height)
        begin, end = (int(torch.searchsorted(above, edge)) for edge in (top, bottom))
        if begin < end:
            yield begin, end, top, bottom


def _strip(network: SrItmo, image: Float[Tensor, "3 height width"], top: int, bottom: int, whole: bool) -> _Strip:
    """Return the first layer of some rows of cells and of the next one."""
    height, device = image.shape[-2], next(network.parameters()).device
    last = min(bottom + 1, height)
    low, high = max(top - network.halo, 0), min(last + network.halo, height)
    seen = network.first_layer(image[None, :, low:high].to(device, torch.float32), whole)[0]
    return _Strip(seen[top - low : last - low], top)


def _positions(network: SrItmo, rows: int, columns: int) -> tuple[Tensor, Tensor | None]:
    """Return what the function of light is told of each row and column: latitude alone is that of pixel centres."""
    if network.config.position == "latitude":
        return pixel_latitudes(rows).float(), None
    return (
        torch.linspace(-torch.pi / 2, torch.pi / 2, rows, dtype=torch.float64).float(),
        torch.linspace(-torch.pi, torch.pi, columns, dtype=torch.float64).float(),
    )


class _Plan:
    """What all blocks of rows share."""

    def __init__(
        self,
        network: SrItmo,
        down: Neighbours,
        across: Neighbours,
        positions: tuple[Tensor, Tensor | None],
        cell: tuple[float, float],
        inner: torch.dtype | None,
    ):
        device = next(network.parameters()).device
        self.network, self.device, self.inner = network, device, inner
        self.down, self.across = down.to(device), across.to(device)
        self.latitudes, self.longitudes = positions
        by_row, by_column, by_cell = network.offset_layer()
        # What a row and a column add to the first layer, whatever the features.
        sizes = torch.tensor(cell, device=device) @ by_cell
        self.of_rows = self.down.offsets[..., None] * by_row + sizes
        self.of_columns = self.across.offsets[..., None] * by_column

    def blocks(self, begin: int, end: int) -> Iterator[tuple[int, int]]:
        """Yield ranges of rows that fit a block."""
        columns, hidden = self.across.cells.shape[1], max(self.network.config.sr_widths)
        few = max(BLOCK_VALUES // (columns * hidden), 1)
        for top in range(begin, end, few):
            yield top, min(top + few, end)

    def answer(self, image: Tensor, strip: _Strip, top: int, bottom: int) -> tuple[Tensor, Tensor]:
        """Return display values and light of rows of the result, [rows, columns, 3]."""
        rows, columns, hidden = bottom - top, self.across.cells.shape[1], max(self.network.config.sr_widths)
        few = max(BLOCK_VALUES // (rows * hidden), 1)
        parts = [
            self._answer(image, strip, slice(top, bottom), slice(left, min(left + few, columns)))
            for left in range(0, columns, few)
        ]
        display, light = (torch.cat(some, 1) for some in zip(*parts, strict=True))
        return display, light

    def _answer(self, image: Tensor, strip: _Strip, rows: slice, columns: slice) -> tuple[Tensor, Tensor]:
        down, across = (axis.part(part.start, part.stop) for axis, part in ((self.down, rows), (self.across, columns)))
        weights = shares(down.offsets[:, :, None], across.offsets[:, None, :])
        pairs = [(a, b) for a in (0, 1) for b in (0, 1)]
        shown = self._between(image, down, across, weights) if self.network.config.residual else None

        def first(a: int, b: int) -> Tensor:
            cells = strip.values[down.cells[a] - strip.top].index_select(1, across.cells[b])
            return cells.add_(self.of_rows[a, rows, None]).add_(self.of_columns[b, columns][None])

        firsts, shares_of = (first(a, b) for a, b in pairs), (weights[a, b] for a, b in pairs)
        return self.network.answers(firsts, shares_of, self._position(rows, columns), shown, self.inner)

    def _between(self, image: Tensor, down: Neighbours, across: Neighbours, weights: Tensor) -> Tensor:
        """Return the image at the pixels of the result, bilinear, [rows, columns, 3]."""
        low, high = int(down.cells.min()), int(down.cells.max()) + 1
        cells = image[:, low:high].to(self.device, torch.float32).permute(1, 2, 0)
        four = (
            cells[down.cells[a] - low].index_select(1, across.cells[b]) * weights[a, b, ..., None]
            for a in (0, 1)
            for b in (0, 1)
        )
        return reduce(torch.add, four)

    def _position(self, rows: slice, columns: slice) -> Tensor:
        """Return what the function of light is told, [rows, columns, numbers]."""
        latitudes = self.latitudes[rows, None].to(self.device).expand(-1, columns.stop - columns.start)
        if self.longitudes is None:
            return latitudes[..., None]
        longitudes = self.longitudes[columns].to(self.device)
        return torch.stack([longitudes.expand(len(latitudes), -1), latitudes], -1)
