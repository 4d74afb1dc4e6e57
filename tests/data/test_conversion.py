"""One file as one image: the area filter is a mean, and the image holds what tone mapping says."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from aognet.data.conversion import Conversion, convert, encode, find_jobs, shrink
from aognet.errors import UserError
from aognet.io.hdr import write_exr
from aognet.io.tonemap import ToneMap, clean, tone_map, tone_map_to_levels


@pytest.fixture
def light() -> np.ndarray:
    return (np.random.default_rng(0).random((24, 48, 3)) ** 4 * 20).astype(np.float16)


def written(light: np.ndarray, path: Path) -> Path:
    write_exr({name: light[..., number] for number, name in enumerate("RGB")}, path)
    return path


def brute_force(light: np.ndarray, height: int, width: int) -> np.ndarray:
    """Every pixel cut into so many equal ones that both sizes divide them."""
    fine = light.astype(np.float64).repeat(height, 0).repeat(width, 1)
    return fine.reshape(height, light.shape[0], width, light.shape[1], -1).mean((1, 3))


@pytest.mark.parametrize("size", [(24, 48), (12, 24), (8, 16), (1, 1), (5, 10), (17, 34), (23, 47), (24, 31), (9, 48)])
def test_shrinking_averages_areas(light: np.ndarray, size: tuple[int, int]):
    single = light.astype(np.float32)
    found = shrink(single, *size)
    np.testing.assert_allclose(found, brute_force(single, *size), rtol=1e-5)
    np.testing.assert_allclose(found.mean((0, 1)), single.mean((0, 1)), rtol=1e-5)


@pytest.mark.parametrize(("format", "kind", "levels"), [("png8", "RGB", np.uint8), ("jpeg", "RGB", np.uint8)])
def test_eight_bits(tmp_path: Path, light: np.ndarray, format: str, kind: str, levels: type):
    smooth = cv2.GaussianBlur(light.astype(np.float32), (0, 0), 5)
    target = tmp_path / "deep" / f"er{'.png' if format == 'png8' else '.jpg'}"
    convert(written(smooth, tmp_path / "a.exr"), target, Conversion(format=format))
    with Image.open(target) as image:
        assert image.mode == kind
        found = np.asarray(image).astype(int)
    assert np.abs(found - tone_map_to_levels(smooth, levels)).max() <= (0 if format == "png8" else 4)
    assert [entry.name for entry in target.parent.iterdir()] == [target.name]


def test_sixteen_bits(tmp_path: Path, light: np.ndarray):
    convert(written(light, tmp_path / "a.exr"), tmp_path / "a.png", Conversion(format="png16"))
    content = (tmp_path / "a.png").read_bytes()
    assert (content[24], content[25]) == (16, 2), "bit depth and colour type of the PNG header"
    found = cv2.imread(str(tmp_path / "a.png"), cv2.IMREAD_UNCHANGED)[..., ::-1]
    assert found.dtype == np.uint16
    np.testing.assert_array_equal(found, tone_map_to_levels(light, np.uint16))
    assert np.abs(found / 65535 - tone_map(light)).max() < 1e-5


def test_images_are_shrunk_in_linear_light_and_without_what_is_none(tmp_path: Path, light: np.ndarray):
    light[0, :3, 0] = np.nan, np.inf, -9
    tone = ToneMap("srgb", exposure=-2.0)
    convert(written(light, tmp_path / "a.exr"), tmp_path / "a.png", Conversion(tone, (8, 16)))
    with Image.open(tmp_path / "a.png") as image:
        found = np.asarray(image)
    wanted = tone_map(brute_force(clean(light), 8, 16).astype(np.float32), tone)
    assert np.abs(found - wanted * 255).max() < 0.51
    assert found[0, 0, 0] == 255 and (found[0, 1:] < 255).any() and (found[0, 0, 1:] > 0).all()


@pytest.mark.parametrize(("size", "reason"), [((48, 96), "smaller"), ((12, 20), "shape"), ((24, 49), "smaller")])
def test_sizes_that_would_enlarge_or_distort(tmp_path: Path, light: np.ndarray, size: tuple[int, int], reason: str):
    with pytest.raises(UserError, match=f"a.exr: is 24x48, .*{reason}"):
        convert(written(light, tmp_path / "a.exr"), tmp_path / "a.png", Conversion(size=size))
    assert not (tmp_path / "a.png").exists()


def test_png_is_lossless():
    levels = np.random.default_rng(0).integers(0, 65536, (9, 7, 3), dtype=np.uint16)
    for kind in (np.uint8, np.uint16):
        content = encode(levels.astype(kind), ".png")
        found = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)[..., ::-1]
        np.testing.assert_array_equal(found, levels.astype(kind))


def test_finding_files(tmp_path: Path):
    source, out = tmp_path / "in", tmp_path / "out"
    for name in ("b.exr", "a b/ein See.HDR", "a b/c/ä.v2.EXR", "notes.txt", "._b.exr", ".trash/x.exr"):
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).touch()
    (source / "a b" / "round").symlink_to(source, target_is_directory=True)
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "z.exr").touch()
    (source / "link").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    found = [job.target.relative_to(out).as_posix() for job in find_jobs(source, out, ".png")]
    assert sorted(found) == ["a b/c/ä.v2.png", "a b/ein See.png", "b.png", "link/z.png"]


@pytest.mark.parametrize(
    "names", [("a.exr", "a.hdr"), ("a.EXR", "a.exr"), ("A.exr", "a.exr"), ("é.exr", "e\u0301.exr")]
)
def test_two_files_that_would_be_one_image(tmp_path: Path, names: tuple[str, str]):
    for name in names:
        (tmp_path / name).touch()
    with pytest.raises(UserError) as caught:
        find_jobs(tmp_path, tmp_path / "out", ".png")
    assert all(str(tmp_path / name) in str(caught.value) for name in names)
