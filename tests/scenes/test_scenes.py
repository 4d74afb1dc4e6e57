"""Scenes are repeatable, seamless over the wrap and calm at the poles; sun, depth and captions agree with the laws."""

import numpy as np
import pytest
import torch

from aognet.errors import UserError
from aognet.geometry.camera import Camera
from aognet.geometry.perspective import look
from aognet.geometry.sphere import pixel_directions, rotation
from aognet.scenes import KINDS, Scene, describe_scene, draw_world, make_scene
from aognet.scenes.directions import YAWS, views_of
from aognet.scenes.outdoors.film import EYE
from aognet.scenes.outdoors.kinds import OUTDOORS, outdoors
from aognet.scenes.rays import Rays
from aognet.scenes.render import render
from aognet.scenes.sky.atmosphere import SUN_RADIUS, daylight
from aognet.scenes.sky.sky import draw_sky
from aognet.scenes.world import Disc, SceneView, Seen
from tests.slow import rest_slow

WHOLE = np.eye(3)


@pytest.fixture(scope="module", params=rest_slow([5, 1]), ids=["some kinds", "all kinds"])
def scenes(request: pytest.FixtureRequest) -> list[Scene]:
    kinds = dict.fromkeys(["field rows", *list(KINDS)[:: request.param]])
    return [make_scene(0, 48, kind) for kind in kinds]


def level(height_degrees: float, azimuth_degrees: float = 0.0) -> np.ndarray:
    rise, turn = np.radians([height_degrees, azimuth_degrees])
    return np.array([np.cos(rise) * np.sin(turn), np.sin(rise), np.cos(rise) * np.cos(turn)])


def solid_angles(height: int) -> np.ndarray:
    edges = np.sin((0.5 - np.arange(height + 1) / height) * np.pi)
    return ((edges[:-1] - edges[1:]) * np.pi / height)[:, None]


class OnlyDisc:
    """A black world with one disc."""

    caption, labels = "Black.", ("",)

    def __init__(self, direction: np.ndarray):
        self.discs = (Disc(direction, SUN_RADIUS, np.array([3.0, 2.0, 1.0])),)

    def seen(self, rays: Rays) -> Seen:
        count = len(rays.directions)
        far, labels = np.full(count, np.inf, np.float32), np.zeros(count, np.int16)
        return Seen(np.zeros((count, 3), np.float32), far, labels, np.ones(count, np.float32))

    def tell(self, view: SceneView) -> str:
        return "Black."


def test_same_seed_same_scene():
    first, second = make_scene(7, 48, "lake"), make_scene(7, 48, "lake")
    assert np.array_equal(first.radiance, second.radiance) and np.array_equal(first.depth, second.depth)
    assert (first.caption, first.captions_at, first.kind) == (second.caption, second.captions_at, second.kind)
    assert (describe_scene(7, "lake").whole, describe_scene(7, "lake").at) == (first.caption, first.captions_at)
    assert make_scene(7, 32, "lake").captions_at == first.captions_at, "captions do not depend on the size"


def test_other_seed_other_scene():
    assert not np.allclose(make_scene(1, 32, "meadow").image, make_scene(2, 32, "meadow").image)


def test_every_kind_has_light_depth_and_captions(scenes):
    assert len(KINDS) >= 30 and len(OUTDOORS) >= 22
    assert len({scene.caption for scene in scenes}) > 0.9 * len(scenes)
    for scene in scenes:
        assert scene.image.shape == scene.radiance.shape == (48, 96, 3)
        assert scene.image.dtype == scene.radiance.dtype == scene.depth.dtype == np.float32
        assert np.isfinite(scene.radiance).all() and scene.radiance.min() >= 0, scene.kind
        assert scene.image.min() >= 0 and scene.image.max() <= 1
        assert 0.02 < scene.image.mean() < 0.95 and scene.image.std() > 0.02, scene.kind
        assert scene.depth.shape == (48, 96) and scene.depth.min() > 0.05 and not np.isnan(scene.depth).any()
        assert tuple(scene.captions_at) == YAWS
        for caption in (scene.caption, *scene.captions_at.values()):
            assert caption[0].isupper() and caption.endswith("."), caption
            assert "  " not in caption and "{" not in caption and " , " not in caption, caption
    assert all(np.isinf(scene.depth).mean() > 0.1 for scene in scenes if scene.kind in OUTDOORS)
    assert all(np.isfinite(scene.depth[-1]).all() for scene in scenes), "the ground is below"


def test_no_seam_at_the_wrap(scenes):
    """Mean gradient across the wrap column, against the mean between other neighbouring columns."""
    across = np.mean([np.abs(scene.image[:, 0] - scene.image[:, -1]).mean() for scene in scenes])
    elsewhere = np.mean([np.abs(np.diff(scene.image, axis=1)).mean() for scene in scenes])
    assert 0.5 < across / elsewhere < 1.6


@pytest.mark.parametrize("kind", rest_slow(["mountain lake", "cafe", "night city", "dunes", "church"], fast=2))
def test_rolling_the_world_rolls_the_panorama(kind):
    """Law 3 without its edges: no column is special to what is drawn, only to the camera's yaw."""
    world, _, _ = draw_world(5, kind)
    straight, depth, _ = render(world, 32, WHOLE)
    rolled, other, _ = render(world, 32, rotation(90.0).numpy())
    close = np.isclose(rolled, np.roll(straight, -16, axis=1), rtol=0.02, atol=1e-3 * straight.mean())
    assert close.mean() > 0.98
    expected = np.roll(depth, -16, axis=1)
    assert (np.isclose(other, expected, rtol=1e-3) | (other == expected)).mean() > 0.98


def test_poles_are_calm(scenes):
    """All pixels of the top row look within three degrees of each other."""
    for scene in scenes:
        steps = np.abs(np.roll(scene.image[0], -1, axis=0) - scene.image[0]).mean()
        assert steps < 0.03, (scene.kind, steps)
        feet = scene.depth[-1]
        assert np.ptp(feet) < 0.06 * feet.mean(), scene.kind


def test_the_same_scene_at_two_sizes():
    small, large = make_scene(3, 32, "city street"), make_scene(3, 64, "city street")
    shrunk = large.image.reshape(32, 2, 64, 2, 3).mean((1, 3))
    assert small.caption == large.caption
    assert np.abs(shrunk - small.image).mean() < 0.05


@pytest.mark.parametrize("height", rest_slow([128, 512, 256], fast=2))
@pytest.mark.parametrize(("rise", "azimuth"), [(0.2, 0.0), (35.0, 180.0), (89.9, 77.0), (61.3, -179.97), (20.0, 33.3)])
def test_the_disc_keeps_its_energy_at_every_size_and_place(height, rise, azimuth):
    radiance, _, _ = render(OnlyDisc(level(rise, azimuth)), height, WHOLE)
    energy = (radiance * solid_angles(height)[..., None]).sum((0, 1))
    exact = 2 * np.pi * (1 - np.cos(SUN_RADIUS)) * np.array([3.0, 2.0, 1.0])
    assert energy == pytest.approx(exact, rel=0.01)
    rows, columns = np.nonzero(radiance[..., 0])
    places = pixel_directions(height, 2 * height).numpy()[rows, columns]
    assert (places @ level(rise, azimuth) > np.cos(SUN_RADIUS + np.pi / height)).all(), "and it is where the sun is"


def test_sunlight_on_the_land_is_that_of_the_disc():
    for seed in (1, 2):
        sky = draw_sky(np.random.default_rng(seed), "clear")
        (disc,) = sky.discs
        irradiance = disc.radiance * np.pi * np.sin(disc.radius) ** 2
        assert irradiance == pytest.approx(np.pi * sky.sunlight, rel=1e-3)


def test_the_sun_reddens_and_fades_as_it_sinks():
    suns = [daylight(level(rise), 1.6) for rise in (60.0, 20.0, 5.0, 1.0, -3.0, -6.0)]
    reds = [sun.sunlight[0] / max(sun.sunlight[2], 1e-12) for sun in suns[:4]]
    assert reds == sorted(reds) and reds[0] < 2 < 8 < reds[3]
    light = [sun.sunlight.sum() + sun.ambient.sum() for sun in suns]
    assert light == sorted(light, reverse=True) and light[-1] > 0
    noon = suns[0].radiance(level(80.0, 180.0)[None])[0]
    assert noon[2] > 1.7 * noon[0], "the high sky is blue"
    low = suns[2].radiance(level(2.0)[None])[0]
    assert low[0] > 2 * low[2], "beneath a low sun it is orange"
    assert not suns[4].sunlight.any() and suns[4].radiance(level(2.0)[None])[0].min() > 1e-5, "twilight remains"


def test_ambient_light_is_the_irradiance_of_the_sky():
    sky = daylight(level(40.0), 1.6)
    directions = pixel_directions(64, 128).numpy()
    up = np.maximum(directions[..., 1], 0)[..., None]
    radiance = sky.radiance(directions.reshape(-1, 3)).reshape(64, 128, 3)
    irradiance = (radiance * up * solid_angles(64)[..., None]).sum((0, 1))
    assert irradiance == pytest.approx(np.pi * sky.ambient, rel=0.03)


def test_night_is_dark_but_has_a_moon_and_stars():
    night, day = make_scene(3, 64, "night mountains"), make_scene(3, 64, "meadow")
    assert np.median(night.radiance) < 1e-4 * np.median(day.radiance)
    (moon,) = draw_world(3, "night mountains")[0].discs
    assert 0.02 < moon.radiance.max() < 1, "the moon's disc is as bright as sunlit rock"
    sky = night.radiance[:20].mean(-1)
    assert (sky > 2 * np.median(sky)).sum() > 5
    assert "night" in night.caption.lower() or "moon" in night.caption.lower()


def test_level_ground_is_where_geometry_says(scenes):
    """Flat ground lies at eye height / sin(depression)."""
    scene = next(scene for scene in scenes if scene.kind == "field rows")
    below = -pixel_directions(48, 96).numpy()[..., 1]
    rows = slice(33, 48)
    assert scene.depth[rows] == pytest.approx(EYE / below[rows], rel=1e-4)


def test_depth_belongs_to_the_picture():
    """What is infinitely far is sky: it changes when the sky does, and what is near does not become sky."""
    world, _, _ = draw_world(4, "mountains")
    _, depth, labels = render(world, 48, WHOLE)
    assert np.array_equal(np.isinf(depth), labels == 0)
    mountains = labels == next(at for at, noun in enumerate(world.labels) if "mountains" in noun)
    assert np.median(depth[mountains]) > 500


@pytest.mark.parametrize(
    "kind", rest_slow(["lake", "harbour", "skyline", "beach", "river", "village", "country road"], fast=3)
)
def test_captions_by_direction_say_what_the_view_shows(kind):
    """Against the labels of the full panorama seen through the library's own camera."""
    world, _, turn = draw_world(2, kind)
    _, _, labels = render(world, 96, turn)
    stack = torch.from_numpy(labels.astype(np.float32))[None, None]
    for yaw, view in views_of(world, turn).items():
        caption = world.tell(view).lower()
        seen = look(stack, Camera(yaw, 0.0, 0.0, 90.0, 48, 48), mode="nearest")[0, 0].round().int().numpy()
        for index, noun in enumerate(world.labels):
            share = float((seen == index).mean())
            if not noun or 0.006 < share < 0.04:
                continue
            largest = view.sights[0].noun
            assert largest in caption, (yaw, caption)
            if share <= 0.006:
                assert noun not in caption.replace("snowy ", ""), (yaw, noun, caption)
            elif noun in ("a lake", "the sea", "a river", "the harbour water"):
                assert noun in caption, (yaw, noun, share, caption)


def test_the_sun_is_named_where_it_is():
    for seed in range(4):
        scene = outdoors(np.random.default_rng(seed), "sea", "sunset")
        light = scene.sky.light
        for yaw, view in views_of(scene, WHOLE).items():
            offset = (np.degrees(np.arctan2(light[0], light[2])) - yaw + 180) % 360 - 180
            caption = scene.tell(view)
            if abs(offset) > 46:
                assert "the sun low" not in caption
            elif view.discs:
                side = "left" if offset < -25 else "right" if offset > 25 else ""
                assert "the sun low" in caption and side in caption


def test_unknown_kind_names_the_known_ones():
    with pytest.raises(UserError, match="'moon'.*meadow.*bedroom"):
        make_scene(0, 32, "moon")
    with pytest.raises(UserError, match="height.*4"):
        make_scene(0, 4)
