"""Sets of views that are made together: they see the whole sphere, and the panorama that they show has no seam."""

import pytest
import torch
from torch.testing import assert_close

from aognet.errors import UserError
from aognet.geometry import sphere
from aognet.geometry.view_sets import PUBLISHED, ViewSetConfig, make_views, panorama_of
from tests.smooth import smooth_panorama, smooth_view

HEIGHT = 96


def most_weight(config: ViewSetConfig, directions: torch.Tensor) -> torch.Tensor:
    """The weight of the view that shows each direction best, 0 where none does."""
    best = torch.zeros(len(directions), dtype=torch.float64)
    for view in make_views(config):
        places, inside = view.image_positions(directions)
        best = torch.maximum(best, torch.where(inside, view.weights(places, "centre"), 0))
    return best


def test_the_published_views_are_those_of_ganorama():
    pitches = [pitch for _, pitch in PUBLISHED]
    assert [pitches.count(pitch) for pitch in (45, -45, 0)] == [4, 4, 8]
    assert {yaw for yaw, pitch in PUBLISHED if pitch == 0} == {45.0 * turn for turn in range(8)}
    views = make_views(ViewSetConfig("published", size=64))
    assert {(view.fov_degrees, view.width, view.height) for view in views} == {(90.0, 64, 64)}


def test_as_few_views_as_are_told_cover_the_sphere():
    counts = {fov: len(make_views(ViewSetConfig(fov_degrees=fov))) for fov in (60.0, 75.0, 90.0, 120.0)}
    assert counts == {60.0: 42, 75.0: 34, 90.0: 18, 120.0: 14}


@pytest.mark.parametrize("fov_degrees", [30.0, 44.0, 60.0, 75.0, 89.0, 90.0, 100.0, 120.0, 150.0])
def test_cover_leaves_no_pixel_without_weight(fov_degrees):
    """Not even one at a pole, on the wrap or far from a whole number of rings."""
    poles = torch.tensor([[0, 1, 0], [0, -1, 0]], dtype=torch.float64)
    everywhere = torch.cat([sphere.pixel_directions(HEIGHT, 2 * HEIGHT).flatten(0, 1), poles])
    assert float(most_weight(ViewSetConfig(fov_degrees=fov_degrees), everywhere).min()) > 0.2


def test_the_published_views_have_least_weight_at_the_poles():
    directions = sphere.pixel_directions(HEIGHT, 2 * HEIGHT).flatten(0, 1)
    weights = most_weight(ViewSetConfig("published"), directions).view(HEIGHT, -1)
    assert 0 < float(weights[0].min()) < 0.05
    assert float(weights[HEIGHT // 4 : -HEIGHT // 4].min()) > 0.2


@pytest.mark.parametrize("kind", ["published", "cover"])
@pytest.mark.parametrize("weighting", ["uniform", "centre"])
def test_the_panorama_of_views_of_one_sphere_is_that_sphere(kind, weighting):
    cameras = make_views(ViewSetConfig(kind, size=64, yaw_degrees=10.0))
    shown = torch.cat([smooth_view(camera) for camera in cameras])
    assert_close(panorama_of(shown, cameras, HEIGHT, weighting), smooth_panorama(HEIGHT), atol=0.02, rtol=0)


def test_views_of_nothing_in_common_give_a_panorama_without_edges():
    """The first and last columns are neighbours, not the same, and the rows at the poles are no black lines."""
    cameras = make_views(ViewSetConfig("published", size=32))
    tints = torch.linspace(-1, 1, len(cameras))[:, None, None, None].expand(-1, 1, 32, 32)
    panorama, hard = (panorama_of(tints, cameras, HEIGHT, weighting) for weighting in ("centre", "uniform"))
    steps, edges = (float(image.diff(dim=-1).abs()[..., 12:-12, :].amax()) for image in (panorama, hard))
    assert steps < 0.2 < 0.5 < edges
    wrapped = (panorama[..., 0] - panorama[..., -1]).abs()[..., 12:-12]
    assert 0 < float(wrapped.max()) < 0.15
    white = panorama_of(torch.ones(len(cameras), 3, 32, 32), cameras, HEIGHT)
    assert_close(white, torch.ones_like(white))


def test_a_panorama_turns_with_its_views():
    config = ViewSetConfig("cover", size=32)
    cameras = make_views(config)
    shown = torch.rand(len(cameras), 3, 32, 32, generator=torch.Generator().manual_seed(0))
    turned = make_views(ViewSetConfig("cover", size=32, yaw_degrees=360 * 12 / (2 * HEIGHT)))
    expected = panorama_of(shown, cameras, HEIGHT).roll(12, -1)
    assert_close(panorama_of(shown, turned, HEIGHT), expected, atol=1e-3, rtol=0)


def test_views_that_leave_a_hole_are_told():
    cameras = make_views(ViewSetConfig("published", size=8))[:8]
    with pytest.raises(ValueError, match=r"do not show \d+ pixels"):
        panorama_of(torch.zeros(8, 3, 8, 8), cameras, 32)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"fov_degrees": 10.0}, r"fov_degrees must lie in \[30, 150\], got 10.0"),
        ({"kind": "published", "fov_degrees": 80.0}, "fov_degrees must be at least 90 for the published views, got 80"),
        ({"size": 0}, "size must be a whole number"),
        ({"yaw_degrees": float("nan")}, "yaw_degrees must be a finite number"),
    ],
)
def test_what_makes_no_views_is_told(settings, message):
    with pytest.raises(UserError, match=message):
        ViewSetConfig(**settings)
