"""Linear light comes back from every layout of file, and a file that is none is refused in one line."""

import struct
from pathlib import Path

import cv2
import numpy as np
import OpenEXR
import pytest

from aognet.errors import UserError
from aognet.io.hdr import read_layers, read_light, read_radiance, write_exr

SHAPE = (21, 37)
LOSSY = ("B44", "B44A", "DWAA", "DWAB", "LJ2K", "PXR24")
COMPRESSIONS = sorted(
    name.removesuffix("_COMPRESSION") for name in OpenEXR.Compression.__members__ if not name.startswith("NUM")
)


@pytest.fixture
def light() -> np.ndarray:
    return (np.random.default_rng(0).random((*SHAPE, 3)) * 50 - 5).astype(np.float16)


def planes(light: np.ndarray, prefix: str = "", names: str = "RGB") -> dict[str, np.ndarray]:
    return {prefix + name: np.ascontiguousarray(light[..., "RGB".index(name)]) for name in names}


def part(channels: dict[str, np.ndarray], name: str = "", **header: object) -> OpenEXR.Part:
    header = {"compression": OpenEXR.ZIP_COMPRESSION, "type": OpenEXR.scanlineimage} | header
    return OpenEXR.Part(header, channels, name)


def write(path: Path, *parts: OpenEXR.Part) -> Path:
    with OpenEXR.File(list(parts)) as file:
        file.write(str(path))
    return path


def refused(path: Path, most_pixels: int = 10**6) -> str:
    with pytest.raises(UserError) as caught:
        read_light(path, most_pixels)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("compression", COMPRESSIONS)
@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_every_compression(tmp_path: Path, light: np.ndarray, compression: str, dtype: type):
    kind = getattr(OpenEXR, f"{compression}_COMPRESSION")
    smooth = cv2.GaussianBlur(light.astype(np.float32), (0, 0), 6).astype(dtype)
    path = write(tmp_path / "a.exr", part(planes(smooth), compression=kind))
    found = read_light(path, 10**6)
    assert found.dtype == dtype and found.flags.c_contiguous
    np.testing.assert_allclose(found, smooth, atol=2 if compression in LOSSY else 0)
    assert read_radiance(path, 10**6).dtype == np.float32


@pytest.mark.parametrize("types", ["hhh", "fff", "hfu", "uuu", "hhf"])
def test_channel_types(tmp_path: Path, light: np.ndarray, types: str):
    kinds = {"h": np.float16, "f": np.float32, "u": np.uint32}
    channels = {
        name: np.abs(plane).astype(kinds[kind])
        for (name, plane), kind in zip(planes(light).items(), types, strict=True)
    }
    found = read_light(write(tmp_path / "a.exr", part(dict(channels))), 10**6)
    assert found.dtype == (np.float16 if types == "hhh" else np.float32)
    np.testing.assert_array_equal(found, np.stack([channel.astype(np.float32) for channel in channels.values()], -1))


def test_values_stay_as_they_are(tmp_path: Path, light: np.ndarray):
    light[0, :4, 0] = np.nan, np.inf, -np.inf, -7
    np.testing.assert_array_equal(read_light(write(tmp_path / "a.exr", part(planes(light))), 10**6), light)


@pytest.mark.parametrize("tile", [(5, 3), (64, 64), (37, 21)])
def test_tiles(tmp_path: Path, light: np.ndarray, tile: tuple[int, int]):
    tiles = OpenEXR.TileDescription()
    tiles.xSize, tiles.ySize = tile
    path = write(tmp_path / "a.exr", part(planes(light), type=OpenEXR.tiledimage, tiles=tiles))
    np.testing.assert_array_equal(read_light(path, 10**6), light)


def test_channels_beside_the_colours_and_in_any_order(tmp_path: Path, light: np.ndarray):
    ones = np.ones(SHAPE, np.float32)
    channels = {"A": ones, "Z": ones} | planes(light, names="BGR") | planes(light * 2, "diffuse.") | {"depth.Z": ones}
    np.testing.assert_array_equal(read_light(write(tmp_path / "a.exr", part(channels)), 10**6), light)


def test_grey(tmp_path: Path, light: np.ndarray):
    grey = planes(light, names="R")["R"]
    for channels in ({"Y": grey}, {"Y": grey, "A": grey}, {"lamp.Y": grey}):
        found = read_light(write(tmp_path / "a.exr", part(dict(channels))), 10**6)
        np.testing.assert_array_equal(found, grey[..., None].repeat(3, -1))


def test_layers_and_parts(tmp_path: Path, light: np.ndarray):
    depth, other, ours = part({"Z": light[..., 0].astype(np.float32)}, "z"), planes(light * 2), planes(light)

    def named(prefix: str, channels: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        return {prefix + name: plane for name, plane in channels.items()}

    for parts in (
        [part(named("albedo.", other) | named("Scene.Combined.", ours))],
        [part(named("b.", other) | named("a.", ours))],
        [depth, part(named("albedo.", other), "layers"), part(ours, "picture")],
        [depth, part(named("left.", ours), "left"), part(named("a.", other), "right")],
        [part(ours, "left"), part(other, "right")],
    ):
        np.testing.assert_array_equal(read_light(write(tmp_path / "a.exr", *parts), 10**6), light)


@pytest.mark.parametrize(
    ("corner", "display"),
    [
        ((0, 0), (0, 0, 36, 20)),
        ((-3, 2), (0, 0, 40, 30)),
        ((5, -4), (0, 0, 9, 9)),
        ((10**9, -(10**9)), (10**9 + 1, -(10**9) + 1, 10**9 + 5, -(10**9) + 3)),
        ((-2, -2), (-10, -12, 40, 30)),
    ],
)
def test_the_display_window_is_the_picture(
    tmp_path: Path, light: np.ndarray, corner: tuple[int, int], display: tuple[int, int, int, int]
):
    left, top = corner
    x0, y0, x1, y1 = display
    windows = {
        "dataWindow": (np.array([left, top], np.int32), np.array([left + 36, top + 20], np.int32)),
        "displayWindow": (np.array([x0, y0], np.int32), np.array([x1, y1], np.int32)),
    }
    found = read_light(write(tmp_path / "a.exr", part(planes(light), **windows)), 10**6)
    assert found.shape == (y1 - y0 + 1, x1 - x0 + 1, 3)
    for y in range(y0, y1 + 1):
        for x in range(x0, x1 + 1):
            inside = left <= x <= left + 36 and top <= y <= top + 20
            np.testing.assert_array_equal(found[y - y0, x - x0], light[y - top, x - left] if inside else 0)


def by_hand(
    path: Path, channels: dict[str, np.ndarray], shape: tuple[int, int], windows: tuple | None = None, tail: bytes = b""
) -> Path:
    """An uncompressed EXR file of half channels; those of half the rows and columns are sampled at every second."""

    def attribute(name: str, kind: str, value: bytes) -> bytes:
        return f"{name}\0{kind}\0".encode() + struct.pack("<i", len(value)) + value

    height, width = shape
    step = {name: 1 if plane.shape == shape else 2 for name, plane in channels.items()}
    listed = b"".join(
        name.encode() + b"\0" + struct.pack("<iiii", 1, 0, step[name], step[name]) for name in sorted(channels)
    )
    data, display = windows or ((0, 0, width - 1, height - 1),) * 2
    header = struct.pack("<ii", 20000630, 2) + b"".join(
        attribute(*entry)
        for entry in (
            ("channels", "chlist", listed + b"\0"),
            ("compression", "compression", b"\0"),
            ("dataWindow", "box2i", struct.pack("<iiii", *data)),
            ("displayWindow", "box2i", struct.pack("<iiii", *display)),
            ("lineOrder", "lineOrder", b"\0"),
            ("pixelAspectRatio", "float", struct.pack("<f", 1)),
            ("screenWindowCenter", "v2f", struct.pack("<ff", 0, 0)),
            ("screenWindowWidth", "float", struct.pack("<f", 1)),
        )
    )
    rows = [
        b"".join(channels[name][y // step[name]].tobytes() for name in sorted(channels) if y % step[name] == 0)
        for y in range(height)
    ]
    offset, table, body = len(header) + 1 + 8 * height, b"", b""
    for y, row in enumerate(rows):
        table += struct.pack("<Q", offset + len(body))
        body += struct.pack("<ii", y, len(row)) + row
    path.write_bytes(header + b"\0" + table + body + tail)
    return path


def test_luminance_and_subsampled_chroma(tmp_path: Path):
    height, width = 16, 32
    y, x = np.mgrid[:height, :width].astype(np.float32)
    light = np.stack([x / width + 1, y / height + 1, np.full_like(x, 0.5)], -1)
    luminance = light @ np.array([0.2126, 0.7152, 0.0722], np.float32)
    chroma = {name: (light[..., i] / luminance - 1)[::2, ::2].astype(np.float16) for name, i in (("RY", 0), ("BY", 2))}
    path = by_hand(tmp_path / "a.exr", {"Y": luminance.astype(np.float16)} | chroma, (height, width))
    found = read_light(path, 10**6)
    assert found.shape == (height, width, 3)
    np.testing.assert_allclose(found[:-1, :-1], light[:-1, :-1], atol=0.02)


def test_data_outside_the_display_window(tmp_path: Path, light: np.ndarray):
    path = by_hand(tmp_path / "a.exr", planes(light), SHAPE, ((0, 0, 36, 20), (100, 100, 130, 130)))
    assert "outside" in refused(path)


@pytest.mark.parametrize(
    "window",
    [(0, 0, 99_999, 99_999), (0, 0, 2**31 - 1, 2**31 - 1), (-(2**31), -(2**31), 2**31 - 1, 2**31 - 1), (0, 0, -5, 3)]
    + [(0, 0, 36, 10**6), (-(2**31), 0, 2**31 - 1, 20), (2**31 - 2, 0, -(2**31), 20)],
)  # fmt: skip
@pytest.mark.parametrize("which", ["data", "display"])
def test_windows_that_claim_to_be_huge(tmp_path: Path, light: np.ndarray, window: tuple, which: str):
    ours = (0, 0, 36, 20)
    windows = (window, ours) if which == "data" else (ours, window)
    refused(by_hand(tmp_path / "a.exr", planes(light), SHAPE, windows))


def test_the_limits(tmp_path: Path, light: np.ndarray):
    path = write(tmp_path / "a.exr", part(planes(light)))
    assert read_light(path, 21 * 37).shape == (*SHAPE, 3)
    assert "37x21" in refused(path, 21 * 37 - 1)
    layers = {f"layer{i}.Z": np.zeros(SHAPE, np.float32) for i in range(80)} | planes(light)
    path = write(tmp_path / "many.exr", part(layers))
    np.testing.assert_array_equal(read_light(path, 10**6), light)
    assert "83 channels" in refused(path, 21 * 37 * 20)
    tiles = OpenEXR.TileDescription()
    tiles.xSize = tiles.ySize = 1024
    refused(write(tmp_path / "tiles.exr", part(planes(light), type=OpenEXR.tiledimage, tiles=tiles)), 10**5)


def test_files_without_a_picture(tmp_path: Path, light: np.ndarray):
    plane = planes(light)["R"]
    assert "only Z" in refused(write(tmp_path / "depth.exr", part({"Z": plane})))
    assert "only G, R" in refused(write(tmp_path / "two.exr", part({"R": plane, "G": plane})))
    deep = np.empty(SHAPE, object)
    for place in np.ndindex(SHAPE):
        deep[place] = np.ones(3, np.float32)
    channels = {name: deep.copy() for name in "RGB"}
    zips = OpenEXR.ZIPS_COMPRESSION
    path = write(tmp_path / "deep.exr", part(channels, type=OpenEXR.deepscanline, compression=zips))
    assert "deep data" in refused(path)
    assert "no such file" in refused(tmp_path / "missing.exr")
    (tmp_path / "folder.exr").mkdir()
    refused(tmp_path / "folder.exr")


@pytest.mark.parametrize("suffix", [".exr", ".hdr"])
def test_damaged_files(tmp_path: Path, light: np.ndarray, suffix: str):
    for name, content in {"empty": b"", "text": b"<html>404</html>", "noise": bytes(range(256)) * 9}.items():
        (tmp_path / (name + suffix)).write_bytes(content)
        assert suffix == ".hdr" or {"empty": "is empty"}.get(name, "no EXR") in refused(tmp_path / (name + suffix))
        refused(tmp_path / (name + suffix))
    whole = tmp_path / f"whole{suffix}"
    if suffix == ".exr":
        write(whole, part({"Z": planes(light)["R"]}, "depth"), part(planes(light), "picture"))
    else:
        cv2.imwrite(str(whole), np.abs(light).astype(np.float32))
    content = whole.read_bytes()
    for share in (0.02, 0.2, 0.5, 0.9, 0.99):
        (tmp_path / f"cut{suffix}").write_bytes(content[: int(len(content) * share)])
        refused(tmp_path / f"cut{suffix}")


def test_writing(tmp_path: Path, light: np.ndarray):
    path = tmp_path / "ein süßer See.EXR"
    for compression in ("none", "zip", "piz", "rle"):
        flipped = light[::-1, ::-1]
        write_exr({"R": flipped[..., 0], "G": flipped[..., 1], "B": flipped[..., 2]}, path, compression)
        np.testing.assert_array_equal(read_light(path, 10**6), flipped)
        assert [entry.name for entry in tmp_path.iterdir()] == [path.name]
    depth = np.random.default_rng(1).random(SHAPE).astype(np.float32)
    write_exr(planes(light) | {"depth.Z": depth.T[:21, :21].T.repeat(2, 1)[:, :37]}, path)
    with OpenEXR.File(str(path), separate_channels=True) as file:
        assert file.channels()["depth.Z"].pixels.dtype == np.float32
    with pytest.raises(UserError, match="missing.*cannot write"):
        write_exr(planes(light), tmp_path / "missing" / "a.exr")


# ------------------------------------------------------------------------------------------------------- primaries

P3 = (0.680, 0.320, 0.265, 0.690, 0.150, 0.060, 0.3127, 0.3290)
ACES = (0.7347, 0.2653, 0.0, 1.0, 0.0001, -0.0770, 0.32168, 0.33767)
# ACES2065-1 to Rec. 709, as the Academy's ACEScsc.Academy_to_Rec709 of the colour-science tables has it (Bradford).
ACES_TO_REC709 = [[2.5217, -1.1341, -0.3876], [-0.2765, 1.3727, -0.0962], [-0.0154, -0.1530, 1.1684]]
P3_TO_REC709 = [[1.2249, -0.2247, 0.0], [-0.0420, 1.0419, 0.0], [-0.0197, -0.0786, 1.0979]]


@pytest.mark.parametrize(("chromaticities", "matrix"), [(P3, P3_TO_REC709), (ACES, ACES_TO_REC709)])
@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_other_primaries_are_converted(
    tmp_path: Path, light: np.ndarray, chromaticities: tuple[float, ...], matrix: list[list[float]], dtype: type
):
    light = np.abs(light).astype(dtype)
    path = write(tmp_path / "a.exr", part(planes(light), chromaticities=chromaticities))
    found = read_light(path, 10**6)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, light.astype(np.float32) @ np.array(matrix, np.float32).T, atol=0.05)
    grey = np.ones_like(light) * 3
    path = write(tmp_path / "b.exr", part(planes(grey), chromaticities=chromaticities))
    np.testing.assert_allclose(read_light(path, 10**6), 3, rtol=1e-4)


def test_primaries_of_rec709_leave_every_value(tmp_path: Path, light: np.ndarray):
    rec709 = (0.64, 0.33, 0.30, 0.60, 0.15, 0.06, 0.3127, 0.329)
    found = read_light(write(tmp_path / "a.exr", part(planes(light), chromaticities=rec709)), 10**6)
    assert found.dtype == np.float16
    np.testing.assert_array_equal(found, light)


def test_luminance_and_chroma_of_other_primaries(tmp_path: Path):
    light = np.random.default_rng(0).random((*SHAPE, 3)).astype(np.float32) + 0.1
    weights = np.array([0.2290, 0.6917, 0.0793], np.float32)  # the luminance row of Display P3
    luminance = light @ weights
    channels = {
        "Y": luminance,
        "RY": (light[..., 0] - luminance) / luminance,
        "BY": (light[..., 2] - luminance) / luminance,
    }
    found = read_light(write(tmp_path / "a.exr", part(channels, chromaticities=P3)), 10**6)
    np.testing.assert_allclose(found, light @ np.array(P3_TO_REC709, np.float32).T, atol=4e-3)
    grey = read_light(write(tmp_path / "b.exr", part({"Y": luminance}, chromaticities=P3)), 10**6)
    np.testing.assert_array_equal(grey[..., 1], luminance)


@pytest.mark.parametrize("chromaticities", [(0.3,) * 8, (0.0,) * 8, (float("nan"),) * 8, (1e30,) * 8])
def test_impossible_primaries_are_left_aside(
    tmp_path: Path, light: np.ndarray, chromaticities: tuple[float, ...], caplog: pytest.LogCaptureFixture
):
    path = write(tmp_path / "a.exr", part(planes(light), chromaticities=chromaticities))
    np.testing.assert_array_equal(read_light(path, 10**6), light)
    assert f"{path}: its chromaticities are left aside (" in caplog.text


def test_no_light_is_lost_between_primaries(tmp_path: Path):
    light = np.full((4, 4, 3), np.inf, np.float32)
    light[0] = np.nan
    found = read_light(write(tmp_path / "a.exr", part(planes(light), chromaticities=ACES)), 10**6)
    assert np.isnan(found[0]).all() and (found[1:] > 1e36).all() and np.isfinite(found[1:]).all()


@pytest.mark.parametrize("names", ["XYZ", "XY", "P.X P.Y P.Z", "N.X N.Y N.Z A"])
def test_positions_and_normals_are_no_grey_picture(tmp_path: Path, names: str):
    plane = np.ones(SHAPE, np.float32)
    listed = names.split() if " " in names else list(names)
    said = refused(write(tmp_path / "a.exr", part({name: plane for name in listed})))
    assert "has no channels R, G, B and no luminance Y, only " in said and listed[0] in said


def test_a_depth_beside_luminance_is_no_colour(tmp_path: Path, light: np.ndarray):
    grey = planes(light)["R"]
    found = read_light(write(tmp_path / "a.exr", part({"Y": grey, "Z": grey.astype(np.float32)})), 10**6)
    np.testing.assert_array_equal(found[..., 2], grey)


def test_the_alpha_of_a_picture(tmp_path: Path, light: np.ndarray):
    alpha = np.ones(SHAPE, np.float16)
    alpha[:9] = 0
    alpha[9] = 0.75
    found = read_layers(write(tmp_path / "a.exr", part({**planes(light), "A": alpha, "x.A": alpha * 0})), 10**6)
    np.testing.assert_array_equal(found.colours, light)
    np.testing.assert_array_equal(found.opacity[..., 0], alpha)
    for nothing in (np.zeros_like(alpha), np.ones_like(alpha)):
        path = write(tmp_path / "a.exr", part({**planes(light), "A": nothing}))
        assert read_layers(path, 10**6).opacity is None
