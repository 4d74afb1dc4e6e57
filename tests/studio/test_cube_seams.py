"""Faces that were changed in brightness show at their own edges, and nowhere else."""

import math

import torch

from aognet.geometry.cubemap import face_cameras, faces_of, panorama_of
from aognet.geometry.sphere import pixel_directions
from aognet.studio.jobs.cube_seams import cube_edges, edge_steps, seam_strokes
from tests.smooth import smooth_panorama

HEIGHT = 128


def test_there_are_twelve_edges_of_equal_length():
    edges = cube_edges()
    assert len(edges) == 12
    assert all(math.isclose(float(a @ b), 1 / 3) for a, b in edges)


def with_brighter(face: int) -> torch.Tensor:
    axes = torch.stack([camera.forward for camera in face_cameras(1)])
    of_face = (pixel_directions(HEIGHT, 2 * HEIGHT) @ axes.T).argmax(-1) == face
    return smooth_panorama(HEIGHT) + 0.3 * of_face


def test_the_edges_of_a_brighter_face_are_found():
    for face in range(6):
        forward = face_cameras(1)[face].forward
        own = [bool((a @ forward > 0) & (b @ forward > 0)) for a, b in cube_edges()]
        worst = edge_steps(with_brighter(face)).argsort(descending=True)[:4].tolist()
        assert sorted(worst) == [number for number, is_own in enumerate(own) if is_own]


def test_strokes_lie_on_the_worst_edges():
    strokes, steps = seam_strokes(with_brighter(0), 2, 10.0)
    assert len(strokes) == 2 and steps == sorted(steps, reverse=True) and steps[0] > 0.1
    for stroke in strokes:
        assert stroke.radius_degrees == 5.0
        assert all(math.isclose(abs(yaw), 45, abs_tol=1e-9) for yaw, _ in stroke.points)
    assert len(seam_strokes(torch.zeros(1, 3, HEIGHT, 2 * HEIGHT), 12, 10.0)[0]) == 1, "the worst, even if it is good"


def test_a_cube_that_meets_is_quiet():
    panorama = smooth_panorama(HEIGHT)
    again = panorama_of(faces_of(panorama, HEIGHT // 2), HEIGHT)
    assert float(edge_steps(again).abs().max()) < 0.01
