"""Views from bytes are what `look` sees in the same panorama, wherever they look and however it is turned."""

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from aognet.data.viewing import PLAIN, bordered, view_all
from aognet.geometry.camera import Camera
from aognet.geometry.cubemap import face_cameras
from aognet.geometry.perspective import look, look_all
from aognet.io.images import from_uint8, to_uint8
from tests.smooth import smooth_panorama

LEVEL = 1 / 127.5
HEIGHT = 128


def as_bytes(panorama: torch.Tensor) -> np.ndarray:
    return to_uint8(panorama[0]).permute(1, 2, 0).contiguous().numpy()


@pytest.fixture(scope="module")
def panorama() -> torch.Tensor:
    return smooth_panorama(HEIGHT)


@pytest.mark.parametrize("yaw", [-180.0, -90.0, 0.0, 179.0])
@pytest.mark.parametrize("pitch", [-90.0, -50.0, 0.0, 90.0])
def test_a_view_is_what_look_sees(panorama: torch.Tensor, yaw: float, pitch: float):
    camera = Camera(yaw, pitch, 10.0, 80.0, 48, 40)
    seen = view_all(bordered(as_bytes(panorama)), [camera])[0]
    assert_close(seen, look(panorama, camera)[0], atol=3 * LEVEL, rtol=0)


def test_no_seam_and_no_pole_between_pixels():
    """A pixel's own colour comes back exactly at its centre, at the wrap and next to the poles too."""
    image = np.random.default_rng(0).integers(0, 256, (16, 32, 3), dtype=np.uint8)
    pyramid = bordered(image)
    for row, column in ((0, 0), (0, 31), (15, 0), (15, 17), (7, 31), (8, 0)):
        yaw, pitch = ((column + 0.5) / 32 - 0.5) * 360, (0.5 - (row + 0.5) / 16) * 180
        seen = view_all(pyramid, [Camera(yaw, pitch, 0.0, 20.0, 9, 9)])[0, :, 4, 4]
        assert_close((seen + 1) * 127.5, torch.from_numpy(image[row, column]).float(), atol=0.6, rtol=0)


@pytest.mark.parametrize("columns", [0, 1, 77, 255, 1000, -3])
def test_turning_is_rolling(panorama: torch.Tensor, columns: int):
    cameras = face_cameras(32)
    turned = view_all(bordered(as_bytes(panorama)), cameras, turn_columns=columns)
    rolled = view_all(bordered(as_bytes(panorama.roll(-columns, -1))), cameras)
    assert_close(turned, rolled, atol=2 * LEVEL, rtol=0)


@pytest.mark.parametrize("columns", [0, 40])
def test_mirroring_is_flipping_before_turning(panorama: torch.Tensor, columns: int):
    cameras = face_cameras(32)
    mirrored = view_all(bordered(as_bytes(panorama)), cameras, columns, mirror=True)
    expected = look_all(panorama.flip(-1).roll(-columns, -1), cameras)[0]
    assert_close(mirrored, expected, atol=3 * LEVEL, rtol=0)


def test_small_views_do_not_alias():
    """Grain finer than a pixel becomes its mean."""
    grain = np.random.default_rng(0).integers(0, 256, (512, 1024, 3), dtype=np.uint8)
    seen = view_all(bordered(grain), [Camera(fov_degrees=90.0, width=32, height=32)])[0]
    reference = look(from_uint8(torch.from_numpy(grain)).permute(2, 0, 1)[None], Camera(width=32, height=32))[0]
    assert float(seen.std()) < 1.5 * float(reference.std()) < 0.2
    assert abs(float(seen.mean())) < 0.02


def test_curves_apply_to_what_is_seen(panorama: torch.Tensor):
    pyramid, cameras = bordered(as_bytes(panorama)), [Camera(width=16, height=16)]
    curves = PLAIN * np.array([1.0, -1.0, 0.5], np.float32)
    plain = view_all(pyramid, cameras)
    assert_close(view_all(pyramid, cameras, curves=curves), plain * torch.tensor([1.0, -1.0, 0.5])[:, None, None])


@pytest.mark.parametrize("height", [16, 17, 50, 64])
def test_every_size_has_its_levels(height: int):
    image = np.full((height, 2 * height, 3), 200, np.uint8)
    pyramid = bordered(image)
    assert pyramid.height == height and np.array_equal(pyramid.image, image)
    assert all(level.shape[1] == 2 * level.shape[0] - 2 and (level == 200).all() for level in pyramid.levels)
    assert pyramid.levels[-1].shape[0] - 2 >= 16
