"""Colours, alpha and orientation arrive as a colour-managed viewer shows them; odd metadata spoils no picture."""

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms, PngImagePlugin

from aognet.io import icc
from aognet.io.colour import ADOBE_RGB, DISPLAY_P3, REC709, REC2020, adaptation, to_rec709, to_xyz
from aognet.io.decoding import decode_file
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
