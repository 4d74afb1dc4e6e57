"""Patches of light: what the camera shows, what is learned, and that a sample depends on its number alone."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional

from aognet.data.light_patches import SATURATED, CameraCurve, LightPatchSamples
from aognet.errors import UserError
from aognet.io.hdr import write_exr
from aognet.io.srgb import decode_srgb


def write_light(path: Path, seed: int = 0, height: int = 64) -> None:
    """A smooth panorama with a sun of 3x3 pixels."""
    rng = np.random.default_rng(seed)
    light = functional.interpolate(
        torch.from_numpy(rng.random((1, 3, 8, 16), np.float32)), (height, 2 * height), mode="bicubic"
    )[0].clamp_min(0.01)
    light[:, 10:13, 20 * (seed + 1) : 20 * (seed + 1) + 3] = 4000.0
    write_exr(dict(zip("RGB", light.numpy(), strict=True)), path)


def light_folder(found: Path) -> Path:
    """Write two such panoramas into a folder."""
    for number in range(2):
        write_light(found / f"{number}.exr", number)
    return found


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return light_folder(tmp_path_factory.mktemp("light"))


def samples(folder: Path, **changes: object) -> LightPatchSamples:
    config = LightPatchSamples.Config(folders=[str(folder)], height=64, size=16, points=64, factors=(1.0, 3.0))
    return LightPatchSamples(replace(config, **changes))


@pytest.mark.parametrize("white", [None, 1.5, 4.0])
def test_curves_and_the_light_that_is_learned(white: float | None):
    """Below saturation it is what the display values say; above, the true one; both meet without a step."""
    curve = CameraCurve(white)
    light = np.geomspace(1e-4, 1e5, 4001)
    shown, learned = curve.shown(light), curve.learned(light)
    assert (np.diff(shown) >= 0).all() and (np.diff(learned) >= 0).all() and shown[-1] > 1 - 1e-9
    assert np.allclose(curve.shown(np.array([curve.saturating])), SATURATED, atol=1e-9)
    cut = light >= curve.saturating
    assert np.allclose(learned[~cut], decode_srgb(shown[~cut])) and (shown[cut] >= SATURATED).all()
    ratio = learned[cut & (learned < 9e3)] / light[cut & (learned < 9e3)]
    assert np.allclose(ratio, ratio[0]) and learned.max() == 1e4
    assert np.diff(np.log(learned)).max() < 0.05
    if white is None:
        assert np.allclose(learned[learned < 9e3], light[learned < 9e3])


def test_a_sample_depends_on_its_number_alone(folder: Path):
    one, other = samples(folder), samples(folder)
    other[7], one[2]
    first, second = one[5], other[5]
    for name in ("low", "cells", "directions", "display", "light"):
        assert torch.equal(getattr(first, name), getattr(second, name))
    assert not torch.equal(one[6].low, first.low)


def test_points_lie_where_the_patch_shows_them(folder: Path):
    """At factor 1 the display values at points are the low patch's own, to rounding of bytes."""
    for number in range(6):
        patch = samples(folder, factors=(1.0, 1.0))[number]
        rows, columns = patch.cells.round().long().unbind(-1)
        assert torch.equal(patch.cells, patch.cells.round()) and patch.size == 1
        assert torch.allclose(patch.low[:, rows, columns].T, patch.display, atol=1.01 / 255)


def test_low_patches_are_areas_of_full_ones(folder: Path):
    every = samples(folder, factors=(2.0, 2.0), points=256, bright_patches=0.0)[3]
    assert ((every.cells * 2 - 0.5) == (every.cells * 2 - 0.5).round()).all() and every.size == 0.5


def test_bright_points_and_patches_are_as_many_as_wanted(folder: Path):
    data = samples(folder, bright_patches=1.0, bright_points=0.5, reinhard=0.0)
    for number in range(8):
        bright = (data[number].display >= 2 * SATURATED - 1).any(-1)
        assert bright.float().mean() >= 0.5
        assert data[number].light[bright].max() > 1


def test_exposures_differ_and_hold_their_middle(folder: Path):
    data = samples(folder, stops=0.0, factors=(1.0, 1.0))
    light = torch.cat([data[number].light for number in range(40)])
    assert 0.1 < light.clamp_min(1e-4).log().mean().exp() < 0.35
    spread = torch.stack([samples(folder, stops=4.0)[number].light.log().mean() for number in range(20)])
    assert spread.std() > 0.5


def test_directions_are_those_of_the_panorama(folder: Path):
    batch = samples(folder)
    batch = batch.collate([batch[number] for number in range(4)])
    assert batch.directions.shape == (4, 64, 2) and batch.low.shape == (4, 3, 16, 16)
    assert batch.directions[..., 0].abs().max() <= np.pi and batch.directions[..., 1].abs().max() < np.pi / 2


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"size": 4}, "size"), ({"factors": (1.0, 9.0)}, "factors"), ({"factors": (1.0, 5.0)}, "factors"),
        ({"points": 0}, "points"), ({"points": 300}, "points"), ({"stops": 20.0}, "stops"),
        ({"whites": (0.5, 2.0)}, "whites"), ({"reinhard": 2.0}, "reinhard"), ({"folders": []}, "folders"),
    ],
)  # fmt: skip
def test_settings_without_sense_are_refused(folder: Path, changes: dict[str, object], words: str):
    with pytest.raises(UserError, match=words):
        samples(folder, **changes)


def test_files_that_hold_no_light_are_no_panoramas_of_light(tmp_path: Path):
    from PIL import Image

    Image.new("RGB", (64, 32)).save(tmp_path / "a.png")
    with pytest.raises(UserError, match="folders has no EXR or HDR files"):
        samples(tmp_path)
