"""Depth maps of every kind of file become what a depth ControlNet sees, or are refused in one line."""

import io
import zipfile
from pathlib import Path

import cv2
import numpy as np
import OpenEXR
import pytest
import torch
from PIL import Image
from torch.testing import assert_close

from aognet.errors import UserError
from aognet.io.depth_maps import DepthKind, DepthMap, load_depth, write_depth
from aognet.io.hdr import write_exr
from aognet.scenes import make_scene

ROWS = 32


@pytest.fixture(scope="module")
def distances() -> np.ndarray:
    """A room in metres, with a sky behind a hole in it."""
    depth = make_scene(3, ROWS, "bedroom").depth.astype(np.float32)
    depth[3:5, 10:14] = np.inf
    return depth


@pytest.fixture(scope="module")
def nearness(distances: np.ndarray) -> np.ndarray:
    inverse = 1 / distances
    return (inverse - inverse.min()) / (inverse.max() - inverse.min())


def pixels(nearness: np.ndarray, dtype: type) -> np.ndarray:
    return (nearness * np.iinfo(dtype).max).round().astype(dtype)


def written(folder: Path, form: str, distances: np.ndarray, nearness: np.ndarray) -> Path:
    """The same depth in another kind of file."""
    kind, _, how = form.partition(" ")
    path = folder / f"depth.{kind}"
    if kind == "npy":
        shown = {
            "": distances,
            "double": distances.astype(np.float64),
            "row": distances[None],
            "last": distances[..., None],
        }
        np.save(path, np.asfortranarray(distances) if how == "fortran" else shown[how])
    elif kind == "exr":
        other = np.zeros_like(distances)
        channels = {
            "": {"Z": distances}, "Y": {"Y": distances}, "V": {"V": distances}, "RGB": dict.fromkeys("RGB", distances),
            "layer": {"R": other, "G": other, "B": other, "depth.Z": distances},
        }  # fmt: skip
        write_exr(channels[how], path)
    elif kind == "jpg":
        Image.fromarray(pixels(nearness, np.uint8)).convert("RGB").save(path, quality=98)
    else:
        levels = pixels(nearness, np.uint16 if how.startswith("16") else np.uint8)
        content = levels if how.endswith("grey") else np.repeat(levels[..., None], 3, -1)
        path.write_bytes(cv2.imencode(".png", content)[1].tobytes())
    return path


FORMS = {
    **dict.fromkeys(("npy", "npy double", "npy row", "npy last", "npy fortran"), 1e-6),
    **dict.fromkeys(("exr", "exr Y", "exr V", "exr RGB", "exr layer"), 1e-6),
    **dict.fromkeys(("png 16 grey", "png 16"), 1e-5),
    **dict.fromkeys(("png 8 grey", "png 8"), 0.003),
    "jpg": 0.05,
}


@pytest.mark.parametrize("form", FORMS)
def test_every_kind_of_file_says_the_same(form: str, distances: np.ndarray, nearness: np.ndarray, tmp_path: Path):
    depth = load_depth(written(tmp_path, form, distances, nearness), ROWS)
    assert_close(depth.nearness[0], torch.from_numpy(nearness), atol=FORMS[form], rtol=0)
    assert depth.known.all() and depth.picture.shape == (1, 3, ROWS, 2 * ROWS)


@pytest.mark.parametrize("rows", [16, 23, 57, 64])
@pytest.mark.parametrize("form", ["exr", "png 16 grey"])
def test_a_roll_of_the_file_is_a_roll_of_the_map_in_any_size(
    form: str, rows: int, distances: np.ndarray, nearness: np.ndarray, tmp_path: Path
):
    """Half a turn: a whole number of pixels in every size."""
    plain = load_depth(written(tmp_path, form, distances, nearness), rows).nearness
    turned = written(tmp_path, form, np.roll(distances, ROWS, 1), np.roll(nearness, ROWS, 1))
    assert_close(load_depth(turned, rows).nearness, plain.roll(rows, -1), atol=1e-5, rtol=0)
    assert plain.shape == (1, rows, 2 * rows) and plain.min() >= 0 and plain.max() <= 1
    if form == "exr":
        assert plain.min() == 0 and plain.max() == 1  # spread, also where extremes were averaged


def test_what_the_generator_of_scenes_writes_is_read(tmp_path: Path):
    from aognet.scenes.folder import SceneFolder

    folder = SceneFolder(tmp_path, ROWS, 5, None, "jpg", tmp_path)
    folder.make(0)
    depth = load_depth(tmp_path / "scene_000000.exr", ROWS)
    assert depth.nearness.min() == 0 and depth.nearness.max() == 1 and depth.nearness.std() > 0.05


def test_kind_says_otherwise(distances: np.ndarray, nearness: np.ndarray, tmp_path: Path):
    """Numbers of a depth network, and distances in millimetres in 16 levels."""
    np.save(tmp_path / "inverse.npy", 7 * nearness + 3)
    found = load_depth(tmp_path / "inverse.npy", ROWS, "inverse").nearness[0]
    assert_close(found, torch.from_numpy(nearness), atol=1e-5, rtol=0)
    whole = np.minimum(distances, 60)
    (tmp_path / "mm.png").write_bytes(cv2.imencode(".png", (whole * 1000).astype(np.uint16))[1].tobytes())
    np.save(tmp_path / "metres.npy", whole)
    found = load_depth(tmp_path / "mm.png", ROWS, "distance").nearness
    assert_close(found, load_depth(tmp_path / "metres.npy", ROWS).nearness, atol=2e-3, rtol=0)


def test_numbers_of_any_size_are_spread(distances: np.ndarray, nearness: np.ndarray, tmp_path: Path):
    for scale in (1e-44, 1e-37, 1e35):
        np.save(tmp_path / "far.npy", distances.astype(np.float64) * scale)
        found = load_depth(tmp_path / "far.npy", ROWS).nearness
        assert found.isfinite().all() and found.max() == 1
        if scale > 1e-40:
            assert_close(found[0], torch.from_numpy(nearness), atol=1e-4, rtol=0)
    np.save(tmp_path / "wide.npy", np.linspace(-3e38, 3e38, 2 * ROWS**2).reshape(ROWS, 2 * ROWS))
    assert load_depth(tmp_path / "wide.npy", ROWS, "inverse").nearness.isfinite().all()


def test_what_is_transparent_is_not_known_and_does_not_show(nearness: np.ndarray, tmp_path: Path):
    known = np.zeros((ROWS, 2 * ROWS), bool)
    known[:, 20:40] = True
    hidden = np.where(known, nearness, 1.0).astype(np.float32)  # white where transparent
    depth = DepthMap(torch.from_numpy(hidden)[None], torch.from_numpy(known)[None])
    write_depth(depth, tmp_path / "part.png")
    again = load_depth(tmp_path / "part.png", ROWS)
    assert torch.equal(again.known, depth.known)
    assert_close(again.nearness * again.known, depth.nearness * depth.known, atol=1e-5, rtol=0)
    assert not again.nearness[~again.known].any()
    small = load_depth(tmp_path / "part.png", ROWS // 2)
    assert small.nearness[small.known].max() < 0.99 and 0.2 < small.known.float().mean() < 0.4


def test_what_is_written_is_read(nearness: np.ndarray, tmp_path: Path):
    depth = DepthMap(torch.from_numpy(nearness)[None], torch.ones(1, ROWS, 2 * ROWS, dtype=torch.bool))
    write_depth(depth, tmp_path / "depth.png")
    again = load_depth(tmp_path / "depth.png", ROWS)
    assert_close(again.nearness, depth.nearness, atol=1e-5, rtol=0)
    write_depth(again, tmp_path / "again.png")
    assert (tmp_path / "again.png").read_bytes() == (tmp_path / "depth.png").read_bytes()


def bad(kind: str, good: np.ndarray) -> np.ndarray:
    wrong = good.copy()
    wrong[2, 3] = {"nan": np.nan, "zero": 0.0, "negative": -1.5, "inf": np.inf}[kind]
    return wrong


def npy(array: np.ndarray, pickles: bool = False) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=pickles)
    return buffer.getvalue()


def png(levels: np.ndarray) -> bytes:
    return cv2.imencode(".png", levels)[1].tobytes()


def exr(channels: dict[str, np.ndarray]) -> bytes:
    buffer = io.BytesIO()
    header = {"compression": OpenEXR.ZIP_COMPRESSION, "type": OpenEXR.scanlineimage}
    with OpenEXR.File(header, channels) as file:
        file.write(buffer)
    return buffer.getvalue()


def archive(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as inside:
        inside.writestr("depth.npy", npy(array))
    return buffer.getvalue()


GOOD = np.random.default_rng(0).uniform(1, 9, (8, 16)).astype(np.float32)
GREY = (GOOD * 20).astype(np.uint8)
FORGED = npy(GOOD).replace(b"(8, 16)", b"(99999999, 99999999)").replace(b" " * 14 + b"\n", b"\n")
REFUSED: dict[str, tuple[str, bytes, DepthKind, str]] = {
    "NaN": ("a.npy", npy(bad("nan", GOOD)), "auto", r"holds nan \(column 3, row 2; 1 such pixels\)"),
    "NaN in EXR": ("a.exr", exr({"Z": bad("nan", GOOD)}), "auto", r"holds nan \(column 3, row 2"),
    "no distance": ("a.npy", npy(bad("zero", GOOD)), "auto", r"holds 0 \(column 3.*depth_kind must be inverse"),
    "behind": ("a.exr", exr({"Z": bad("negative", GOOD)}), "auto", r"holds -1.5 \(column 3"),
    "infinitely near": ("a.npy", npy(bad("inf", GOOD)), "inverse", r"holds inf .*depth_kind must be distance"),
    "black": ("a.png", png(0 * GREY), "auto", "is black throughout, which says nothing of depth"),
    "one grey": ("a.png", png(0 * GREY + 51), "auto", "is 0.2 throughout, which says nothing of depth"),
    "one distance": ("a.npy", npy(0 * GOOD + 2), "auto", "is 2 throughout"),
    "sky": ("a.npy", npy(GOOD * np.inf), "auto", "is inf throughout"),
    "black distances": ("a.exr", exr({"Z": 0 * GOOD}), "auto", "holds 0 "),
    "transparent": ("a.png", png(np.zeros((8, 16, 4), np.uint8)), "auto", "transparent throughout"),
    "square": ("a.png", png(GREY[:, :8]), "auto", "twice as wide as high, this image is 8x8"),
    "three to two": ("a.npy", npy(GOOD[:, :12]), "auto", "twice as wide as high, this image is 12x8"),
    "wide EXR": ("a.exr", exr({"Z": np.tile(GOOD, 2)}), "auto", "twice as wide as high, this image is 32x8"),
    "colours": ("a.png", png(np.stack([GREY, GREY // 2, 255 - GREY], -1)), "auto", "has colours"),
    "a picture": ("a.exr", exr({"R": GOOD, "G": 2 * GOOD, "B": GOOD}), "auto", "channels R, G, B differ"),
    "a position": ("a.exr", exr({"X": GOOD, "Y": GOOD, "Z": GOOD}), "auto", "no channels R, G, B"),
    "three layers": ("a.npy", npy(np.stack([GOOD] * 3)), "auto", r"has the shape \(3, 8, 16\)"),
    "a row": ("a.npy", npy(GOOD[0]), "auto", r"has the shape \(16,\)"),
    "a number": ("a.npy", npy(np.float32(3)), "auto", r"has the shape \(\)"),
    "words": ("a.npy", npy(np.full((8, 16), "far")), "auto", "holds <U3, not numbers"),
    "complex": ("a.npy", npy(GOOD.astype(complex)), "auto", "holds complex128"),
    "a pickle": ("a.npy", npy(np.array([{1: 2}], object), True), "auto", "not a readable NPY file"),
    "an archive": ("a.npy", archive(GOOD), "auto", "is an archive of arrays"),
    "nothing": ("a.npy", b"", "auto", "not a readable NPY file"),
    "cut off": ("a.npy", npy(GOOD)[:-9], "auto", "not a readable NPY file"),
    "a broken header": ("a.npy", npy(GOOD)[:30] + b"\0" * 200, "auto", "not a readable NPY file"),
    "a forged size": ("a.npy", FORGED, "auto", "not a readable NPY file"),
    "a broken PNG": ("a.png", png(GREY)[:60], "auto", "not a readable image"),
    "no EXR": ("a.exr", b"hello", "auto", "is no EXR file"),
    "light": ("a.hdr", b"#?RADIANCE", "auto", "is PNG, EXR or NPY"),
    "a mesh": ("a.obj", b"v 0 0 0", "auto", "is PNG, EXR or NPY"),
}  # fmt: skip


@pytest.mark.parametrize("what", REFUSED)
def test_what_is_no_map_of_depth_is_refused_in_one_line(what: str, tmp_path: Path):
    name, content, kind, said = REFUSED[what]
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(UserError, match=said) as caught:
        load_depth(path, 8, kind)
    assert str(caught.value).startswith(f"{path}: ") and "\n" not in str(caught.value)


def test_a_file_that_is_not_there(tmp_path: Path):
    for name in ("a.png", "a.exr", "a.npy"):
        with pytest.raises(UserError, match=f"{name}: no such"):
            load_depth(tmp_path / name, 8)
