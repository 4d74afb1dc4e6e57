"""Panoramas written in every format and encoding: what comes back, what is converted how, and what is refused."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from aognet.errors import UserError
from aognet.geometry.cubemap import FACES, faces_of
from aognet.io.gpano import read_gpano
from aognet.io.hdr import read_light
from aognet.io.images import to_uint8
from aognet.io.panorama_files import (
    WRITTEN_SUFFIXES,
    encoded,
    encoding_of,
    read_panorama,
    write_faces,
    write_panorama,
)
from aognet.io.srgb import encode_srgb
from aognet.io.tonemap import ToneMap, tone_map
from tests.smooth import smooth_panorama

# Of the largest channel of a pixel: half a step of 8 bits, a step of the mantissa, rounding, and what JPEG loses.
STEPS = {".png": 0.6 / 255, ".jpg": 0.05, ".jpeg": 0.05, ".exr": 1e-6, ".hdr": 1 / 127}


@pytest.fixture
def shown() -> Tensor:
    return smooth_panorama(32)[0].add(1).div(2)


@pytest.fixture
def light(shown: Tensor) -> Tensor:
    return shown**2 * 40


def difference(one: Tensor, other: Tensor) -> float:
    """Of the values of two images, as a share of the largest in each pixel, or of 1 where that is more."""
    return float(((one - other).abs().amax(0) / torch.maximum(one, other).amax(0).clamp_min(1)).max())


@pytest.mark.parametrize("suffix", [*WRITTEN_SUFFIXES, ".PNG", ".Exr", ".HDR"])
@pytest.mark.parametrize("encoding", ["srgb", "linear"])
def test_what_is_written_comes_back_in_the_encoding_of_its_file(
    suffix: str, encoding: str, tmp_path: Path, shown, light
):
    path = tmp_path / f"ein süßer See{suffix}"
    image = shown if encoding == "srgb" else light
    write_panorama(image, path, encoding, description="a lake")
    found, found_encoding = read_panorama(path)
    assert found_encoding == ("linear" if suffix.lower() in (".exr", ".hdr") else "srgb")
    assert difference(found, encoded(image, encoding, found_encoding)) <= STEPS[suffix.lower()]
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]
    if found_encoding == "srgb":
        assert read_gpano(path)["description"] == "a lake"
        assert read_gpano(path)["FullPanoWidthPixels"] == "64"


def test_bytes_are_those_of_images_in_minus_one_to_one(tmp_path: Path):
    image = torch.rand(3, 64, 128, generator=torch.Generator().manual_seed(0)) * 2.2 - 1.1
    write_panorama((image + 1) / 2, tmp_path / "a.png", "srgb")
    pixels = np.asarray(Image.open(tmp_path / "a.png"))
    np.testing.assert_array_equal(pixels, to_uint8(image).permute(1, 2, 0).numpy())


def test_light_of_every_size_is_kept(tmp_path: Path):
    light = torch.logspace(-6, 37, 3 * 16 * 32).reshape(3, 16, 32)
    write_panorama(light, tmp_path / "a.exr", "linear")
    write_panorama(light, tmp_path / "a.hdr", "linear")
    np.testing.assert_array_equal(read_light(tmp_path / "a.exr", 10**4), light.permute(1, 2, 0).numpy())
    found = read_panorama(tmp_path / "a.hdr")[0]
    assert float(((found - light).abs().amax(0) / light.amax(0)).max()) <= STEPS[".hdr"]


@pytest.mark.parametrize("suffix", [".exr", ".hdr", ".png"])
def test_light_that_is_none_is_black_and_infinite_light_is_finite(suffix: str, tmp_path: Path):
    light = torch.ones(3, 8, 16)
    light[:, 0, :3] = torch.tensor([torch.nan, -1.0, torch.inf])
    write_panorama(light, tmp_path / f"a{suffix}", "linear", tone=ToneMap("srgb"))
    corner = read_panorama(tmp_path / f"a{suffix}")[0][:, 0, :3]
    assert (corner[:, :2] == 0).all() and torch.isfinite(corner).all() and (corner[:, 2] >= 1).all()


def test_white_stays_white_and_the_curve_is_that_of_srgb(shown: Tensor):
    assert float(encoded(torch.ones(3, 1, 2), "srgb", "linear").max()) == 1
    linear = encoded(shown, "srgb", "linear")
    np.testing.assert_allclose(encode_srgb(linear.numpy()), shown, atol=1e-6)
    np.testing.assert_allclose(encoded(linear, "linear", "srgb", ToneMap("srgb")), shown, atol=1e-6)


def test_light_is_tone_mapped_as_it_is_read(light: Tensor):
    np.testing.assert_array_equal(
        encoded(light, "linear", "srgb").permute(1, 2, 0), tone_map(light.permute(1, 2, 0).numpy())
    )


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".exr", ".hdr"])
@pytest.mark.parametrize("encoding", ["srgb", "linear"])
def test_faces_are_those_of_the_converted_panorama(suffix: str, encoding: str, tmp_path: Path, shown, light):
    image = shown if encoding == "srgb" else light
    write_faces(image, tmp_path, encoding, suffix=suffix, size=24)
    wanted = faces_of(encoded(image, encoding, encoding_of(Path(f"a{suffix}")))[None], 24)[0]
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(f"{name}{suffix}" for name in FACES)
    for name, face in zip(FACES, wanted, strict=True):
        if suffix in (".exr", ".hdr"):
            found = torch.from_numpy(read_light(tmp_path / f"{name}{suffix}", 10**4)).float().permute(2, 0, 1)
        else:
            found = torch.from_numpy(np.array(Image.open(tmp_path / f"{name}{suffix}"))).permute(2, 0, 1) / 255
        assert difference(found, face) <= STEPS[suffix]


def test_reading_resizes(tmp_path: Path, light: Tensor):
    write_panorama(light, tmp_path / "a.exr", "linear")
    found, encoding = read_panorama(tmp_path / "a.exr", 16)
    assert encoding == "linear" and tuple(found.shape) == (3, 16, 32)
    assert difference(found, torch.nn.functional.avg_pool2d(light, 2)) < 1e-5


@pytest.mark.parametrize("suffix", ["", ".gif", ".webp", ".tif"])
def test_other_files_are_refused(suffix: str, tmp_path: Path, shown: Tensor):
    with pytest.raises(UserError, match="png.*jpg"):
        write_panorama(shown, tmp_path / f"a{suffix}", "srgb")
    with pytest.raises(UserError, match="png.*jpg"):
        write_faces(shown, tmp_path, "srgb", suffix=suffix)
    assert not list(tmp_path.iterdir())


def test_what_is_no_panorama_is_refused(tmp_path: Path, shown: Tensor):
    for suffix in WRITTEN_SUFFIXES:
        with pytest.raises(UserError, match="twice as wide as high"):
            write_panorama(shown[..., :50], tmp_path / f"a{suffix}", "srgb")
    Image.new("RGB", (30, 20)).save(tmp_path / "photo.png")
    for name in ("photo.png", "missing.exr", "missing.png"):
        with pytest.raises(UserError, match=name):
            read_panorama(tmp_path / name)
