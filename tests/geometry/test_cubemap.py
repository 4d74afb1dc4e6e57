"""The cubemap both ways: on every face, across every edge, and against py360convert."""

import math

import py360convert
import pytest
import torch
from torch.testing import assert_close

from aognet.geometry.cubemap import FACES, YAW_PITCH, blend_faces, face_cameras, faces_of, pad_faces, panorama_of
from aognet.geometry.sphere import pixel_directions, sample_grid
from tests.smooth import colour, smooth_panorama, smooth_view


def smooth_faces(size: int, fov_degrees: float = 90.0) -> torch.Tensor:
    return torch.stack([smooth_view(camera) for camera in face_cameras(size, fov_degrees)], dim=1)


def test_faces_see_what_their_names_say():
    axes = {"front": (0, 0, 1), "right": (1, 0, 0), "back": (0, 0, -1)}
    axes |= {"left": (-1, 0, 0), "up": (0, 1, 0), "down": (0, -1, 0)}
    for name, camera in zip(FACES, face_cameras(8), strict=True):
        assert_close(camera.forward, torch.tensor(axes[name], dtype=torch.float64), atol=1e-12, rtol=0)
    assert len(YAW_PITCH) == 6


def test_faces_of_a_smooth_panorama():
    faces = faces_of(smooth_panorama(128), 48)
    assert faces.shape == (1, 6, 3, 48, 48)
    assert_close(faces, smooth_faces(48), atol=2e-3, rtol=0)


def test_neighbouring_faces_meet():
    front, right, back, left, up, down = faces_of(smooth_panorama(128), 64)[0]
    ring = (front, right, back, left)
    pairs = [(ring[i][..., -1], ring[(i + 1) % 4][..., 0]) for i in range(4)]
    pairs += [(front[:, 0], up[:, -1]), (front[:, -1], down[:, 0])]
    pairs += [(right[:, 0], up[..., -1].flip(-1)), (left[:, -1], down[..., 0].flip(-1))]
    pairs += [(back[:, 0], up[:, 0].flip(-1)), (back[:, -1], down[:, -1].flip(-1))]
    for one, other in pairs:  # pixel centres on both sides of an edge are 1/32 radian apart
        assert_close(one, other, atol=1.7 / 32, rtol=0)


@pytest.mark.parametrize("height", [16, 64, 100])
def test_panorama_of_faces(height: int):
    panorama = panorama_of(smooth_faces(64), height)
    assert_close(panorama, smooth_panorama(height), atol=4e-3, rtol=0)


def test_edges_and_corners_are_nearly_as_exact_as_the_inside():
    height, size = 128, 32
    error = (panorama_of(smooth_faces(size), height) - smooth_panorama(height)).abs().amax(1)[0]
    vectors = torch.stack([camera.forward for camera in face_cameras(1)]).float()
    nearest = (pixel_directions(height, 2 * height).float() @ vectors.T).sort(-1).values
    at_edge = nearest[..., -1] - nearest[..., -2] < 1 / size
    assert at_edge.sum() > 1000
    # The border pixels of a face are interpolated once more, along the edge of its neighbour.
    assert error[at_edge].max() < 4 * error[~at_edge].max()
    assert error.max() < 0.01


def test_padding_continues_the_faces_where_the_sphere_goes_on():
    size = 32
    padded = pad_faces(smooth_faces(size))
    steps = (torch.arange(size + 2) - 0.5) / size * 2 - 1
    rows, columns = torch.meshgrid(-steps, steps, indexing="ij")
    rays = torch.stack([columns, rows, torch.ones_like(rows)], -1).double()
    for face, camera in zip(padded[0], face_cameras(size), strict=True):
        # A corner lies beyond the pixel centres of all three faces: it is off by up to a pixel.
        assert_close(face, colour(rays @ camera.rotation.T), atol=1.7 * 2 / size, rtol=0)
        inner = colour(rays @ camera.rotation.T)[:, 2:-2]
        assert_close(face[:, 2:-2], inner, atol=6e-3, rtol=0)


@pytest.mark.parametrize("fov_degrees", [95.0, 110.0])
def test_padding_of_overlapping_faces(fov_degrees: float):
    size = 32
    wider = 2 * math.degrees(math.atan(math.tan(math.radians(fov_degrees / 2)) * (size + 2) / size))
    padded = pad_faces(smooth_faces(size, fov_degrees), 1, fov_degrees)
    assert_close(padded, smooth_faces(size + 2, wider), atol=8e-3, rtol=0)


def test_blending_leaves_what_agrees():
    faces = smooth_faces(48, 95.0)
    assert_close(blend_faces(faces, 95.0), faces, atol=4e-3, rtol=0)


def test_blended_faces_agree_and_change_only_where_they_overlap():
    size, fov_degrees = 64, 95.0
    uneven = smooth_faces(size, fov_degrees) + torch.linspace(-0.5, 0.5, 6).view(1, 6, 1, 1, 1)
    blended = blend_faces(uneven, fov_degrees)
    cameras = face_cameras(size, fov_degrees)
    checked = 0
    for face, camera in enumerate(cameras):
        for other, neighbour in enumerate(cameras):
            places, inside = neighbour.image_positions(camera.pixel_directions())
            if other != face and inside.any():
                grid = ((places + 0.5) * 2 / size - 1)[None]
                seen = sample_grid(blended[:, other], grid, "bilinear")
                before = sample_grid(uneven[:, other], grid, "bilinear")
                gap, gap_before = (
                    (one[:, face] - shown)[..., inside].abs() for one, shown in ((blended, seen), (uneven, before))
                )
                assert gap.mean() < 0.1 * gap_before.mean()
                checked += 1
    assert checked == 24
    inner = math.ceil(size / 2 * (1 - 1 / math.tan(math.radians(fov_degrees / 2)) ** 2))
    kept = (..., slice(inner, -inner), slice(inner, -inner))
    assert torch.equal(blended[kept], uneven[kept])


def test_a_constant_stays_constant():
    assert_close(panorama_of(torch.full((2, 6, 3, 8, 8), 0.3), 40), torch.full((2, 3, 40, 80), 0.3))


def test_batches_and_gradients():
    panoramas = torch.rand(2, 3, 16, 32, requires_grad=True)
    faces = faces_of(panoramas, 16)
    back = panorama_of(faces, 16)
    assert_close(back[1:], panorama_of(faces_of(panoramas[1:], 16), 16))
    back.sum().backward()
    assert (panoramas.grad > 0).float().mean() > 0.9


def test_nearest_faces_hold_only_values_of_the_panorama():
    panorama = torch.arange(16.0 * 32).view(1, 1, 16, 32)
    assert set(faces_of(panorama, 8, mode="nearest").unique().tolist()) <= set(panorama.flatten().tolist())


def test_agrees_with_py360convert():
    panorama = smooth_panorama(256)
    theirs = py360convert.e2c(panorama[0].permute(1, 2, 0).numpy(), 64, cube_format="list")
    theirs = torch.stack([torch.from_numpy(face).permute(2, 0, 1) for face in theirs])
    # It puts the outermost pixels on the very edge of a face: half a pixel of 64, 1/64 radian, at most.
    assert_close(faces_of(panorama, 64)[0], theirs, atol=1.7 / 64, rtol=0)
