"""Colours, alpha and orientation arrive as a colour-managed viewer shows them; odd metadata spoils no picture."""

import io
import logging
import struct
import subprocess
import sys
import threading
import warnings
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image, ImageCms, PngImagePlugin

from aognet.errors import UserError
from aognet.io import icc
from aognet.io.colour import ADOBE_RGB, DISPLAY_P3, REC709, REC2020, adaptation, to_rec709, to_xyz
from aognet.io.decoding import decode_file
from aognet.io.pillow_warnings import as_log_lines
from tests.slow import rest_slow

P3_RED, IN_SRGB = (200, 60, 60), (217, 42, 52)
SRGB_PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(pixels: np.ndarray, before: bytes = b"", after: bytes = b"") -> bytes:
    """A PNG of uint8 or uint16 [rows, columns, channels] by hand, with chunks before and after its pixels."""
    rows, columns, channels = pixels.shape
    depth, kind = 8 * pixels.itemsize, {1: 0, 2: 4, 3: 2, 4: 6}[channels]
    lines = b"".join(b"\0" + line.astype(pixels.dtype.newbyteorder(">")).tobytes() for line in pixels)
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", columns, rows, depth, kind, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + before + chunk(b"IDAT", zlib.compress(lines)) + after + chunk(b"IEND", b"")


def xyz_tag(values: np.ndarray) -> bytes:
    return b"XYZ \0\0\0\0" + struct.pack(">3i", *(round(float(value) * 65536) for value in values))


def para(kind: int, *values: float) -> bytes:
    return b"para\0\0\0\0" + struct.pack(">HH", kind, 0) + b"".join(struct.pack(">i", round(v * 65536)) for v in values)


def curv(*points: int) -> bytes:
    return b"curv\0\0\0\0" + struct.pack(">I", len(points)) + struct.pack(f">{len(points)}H", *points)


SRGB_CURVE = para(3, 2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)


def profile(tags: dict[bytes, bytes], kind: bytes = b"RGB ") -> bytes:
    """An ICC display profile of these tags, by ICC.1:2022 section 7."""
    tags = {b"wtpt": xyz_tag(np.array([0.9642, 1, 0.8249]))} | tags
    place, table, body = 132 + 12 * len(tags), b"", b""
    for name, data in tags.items():
        data += b"\0" * (-len(data) % 4)
        table += struct.pack(">4sII", name, place + len(body), len(data))
        body += data
    head = struct.pack(">I4sI4s4s4s", place + len(body), b"lcms", 0x04300000, b"mntr", kind, b"XYZ ")
    head += bytes(12) + b"acsp" + bytes(28) + struct.pack(">3i", 63190, 65536, 54061)
    return head.ljust(128, b"\0") + struct.pack(">I", len(tags)) + table + body


def matrix_profile(chromaticities: tuple[float, ...], *curves: bytes) -> bytes:
    columns = adaptation(chromaticities[6:], (0.34567, 0.35850)) @ to_xyz(chromaticities)
    curves = curves * 3 if len(curves) == 1 else curves
    tags = {letter + b"XYZ": xyz_tag(column) for letter, column in zip((b"r", b"g", b"b"), columns.T, strict=True)}
    return profile(tags | {letter + b"TRC": curve for letter, curve in zip((b"r", b"g", b"b"), curves, strict=True)})


PROPHOTO = (0.7347, 0.2653, 0.1596, 0.8404, 0.0366, 0.0001, 0.3457, 0.3585)
PROFILES = {
    "p3": matrix_profile(DISPLAY_P3, SRGB_CURVE),
    "adobe": matrix_profile(ADOBE_RGB, curv(563)),
    "prophoto": matrix_profile(PROPHOTO, para(3, 1.8, 1, 0, 1 / 16, 1 / 32)),
    "table": matrix_profile(REC709, curv(*(round(65535 * (i / 1023) ** 1.8) for i in range(1024)))),
    "linear": matrix_profile(REC2020, curv()),
    "three": matrix_profile(REC709, curv(256), para(0, 2.0), para(1, 2.0, 1.1, -0.1)),
}


def with_profile(pixels: np.ndarray, content: bytes) -> bytes:
    return png(pixels, chunk(b"iCCP", b"x\0\0" + zlib.compress(content)))


def colours(count: int = 4000) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count // 40, 40, 3), dtype=np.uint8)


def by_lcms(pixels: np.ndarray, content: bytes) -> np.ndarray:
    """What LittleCMS makes of it: for matrices another implementation than the one for 16 bits."""
    image, source = Image.fromarray(pixels), ImageCms.ImageCmsProfile(io.BytesIO(content))
    return np.asarray(ImageCms.profileToProfile(image, source, ImageCms.createProfile("sRGB"), outputMode="RGB"))


def levels(content: bytes) -> np.ndarray:
    return decode_file(content, "a.png").levels


# ------------------------------------------------------------------------------------------------------ primaries


def test_matrices_are_those_of_the_tables() -> None:
    # IEC 61966-2-1 (sRGB), and Apple's P3 to sRGB as the CSS Color 4 specification has it.
    srgb = [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]
    np.testing.assert_allclose(to_xyz(REC709), srgb, atol=2e-4)
    p3 = [[1.2249, -0.2247, 0], [-0.0420, 1.0419, 0], [-0.0197, -0.0786, 1.0979]]
    np.testing.assert_allclose(to_rec709(DISPLAY_P3), p3, atol=4e-4)


@pytest.mark.parametrize("chromaticities", [DISPLAY_P3, ADOBE_RGB, REC2020, PROPHOTO, REC709])
def test_white_stays_white(chromaticities: tuple[float, ...]) -> None:
    np.testing.assert_allclose(to_rec709(chromaticities) @ np.ones(3), 1, atol=1e-9)


@pytest.mark.parametrize(
    "chromaticities", [(0.3, 0.3) * 4, (0.1, 0.1, 0.2, 0.2, 0.3, 0.3, 0.3, 0.3), (float("nan"),) * 8, (0.0,) * 8]
)
def test_impossible_primaries_are_refused(chromaticities: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="primaries"):
        to_rec709(chromaticities)


# ---------------------------------------------------------------------------------------------------- ICC profiles


def test_a_p3_red_is_what_a_viewer_shows(tmp_path: Path) -> None:
    pixels = np.full((8, 8, 3), P3_RED, np.uint8)
    assert np.abs(levels(with_profile(pixels, PROFILES["p3"])).astype(int) - IN_SRGB).max() <= 1
    deep = levels(with_profile(pixels.astype(np.uint16) * 257, PROFILES["p3"]))
    assert deep.dtype == np.uint16 and np.abs(deep / 257 - IN_SRGB).max() <= 1
    Image.fromarray(pixels).save(tmp_path / "a.jpg", quality=100, subsampling=0, icc_profile=PROFILES["p3"])
    assert np.abs(decode_file(tmp_path / "a.jpg", "a.jpg").levels.astype(int) - IN_SRGB).max() <= 3
    for coded in (chunk(b"cICP", bytes([12, 13, 0, 1])), chunk(b"iCCP", b"x\0\0" + zlib.compress(PROFILES["p3"]))):
        assert np.abs(levels(png(pixels, coded)).astype(int) - IN_SRGB).max() <= 1


@pytest.mark.parametrize("name", PROFILES)
def test_eight_bits_and_sixteen_agree_with_littlecms(name: str) -> None:
    pixels, content = colours(), PROFILES[name]
    expected = by_lcms(pixels, content).astype(float)
    np.testing.assert_array_equal(levels(with_profile(pixels, content)), expected)
    deep = levels(with_profile(pixels.astype(np.uint16) * 257, content))
    assert deep.dtype == np.uint16
    # LittleCMS itself computes 8 bits in 15-bit numbers, which dark values of linear light feel.
    assert np.abs(deep / 257 - expected).max() <= (2.5 if name == "linear" else 1.5)
    assert np.abs(deep / 257 - expected).mean() < 0.35


def test_a_profile_of_tables_makes_sixteen_bits_eight(caplog: pytest.LogCaptureFixture) -> None:
    tables = profile({b"A2B0": b"mft2" + bytes(48)})
    expected = colours()
    deep = levels(with_profile(expected.astype(np.uint16) * 257, tables))
    assert "a.png: " in caplog.text and deep.shape == expected.shape


def test_sixteen_bits_stay_sixteen() -> None:
    ramp = np.repeat(np.arange(0, 65536, 16, dtype=np.uint16).reshape(16, 256, 1), 3, -1)
    found = levels(with_profile(ramp, PROFILES["p3"]))
    assert np.abs(found.astype(int) - ramp).max() <= 24  # grey stays grey; the profile is rounded to 1/65536
    found = levels(with_profile(ramp, PROFILES["adobe"]))
    assert len(np.unique(found[..., 0])) > 3500
    np.testing.assert_array_equal(levels(png(ramp)), ramp)
    mixed = np.random.default_rng(0).integers(0, 65536, (5, 7, 4), dtype=np.uint16)
    picture = decode_file(png(mixed), "a.png")
    np.testing.assert_array_equal(picture.levels, mixed[..., :3])
    np.testing.assert_array_equal(picture.alpha, mixed[..., 3:])


def test_srgb_stays_as_it_is() -> None:
    pixels = colours()
    for content in (SRGB_PROFILE, matrix_profile(REC709, SRGB_CURVE)):
        np.testing.assert_array_equal(levels(with_profile(pixels, content)), pixels)
    gamma, primaries = (
        struct.pack(">I", 45455),
        struct.pack(">8I", 31270, 32900, 64000, 33000, 30000, 60000, 15000, 6000),
    )
    for chunks in (
        chunk(b"gAMA", gamma),
        chunk(b"gAMA", gamma) + chunk(b"cHRM", primaries),
        chunk(b"sRGB", b"\0") + chunk(b"gAMA", struct.pack(">I", 100000)),
        chunk(b"cICP", bytes([1, 13, 0, 1])) + chunk(b"gAMA", struct.pack(">I", 100000)),
    ):
        np.testing.assert_array_equal(levels(png(pixels, chunks)), pixels)


def test_grey_profiles() -> None:
    ramp = np.arange(256, dtype=np.uint8).reshape(16, 16, 1)
    content = profile({b"kTRC": curv(round(1.8 * 256))}, b"GRAY")
    light = (ramp / 255) ** 1.8
    expected = np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055) * 255
    assert np.abs(levels(with_profile(ramp, content)) - expected).max() <= 1.5
    deep = levels(with_profile(ramp.astype(np.uint16) * 257, content))
    assert deep.shape == (16, 16, 1) and np.abs(deep / 257 - expected).max() <= 0.06  # 1.8 is written in steps of 1/256
    # A grey picture may have an RGB profile, whose curve counts; the other way round nothing fits.
    expected = by_lcms(np.repeat(ramp, 3, -1), PROFILES["adobe"])
    assert np.abs(levels(with_profile(ramp, PROFILES["adobe"])).astype(int) - expected).max() <= 1
    np.testing.assert_array_equal(levels(with_profile(colours(), content)), colours())


def test_cmyk_by_its_profile_or_without(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    image = Image.new("CMYK", (8, 8), (0, 200, 200, 40))
    for content in (b"", b"no profile", PROFILES["p3"]):
        image.save(tmp_path / "a.jpg", quality=100, icc_profile=content or None)
        found = decode_file(tmp_path / "a.jpg", "a.jpg").levels
        assert np.abs(found.astype(int) - np.asarray(image.convert("RGB"))).max() <= 6
        assert ("ICC profile is left aside" in caplog.text) == bool(content)
        caplog.clear()


def cmyk_profile() -> bytes:
    """Ink to Lab by a table of 2 x 2 x 2 x 2 points (lut8Type, ICC.1:2022 section 10.11)."""
    identity = struct.pack(">9i", *(np.eye(3).astype(int).ravel() * 65536))
    ramp = bytes(range(256))
    cyan, magenta, yellow, black = np.indices((2, 2, 2, 2)).reshape(4, -1)
    light = (1 - black) * (1 - 0.3 * cyan - 0.4 * magenta - 0.1 * yellow)
    green_red = 128 + (1 - black) * (60 * magenta - 50 * cyan)
    blue_yellow = 128 + (1 - black) * (80 * yellow - 40 * cyan)
    table = np.stack([light * 255, green_red, blue_yellow], -1).round().astype(np.uint8).tobytes()
    lut = b"mft1\0\0\0\0" + bytes([4, 3, 2, 0]) + identity + ramp * 4 + table + ramp * 3
    content = bytearray(profile({b"A2B0": lut}, b"CMYK"))
    content[12:16], content[20:24] = b"prtr", b"Lab "
    return bytes(content)


def test_cmyk_by_its_profile(tmp_path: Path) -> None:
    content = cmyk_profile()
    inks = [(0, 0, 0, 0), (0, 0, 0, 255), (255, 0, 0, 0), (0, 255, 0, 0), (0, 0, 255, 0), (30, 200, 90, 40)]
    for ink in inks:
        image = Image.new("CMYK", (8, 8), ink)
        image.save(tmp_path / "a.jpg", quality=100, icc_profile=content)
        source = ImageCms.ImageCmsProfile(io.BytesIO(content))
        shown = ImageCms.profileToProfile(image, source, ImageCms.createProfile("sRGB"), outputMode="RGB")
        found = decode_file(tmp_path / "a.jpg", "a.jpg").levels.astype(int)
        assert np.abs(found - np.asarray(shown)).max() <= 6, ink
        if ink == inks[0]:
            assert found.min() >= 250
        elif ink == inks[1]:
            assert found.max() <= 5
        else:
            assert np.abs(found - np.asarray(image.convert("RGB"))).max() > 20, ink  # without a profile it is another


@pytest.mark.parametrize("seed", rest_slow(range(4)))
def test_hostile_profiles_are_left_aside(seed: int, caplog: pytest.LogCaptureFixture) -> None:
    random, pixels = np.random.default_rng(seed), colours(400)
    for number in range(60):
        content = bytearray(list(PROFILES.values())[number % len(PROFILES)])
        for place in random.integers(0, len(content), 8):
            content[place] = random.integers(256)
        content = bytes(content[: random.integers(1, len(content) + 1)] if number % 3 == 0 else content)
        for some in (pixels, pixels.astype(np.uint16) * 257):
            found = levels(with_profile(some, content))
            assert found.shape == pixels.shape
    assert all("\n" not in record.getMessage() for record in caplog.records)


def test_a_profile_too_large_is_left_aside(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr(icc, "MAX_BYTES", 300)
    np.testing.assert_array_equal(levels(with_profile(colours(), PROFILES["p3"])), colours())
    assert "a.png: its ICC profile is left aside (" in caplog.text


def test_a_profile_above_pillows_limit_still_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(PngImagePlugin, "MAX_TEXT_CHUNK", 300)
    pixels = np.full((4, 4, 3), P3_RED, np.uint8)
    assert np.abs(levels(with_profile(pixels, PROFILES["p3"])).astype(int) - IN_SRGB).max() <= 1


# ---------------------------------------------------------------------------------------------- chunks and EXIF


def test_gamma_and_primaries_of_a_png() -> None:
    pixels = colours()
    linear = levels(png(pixels, chunk(b"gAMA", struct.pack(">I", 100000))))
    light = pixels / 255
    expected = np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055) * 255
    assert np.abs(linear - expected).max() <= 0.51
    adobe = struct.pack(">8I", 31270, 32900, 64000, 33000, 21000, 71000, 15000, 6000)
    found = levels(png(pixels, chunk(b"cHRM", adobe) + chunk(b"gAMA", struct.pack(">I", round(100000 / (563 / 256))))))
    assert np.abs(found.astype(int) - by_lcms(pixels, matrix_profile(ADOBE_RGB, SRGB_CURVE))).max() <= 1


@pytest.mark.parametrize(
    "chunks",
    [
        chunk(b"cICP", bytes([9, 16, 0, 1])),
        chunk(b"cICP", bytes([9, 18, 0, 1])),
        chunk(b"cICP", bytes([99, 13, 0, 1])),
        chunk(b"gAMA", bytes(4)),
        chunk(b"cHRM", bytes(32)),
        chunk(b"cHRM", b"\xff" * 32),
    ],
)
def test_what_no_colour_space_is_of_is_said(chunks: bytes, caplog: pytest.LogCaptureFixture) -> None:
    np.testing.assert_array_equal(levels(png(colours(), chunks)), colours())
    assert len(caplog.records) == 1 and "a.png: its c" in caplog.text and "left aside (" in caplog.text


def test_adobe_rgb_of_a_camera(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif.get_ifd(0x8769)[0xA001] = 2
    Image.new("RGB", (16, 16), (60, 200, 60)).save(tmp_path / "a.jpg", exif=exif, quality=100, subsampling=0)
    expected = by_lcms(np.full((1, 1, 3), (60, 200, 60), np.uint8), PROFILES["adobe"])
    assert np.abs(decode_file(tmp_path / "a.jpg", "a").levels.astype(int) - expected).max() <= 5


@pytest.mark.parametrize("orientation", range(10))
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_orientation_of_every_depth(orientation: int, dtype: type) -> None:
    from PIL import ImageOps

    pixels = np.random.default_rng(0).integers(0, np.iinfo(dtype).max, (5, 8, 4)).astype(dtype)
    exif = Image.Exif()
    exif[0x0112] = orientation
    content = png(pixels, chunk(b"eXIf", exif.tobytes()[6:]))
    picture = decode_file(content, "a.png")
    expected = np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(content))))
    both = np.concatenate([picture.levels, picture.alpha], -1)
    np.testing.assert_array_equal(both if dtype == np.uint8 else both >> 8, expected)


def tiff(pixels: np.ndarray, orientation: int) -> bytes:
    """A TIFF file of one strip of RGB, by TIFF 6.0."""
    rows, columns, _ = pixels.shape
    entries = [(256, 3, 1, columns), (257, 3, 1, rows), (258, 3, 3, 134), (259, 3, 1, 1), (262, 3, 1, 2)]
    entries += [
        (273, 4, 1, 140),
        (274, 3, 1, orientation),
        (277, 3, 1, 3),
        (278, 3, 1, rows),
        (279, 4, 1, pixels.nbytes),
    ]
    content = b"II*\0\x08\0\0\0" + struct.pack("<H", len(entries))
    content += b"".join(struct.pack("<HHII", *entry) for entry in entries) + bytes(4)
    assert len(content) == 134
    return content + struct.pack("<3H", *[8 * pixels.itemsize] * 3) + pixels.tobytes()


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_tiff_files_are_turned_once(tmp_path: Path, orientation: int, dtype: type) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (5, 8, 3), dtype=np.uint8)
    upright = {
        1: pixels,
        2: pixels[:, ::-1],
        3: np.rot90(pixels, 2),
        4: pixels[::-1],
        5: pixels.swapaxes(0, 1),
        6: np.rot90(pixels, 3),
        7: np.rot90(pixels, 2).swapaxes(0, 1),
        8: np.rot90(pixels, 1),
    }[orientation]
    (tmp_path / "a.tif").write_bytes(tiff(pixels.astype(dtype) * (1 if dtype == np.uint8 else 257), orientation))
    found = decode_file(tmp_path / "a.tif", "a.tif").levels
    # OpenCV turns some and not others, so only upright files keep 16 bits.
    assert found.dtype == (dtype if orientation == 1 else np.uint8)
    np.testing.assert_array_equal(found if found.dtype == np.uint8 else found // 257, upright)


def odd_exif(orientation: int, tags: list[tuple[int, int, int, bytes]]) -> bytes:
    """EXIF data of an orientation and entries (tag, type, count, four bytes of value)."""
    entries = [(0x0112, 3, 1, struct.pack("<HH", orientation, 0)), *tags]
    body = b"".join(struct.pack("<HHI", *entry[:3]) + entry[3] for entry in sorted(entries))
    return b"II*\0\x08\0\0\0" + struct.pack("<H", len(entries)) + body + bytes(4)


ODD_TAGS = [
    (0x010E, 5, 1, b"\xff\xff\xff\xff"),
    (0x010E, 2, 2**31, b"\xff\xff\0\0"),
    (0x010F, 2, 4, b"\xff\xfe\x00\x00"),
    (0x8825, 4, 1, b"\xff\xff\xff\xff"),
    (0x8769, 4, 1, b"\xff\xff\xff\x7f"),
    (0x011A, 5, 1, b"\xff\xff\xff\xff"),
    (0x0110, 13, 1, b"\0\0\0\0"),
    (0x0102, 99, 2**31, b"\0\0\0\0"),
    (0x9C9B, 1, 4, b"abcd"),
    (0x011B, 12, 1, b"\x1a\0\0\0"),
    (0x0131, 3, 2, b"\x01\0\x02\0"),
]


@pytest.mark.parametrize("tag", ODD_TAGS)
def test_an_odd_tag_beside_the_orientation(tag: tuple[int, int, int, bytes]) -> None:
    pixels = colours(400)
    found = levels(png(pixels, chunk(b"eXIf", odd_exif(6, [tag]))))
    np.testing.assert_array_equal(found, np.rot90(pixels, 3))


@pytest.mark.parametrize("tag", ODD_TAGS)
def test_an_odd_tag_beside_the_focal_length(tag: tuple[int, int, int, bytes]) -> None:
    entries = sorted([(0xA405, 3, 1, struct.pack("<HH", 26, 0)), (0x9999, *tag[1:])])
    camera = struct.pack("<H", 2) + b"".join(struct.pack("<HHI", *entry[:3]) + entry[3] for entry in entries) + bytes(4)
    data = odd_exif(8, [(0x8769, 4, 1, struct.pack("<I", 38))])
    picture = decode_file(png(colours(400), chunk(b"eXIf", data + camera)), "a.png")
    assert (picture.exif.orientation, picture.exif.focal_35mm) == (8, 26)


def test_no_exif_data_spoils_a_picture(caplog: pytest.LogCaptureFixture) -> None:
    random, pixels, good = np.random.default_rng(0), colours(400), odd_exif(1, [(0x010F, 2, 4, b"abc\0")])
    for number in range(200):
        data = bytearray(good)
        for place in random.integers(0, len(data), 4):
            data[place] = random.integers(256)
        found = levels(
            png(pixels, chunk(b"eXIf", bytes(data[: random.integers(len(data))] if number % 4 == 0 else data)))
        )
        assert sorted(found.shape) == sorted(pixels.shape)
    assert all("\n" not in record.getMessage() for record in caplog.records)


# ------------------------------------------------------------------------------------------- odd metadata, warnings

BIG = zlib.compress(bytes(3 << 20))


@pytest.mark.parametrize(
    "odd",
    [
        chunk(b"zTXt", b"Comment\0\0" + BIG),
        chunk(b"iTXt", b"Comment\0\1\0\0\0" + BIG),
        b"".join(chunk(b"tEXt", b"Comment\0" + b"a" * (5 << 20)) for _ in range(14)),
        chunk(b"gAMA", b"\0"),
        chunk(b"pHYs", b"\0"),
        chunk(b"zTXt", b"Comment\0\7" + BIG),
        chunk(b"tEXt", b"Comment\0x")[:-1] + b"?",
        chunk(b"acTL", bytes(8)),
    ],
    ids=["zTXt", "iTXt", "many", "gAMA", "pHYs", "method", "checksum", "acTL"],
)
@pytest.mark.parametrize("behind", [False, True])
def test_odd_chunks_spoil_no_picture(odd: bytes, behind: bool, caplog: pytest.LogCaptureFixture) -> None:
    pixels = colours(400)
    content = png(pixels, b"" if behind else odd, odd if behind else b"")
    with warnings.catch_warnings(action="error"):
        np.testing.assert_array_equal(levels(content), pixels)
    assert len(caplog.records) <= 1 and all("a.png: " in record.getMessage() for record in caplog.records)


@pytest.mark.parametrize("odd", [chunk(b"zTXt", b"Comment\0\0" + BIG), chunk(b"pHYs", b"\0")])
def test_odd_chunks_hide_no_others(odd: bytes) -> None:
    pixels = np.full((8, 12, 3), P3_RED, np.uint8)
    for colour in (chunk(b"cICP", bytes([12, 13, 0, 1])), chunk(b"iCCP", b"x\0\0" + zlib.compress(PROFILES["p3"]))):
        picture = decode_file(png(pixels, odd + colour + chunk(b"eXIf", odd_exif(6, []))), "a.png")
        assert picture.levels.shape == (12, 8, 3)
        assert np.abs(picture.levels.astype(int) - IN_SRGB).max() <= 1
    packet = (
        b'<x><y xmlns:GPano="http://ns.google.com/photos/1.0/panorama/" GPano:ProjectionType="equirectangular"/></x>'
    )
    picture = decode_file(png(pixels[:6], odd + chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + packet)), "a.png")
    assert picture.area is not None and picture.area.whole
    damaged = chunk(b"eXIf", odd_exif(6, []))[:-1] + b"?"
    assert decode_file(png(pixels, odd + damaged), "a.png").levels.shape == (8, 12, 3)


def test_damaged_pixels_are_refused_still() -> None:
    content = bytearray(png(colours(400), chunk(b"zTXt", b"Comment\0\0" + BIG)))
    content[-40] ^= 255
    with pytest.raises(UserError, match="a.png: not a readable image"):
        levels(bytes(content))


def test_pillows_warnings_are_log_lines(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, recwarn: pytest.WarningsRecorder
) -> None:
    exif = odd_exif(1, [])[:20]
    Image.new("RGB", (8, 8)).save(tmp_path / "a.jpg", exif=b"Exif\0\0" + exif)
    caplog.set_level(logging.WARNING, "aognet")
    decode_file(tmp_path / "a.jpg", "my.jpg")
    assert not recwarn.list
    assert [record.getMessage() for record in caplog.records][0].startswith("my.jpg: Corrupt EXIF data.")


def test_warnings_of_others_go_where_they_went() -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with as_log_lines("a"), as_log_lines("b"):
            warnings.warn("mine", UserWarning, stacklevel=1)
    assert [str(one.message) for one in caught] == ["mine"]


def test_warnings_are_shown_as_before_after_many_threads() -> None:
    before, filters = warnings.showwarning, list(warnings.filters)
    barrier = threading.Barrier(4)

    def read() -> None:
        for _ in range(20):
            barrier.wait()
            decode_file(png(colours(40)), "a.png")

    threads = [threading.Thread(target=read) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert warnings.showwarning is before and warnings.filters == filters


# ---------------------------------------------------------------------------------------------------------- memory

PEAK = """
import resource, sys
from pathlib import Path
from aognet.io.images import load_image, load_panorama
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
load_panorama(Path(sys.argv[1]), 512) if sys.argv[2] == "panorama" else load_image(Path(sys.argv[1]))
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024)
"""


def test_the_memory_of_16_bits_is_that_of_the_result(tmp_path: Path) -> None:
    rows, columns = 2048, 4096
    cv2.imwrite(str(tmp_path / "a.png"), np.tile(np.arange(columns, dtype=np.uint16), (rows, 1)))
    command = [sys.executable, "-c", PEAK, str(tmp_path / "a.png"), "photo"]
    taken = int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    # Three channels of float32, and twice the file's own 16 bits.
    assert taken < rows * columns * (3 * 4 + 2 * 2) * 1.4
