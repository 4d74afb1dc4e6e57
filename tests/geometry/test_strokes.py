"""Strokes on the sphere against distances to densely sampled paths, wherever on the sphere they are drawn."""

import math
from itertools import pairwise

import numpy as np
import pytest
import torch

from aognet.geometry.sphere import pixel_directions, pixel_solid_angles
from aognet.geometry.strokes import BrushStroke, stroke_mask
from tests.slow import rest_slow

HEIGHT = 32


def direction(yaw: float, pitch: float) -> np.ndarray:
    yaw, pitch = math.radians(yaw), math.radians(pitch)
    return np.array([math.cos(pitch) * math.sin(yaw), math.sin(pitch), math.cos(pitch) * math.cos(yaw)])


def sampled_distance(points: list[tuple[float, float]]) -> np.ndarray:
    """Angles (degrees) from every pixel to the nearest of many points of a path, found by slerp."""
    ends = [direction(*point) for point in points]
    path = [ends[0]]
    for a, b in pairwise(ends):
        angle = math.acos(np.clip(a @ b, -1, 1))
        if angle > 1e-9:
            shares = np.linspace(0, 1, 1500)[:, None]
            path.extend((np.sin((1 - shares) * angle) * a + np.sin(shares * angle) * b) / np.sin(angle))
    cosines = pixel_directions(HEIGHT, 2 * HEIGHT).numpy() @ np.array(path).T
    return np.degrees(np.arccos(np.clip(cosines.max(-1), -1, 1)))


PATHS = {
    "a point": [(20.0, 10.0)],
    "across the seam": [(170.0, 0.0), (-165.0, 20.0), (-150.0, -30.0)],
    "over a pole": [(0.0, 80.0), (180.0, 80.0)],
    "at a pole": [(0.0, 90.0)],
    "the same point twice": [(5.0, -40.0), (5.0, -40.0)],
    "a long arc": [(-80.0, -5.0), (80.0, 5.0)],
}


@pytest.mark.parametrize("radius", [3.0, 25.0, 100.0])
@pytest.mark.parametrize("path", rest_slow(PATHS, fast=3))
def test_a_stroke_is_what_is_near_its_path(path: str, radius: float):
    distance = sampled_distance(PATHS[path])
    mask = stroke_mask([BrushStroke(radius, PATHS[path])], HEIGHT).numpy()
    sure = np.abs(distance - radius) > 0.1
    assert (mask == (distance <= radius))[sure].all()
    assert sure.mean() > 0.9


def test_a_cap_has_its_area():
    mask = stroke_mask([BrushStroke(30.0, [(123.0, -47.0)])], 512)
    area = float((mask * pixel_solid_angles(512, 1024)[:, None]).sum())
    assert area == pytest.approx(2 * math.pi * (1 - math.cos(math.radians(30))), rel=2e-3)


def test_strokes_are_drawn_in_order():
    paint, take = BrushStroke(20.0, [(0.0, 0.0)]), BrushStroke(10.0, [(0.0, 0.0)], erase=True)
    ring = stroke_mask([paint, take], HEIGHT)
    assert not ring[HEIGHT // 2, HEIGHT] and ring.any()
    assert torch.equal(stroke_mask([take, paint], HEIGHT), stroke_mask([paint], HEIGHT))
    assert not stroke_mask([], HEIGHT).any()
