"""Views of one generator become one panorama, or one flat image: laws, on a tiny generator with random weights."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from aognet.callbacks import UNHEARD
from aognet.errors import UserError
from aognet.gan.biggan import BigGanConfig
from aognet.geometry.agreement import disagreement
from aognet.geometry.tiles import TilesConfig, make_tiles
from aognet.geometry.view_sets import make_views
from aognet.methods.ganorama.model import Ganorama
from aognet.methods.ganorama.settings import GanoramaSettings
from aognet.methods.ganorama.together import made_together
from aognet.request import Request

ROWS, SIZE = 32, 16
SETTINGS = GanoramaSettings(start_layer=1, end_layer=3)
PUBLISHED = replace(SETTINGS, views="published")


@pytest.fixture(scope="module")
def model(generator_folder: Path) -> Ganorama:
    return Ganorama.from_pretrained(generator_folder).eval()


def made(model: Ganorama, settings: GanoramaSettings = SETTINGS, **request: Any) -> Tensor:
    asked = Request(height=ROWS, **request)
    model.check(asked, settings)
    z, classes = model.drawn(asked, settings, make_views(settings.view_set(SIZE)))
    with torch.no_grad():
        return model.panorama(z, classes, ROWS, settings)


@pytest.mark.parametrize("changes", [{}, {"way": "solve"}, {"passes": 3, "weighting": "centre"}])
@torch.no_grad()
def test_it_turns_with_its_views(model: Ganorama, changes: dict[str, Any]) -> None:
    """Where each view gets what its neighbour a quarter turn away had, the panorama is rolled, over its edge too."""
    settings = replace(PUBLISHED, **changes, share_z=False)
    views = make_views(settings.view_set(SIZE))
    aims = [(camera.yaw_degrees, camera.pitch_degrees) for camera in views]
    before = [aims.index(((yaw - 90) % 360, pitch)) for yaw, pitch in aims]
    z, classes = model.drawn(Request(), settings, views)
    plain = model.panorama(z, classes, ROWS, settings)
    rolled = model.panorama(z[before], classes[before], ROWS, settings)
    assert (rolled - plain).abs().mean() > 0.01
    torch.testing.assert_close(rolled, plain.roll(ROWS // 2, -1), atol=1e-4, rtol=0)


@pytest.mark.parametrize("settings", [SETTINGS, PUBLISHED], ids=["cover", "published"])
def test_a_panorama_has_no_black_and_no_seam(model: Ganorama, settings: GanoramaSettings) -> None:
    """The public form clips negative values, has black rows at the poles, and the first meridian once more as last."""
    panorama = made(model, replace(settings, share_class=True))
    assert panorama.shape == (3, ROWS, 2 * ROWS) and 0 <= panorama.min() and panorama.max() <= 1
    assert (panorama < 0.5).any() and (panorama > 0.5).any() and (panorama == 0).float().mean() < 0.02
    for pole in (panorama[:, 0], panorama[:, -1]):
        assert pole.mean() > 0.05
    first, last = panorama[..., 0], panorama[..., -1]
    assert not torch.equal(first, last)
    steps = (panorama - panorama.roll(1, -1)).abs().mean((0, 1))  # across the edge: the first of them
    assert steps[0] <= steps.max() and steps[0] < 2 * steps.mean()


@torch.no_grad()
def test_averaged_features_let_views_agree(model: Ganorama) -> None:
    views = make_views(SETTINGS.view_set(SIZE))
    z, classes = model.drawn(Request(), replace(SETTINGS, share_class=True), views)
    images = [made_together(model.network, z, classes, views, replace(SETTINGS, end_layer=last)) for last in (1, 4)]
    alone = model.network(z, classes, SETTINGS.truncation)
    found = [disagreement(shown, views) for shown in (alone, *images)]
    assert found[0] > found[1] > found[2], found


def test_all_random_numbers_come_from_seed_and_name(model: Ganorama) -> None:
    plain = made(model, seed=1)
    assert torch.equal(made(model, seed=1), plain)
    for other in (made(model, seed=2), made(model, seed=1, name="other"), made(model, seed=1, label="valley")):
        assert (other - plain).abs().mean() > 1e-3


@pytest.mark.parametrize(
    ("changes", "label", "one_z", "one_class"),
    [
        ({}, None, True, False),
        ({"share_z": False}, None, False, False),
        ({"share_class": True}, None, False, True),
        ({}, "Sand-Bar", False, True),
        ({"share_z": False, "z_mul": 2.0, "class_mul": 0.5}, "2", False, True),
    ],
)
def test_what_views_share(
    model: Ganorama, changes: dict[str, Any], label: str | None, one_z: bool, one_class: bool
) -> None:
    """One z for all views, unless all have one class: then each has its own, or all would be the same picture."""
    settings = replace(SETTINGS, **changes)
    z, classes = model.drawn(Request(label=label), settings, make_views(settings.view_set(SIZE)))
    assert (len(z.unique(dim=0)) == 1) == one_z and (len(classes.unique(dim=0)) == 1) == one_class
    assert set(classes.unique().tolist()) == {0.0, settings.class_mul} and (classes > 0).sum() == 18
    assert z.abs().max() <= 2 * settings.truncation * settings.z_mul
    if label is not None:
        assert classes[0].argmax() == {"Sand-Bar": 0, "2": 2}[label]


@pytest.mark.parametrize("alike", [0.0, 0.3, 0.9])
def test_how_alike_z_are(model: Ganorama, alike: float) -> None:
    """Each z keeps its variance, and the part that is asked for is common to all views."""
    settings = replace(SETTINGS, alike=alike)
    views = make_views(settings.view_set(SIZE))
    drawn = [model.drawn(Request(label="valley", seed=seed), settings, views)[0] for seed in range(200)]
    plain = [model.drawn(Request(label="valley", seed=seed), SETTINGS, views)[0] for seed in range(200)]
    z, variance = torch.stack(drawn), torch.stack(plain).var()
    assert (z.var() / variance).item() == pytest.approx(1, rel=0.1)
    common = (z.mean(1).var() / variance).item()
    assert common == pytest.approx(alike + (1 - alike) / len(views), abs=0.06)
    if not alike:
        assert torch.equal(z, torch.stack(plain))


def test_a_generator_that_knows_directions_is_told_them() -> None:
    names = ["valley", "lakeside", "looking up", "looking down"]
    config = BigGanConfig([[1, 2, 1]], 4, 2, 2, width=8, attention_at=None, statistics=1, class_names=names)
    model = Ganorama(Ganorama.Config(generator=config)).eval()
    views = make_views(SETTINGS.view_set(config.size))
    z, classes = model.drawn(Request(), replace(SETTINGS, class_mul=0.5), views)
    assert (classes[:, :2].sum(1) == 0.5).all() and classes[:, :2].any(0).all()
    for view, told in zip(views, classes[:, 2:].tolist(), strict=True):
        assert told == [max(view.pitch_degrees, 0) / 90, max(-view.pitch_degrees, 0) / 90]
    assert {tuple(told) for told in classes[:, 2:].tolist()} >= {(1.0, 0.0), (0.0, 1.0), (0.0, 0.0)}
    _, flat = model.drawn(Request(label="lakeside"), SETTINGS, make_tiles(TilesConfig(3), config.size))
    assert flat.tolist() == [[0.0, 1.0, 0.0, 0.0]] * 3
    with pytest.raises(UserError, match="class_names must be the name or number of a class"):
        model.check(Request(label="looking up"), replace(SETTINGS, start_layer=0, end_layer=0))
    with pytest.raises(UserError, match="generator.class_names must name the classes"):
        Ganorama.Config(generator=replace(config, classes=2, class_names=names[2:]))


@torch.no_grad()
def test_half_precision_is_for_the_layers_alone(model: Ganorama) -> None:
    """Features are averaged in single precision. Here bfloat16 stands for what a GPU computes in."""
    views = make_views(SETTINGS.view_set(SIZE))
    z, classes = model.drawn(Request(), SETTINGS, views)
    exact = made_together(model.network, z, classes, views, SETTINGS)
    with torch.autocast("cpu", torch.bfloat16):
        rounded = made_together(model.network, z, classes, views, SETTINGS)
    assert 0 < (rounded.float() - exact).abs().mean() < 0.05


@pytest.mark.parametrize(("columns", "rows", "size"), [(4, 1, (16, 40)), (1, 3, (32, 16)), (3, 2, (24, 32))])
def test_flat_images(model: Ganorama, columns: int, rows: int, size: tuple[int, int]) -> None:
    image = model.flat(Request(), SETTINGS, TilesConfig(columns, rows), UNHEARD)
    assert image.shape == (3, *size) and 0 <= image.min() and image.max() <= 1 and image.std() > 0.01


@torch.no_grad()
def test_an_image_that_wraps_turns_with_its_tiles(model: Ganorama, monkeypatch: pytest.MonkeyPatch) -> None:
    """The last tile meets the first one like any other: with all tiles one place further, the image is rolled."""
    tiles, settings = TilesConfig(4, 1, 0.5, wrap=True), replace(SETTINGS, share_class=True)
    image = model.flat(Request(), settings, tiles, UNHEARD)
    drawn = Ganorama.drawn
    monkeypatch.setattr(Ganorama, "drawn", lambda *asked: tuple(rows.roll(1, 0) for rows in drawn(*asked)))
    rolled = model.flat(Request(), settings, tiles, UNHEARD)
    assert image.shape == (3, SIZE, 4 * SIZE // 2)
    torch.testing.assert_close(rolled, image.roll(SIZE // 2, -1), atol=1e-4, rtol=0)
    assert (rolled - image).abs().mean() > 0.01


@pytest.mark.parametrize(
    ("request_", "changes", "said"),
    [
        ({"label": "sandpit"}, {}, "class_names must be the name or number of a class.*got 'sandpit'"),
        ({"label": "3"}, {}, "class_names classes have the numbers 0 to 2"),
        ({"label": "valley"}, {"share_z": True}, "share_z must be false where all views have one class"),
        ({}, {"share_class": True, "share_z": True}, "share_z must be false"),
        ({}, {"end_layer": 5}, "end_layer must be at most 4 for this generator, got 5"),
        ({"negative": "fog"}, {}, "negative is not for the method ganorama, got 'fog'"),
    ],
)
def test_what_it_refuses(model: Ganorama, request_: dict[str, Any], changes: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError, match=said):
        model.check(Request(**request_), replace(SETTINGS, **changes))


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({"start_layer": -1}, "start_layer"),
        ({"start_layer": 8}, "end_layer"),
        ({"truncation": 1.5}, "truncation"),
        ({"z_mul": float("nan")}, "z_mul"),
        ({"passes": 0}, "passes"),
        ({"fov_degrees": 10.0}, "fov_degrees"),
    ],
)
def test_settings_that_cannot_be(changes: dict[str, Any], key: str) -> None:
    with pytest.raises(UserError) as caught:
        GanoramaSettings(**changes)
    assert caught.value.key == key
