"""Views of relative depth become one panorama: the truth up to one scale, without a seam."""

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor
from torch.nn import functional
from torch.testing import assert_close

from aognet.canvas import Canvas
from aognet.geometry.camera import Camera
from aognet.geometry.perspective import look
from aognet.geometry.sphere import pixel_directions, pixel_latitudes
from aognet.perception import depth_views
from aognet.perception.depth_views import View, estimate_panorama, merged, surrounding_cameras
from aognet.scenes import make_scene
from tests.generate.painter import smooth_photo
from tests.slow import rest_slow

ROWS, SIZE = 96, 64
Inverse = Callable[[Tensor], Tensor]


def hall(directions: Tensor) -> Tensor:
    """The inverse distances of a hall that is round and not even, seen from a place off its middle."""
    x, y, z = (directions / directions.norm(dim=-1, keepdim=True)).unbind(-1)
    return 0.5 + 0.2 * x + 0.1 * y * z + 0.15 * z * x - 0.2 * y.square() + 0.1 * (3 * x + 2 * z).sin()


def estimates(inverse: Inverse, cameras: list[Camera], seed: int = 0) -> list[View]:
    """What an exact network says of each view: inverse depth along its axis, with a scale and a shift of its own."""
    drawn = torch.Generator().manual_seed(seed)
    views = []
    for camera in cameras:
        directions = camera.pixel_directions()
        depth = inverse(directions) * directions.norm(dim=-1)  # the axis has a length of 1 there
        scale, shift = torch.rand(1, generator=drawn) * 3 + 0.2, torch.randn(1, generator=drawn)
        views.append(View(camera, (depth * scale + shift)[None, None].float(), torch.ones(1, 1, SIZE, SIZE) > 0))
    return views


def truth(inverse: Inverse, rows: int = ROWS) -> Tensor:
    return inverse(pixel_directions(rows, 2 * rows))


def error(found: Tensor, expected: Tensor) -> Tensor:
    """How far two maps are apart after one scale and one shift, beside how much the truth differs."""
    weight = pixel_latitudes(len(expected)).cos().sqrt()[:, None].expand_as(expected).flatten()
    terms = torch.stack([found.double().flatten(), torch.ones(found.numel(), dtype=torch.float64)], 1)
    fitted = torch.linalg.lstsq(terms * weight[:, None], (expected.flatten() * weight)[:, None]).solution
    return ((terms @ fitted)[:, 0] - expected.flatten()).view_as(expected) / expected.std()


@pytest.mark.parametrize("seed", rest_slow([0, 1, 2]))
def test_the_truth_comes_back_up_to_one_scale_and_shift(seed: int):
    found = merged(estimates(hall, surrounding_cameras(SIZE), seed), ROWS)
    assert found.known.all() and found.nearness.min() == 0 and found.nearness.max() == 1
    apart = error(found.nearness[0], truth(hall)).abs()
    assert apart.max() < 0.01 and apart.mean() < 1e-3
    # Across the edge, neighbours differ as they do in the truth.
    step = (found.nearness[0, :, 0] - found.nearness[0, :, -1]).double()
    expected = truth(hall)[:, 0] - truth(hall)[:, -1]
    span = truth(hall).max() - truth(hall).min()
    assert_close(step, expected / span, atol=2e-3, rtol=0)


def test_a_drawn_room_comes_back():
    """With edges, at which pixels of views and of the panorama differ."""
    depth = torch.from_numpy(make_scene(7, 192, "living room").depth.astype("float32"))
    panorama = (1 / depth)[None, None]
    cameras, drawn = surrounding_cameras(SIZE), torch.Generator().manual_seed(2)
    views = []
    for camera in cameras:
        directions = camera.pixel_directions()
        estimate = look(panorama, camera) * directions.norm(dim=-1).float()
        scale, shift = torch.rand(1, generator=drawn) * 3 + 0.2, torch.randn(1, generator=drawn)
        noise = functional.interpolate(torch.randn(1, 1, 3, 3, generator=drawn), (SIZE, SIZE), mode="bicubic")
        estimate = estimate + 0.05 * estimate.std() * noise
        views.append(View(camera, estimate * scale + shift, torch.ones(1, 1, SIZE, SIZE) > 0))
    found = merged(views, ROWS).nearness[0]
    apart = error(found, functional.avg_pool2d(panorama, 2)[0, 0].double())
    assert apart.square().mean().sqrt() < 0.15


def test_a_view_of_nothing_but_sky_does_not_disturb_the_others():
    views = estimates(hall, surrounding_cameras(SIZE))
    flat = [
        replace(view, inverse_depth=0 * view.inverse_depth) if number == 4 else view
        for number, view in enumerate(views)
    ]
    found = merged(flat, ROWS)
    assert found.nearness.isfinite().all()
    below = slice(ROWS // 2, None)
    assert error(found.nearness[0], truth(hall))[below].abs().mean() < 0.2


def brightness(image: Tensor) -> Tensor:
    """An estimate that is a function of what is seen, and that depends on its middle as those of networks do."""
    return image.mean(1, keepdim=True) * (2 + image.std()) + image.mean()


def test_a_quarter_turn_of_the_panorama_turns_its_depth():
    canvas = Canvas.of(smooth_photo(ROWS, 2 * ROWS)[None])
    turned = Canvas.of(canvas.image.roll(ROWS // 2, -1))
    cameras = surrounding_cameras(SIZE)
    plain = estimate_panorama(canvas, cameras, brightness)
    assert plain.known.all() and plain.nearness.std() > 0.05
    found = estimate_panorama(turned, cameras, brightness).nearness
    assert_close(found, plain.nearness.roll(ROWS // 2, -1), atol=1e-4, rtol=0)


def test_only_what_is_known_has_a_depth():
    known = torch.zeros(1, 1, ROWS, 2 * ROWS, dtype=torch.bool)
    known[..., 20:70, 30:120] = True
    canvas = Canvas.of(smooth_photo(ROWS, 2 * ROWS)[None], known)
    found = estimate_panorama(canvas, surrounding_cameras(SIZE), brightness)
    assert not (found.known & ~known[0]).any() and found.known.sum() > 0.8 * known.sum()
    assert not found.nearness[~found.known].any() and found.nearness[found.known].max() == 1
    nothing = estimate_panorama(Canvas.empty(ROWS), surrounding_cameras(SIZE), brightness)
    assert not nothing.known.any()


def test_a_large_panorama_is_merged_smaller(monkeypatch: pytest.MonkeyPatch):
    known = torch.ones(1, 1, ROWS, 2 * ROWS, dtype=torch.bool)
    known[..., 100:130] = False
    canvas = Canvas.of(smooth_photo(ROWS, 2 * ROWS)[None], known)
    plain = estimate_panorama(canvas, surrounding_cameras(SIZE), brightness)
    monkeypatch.setattr(depth_views, "MOST_ROWS", ROWS // 2)
    found = estimate_panorama(canvas, surrounding_cameras(SIZE), brightness)
    both = found.known & plain.known
    assert found.nearness.shape == plain.nearness.shape and both.sum() > 0.95 * plain.known.sum()
    assert (found.nearness - plain.nearness)[both].abs().mean() < 0.01


def test_a_single_photograph_has_the_depth_of_its_view():
    camera = Camera(170.0, -10.0, 5.0, 80.0, 80, 60)
    canvas = Canvas.empty(ROWS).paint(smooth_photo(60, 80)[None], camera)
    found = estimate_panorama(canvas, [camera], brightness)
    assert 0.85 < (found.known.sum() / canvas.known.sum()) <= 1 and not (found.known & ~canvas.known[0]).any()
    middle = look(found.nearness[None], camera)[0, 0, 20:40, 25:55]
    light = brightness(canvas.look(camera).image)[0, 0, 20:40, 25:55]
    assert torch.corrcoef(torch.stack([middle.flatten(), light.flatten()]))[0, 1] > 0.97
