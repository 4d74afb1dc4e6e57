"""Pictures: where they look, that they show what is there, and that they are the same for every panorama."""

import math

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from aognet.data.viewing import bordered
from aognet.evaluation.pictures import cameras_of, take
from aognet.evaluation.protocol import PictureConfig
from aognet.geometry.cubemap import LATERAL, POLAR
from aognet.io.images import to_uint8
from tests.smooth import smooth_panorama, smooth_view

HEIGHT = 64
BYTE = 1 / 127.5


def pixels() -> np.ndarray:
    return to_uint8(smooth_panorama(HEIGHT))[0].permute(1, 2, 0).contiguous().numpy()


@pytest.mark.parametrize("kind", ["random", "horizon", "random_horizon", "seam", "equator", "poles"])
def test_a_view_shows_what_lies_in_its_direction(kind: str) -> None:
    config = PictureConfig(kind, count=5, size=24)
    found = take(bordered(pixels()), config)
    expected = torch.cat([smooth_view(camera) for camera in cameras_of(config)])
    assert found.shape == expected.shape and len(found) == {"equator": 4, "poles": 2}.get(kind, 5)
    assert (found - expected).abs().max() < 0.05
    assert (found - expected).abs().mean() < 0.01


def test_random_directions_are_even_on_the_sphere() -> None:
    cameras = cameras_of(PictureConfig("random", count=1000, size=8))
    directions = torch.stack([camera.forward for camera in cameras])
    assert directions.mean(0).abs().max() < 0.06
    # The second moments of the even distribution are 1/3 each; even in latitude instead, up would have 1/2.
    assert_close(directions.T @ directions / 1000, torch.eye(3, dtype=torch.float64) / 3, atol=0.04, rtol=0)
    assert {camera.roll_degrees for camera in cameras} == {0.0}


def test_directions_are_of_the_seed_alone() -> None:
    first, again, other = (cameras_of(PictureConfig("random", 20, size, seed=seed)) for size, seed in
                           ((16, 0), (32, 0), (16, 1)))  # fmt: skip
    looks = [[(camera.yaw_degrees, camera.pitch_degrees) for camera in cameras] for cameras in (first, again, other)]
    assert looks[0] == looks[1] and looks[0] != looks[2]


def test_kinds_look_where_they_should() -> None:
    horizon = cameras_of(PictureConfig("horizon", 8, 8))
    assert [camera.yaw_degrees for camera in horizon] == [45.0 * number for number in range(8)]
    assert {camera.pitch_degrees for camera in [*horizon, *cameras_of(PictureConfig("random_horizon", 8, 8))]} == {0.0}
    yaws = [camera.yaw_degrees for camera in cameras_of(PictureConfig("random_horizon", 200, 8))]
    assert min(yaws) < -150 and max(yaws) > 150 and abs(np.mean(np.exp(1j * np.radians(yaws)))) < 0.2
    seam = cameras_of(PictureConfig("seam", 50, 8))
    assert {camera.yaw_degrees for camera in seam} == {180.0}
    assert max(camera.pitch_degrees for camera in seam) > 45 and min(camera.pitch_degrees for camera in seam) < -45


def test_faces_are_those_of_the_cube_whatever_else_is_said() -> None:
    ahead = {name: (0, 0, 1) for name in ("front",)} | {"right": (1, 0, 0), "back": (0, 0, -1), "left": (-1, 0, 0)}
    ahead |= {"up": (0, 1, 0), "down": (0, -1, 0)}
    cameras = [*cameras_of(PictureConfig("equator", 3, 8, 60.0)), *cameras_of(PictureConfig("poles", 3, 8, 60.0))]
    assert (*LATERAL, *POLAR) == tuple(ahead)
    for camera, direction in zip(cameras, ahead.values(), strict=True):
        assert_close(camera.forward, torch.tensor(direction, dtype=torch.float64))
        assert camera.fov_degrees == 90.0


def test_the_panorama_itself_is_every_pixel_of_it() -> None:
    image = pixels()
    whole = take(bordered(image), PictureConfig("panorama"))
    assert whole.shape == (1, 3, HEIGHT, 2 * HEIGHT)
    assert_close(whole[0], torch.from_numpy(image).permute(2, 0, 1) * BYTE - 1)
    turned = take(bordered(image), PictureConfig("panorama", turn_degrees=180.0))
    assert torch.equal(turned, whole.roll(HEIGHT, -1))


def test_a_rolled_panorama_has_the_same_views_all_round() -> None:
    image, config = pixels(), PictureConfig("horizon", 8, 24)
    views, turned = take(bordered(image), config), take(bordered(np.roll(image, HEIGHT // 2, 1)), config)
    assert (turned - views.roll(2, 0)).abs().max() <= 2 * BYTE
    assert (turned - views).abs().max() > 0.5


def test_coarse_views_are_averages_not_samples() -> None:
    stripes = np.zeros((HEIGHT, 2 * HEIGHT, 3), np.uint8)
    stripes[:, ::2] = 255
    view = take(bordered(stripes), PictureConfig("horizon", 1, 8))
    assert view.std() < 0.25  # samples of stripes would be black and white: 1
    assert math.isclose(float(view.mean()), 0, abs_tol=0.1)
