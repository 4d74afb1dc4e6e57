"""Light on surfaces: closed forms of even skies and single lights, energy, and turning."""

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from aognet.errors import UserError
from aognet.geometry.sphere import pixel_directions, pixel_solid_angles
from aognet.hdr.lobes import ROUGHNESS, SmallLights, diffuse, gathered, lights_of, silver
from aognet.hdr.sphere_scene import SphereScene, SphereSceneConfig
from aognet.hdr.three_spheres import MATERIALS, on_sphere, sphere_errors, three_spheres
from aognet.metrics.irradiance import irradiance
from tests.slow import rest_slow

RGB = torch.tensor([0.5, 2.0, 30.0])
LOBES = (diffuse, silver)
named = {"ids": lambda lobe: lobe.__name__}


def even(height: int = 16) -> Tensor:
    """The same light from all sides."""
    return RGB[:, None, None].expand(1, 3, height, 2 * height).clone()


def lamp(row: int, column: int, height: int = 16) -> Tensor:
    """One light in black."""
    panorama = torch.zeros(1, 3, height, 2 * height)
    panorama[..., row, column] = 1000 * RGB
    return panorama


def varied(height: int = 32, seed: int = 0) -> Tensor:
    """Light over eight stops."""
    return torch.exp2(8 * torch.rand(1, 3, height, 2 * height, generator=torch.Generator().manual_seed(seed)) - 4)


def light_of(panorama: Tensor) -> Tensor:
    """All light of a panorama: its radiance times solid angle."""
    height, width = panorama.shape[-2:]
    return (panorama[0].double() * pixel_solid_angles(height, width)[:, None]).sum((1, 2))


# ------------------------------------------------------------------------------------------------- lobes


@pytest.mark.parametrize("lobe", LOBES, **named)
def test_under_an_even_sky_surfaces_look_like_the_sky(lobe: Callable):
    looks = gathered(lights_of(even(64)), lobe, rows=12)
    torch.testing.assert_close(looks, even(12), rtol=5e-3, atol=0)


@pytest.mark.parametrize("lobe", LOBES, **named)
def test_one_light_is_spread_by_its_lobe(lobe: Callable):
    towards = pixel_directions(12, 24) @ pixel_directions(16, 32)[4, 20]
    if lobe is diffuse:
        weights = towards.clamp_min(0) / math.pi
    else:  # a Gaussian of the roughness' sharpness, whose integral over the sphere is 1
        sharpness = 2 / ROUGHNESS**4 / 4
        weights = (sharpness * (towards - 1)).exp() * sharpness / (2 * math.pi * (1 - math.exp(-2 * sharpness)))
    power = 1000 * RGB.double() * pixel_solid_angles(16, 32)[4]
    expected = power[:, None, None] * weights
    torch.testing.assert_close(gathered(lights_of(lamp(4, 20)), lobe, 12)[0].double(), expected, rtol=1e-4, atol=1e-3)


def test_a_diffuse_surface_shows_its_irradiance():
    """Two sums that know nothing of each other: by pixels of the panorama, and by lights in fewer rows."""
    panorama = varied(64)
    looks = gathered(lights_of(panorama, rows=32), diffuse, rows=8)
    for row, column in ((0, 0), (3, 9), (7, 4)):
        expected = irradiance(panorama, tuple(pixel_directions(8, 16)[row, column].tolist()))[0] / math.pi
        torch.testing.assert_close(looks[0, :, row, column].double(), expected, rtol=2e-3, atol=0)


@pytest.mark.parametrize("lobe", LOBES, **named)
def test_no_light_is_lost_and_none_is_made(lobe: Callable):
    panorama = varied()
    torch.testing.assert_close(light_of(gathered(lights_of(panorama), lobe, 32)), light_of(panorama), rtol=5e-3, atol=0)


@pytest.mark.parametrize("rows", rest_slow([24, 100, 8, 16], fast=2))
def test_fewer_lights_have_all_the_light_and_a_sun_its_place(rows: int):
    panorama = varied() + lamp(9, 50, 32) * 100
    lights = lights_of(panorama, rows)
    assert len(lights.powers) == 2 * min(rows, 32) ** 2
    torch.testing.assert_close(lights.powers.double().sum(0), light_of(panorama), rtol=1e-5, atol=0)
    torch.testing.assert_close(lights.directions.norm(dim=1), torch.ones(len(lights.directions)))
    brightest = lights.directions[lights.powers.sum(1).argmax()].double()
    assert float(brightest @ pixel_directions(32, 64)[9, 50]) > math.cos(math.radians(0.5))


def test_a_black_sky_lights_nothing():
    lights = lights_of(torch.zeros(1, 3, 16, 32), 8)
    assert isinstance(lights, SmallLights) and lights.directions.isfinite().all()
    assert gathered(lights, diffuse, 4).abs().max() == 0
    picture = SphereScene(torch.zeros(1, 3, 16, 32), SphereSceneConfig(height=18))
    assert picture.metered() == 1 and picture.picture().abs().max() == 0


# ------------------------------------------------------------------------------------------------- three spheres


def test_spheres_under_an_even_sky_are_even():
    spheres, inside = three_spheres(even(64), size=16), on_sphere(16)
    torch.testing.assert_close(
        spheres[..., inside], RGB[None, :, None].expand(3, 3, int(inside.sum())), rtol=5e-3, atol=0
    )
    assert 0.6 < inside.float().mean() < math.pi / 4 and spheres[..., 0, 0].abs().max() == 0


def test_the_mirror_shows_what_lies_behind_in_its_middle_and_above_at_45_degrees():
    size, height = 64, 32
    panorama = pixel_directions(height, 2 * height).permute(2, 0, 1)[None].float() + 1
    mirror = three_spheres(panorama, size)[MATERIALS.index("mirror")] - 1
    middle, upper = mirror[:, 31:33, 31:33].mean((1, 2)), round(size / 2 * (1 - math.sqrt(0.5)))
    torch.testing.assert_close(middle, torch.tensor([0.0, 0.0, -1.0]), atol=0.02, rtol=0)
    torch.testing.assert_close(mirror[:, upper, 31:33].mean(1), torch.tensor([0.0, 1.0, 0.0]), atol=0.06, rtol=0)


def test_errors_of_spheres_ignore_exposure_and_see_a_turned_light():
    panorama = varied(16) + lamp(4, 20)
    spheres, turned = three_spheres(panorama, 16), three_spheres(panorama.roll(8, -1), 16)
    same, other = sphere_errors(3 * spheres, spheres), sphere_errors(turned, spheres)
    for measure, found in same.items():
        assert list(found) == list(MATERIALS)
        assert all(value < 1e-3 for value in found.values()) and all(value > 0.5 for value in other[measure].values())
    inside = on_sphere(16)
    one, two = (pictures[2][:, inside].double() for pictures in (turned, spheres))
    alpha = (one * two).sum() / one.square().sum()
    expected = math.sqrt(float((two - alpha * one).square().sum()) / int(inside.sum()))
    assert other["si_rmse"]["mirror"] == pytest.approx(expected)


# ------------------------------------------------------------------------------------------------- the picture


def test_under_an_even_sky_only_the_ground_beside_the_spheres_is_darker(scene: SphereScene):
    picture = scene.picture()
    assert picture.shape == (3, 36, 64)
    torch.testing.assert_close(picture[:, :6], RGB[:, None, None].expand(3, 6, 64), rtol=1e-4, atol=0)
    assert (picture <= RGB[:, None, None] * 1.02).all() and (picture[:, 20:34] < 0.8 * RGB[:, None, None]).any()
    assert scene.metered() * float(RGB @ torch.tensor([0.2126, 0.7152, 0.0722])) == pytest.approx(0.5, rel=1e-3)


@pytest.fixture(scope="module")
def scene() -> SphereScene:
    """Spheres under an even sky."""
    return SphereScene(even(32), SphereSceneConfig(height=36))


@pytest.mark.parametrize("place", [(0.0, 2.0), (-3.6, 1.0), (1.2, -2.0), (0.0, 4.0)])
def test_the_ground_loses_the_light_that_spheres_hide(place: tuple[float, float], scene: SphereScene):
    """A sphere of radius 1, h = 1 above a point of a plane and d away from it, hides h / d^3 of an even sky."""
    right, deep = place
    hidden = sum((1 + (right - x) ** 2 + deep**2) ** -1.5 for x in (-2.4, 0.0, 2.4))
    ray = torch.tensor([right, -1.0, deep], dtype=torch.float64) - torch.tensor([0.0, 3.0, 0.0], dtype=torch.float64)
    origin = torch.tensor([[[0.0, 3.0, 0.0]]], dtype=torch.float64)
    lit = scene._lit_ground(origin, (ray / ray.norm())[None, None])
    assert lit.flatten().tolist() == pytest.approx([1 - hidden] * 3, abs=0.02)


def test_shadows_fall_away_from_the_sun():
    sun = even(32) + lamp(10, 16, 32) * 1000  # from the left, 34 degrees high
    picture = SphereScene(sun, SphereSceneConfig(height=72)).picture()
    ground = picture[1, 48:52]
    assert ground[:, 120:].mean() < 0.8 * ground[:, :8].mean()


def test_turning_panorama_and_view_together_changes_nothing():
    """Turning the panorama to the right by a quarter is looking a quarter further to the right."""
    panorama = varied(32) + lamp(9, 25, 32)
    turned = panorama.roll(16, -1)
    one = SphereScene(panorama, SphereSceneConfig(height=18)).picture()
    other = SphereScene(turned, SphereSceneConfig(90.0, 18)).picture()
    torch.testing.assert_close(one, other, rtol=2e-3, atol=2e-3)
    unlike = SphereScene(turned, SphereSceneConfig(height=18)).picture()
    assert (one - unlike).abs().mean() > 0.5
    for lobe in LOBES:
        looks = gathered(lights_of(panorama), lobe, 16)
        torch.testing.assert_close(gathered(lights_of(turned), lobe, 16), looks.roll(8, -1), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"height": 8}, r"height must lie in \[16, 1080\], got 8"),
        ({"height": 2000}, "height must lie in"),
        ({"view_degrees": math.nan}, "view_degrees must lie in"),
        ({"view_degrees": 400.0}, "view_degrees must lie in"),
    ],
)
def test_settings_out_of_range_are_named(settings: dict, words: str):
    with pytest.raises(UserError, match=words):
        SphereSceneConfig(**settings)
