"""Tiles: views of one flat image that overlap in columns and rows, and the image that they show together.

A tile has what a camera has for views that agree: where its pixels look, and where it shows a place of the image.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from aognet.errors import UserError
from aognet.geometry.camera import MAX_PIXELS, MAX_SIDE, MIN_WEIGHT, Weighting

MAX_OVERLAP = 0.9


@dataclass(frozen=True)
class TilesConfig:
    """How tiles lie in an image.

    ``columns`` and ``rows`` count them. ``overlap`` is the share of a tile that its neighbour on one side shows too.
    With ``wrap`` the image continues from its right edge at its left one, with ``wrap_rows`` from its bottom at its
    top. The published Ganorama has 6 columns, an overlap of a half and no wrap.
    """

    columns: int = 6
    rows: int = 1
    overlap: float = 0.5
    wrap: bool = False
    wrap_rows: bool = False

    def __post_init__(self) -> None:
        if not 0 <= self.overlap <= MAX_OVERLAP:
            raise UserError(f"must lie in [0, {MAX_OVERLAP}]", key="overlap", value=self.overlap)
        for name, key, wraps in (("columns", "wrap", self.wrap), ("rows", "wrap_rows", self.wrap_rows)):
            count = getattr(self, name)
            if type(count) is not int or count < 1:
                raise UserError("must be a whole number, at least 1", key=name, value=count)
            if wraps and count * (1 - self.overlap) < 1:
                why = f"needs {name} of which no tile overlaps itself, here at least {1 / (1 - self.overlap):.3g}"
                raise UserError(f"{why}, not {count}", key=key, value=wraps)


@dataclass(frozen=True)
class FlatTile:
    """One tile: its number across and down, and its pixels."""

    layout: TilesConfig
    column: int
    row: int
    width: int
    height: int

    def sized(self, width: int, height: int) -> "FlatTile":
        """Return the same tile with another pixel grid."""
        return replace(self, width=width, height=height)

    @property
    def step(self) -> Float[Tensor, "2"]:
        """The pixels from one tile to the next, across and down."""
        return (1 - self.layout.overlap) * torch.tensor([self.width, self.height], dtype=torch.float64)

    @property
    def corner(self) -> Float[Tensor, "2"]:
        """Where the tile begins in the image, in its pixels, across and down."""
        return self.step * torch.tensor([self.column, self.row])

    def pixel_directions(self) -> Float[Tensor, "rows columns 2"]:
        """Return the place in the image (across, down, in pixels from its corner) of every pixel centre."""
        rows, columns = torch.meshgrid(torch.arange(self.height), torch.arange(self.width), indexing="ij")
        return torch.stack([columns, rows], dim=-1) + 0.5 + self.corner

    def image_positions(self, places: Float[Tensor, "*grid 2"]) -> tuple[Float[Tensor, "*grid 2"], Tensor]:
        """Return the fractional (column, row) at which the tile shows each place in the image, and whether it does."""
        local = places - self.corner
        counts = torch.tensor([self.layout.columns, self.layout.rows])
        wraps = torch.tensor([self.layout.wrap, self.layout.wrap_rows])
        local = torch.where(wraps, local % (counts * self.step), local)
        inside = (local >= 0) & (local <= torch.tensor([self.width, self.height]))
        return local - 0.5, inside.all(-1)

    def weights(self, places: Float[Tensor, "points 2"], weighting: Weighting) -> Float[Tensor, "points"]:
        """Return how much the tile counts at fractional (column, row) places beside others.

        ``centre`` falls evenly from 1 to 0 across the overlap with a neighbour (Ganorama).
        """
        size = torch.tensor([self.width, self.height], dtype=torch.float64)
        if weighting == "uniform" or self.layout.overlap == 0:
            return torch.ones(len(places), dtype=torch.float64)
        share = (places + 0.5) / size
        ramps = (torch.minimum(share, 1 - share) / min(self.layout.overlap, 0.5)).clamp(MIN_WEIGHT, 1)
        alone = torch.tensor([self.layout.columns, self.layout.rows]) == 1
        return torch.where(alone, 1.0, ramps).prod(-1)


def make_tiles(config: TilesConfig, size: int) -> tuple[FlatTile, ...]:
    """Return the square tiles of an image, row by row.

    :raises UserError: if tiles of ``size`` pixels do not overlap by whole pixels, or make too large an image.
    """
    shared = config.overlap * size
    if abs(shared - round(shared)) > 1e-6:
        raise UserError(
            f"must be a whole number of pixels of {size}, it is {shared:.6g}", key="overlap", value=config.overlap
        )
    width, height = image_size(config, size)
    if max(width, height) > MAX_SIDE or width * height > MAX_PIXELS:
        most = f"and rows make an image of {width}x{height} pixels, more than {MAX_SIDE} a side or {MAX_PIXELS} in all"
        raise UserError(most, key="columns", value=[config.columns, config.rows])
    return tuple(
        FlatTile(config, column, row, size, size) for row in range(config.rows) for column in range(config.columns)
    )


def image_size(config: TilesConfig, size: int) -> tuple[int, int]:
    """Return the width and height of the image that square tiles show."""
    step = size - round(config.overlap * size)
    sides = ((config.columns, config.wrap), (config.rows, config.wrap_rows))
    width, height = (step * count if wraps else step * (count - 1) + size for count, wraps in sides)
    return width, height


def image_of(
    shown: Float[Tensor, "tiles channels size size"], tiles: Sequence[FlatTile], weighting: Weighting = "centre"
) -> Float[Tensor, "1 channels height width"]:
    """Return the image that tiles show together: their weighted mean wherever several show a pixel.

    :raises ValueError: if the tiles are not those of `make_tiles`, at the size that is shown.
    """
    size = shown.shape[-1]
    if len(tiles) != len(shown) or any((tile.width, tile.height) != (size, shown.shape[-2]) for tile in tiles):
        raise ValueError(f"{len(tiles)} tiles of {tiles[0].width} pixels for images of shape {tuple(shown.shape)}")
    width, height = image_size(tiles[0].layout, size)
    precision = torch.promote_types(shown.dtype, torch.float32)
    total = torch.zeros(shown.shape[1], height * width, dtype=precision, device=shown.device)
    sums = torch.zeros(height * width, dtype=precision, device=shown.device)
    for image, tile in zip(shown, tiles, strict=True):
        across, down = tile.pixel_directions().long().to(shown.device).unbind(-1)
        pixels = (down % height * width + across % width).flatten()
        weights = tile.weights(tile.pixel_directions().flatten(0, 1) - tile.corner - 0.5, weighting).to(sums)
        total.index_add_(1, pixels, image.flatten(1).to(precision) * weights)
        sums.index_add_(0, pixels, weights)
    return (total / sums).reshape(1, -1, height, width).to(shown.dtype)
