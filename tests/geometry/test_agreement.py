"""Views that agree: what a mean over all views that see the same ray keeps, and how far they agree after it."""

import subprocess
import sys
from dataclasses import replace

import pytest
import torch
from torch.nn import functional
from torch.testing import assert_close

from aognet.geometry import agreement, sparse, sphere
from aognet.geometry.camera import Camera
from aognet.geometry.sphere_fit import SMOOTHNESS
from aognet.geometry.tiles import TilesConfig, make_tiles
from aognet.geometry.view_sets import ViewSetConfig, make_views
from benchmarks.agreement import published_loop
from tests.smooth import smooth_panorama, smooth_view

SIZE = 16
PUBLISHED = make_views(ViewSetConfig("published", size=SIZE))
COVER = make_views(ViewSetConfig("cover", size=SIZE))
TILES = make_tiles(TilesConfig(3, 2, wrap=True), SIZE)
SETS = {"published": PUBLISHED, "cover": COVER, "tiles": TILES, "narrow": (Camera(), Camera(20.0, 5.0, 10.0, 60.0))}
WEIGHTINGS = ("uniform", "centre")


def noise(count: int, channels: int = 3, size: int = SIZE, seed: int = 0) -> torch.Tensor:
    return torch.randn(count, channels, size, size, generator=torch.Generator().manual_seed(seed))


def smooth_noise(count: int, size: int) -> torch.Tensor:
    """Views of nothing in common, each smooth: 5x5 random numbers."""
    return functional.interpolate(noise(count, size=5), (size, size), mode="bicubic", align_corners=True)


@pytest.mark.parametrize("weighting", WEIGHTINGS)
@pytest.mark.parametrize("views", SETS.values(), ids=SETS)
def test_the_rows_of_a_mean_sum_to_one_and_every_view_sees_itself(views, weighting):
    sized = tuple(view.sized(8, 8) for view in views)
    dense = agreement.mean_matrix(sized, weighting).to_dense()
    assert_close(dense.sum(-1), torch.ones(len(dense)))
    assert bool((dense >= 0).all())
    assert bool((dense.diagonal() > 0).all())  # no pixel of a view is made of others alone


@pytest.mark.parametrize("views", SETS.values(), ids=SETS)
def test_what_is_the_same_everywhere_stays(views):
    constant = torch.tensor([2.0, -3.0])[None, :, None, None].expand(len(views), 2, SIZE, SIZE)
    assert_close(agreement.mean(constant, views, passes=3), constant)


@pytest.mark.parametrize("views", SETS.values(), ids=SETS)
def test_a_mean_is_linear(views):
    one, other = noise(len(views)), noise(len(views), seed=1)
    together = agreement.mean(2 * one - 3 * other, views, "centre")
    assert_close(together, 2 * agreement.mean(one, views, "centre") - 3 * agreement.mean(other, views, "centre"))


def test_a_view_alone_or_one_that_no_other_overlaps_keeps_its_features():
    for views in ([Camera(30.0, 20.0, 5.0, 70.0)], [Camera(fov_degrees=60.0, margin=8), Camera(180.0)]):
        assert torch.equal(agreement.mean(noise(len(views)), views, "centre"), noise(len(views)))


@pytest.mark.parametrize("size", [8, 16, 32, 64])
def test_a_mean_is_what_the_double_loop_over_pairs_of_views_gives(size):
    features = noise(16, 2, size)
    assert_close(agreement.mean(features, PUBLISHED), published_loop(features, PUBLISHED), atol=1e-4, rtol=0)


def test_a_mean_of_two_pixels_by_hand():
    """The right half of the first tile is the left half of the second."""
    tiles = make_tiles(TilesConfig(2, 1, overlap=0.5), 4)
    features = noise(2, 1, 4)
    expected = features.clone()
    shared = (features[0, ..., 2:] + features[1, ..., :2]) / 2
    expected[0, ..., 2:], expected[1, ..., :2] = shared, shared
    assert_close(agreement.mean(features, tiles), expected)


@pytest.mark.parametrize("views", [PUBLISHED, COVER], ids=["published", "cover"])
@pytest.mark.parametrize("weighting", WEIGHTINGS)
def test_a_mean_commutes_with_a_quarter_turn_of_the_views(views, weighting):
    """A quarter turn makes each view another one of the set."""
    aims = torch.stack([view.forward for view in views])
    turned = torch.stack([view.turned(90.0).forward for view in views])
    order = torch.cdist(turned, aims).argmin(-1)
    level = [number for number, view in enumerate(views) if abs(view.pitch_degrees) < 90]
    assert len(set(order[level].tolist())) == len(level)
    features = noise(len(views))
    for number in set(range(len(views))) - set(level):  # a view of a pole turns about its centre instead
        features[number] = 0.5
    after = agreement.mean(features[order], views, weighting)
    before = agreement.mean(features, views, weighting)[order]
    assert_close(after[level], before[level], atol=1e-4, rtol=0)


def test_only_how_views_lie_to_each_other_counts():
    features = noise(len(COVER))
    turned = [view.turned(37.3) for view in COVER]
    assert_close(agreement.mean(features, turned), agreement.mean(features, COVER), atol=1e-4, rtol=0)


@pytest.mark.parametrize(("weighting", "after"), [("uniform", 0.12), ("centre", 0.03)])
def test_views_of_nothing_in_common_agree_after_a_mean(weighting, after):
    """The root mean square difference along a ray that several views see, in standard deviations of the features."""
    features = smooth_noise(len(COVER), 32)
    assert agreement.disagreement(features, COVER) > 1.2
    once = agreement.mean(features, COVER, weighting)
    assert agreement.disagreement(once, COVER) < after
    assert agreement.disagreement(agreement.mean(features, COVER, weighting, passes=4), COVER) < 0.5 * after + 0.001


def test_views_of_one_sphere_stay_as_they_are():
    features = torch.cat([smooth_view(camera.sized(32, 32)) for camera in COVER])
    assert_close(agreement.mean(features, COVER, "centre"), features, atol=5e-3, rtol=0)
    assert agreement.disagreement(features, COVER) < 2e-3
    views, panorama = agreement.solved(features, COVER)
    assert_close(views, features, atol=5e-3, rtol=0)
    assert_close(panorama, smooth_panorama(panorama.shape[-2]), atol=5e-3, rtol=0)


@pytest.mark.parametrize("weighting", WEIGHTINGS)
def test_solved_views_are_views_of_one_sphere(weighting):
    features = noise(len(PUBLISHED))
    views, panorama = agreement.solved(features, PUBLISHED, weighting, height=24)
    assert panorama.shape == (1, 3, 24, 48)
    for view, camera in zip(views, PUBLISHED, strict=True):
        positions = sphere.pixel_positions(camera.pixel_directions(), 24, 48)
        assert_close(view, sphere.sample(panorama, positions)[0], atol=1e-4, rtol=0)


def test_solved_views_are_nearest_to_the_features():
    """No other sphere near by has a smaller sum of squares: the gradient is zero."""
    features = noise(len(PUBLISHED), 1).double()
    system = agreement.sphere_system(PUBLISHED, 24, "centre")
    _, panorama = agreement.solved(features, PUBLISHED, "centre", height=24, iterations=200)
    look, weights = system.look.to_dense().double(), agreement_weights()
    laplacian = dense_laplacian(24)
    sphere_ = panorama.flatten().double().requires_grad_()
    rest = look @ sphere_ - features.permute(0, 2, 3, 1).flatten()
    loss = (weights * rest.square()).sum() + SMOOTHNESS * (laplacian @ sphere_).square().sum()
    (gradient,) = torch.autograd.grad(loss, sphere_)
    assert float(gradient.abs().max()) < 1e-3 * float(features.abs().max())


def agreement_weights() -> torch.Tensor:
    return torch.cat([camera.weights(camera.pixel_places(), "centre") for camera in PUBLISHED])


def dense_laplacian(height: int) -> torch.Tensor:
    """A pixel minus the mean of the four beside it, by padding."""
    eye = torch.eye(2 * height * height, dtype=torch.float64).view(-1, 1, height, 2 * height)
    padded = sphere.pad_sphere(eye, 1)
    around = padded[..., :-2, 1:-1] + padded[..., 2:, 1:-1] + padded[..., 1:-1, :-2] + padded[..., 1:-1, 2:]
    return (eye - around / 4).flatten(1).T


def test_a_mean_is_differentiable(monkeypatch):
    features = noise(2, size=4).double().requires_grad_()
    views = SETS["narrow"]
    assert torch.autograd.gradcheck(lambda given: agreement.mean(given, views, passes=2), features)
    monkeypatch.setattr(sparse, "CACHED_VALUES", 1)
    many = noise(2, 70).requires_grad_()  # a few channels at a time
    agreement.mean(many, views).square().sum().backward()
    dense = agreement.mean_matrix(tuple(views_of(views)), "uniform").to_dense()
    rows = many.detach().permute(0, 2, 3, 1).flatten(0, 2)
    expected = (2 * dense.T @ dense @ rows).reshape(2, SIZE, SIZE, 70).permute(0, 3, 1, 2)
    assert_close(many.grad, expected, atol=1e-4, rtol=1e-4)


def views_of(views: tuple[Camera, ...]) -> list[Camera]:
    return [view.sized(SIZE, SIZE) for view in views]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_the_type_of_features_stays_and_sums_do_not_round(dtype):
    features = noise(len(PUBLISHED)).to(dtype)
    mean = agreement.mean(features, PUBLISHED)
    assert mean.dtype == dtype
    assert_close(mean, agreement.mean(features.float(), PUBLISHED).to(dtype), atol=1e-6, rtol=1e-5)


def test_features_in_the_format_channels_last_are_not_copied():
    features = noise(4, 5).to(memory_format=torch.channels_last)
    assert agreement.pixel_rows(features).data_ptr() == features.data_ptr()
    assert agreement.mean(features, PUBLISHED[:4]).is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("channels", [1, 31, 33, 70])
def test_the_format_of_many_channels_makes_no_difference(channels, monkeypatch):
    monkeypatch.setattr(sparse, "CACHED_VALUES", 1)
    features = noise(4, channels)
    mean = agreement.mean(features, PUBLISHED[:4], passes=2)
    last = agreement.mean(features.to(memory_format=torch.channels_last), PUBLISHED[:4], passes=2)
    assert_close(mean, last)
    assert mean.is_contiguous()
    for given in (features.clone(), features.to(memory_format=torch.channels_last)):
        assert_close(agreement.mean(given, PUBLISHED[:4], passes=2, in_place=True), mean)
        assert_close(given, mean)


def test_a_matrix_is_made_once():
    assert agreement.mean_matrix(PUBLISHED, "uniform") is agreement.mean_matrix(PUBLISHED, "uniform")
    made = agreement.mean_matrix.cache_info().misses
    for _ in range(2):
        agreement.mean(noise(16, size=8), [replace(view, margin=2) for view in PUBLISHED])
        agreement.mean(noise(16, size=8), PUBLISHED)
    assert agreement.mean_matrix.cache_info().misses <= made + 1


def test_another_number_of_views_is_told():
    with pytest.raises(ValueError, match="3 features for 16 views"):
        agreement.mean(noise(3), PUBLISHED)


@pytest.mark.slow
def test_torch_says_nothing():
    """Neither that matrices are young in torch nor that they go unchecked: in a process of its own, warned once."""
    code = "import torch; from aognet.geometry import agreement as a; from aognet.geometry.camera import Camera as C; "
    code += "f = torch.ones(2, 1, 4, 4); c = [C(), C(30.0)]; a.mean(f, c); a.solved(f, c); a.disagreement(f, c)"
    subprocess.run([sys.executable, "-W", "error::UserWarning", "-c", code], check=True)
