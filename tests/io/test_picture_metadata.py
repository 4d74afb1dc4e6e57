"""Pictures are turned as their metadata says; odd metadata and warnings spoil none."""

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
from PIL import Image

from aognet.errors import UserError
from aognet.io.decoding import decode_file
from aognet.io.pillow_warnings import as_log_lines
from tests.io.test_decoding import (
    IN_SRGB,
    P3_RED,
    PROFILES,
    chunk,
    colours,
    levels,
    png,
)


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
