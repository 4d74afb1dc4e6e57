"""Law 5, and generated views that join what is known without changing it."""

import math

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from aognet.canvas import Canvas, MaskedView, filled, join
from aognet.geometry import perspective
from aognet.geometry.camera import Camera
from aognet.geometry.cubemap import face_cameras
from aognet.geometry.plans import PlanConfig, known_by, make_plan
from tests.smooth import smooth_panorama, smooth_view

CAMERAS = [
    Camera(10.0, 5.0, 0.0, 90.0, 48, 48),
    Camera(180.0, -30.0, 20.0, 70.0, 48, 32),
    Camera(70.0, 90.0, 0.0, 90.0, 48, 48),
    Camera(-100.0, -80.0, 50.0, 110.0, 32, 48),
]


def scattered(height: int, seed: int = 0) -> Tensor:
    """A random mask of blobs, [1, 1, height, 2 height]."""
    noise = torch.rand(1, 1, height // 8, height // 4, generator=torch.Generator().manual_seed(seed))
    return torch.nn.functional.interpolate(noise, size=(height, 2 * height), mode="nearest") > 0.5


@pytest.mark.parametrize("camera", CAMERAS)
def test_looking_and_painting_back_changes_no_known_pixel(camera: Camera):
    canvas = Canvas.of(torch.rand(1, 3, 64, 128) * 2 - 1, scattered(64))
    painted = canvas.paint(canvas.look(camera).image, camera)
    assert torch.equal(
        painted.image[canvas.known.expand(-1, 3, -1, -1)], canvas.image[canvas.known.expand(-1, 3, -1, -1)]
    )
    inside = known_by([camera], 64)[None, None]
    assert torch.equal(painted.known, canvas.known | inside)
    outside = ~(canvas.known | inside)
    assert painted.image[outside.expand(-1, 3, -1, -1)].abs().max() == 0


@pytest.mark.parametrize("camera", CAMERAS)
def test_no_unknown_colour_shows_in_a_known_pixel_of_a_view(camera: Camera):
    known = scattered(64)
    canvas = Canvas(torch.cat([smooth_panorama(64).where(known, torch.tensor(9.0)), known.float()], dim=1))
    masked_view = canvas.look(camera)
    seen = masked_view.known.expand(-1, 3, -1, -1)
    assert 0.1 < masked_view.known.float().mean() < 0.9
    assert_close(masked_view.image[seen], smooth_view(camera)[seen], atol=0.02, rtol=0)
    assert masked_view.image[~seen].abs().max() == 0


def test_one_unknown_pixel_makes_its_neighbourhood_in_the_view_unknown():
    known = torch.ones(1, 1, 64, 128, dtype=torch.bool)
    known[..., 32, 64] = False
    masked_view = Canvas.of(torch.zeros(1, 3, 64, 128), known).look(Camera(width=64, height=64))
    rows, columns = torch.where(~masked_view.known[0, 0])
    # 64 columns of a view across 90 degrees, 1.57 view pixels to one of the panorama: a spot of two of those.
    assert 2 <= rows.unique().numel() <= 5 and 2 <= columns.unique().numel() <= 5
    assert rows.min() >= 30 and columns.max() <= 37


def test_a_photo_survives_a_whole_plan():
    photo_camera = Camera(0.0, 0.0, 0.0, 90.0, 128, 128)
    photo = smooth_view(photo_camera)
    canvas = Canvas.empty(128).paint(photo, photo_camera)
    first = canvas.image.clone()
    for step in make_plan(PlanConfig(size=64), canvas.known[0, 0]).steps:
        canvas = canvas.paint(torch.rand(1, 3, 64, 64), step.camera)
    assert canvas.unknown_pixels == 0
    footprint = known_by([photo_camera], 128).expand(1, 3, -1, -1)
    assert torch.equal(canvas.image[footprint], first[footprint])
    seen = canvas.look(photo_camera.sized(120, 120))
    inner = (slice(None), slice(None), slice(2, -2), slice(2, -2))
    error = (seen.image - smooth_view(photo_camera.sized(120, 120)))[inner].square().mean()
    assert 10 * math.log10(4 / error) > 40


def test_faces_are_six_looks():
    canvas = Canvas.of(smooth_panorama(64), scattered(64))
    faces = canvas.faces(32)
    for number, camera in enumerate(face_cameras(32)):
        masked_view = canvas.look(camera)
        assert torch.equal(faces.image[:, number], masked_view.image)
        assert torch.equal(faces.known[:, number], masked_view.known)


def test_each_canvas_of_a_batch_has_its_own_mask():
    panoramas, known = torch.rand(2, 3, 32, 64), torch.cat([scattered(32, 1), scattered(32, 2)])
    camera, view = CAMERAS[0], torch.rand(2, 3, 48, 48)
    together = Canvas.of(panoramas, known).paint(view, camera)
    for i in range(2):
        alone = Canvas.of(panoramas[i : i + 1], known[i : i + 1]).paint(view[i : i + 1], camera)
        assert torch.equal(together.known[i : i + 1], alone.known)
        assert_close(together.image[i : i + 1], alone.image)


def test_empty_and_whole_canvases():
    empty = Canvas.empty(16, batch=2)
    assert empty.unknown_pixels == 2 * 16 * 32 and empty.height == 16
    assert Canvas.of(torch.rand(1, 3, 16, 32)).unknown_pixels == 0
    with pytest.raises(ValueError, match="33x16"):
        Canvas(torch.zeros(1, 4, 16, 33))


@pytest.mark.parametrize("camera", CAMERAS)
def test_erasing_spares_what_is_kept(camera: Camera):
    canvas, keep = Canvas.of(smooth_panorama(64), scattered(64, 3)), scattered(64, 4)
    inside = known_by([camera], 64)[None, None]
    assert torch.equal(canvas.erase(camera).known, canvas.known & ~inside)
    erased = canvas.erase(camera, keep=keep)
    assert torch.equal(erased.known, canvas.known & (~inside | keep))
    assert torch.equal(erased.image, canvas.image * erased.known)


def test_painting_is_differentiable_in_the_unknown_part_only():
    canvas, view = Canvas.of(torch.rand(1, 3, 32, 64), scattered(32)), torch.rand(1, 3, 48, 48, requires_grad=True)
    painted = canvas.paint(view, CAMERAS[0]).image
    (painted * canvas.known).sum().backward()
    assert view.grad.abs().max() == 0
    canvas.paint(view, CAMERAS[0]).image.sum().backward()
    assert view.grad.abs().max() > 0


def half_known(image: Tensor) -> MaskedView:
    known = torch.zeros_like(image[:, :1], dtype=torch.bool)
    known[..., : image.shape[-1] // 2] = True
    return MaskedView(image * known, known)


@pytest.mark.parametrize("offset", [0.4, -0.3])
@pytest.mark.parametrize("size", [64, 65, 128])
def test_joining_matches_the_colour_at_the_border(size: int, offset: float):
    truth = smooth_view(Camera(20.0, 10.0, 0.0, 60.0, size, size)) * 0.5
    masked_view, feather, edge = half_known(truth), 0.25, size // 2
    joined = join(truth + offset, masked_view, feather)
    assert torch.equal(joined[..., :edge], truth[..., :edge])
    added = (joined - truth)[..., edge:].mean((0, 1, 2)) / offset
    # The whole offset is gone beside the border, and comes back slowly and steadily.
    assert added[0].abs() < 0.1
    assert (added.diff() > -0.02).all() and added.diff().max() < 0.2
    beyond = edge + round(feather * size) + 3
    assert_close(joined[..., beyond:], (truth + offset)[..., beyond:], atol=1e-3, rtol=0)


def test_joining_carries_a_wrong_hue_to_what_is_alike_and_to_nothing_else():
    """Grass that was generated brown turns green as far as it goes; the sky above it, generated right, stays."""
    sky, grass, brown = (
        torch.tensor(colour).view(1, 3, 1, 1) for colour in ([-0.4, 0.0, 0.7], [-0.5, 0.1, -0.6], [0.1, -0.2, -0.6])
    )
    upper = (torch.arange(64) < 32).view(1, 1, 64, 1)
    truth = torch.where(upper, sky, grass).expand(1, 3, 64, 64)
    generated = torch.where(upper, sky, brown).expand(1, 3, 64, 64)
    joined = join(generated, half_known(truth), 0.1)

    def hue(image: Tensor) -> Tensor:
        return image - image.mean(1, keepdim=True)

    off = (hue(joined) - hue(truth)).abs().mean(1)[0]
    before = float((hue(brown) - hue(grass)).abs().mean())
    assert off[40:, 50:].mean() < 0.2 * before
    assert off[:24, 50:].mean() < 0.05 * before


def test_joining_nothing_known_or_everything_known():
    generated, image = torch.rand(1, 3, 32, 32), torch.rand(1, 3, 32, 32)
    nothing, everything = torch.zeros(1, 1, 32, 32, dtype=torch.bool), torch.ones(1, 1, 32, 32, dtype=torch.bool)
    assert torch.equal(join(generated, MaskedView(image * nothing, nothing)), generated)
    assert torch.equal(join(generated, MaskedView(image, everything)), image)


@pytest.mark.parametrize("feather", [0.0, 0.08, 1.0])
@pytest.mark.parametrize("shape", [(32, 32), (24, 40), (33, 7)])
def test_joining_any_shape_keeps_known_pixels_and_the_range(feather: float, shape: tuple[int, int]):
    known = torch.rand(2, 1, *shape) < 0.3
    image = (torch.rand(2, 3, *shape) * 2 - 1) * known
    joined = join(torch.rand(2, 3, *shape) * 2 - 1, MaskedView(image, known), feather)
    mask = known.expand(-1, 3, -1, -1)
    assert torch.equal(joined[mask], image[mask])
    assert joined.isfinite().all() and joined.abs().max() <= 1


def test_without_a_feather_views_are_pasted_as_they_are():
    truth = smooth_view(Camera(width=24, height=24))
    known = half_known(truth)
    assert torch.equal(join(-truth, known, 0.0), torch.where(known.known, truth, -truth))


def test_what_agrees_already_is_left_as_it_is():
    truth = smooth_view(Camera(width=48, height=48)) * 0.9
    # To less than one of the 256 levels of a file: the jump is extrapolated from the colours on both sides.
    assert_close(join(truth, half_known(truth), 0.3), truth, atol=2 / 255, rtol=0)


def test_a_jump_at_the_border_goes_even_if_the_known_side_was_generated_well():
    truth = smooth_view(Camera(width=64, height=64)) * 0.6
    known = half_known(truth)
    generated = torch.where(known.known, truth, truth + 0.3)
    joined = join(generated, known, 0.3)
    off = (joined - truth).abs().mean((0, 1, 2))
    inside = known.known[0, 0].all(0)
    first = int((~inside).nonzero()[0])
    assert off[first] < 0.03 and off[-1] > 0.25


@pytest.mark.parametrize("shape", [(32, 32), (16, 64), (64, 16), (17, 50)])
def test_filling_continues_a_constant(shape: tuple[int, int]):
    image = torch.full((1, 3, *shape), 0.4)
    known = torch.zeros(1, 1, *shape, dtype=torch.bool)
    known[..., :5, :3] = True
    assert_close(filled(MaskedView(image * known, known)), image)


def test_filling_keeps_what_is_known_and_stays_in_its_range():
    truth, known = smooth_view(Camera(width=48, height=48)), scattered(48)[..., :48]
    full = filled(MaskedView(truth * known, known))
    mask = known.expand(-1, 3, -1, -1)
    assert torch.equal(full[mask], truth[mask])
    for channel in range(3):
        seen = truth[0, channel][known[0, 0]]
        assert seen.min() - 1e-5 <= full[0, channel].min() and full[0, channel].max() <= seen.max() + 1e-5
    # Nearer to the truth than grey is.
    assert (full - truth)[~mask].abs().mean() < 0.3 * truth[~mask].abs().mean()
    nothing = torch.zeros_like(known)
    assert filled(MaskedView(truth * nothing, nothing)).abs().max() == 0


def test_painting_ignores_the_view_where_the_canvas_knows_better():
    canvas = Canvas.of(torch.full((1, 3, 32, 64), 0.5))
    assert torch.equal(canvas.paint(torch.full((1, 3, 48, 48), torch.nan), CAMERAS[0]).image, canvas.image)
    index, values = perspective.project(torch.ones(1, 3, 48, 48), CAMERAS[0], 32)
    assert torch.equal(values, torch.ones(1, 3, len(index)))


@pytest.mark.parametrize("pitch", [0.0, 40.0, -90.0])
@pytest.mark.parametrize("yaw", [0.0, 180.0, -77.0])
def test_a_canvas_that_was_looked_at_while_it_was_painted_shows_what_a_fresh_one_shows(yaw: float, pitch: float):
    canvas = Canvas.empty(512)
    small = Camera(width=16, height=16, fov_degrees=80.0)
    for camera in (Camera(yaw, pitch, width=64, height=64), Camera(yaw + 50.0, pitch / 2, width=64, height=64)):
        before = canvas.faces(8)
        canvas.look(small)
        canvas.paint_(torch.rand(1, 3, 64, 64), camera)
    assert canvas._smaller.keys() - {1}, "nothing was shrunk: the test sees nothing"
    fresh, again = Canvas(canvas.pixels), (canvas.faces(8), canvas.look(small))
    for seen, shown in zip((fresh.faces(8), fresh.look(small)), again, strict=True):
        assert torch.equal(seen.image, shown.image) and torch.equal(seen.known, shown.known)
    assert not torch.equal(before.known, again[0].known)


def test_a_batch_is_painted_where_each_canvas_is_unknown():
    view, camera = torch.rand(2, 3, 32, 32), Camera(20.0, 10.0, width=32, height=32)
    known = torch.rand(2, 1, 64, 128) > 0.5
    both = Canvas.of(torch.rand(2, 3, 64, 128), known).paint(view, camera)
    for i in range(2):
        start = Canvas.of(torch.where(known[i : i + 1], both.image[i : i + 1], 0), known[i : i + 1])
        alone = start.paint(view[i : i + 1], camera)
        assert torch.equal(alone.pixels[0], both.pixels[i])
