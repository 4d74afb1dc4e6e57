"""Laws 1, 2 and 4: pixel centres, the sense of yaw, pitch and roll, and a sphere without seam and poles."""

import math

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from aognet.geometry import sphere
from aognet.geometry.perspective import rotate
from tests.smooth import colour, smooth_panorama


@pytest.mark.parametrize("height", [1, 4, 64, 100])
def test_pixel_centres(height: int):
    width = 2 * height
    longitudes = np.degrees(sphere.pixel_longitudes(width).numpy())
    latitudes = np.degrees(sphere.pixel_latitudes(height).numpy())
    np.testing.assert_allclose(longitudes, [((u + 0.5) / width - 0.5) * 360 for u in range(width)], atol=1e-12)
    np.testing.assert_allclose(latitudes, [(0.5 - (v + 0.5) / height) * 180 for v in range(height)], atol=1e-12)


def test_no_longitude_and_no_pole_twice():
    longitudes, latitudes = sphere.pixel_longitudes(128), sphere.pixel_latitudes(64)
    assert -math.pi < longitudes.min() and longitudes.max() < math.pi
    assert -math.pi / 2 < latitudes.min() and latitudes.max() < math.pi / 2
    # The step across the seam is the step between any other two columns.
    assert_close(longitudes[0] + 2 * math.pi - longitudes[-1], longitudes[1] - longitudes[0])


def test_axes():
    vectors = sphere.pixel_directions(200, 400)
    for (row, column), axis in {
        (100, 200): (0, 0, 1),
        (100, 300): (1, 0, 0),
        (0, 0): (0, 1, 0),
        (199, 0): (0, -1, 0),
    }.items():
        assert_close(vectors[row, column], torch.tensor(axis, dtype=torch.float64), atol=0.02, rtol=0)
    assert_close(vectors.norm(dim=-1), torch.ones(200, 400, dtype=torch.float64))


def test_positions_invert_directions():
    positions = sphere.pixel_positions(sphere.pixel_directions(50, 100), 50, 100)
    columns, rows = torch.meshgrid(torch.arange(100.0), torch.arange(50.0), indexing="xy")
    assert_close(positions, torch.stack([columns, rows], -1).double(), atol=1e-9, rtol=0)


@pytest.mark.parametrize(
    ("angles", "looks_at", "up", "right"),
    [
        ((0.0, 0.0, 0.0), (0, 0, 1), (0, 1, 0), (1, 0, 0)),
        ((90.0, 0.0, 0.0), (1, 0, 0), (0, 1, 0), (0, 0, -1)),
        ((0.0, 90.0, 0.0), (0, 1, 0), (0, 0, -1), (1, 0, 0)),
        ((0.0, 0.0, 90.0), (0, 0, 1), (1, 0, 0), (0, -1, 0)),
        ((90.0, 90.0, 0.0), (0, 1, 0), (-1, 0, 0), (0, 0, -1)),
    ],
)
def test_yaw_right_pitch_up_roll_clockwise(angles, looks_at, up, right):
    expected = torch.tensor([right, up, looks_at], dtype=torch.float64).T
    assert_close(sphere.rotation(*angles), expected, atol=1e-12, rtol=0)


@pytest.mark.parametrize("margin", [1, 2, 5])
def test_padding_against_a_slow_loop(margin: int):
    height, width = 5, 8
    panorama = torch.rand(2, 3, height, width)
    padded = sphere.pad_sphere(panorama, margin)
    assert padded.shape == (2, 3, height + 2 * margin, width + 2 * margin)
    for row in range(-margin, height + margin):
        for column in range(-margin, width + margin):
            beyond_pole = not 0 <= row < height
            source_row = -1 - row if row < 0 else 2 * height - 1 - row if row >= height else row
            source_column = (column + beyond_pole * width // 2) % width
            assert torch.equal(padded[..., row + margin, column + margin], panorama[..., source_row, source_column])


def test_samples_between_the_last_column_and_the_first():
    panorama = torch.rand(1, 3, 8, 16)
    rows = torch.arange(8.0)
    for column in (-0.5, 15.5):
        positions = torch.stack([torch.full((8,), column), rows], -1)[None]
        expected = (panorama[..., 0] + panorama[..., -1]) / 2
        assert_close(sphere.sample(panorama, positions)[:, :, 0], expected)


def test_samples_over_the_poles_are_half_a_turn_away():
    panorama = torch.rand(1, 3, 8, 16)
    columns = torch.arange(16.0)
    for row, source in ((-0.5, 0), (7.5, 7)):
        positions = torch.stack([columns, torch.full((16,), row)], -1)[None]
        ring = panorama[..., source, :]
        assert_close(sphere.sample(panorama, positions)[:, :, 0], (ring + ring.roll(8, -1)) / 2)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_half_precision_images_are_sampled_where_they_should(dtype: torch.dtype):
    panorama = (torch.rand(1, 1, 2, 4096) < 0.5).to(dtype)
    columns, rows = torch.meshgrid(torch.arange(4096.0), torch.arange(2.0), indexing="xy")
    sampled = sphere.sample(panorama, torch.stack([columns, rows], -1))
    assert sampled.dtype == dtype
    assert_close(sampled, panorama, atol=4e-3, rtol=0)


@pytest.mark.parametrize("columns", [0, 1, 5, -7, 64, 129])
def test_rotating_by_whole_columns_is_a_roll(columns: int):
    panorama = torch.rand(2, 3, 32, 64)
    assert torch.equal(rotate(panorama, columns * 360 / 64), panorama.roll(-columns, -1))


@pytest.mark.parametrize("angles", [(33.3, 0.0, 0.0), (0.0, 90.0, 0.0), (-120.0, 35.0, 70.0), (180.0, -60.0, 180.0)])
def test_rotating_moves_every_colour_with_the_sphere(angles):
    vectors = sphere.pixel_directions(128, 256) @ sphere.rotation(*angles).T
    assert_close(rotate(smooth_panorama(128), *angles)[0], colour(vectors), atol=1e-3, rtol=0)


@pytest.mark.parametrize("threads", [2, 3])
def test_many_points_are_sampled_by_all_threads_alike(threads: int):
    panorama, positions = torch.rand(1, 3, 32, 64), torch.rand(301, 311, 2) * torch.tensor([64.0, 32.0]) - 0.5
    before = torch.get_num_threads()
    found = []
    try:
        for count in (1, threads):
            torch.set_num_threads(count)
            found.append(sphere.sample(panorama, positions))
    finally:
        torch.set_num_threads(before)
    assert torch.equal(*found)
    assert torch.equal(found[0][..., :2, :], sphere.sample(panorama, positions[:2]))
