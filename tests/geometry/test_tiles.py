"""Tiles of a flat image: as wide, tall or wrapping as they are laid, they agree and show one image."""

import pytest
import torch
from torch.testing import assert_close

from aognet.errors import UserError
from aognet.geometry import agreement
from aognet.geometry.tiles import TilesConfig, image_of, image_size, make_tiles

LAYOUTS = {
    "wide": TilesConfig(4, 1),
    "tall": TilesConfig(1, 4, 0.25),
    "grid": TilesConfig(3, 2, 0.25),
    "wrap": TilesConfig(4, 1, wrap=True),
    "closed": TilesConfig(2, 3, wrap=True, wrap_rows=True),
    "much": TilesConfig(6, 1, 0.75),
}
SIZE = 16


def noise(*shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(0))


def cut(image: torch.Tensor, config: TilesConfig, size: int = SIZE) -> torch.Tensor:
    """Tiles of an image, by rolling it: its own reading of where tiles lie."""
    step = size - round(config.overlap * size)
    width, height = image_size(config, size)
    wide = torch.cat([torch.cat([image] * 2, -1)] * 2, -2)
    return torch.cat(
        [
            wide[..., row * step % height :, column * step % width :][..., :size, :size]
            for row in range(config.rows)
            for column in range(config.columns)
        ]
    )


@pytest.mark.parametrize("config", LAYOUTS.values(), ids=LAYOUTS)
def test_tiles_of_one_image_agree_exactly_and_show_it(config):
    width, height = image_size(config, SIZE)
    image = noise(1, 2, height, width)
    shown, tiles = cut(image, config), make_tiles(config, SIZE)
    assert_close(agreement.mean(shown, tiles), shown)
    assert agreement.disagreement(shown, tiles) < 1e-6
    for weighting in ("uniform", "centre"):
        assert_close(image_of(shown, tiles, weighting), image)


@pytest.mark.parametrize("config", LAYOUTS.values(), ids=LAYOUTS)
def test_after_one_mean_tiles_of_nothing_in_common_are_tiles_of_one_image(config):
    tiles = make_tiles(config, SIZE)
    shown = noise(len(tiles), 2, SIZE, SIZE)
    assert agreement.disagreement(shown, tiles) > 0.8
    agreed = agreement.mean(shown, tiles)
    assert_close(agreed, cut(image_of(shown, tiles, "uniform"), config))
    assert agreement.disagreement(agreed, tiles) < 1e-6


def test_overlaps_that_are_no_whole_pixels_of_features_are_read_between_them():
    config = TilesConfig(3, 1, 0.25)
    slope = torch.stack([torch.arange(6.0) + tile.column * 4.5 for tile in make_tiles(config, 8)])
    shown = slope[:, None, None].expand(-1, 1, 6, -1)
    agreed = agreement.mean(shown, make_tiles(config, 8))
    between = [0, 2, 3, 5]  # elsewhere a neighbour's nearest pixel stands for what lies beyond its edge
    assert_close(agreed[..., between], shown[..., between])
    assert_close(agreed, shown, atol=0.26, rtol=0)


@pytest.mark.parametrize(
    ("config", "size"),
    [
        (TilesConfig(6, 1), (896, 256)),  # as published
        (TilesConfig(6, 1, wrap=True), (768, 256)),
        (TilesConfig(1, 6), (256, 896)),
        (TilesConfig(3, 2, 0.25), (640, 448)),
    ],
)
def test_the_size_of_an_image(config, size):
    assert image_size(config, 256) == size


def test_an_image_fades_evenly_from_one_tile_to_the_next():
    tints = torch.tensor([0.0, 1.0])[:, None, None, None].expand(-1, 1, 8, 8)
    image = image_of(tints, make_tiles(TilesConfig(2, 1), 8))
    assert_close(image[0, 0, 0], torch.tensor([0, 0, 0, 0, 0.125, 0.375, 0.625, 0.875, 1, 1, 1, 1]))
    assert_close(image, image[..., :1, :].expand_as(image))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"overlap": 1.0}, r"overlap must lie in \[0, 0.9\], got 1.0"),
        ({"overlap": float("nan")}, "overlap must lie in"),
        ({"columns": 0}, "columns must be a whole number, at least 1, got 0"),
        ({"columns": 1, "wrap": True}, "wrap needs columns of which no tile overlaps itself, here at least 2, not 1"),
        ({"rows": 1, "wrap_rows": True}, "wrap_rows needs rows of which no tile overlaps itself"),
        ({"overlap": 0.3}, "overlap must be a whole number of pixels of 16, it is 4.8, got 0.3"),
        ({"columns": 100000}, "columns and rows make an image of 800008x16 pixels"),
    ],
)
def test_what_makes_no_tiles_is_told(settings, message):
    with pytest.raises(UserError, match=message):
        make_tiles(TilesConfig(**settings), SIZE)
