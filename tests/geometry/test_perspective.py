"""Laws 2 to 5 and 7 for pinhole views: looking, painting back, and agreement with two other libraries."""

import math

import numpy as np
import py360convert
import pytest
import torch
from equilib import equi2pers
from torch import Tensor
from torch.testing import assert_close

from aognet.errors import UserError
from aognet.geometry import sphere
from aognet.geometry.camera import Camera, positions_of
from aognet.geometry.perspective import footprint, look, look_all, paint, rotate, view_grid
from tests.smooth import colour, smooth_panorama, smooth_view

CPU = torch.device("cpu")
CAMERAS = [
    Camera(width=64, height=64),
    Camera(30.0, 20.0, 0.0, 90.0, 64, 64),
    Camera(180.0, 0.0, 0.0, 90.0, 64, 48),
    Camera(-120.0, -40.0, 15.0, 70.0, 48, 64),
    Camera(50.0, 90.0, 0.0, 90.0, 64, 64),
    Camera(0.0, -90.0, 30.0, 60.0, 64, 64),
    Camera(178.0, 75.0, -100.0, 120.0, 64, 32),
    Camera(-725.0, -5.0, 200.0, 20.0, 64, 64),
    Camera(10.0, 60.0, 5.0, 140.0, 64, 64),
]


@pytest.fixture(scope="module")
def panorama() -> Tensor:
    return smooth_panorama(256)


def slow_directions(camera: Camera) -> np.ndarray:
    """Directions of a view's pixels from its three axes, written down without a rotation matrix."""
    yaw, pitch, roll = (math.radians(a) for a in (camera.yaw_degrees, camera.pitch_degrees, camera.roll_degrees))
    forward = np.array([math.cos(pitch) * math.sin(yaw), math.sin(pitch), math.cos(pitch) * math.cos(yaw)])
    level = np.array([math.cos(yaw), 0, -math.sin(yaw)])
    over = np.cross(forward, level)
    up = math.cos(roll) * over + math.sin(roll) * level
    right = math.cos(roll) * level - math.sin(roll) * over
    half = math.tan(math.radians(camera.fov_degrees) / 2)
    u = (2 * (np.arange(camera.width) + 0.5) / camera.width - 1) * half
    v = (1 - 2 * (np.arange(camera.height) + 0.5) / camera.height) * half * camera.height / camera.width
    return forward + u[None, :, None] * right + v[:, None, None] * up


@pytest.mark.parametrize("camera", CAMERAS)
def test_views_of_a_sphere_coloured_by_direction(panorama: Tensor, camera: Camera):
    vectors = slow_directions(camera)
    assert_close(camera.pixel_directions(), torch.from_numpy(vectors), atol=1e-9, rtol=0)
    seen = look(panorama, camera, antialias=False)[0]
    assert_close(seen, colour(torch.from_numpy(vectors)), atol=1e-3, rtol=0)


def test_yaw_shows_the_right_pitch_the_top_and_roll_turns_clockwise():
    panorama = sphere.pixel_directions(64, 128).permute(2, 0, 1)[None].float()  # x right, y up, z forward
    small = {"width": 9, "height": 9}
    assert_close(look(panorama, Camera(90.0, **small))[0, :, 4, 4], torch.tensor([1.0, 0, 0]), atol=0.01, rtol=0)
    assert_close(look(panorama, Camera(0.0, 90.0, **small))[0, :, 4, 4], torch.tensor([0, 1.0, 0]), atol=0.01, rtol=0)
    ahead = look(panorama, Camera(**small))[0]
    assert ahead[0, 4, 8] > 0.5 and ahead[1, 0, 4] > 0.5
    # The camera's top has turned to the right: the top of the image shows what is at the right.
    rolled = look(panorama, Camera(roll_degrees=90.0, **small))[0]
    assert rolled[0, 0, 4] > 0.5 and rolled[1, 4, 0] > 0.5


@pytest.mark.parametrize("columns", [0, 1, 37, -20, 128, 255])
@pytest.mark.parametrize("camera", CAMERAS[1:6])
def test_rolling_the_panorama_is_yawing_the_camera(camera: Camera, columns: int):
    panorama = torch.rand(1, 3, 64, 128)
    rolled = look(panorama.roll(-columns, -1), camera)
    assert_close(rolled, look(panorama, camera.turned(columns / 128 * 360)), atol=1e-4, rtol=0)


def test_a_rotated_panorama_has_in_front_what_the_camera_looked_at(panorama: Tensor):
    camera = Camera(-70.0, 25.0, 40.0, 80.0, 48, 48)
    turned = rotate(panorama, camera.yaw_degrees, camera.pitch_degrees, camera.roll_degrees)
    assert_close(look(turned, Camera(0.0, 0.0, 0.0, 80.0, 48, 48)), look(panorama, camera), atol=2e-3, rtol=0)


@pytest.mark.parametrize(
    "camera",
    [Camera(180.0, 0.0, 0.0, 90.0), Camera(0.0, 90.0, 0.0, 90.0), Camera(20.0, -90.0, 0.0, 60.0), Camera(179.0, 80.0)],
)
def test_seam_and_poles_are_as_exact_as_elsewhere(camera: Camera):
    panorama = smooth_panorama(64)

    def worst(camera: Camera) -> float:
        camera = camera.sized(96, 96)
        return float((look(panorama, camera) - smooth_view(camera)).abs().max())

    elsewhere = max(worst(Camera(yaw, pitch)) for yaw in (0.0, 90.0) for pitch in (0.0, 40.0, -40.0))
    assert worst(camera) < 1.5 * elsewhere < 0.01


@pytest.mark.parametrize("camera", [*CAMERAS, Camera(100.0, 33.0, 11.0, 1.0), Camera(5.0, 6.0, 7.0, 179.0)])
@pytest.mark.parametrize("height", [16, 96])
def test_footprint_against_every_pixel_of_the_panorama(camera: Camera, height: int):
    vectors = sphere.pixel_directions(height, 2 * height).numpy()
    corners = slow_directions(camera.sized(2, 2))  # of the same camera with square pixels: only its axes are used
    forward = corners.mean((0, 1))
    right, up = corners[0, 1] - corners[0, 0], corners[0, 0] - corners[1, 0]
    right, up = right / np.linalg.norm(right), up / np.linalg.norm(up)
    half = math.tan(math.radians(camera.fov_degrees) / 2)
    x, y, z = vectors @ right, vectors @ up, vectors @ forward
    inside = (z > 0) & (abs(x) <= half * z) & (abs(y) <= half * camera.height / camera.width * z)
    found = footprint(camera, height, 2 * height, 1, CPU)
    assert found.index.tolist() == np.flatnonzero(inside).tolist()


@pytest.mark.parametrize("camera", CAMERAS)
def test_painting_a_view_back_changes_its_footprint_only(camera: Camera):
    target, camera = smooth_panorama(64), camera.sized(128, 96)
    start = torch.rand(1, 3, 64, 128) * 4
    painted = paint(start, smooth_view(camera), camera)
    inside = torch.zeros(64 * 128, dtype=torch.bool)
    inside[footprint(camera, 64, 128, 1, CPU).index] = True
    inside = inside.view(64, 128)
    assert torch.equal(painted[..., ~inside], start[..., ~inside])
    assert_close(painted[..., inside], target[..., inside], atol=0.02, rtol=0)


def test_painting_minifies_without_aliasing():
    camera = Camera(width=512, height=512)
    checker = ((torch.arange(512)[:, None] + torch.arange(512)) % 2 * 2.0 - 1).expand(1, 1, 512, 512)
    index = footprint(camera, 32, 64, 1, CPU).index
    print_of = paint(torch.zeros(1, 1, 32, 64), checker, camera).flatten(-2)[..., index]
    assert print_of.std() < 0.25
    assert set(paint(torch.zeros(1, 1, 32, 64), checker, camera, mode="nearest").unique().tolist()) == {-1.0, 0.0, 1.0}


@pytest.mark.parametrize("camera", [Camera(20.0, 30.0, 10.0, 90.0, 4, 4), Camera(180.0, 90.0, 0.0, 100.0, 4, 3)])
def test_looking_and_painting_are_differentiable(camera: Camera):
    panorama = torch.rand(1, 1, 4, 8, dtype=torch.float64, requires_grad=True)
    view = torch.rand(1, 1, camera.height, camera.width, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda panorama: look(panorama, camera), panorama)
    assert torch.autograd.gradcheck(lambda panorama, view: paint(panorama, view, camera), (panorama, view))
    paint(panorama, view, camera).sum().backward()
    inside = footprint(camera, 4, 8, 1, CPU).index
    assert panorama.grad.flatten()[inside].abs().max() == 0
    assert panorama.grad.sum() == panorama.numel() - len(inside)
    assert view.grad.abs().sum() > 0


def test_batches_and_several_views_equal_single_ones():
    panoramas, cameras = torch.rand(3, 3, 32, 64), [camera.sized(16, 24) for camera in CAMERAS]
    together = look_all(panoramas, cameras, antialias=False)
    for i, panorama in enumerate(panoramas):
        for j, camera in enumerate(cameras):
            assert_close(together[i, j], look(panorama[None], camera, antialias=False)[0])
    views = torch.rand(3, 3, 24, 16)
    painted = paint(panoramas, views, cameras[3])
    for i in range(3):
        assert_close(painted[i : i + 1], paint(panoramas[i : i + 1], views[i : i + 1], cameras[3]))


def test_views_of_different_sizes_are_not_mixed_up():
    with pytest.raises(ValueError, match="one size"):
        look_all(torch.rand(1, 3, 8, 16), [Camera(width=8, height=8), Camera(width=8, height=16)])
    with pytest.raises(ValueError, match="8"):
        paint(torch.rand(1, 3, 8, 16), torch.rand(1, 3, 8, 9), Camera(width=8, height=8))


@pytest.mark.parametrize("camera", CAMERAS)
def test_nearest_shows_only_values_that_are_there(camera: Camera):
    panorama = torch.arange(32.0 * 64).view(1, 1, 32, 64)
    seen = look(panorama, camera, mode="nearest")
    assert torch.equal(seen, seen.round()) and seen.min() >= 0 and seen.max() < 32 * 64
    vectors = camera.pixel_directions() / camera.pixel_directions().norm(dim=-1, keepdim=True)
    shown = sphere.pixel_directions(32, 64).view(-1, 3)[seen.flatten().long()].view_as(vectors)
    # At most half a pixel away in each coordinate: 180 / 32 / 2 degrees, both ways.
    angle = torch.acos((shown * vectors).sum(-1).clamp(-1, 1))
    assert angle.max() < math.radians(180 / 32 / 2) * math.sqrt(2) + 1e-6


def test_antialiasing_greys_what_is_too_fine():
    checker = ((torch.arange(256)[:, None] + torch.arange(512)) % 2 * 2.0 - 1).expand(1, 1, 256, 512)
    camera = Camera(30.0, 10.0, 0.0, 90.0, 16, 16)
    aliased = look(checker, camera, antialias=False).abs().mean()
    assert look(checker, camera).abs().mean() < 0.05 < 0.2 < aliased


def test_grids_are_computed_once():
    first, again = (Camera(12.5, 3.0, 0.0, 77.0, 20, 10) for _ in range(2))
    assert view_grid(first, 32, 64, 1, CPU) is view_grid(again, 32, 64, 1, CPU)
    assert footprint(first, 32, 64, 1, CPU) is footprint(again, 32, 64, 1, CPU)
    assert positions_of(first) is positions_of(again)


def test_positions_on_the_sphere_are_unit_vectors_through_the_pixels():
    camera = CAMERAS[3]
    positions = positions_of(camera)
    assert_close(positions.norm(dim=0), torch.ones(camera.height, camera.width))
    columns_rows, inside = camera.image_positions(positions.permute(1, 2, 0).double())
    columns, rows = torch.meshgrid(torch.arange(48.0), torch.arange(64.0), indexing="xy")
    assert inside.all()
    assert_close(columns_rows, torch.stack([columns, rows], -1).double(), atol=1e-4, rtol=0)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        *(("fov_degrees", value) for value in (0.0, 180.0, -90.0, 360.0, math.nan, math.inf)),
        *(("pitch_degrees", value) for value in (90.01, -91.0, math.nan)),
        *(("yaw_degrees", value) for value in (math.nan, math.inf)),
        ("roll_degrees", -math.inf),
    ],
)
def test_cameras_that_cannot_be(key: str, value: float):
    with pytest.raises(UserError, match=key) as caught:
        Camera(**{key: value})
    assert str(value) in str(caught.value)


def test_a_view_needs_a_pixel():
    with pytest.raises(UserError, match=r"at least 1, got \[0, 8\]"):
        Camera(width=0, height=8)


# One pixel of a 256x512 panorama is 0.0123 radians and the colours change by at most 1.6 per radian.
PYEQUILIB_TOLERANCE = 0.0123 * 1.6 * math.sqrt(2)  # its sampling is one panorama pixel off, across and down
PY360CONVERT_TOLERANCE = math.radians(0.25) * 1.6  # its outermost rays go through the edge: half of 128 pixels off
ELSEWHERE = [(0, 0, 0, 90), (30, 20, 0, 90), (-120, -40, 0, 70), (50, 10, 25, 90), (0, 90, 0, 90), (100, -75, 40, 60)]


@pytest.mark.parametrize(("yaw", "pitch", "roll", "fov"), ELSEWHERE)
def test_agrees_with_pyequilib(panorama: Tensor, yaw: int, pitch: int, roll: int, fov: int):
    angles = {"yaw": math.radians(yaw), "pitch": math.radians(pitch), "roll": math.radians(roll)}
    theirs = equi2pers(panorama, rots=[angles], height=96, width=128, fov_x=float(fov), z_down=True, mode="bilinear")
    ours = look(panorama, Camera(float(yaw), float(pitch), float(roll), float(fov), 128, 96))
    assert_close(ours, theirs.view_as(ours), atol=PYEQUILIB_TOLERANCE, rtol=0)


@pytest.mark.parametrize(("yaw", "pitch", "roll", "fov"), [*ELSEWHERE, (175, 0, 0, 90)])
def test_agrees_with_py360convert(panorama: Tensor, yaw: int, pitch: int, roll: int, fov: int):
    pixels = panorama[0].permute(1, 2, 0).numpy()
    theirs = py360convert.e2p(pixels, float(fov), yaw, pitch, (128, 128), in_rot_deg=roll)
    ours = look(panorama, Camera(float(yaw), float(pitch), float(roll), float(fov), 128, 128))
    assert_close(ours[0], torch.from_numpy(theirs).permute(2, 0, 1), atol=PY360CONVERT_TOLERANCE, rtol=0)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_the_gpu_agrees(panorama: Tensor):
    camera = CAMERAS[3]
    view = look(panorama.cuda(), camera)
    assert_close(view.cpu(), look(panorama, camera), atol=1e-5, rtol=0)
    painted = paint(panorama.cuda(), view, camera).cpu()
    assert_close(painted, paint(panorama, view.cpu(), camera), atol=1e-5, rtol=0)
