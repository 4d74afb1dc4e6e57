"""Laws of whole styled panoramas: no seam, rolls go through, content stays, colours are reached."""

from pathlib import Path

import pytest
import torch
from PIL import Image

from aognet.errors import UserError
from aognet.geometry.sphere import pixel_solid_angles
from aognet.io.images import to_uint8
from aognet.metrics.ssim import ssim
from aognet.style.colour_way import Segmented, moved_colours, within_display
from aognet.style.oklab import from_oklab, to_oklab
from aognet.style.styling import StyleConfig, Styler
from aognet.style.transport import moments
from tests.style.pictures import panorama, photograph

TRANSPORTS = ("linear", "sliced")


def saved(image: torch.Tensor, path: Path) -> str:
    Image.fromarray(to_uint8(image * 2 - 1).permute(1, 2, 0).numpy()).save(path)
    return str(path)


@pytest.fixture
def photo(tmp_path: Path) -> str:
    return saved(photograph(), tmp_path / "photo.png")


def statistics(display: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean and standard deviations in Oklab: by solid angle if it is a panorama."""
    rows, columns = display.shape[-2:]
    weights = torch.ones(rows, columns)
    if columns == 2 * rows:
        weights = pixel_solid_angles(rows, columns)[:, None].expand(-1, columns)
    found = moments(to_oklab(display).flatten(1), weights.flatten())
    return found.mean, found.covariance.diagonal().sqrt()


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_rolls_go_through(photo: str, transport: str):
    """To rounding for whole pixels of the small panorama, and to some levels for parts of them."""
    styler = Styler(StyleConfig(photo=photo, rows=32, transport=transport))
    image = panorama(64)
    found = styler(image)
    for shift in (2, 30, 64):
        assert torch.allclose(styler(image.roll(shift, -1)), found.roll(shift, -1), atol=1e-4)
    assert (styler(image.roll(1, -1)) - found.roll(1, -1)).abs().mean() < 2 / 255


def test_there_is_no_seam(photo: str):
    """The step from the last column to the first is like those beside it, as it was in the panorama."""
    image = panorama(64, grain=0.0)
    found = Styler(StyleConfig(photo=photo, rows=32))(image)
    steps = (found.roll(-1, -1) - found).abs().mean((0, 1))
    assert steps[-1] < 1.5 * torch.cat([steps[:4], steps[-5:-1]]).max()
    over = (found[:, :1] - found[:, :1].roll(64, -1)).abs().mean()
    assert over < 0.1, "nor at the pole"


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_the_colours_of_the_photograph_are_reached(photo: str, transport: str):
    """As a whole with one segment; by far nearer than before with more."""
    image, (mean, deviation) = panorama(64), statistics(photograph())
    one = statistics(Styler(StyleConfig(photo=photo, rows=64, segments=1, transport=transport))(image))
    assert (one[0] - mean).abs().max() < 0.01 and (one[1] - deviation).abs().max() < 0.02
    before = statistics(image)
    more = statistics(Styler(StyleConfig(photo=photo, rows=64, transport=transport))(image))
    assert (more[0] - mean).norm() < 0.4 * (before[0] - mean).norm()


def test_each_segment_has_the_statistics_of_its_counterpart():
    """Where one segment is alone, exactly: the map of each is that of its own weights."""
    lab, photo = to_oklab(panorama(32)), to_oklab(photograph())
    segments = Segmented.of(lab, photo, 3)
    angles = pixel_solid_angles(32, 64)[:, None].expand(-1, 64)
    for share, of_photo in zip(segments.shares, segments.of_photo, strict=True):
        alone = Segmented(torch.ones_like(share)[None], of_photo[None])
        found = moments(moved_colours(lab, photo, alone, "linear").flatten(1), angles.flatten())
        wanted = moments(photo.flatten(1), of_photo.flatten())
        assert torch.allclose(found.mean, wanted.mean, atol=1e-6)


def test_content_stays(photo: str):
    """Edges are where they were: structure, against a shuffled panorama that has none of it."""
    image = panorama(64)
    found = Styler(StyleConfig(photo=photo, rows=32))(image)

    def structure(a: torch.Tensor, b: torch.Tensor) -> float:
        grey = [one.mean(0, keepdim=True)[None] for one in (a, b)]
        grey = [(one - one.mean()) / one.std() * 0.2 + 0.5 for one in grey]
        return float(ssim(grey[0].clamp(0, 1) * 2 - 1, grey[1].clamp(0, 1) * 2 - 1).mean())

    assert structure(found, image) > 0.6 > 2 * structure(found, image.flip(-1))


def test_strength_runs_from_the_panorama_itself_to_all(photo: str):
    image = panorama(32)
    none, half, all_ = (Styler(StyleConfig(photo=photo, rows=32, strength=one))(image) for one in (0.0, 0.5, 1.0))
    assert torch.equal(none, image)
    assert 0.3 < float((half - image).abs().mean() / (all_ - image).abs().mean()) < 0.7


def test_its_own_style_changes_little(tmp_path: Path):
    image = panorama(32)
    own = Styler(StyleConfig(photo=saved(image, tmp_path / "same.png"), rows=64, segments=1))(image)
    assert (own - image).abs().mean() < 0.06, "a panorama as a photograph counts its poles too much, no more"


def test_too_much_light_is_compressed_and_not_cut_off():
    light = torch.linspace(0.2, 1.6, 64).expand(1, 32, 64)
    lab = torch.cat([light, torch.zeros(2, 32, 64)]).double()
    found = within_display(lab)[0, 16]
    assert found.max() <= 1 + 1e-6 and (found.diff() > 0)[:-2].all(), "what was different stays different"
    inside = to_oklab(panorama(32) * 0.5 + 0.2)
    assert torch.allclose(within_display(inside.double()).float(), inside, atol=1e-3), "what fits stays"
    assert from_oklab(lab.float()).max() <= 1


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"photo": ""}, "photo must name the photograph"),
        ({"way": "oil"}, "way must be one of colour"),
        ({"transport": "optimal"}, "transport must be one of linear, sliced"),
        ({"strength": 1.5}, r"strength must lie in \[0, 1\]"),
        ({"strength": float("nan")}, "strength must lie in"),
        ({"segments": 0}, r"segments must lie in \[1, 8\]"),
        ({"rows": 8}, r"rows must lie in \[32, 1024\]"),
    ],
)
def test_wrong_values_are_named(values: dict, said: str):
    with pytest.raises(UserError, match=said):
        StyleConfig(**{"photo": "a.png", **values})


def test_missing_and_tiny_photographs(tmp_path: Path):
    with pytest.raises(UserError, match="none.png: no such image file"):
        Styler(StyleConfig(photo=str(tmp_path / "none.png")))
    grey = saved(torch.full((3, 1, 1), 0.5), tmp_path / "dot.png")
    assert torch.isfinite(Styler(StyleConfig(photo=grey, rows=32))(panorama(32))).all()
    black = torch.zeros(3, 32, 64)
    assert torch.isfinite(Styler(StyleConfig(photo=saved(photograph(), tmp_path / "a.png"), rows=32))(black)).all()
