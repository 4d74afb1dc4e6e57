"""Radiance files of every order and run length come back, and one that is none is refused in one line."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from aognet.io.hdr import read_light
from tests.io.test_hdr import P3_TO_REC709, refused


def rgbe(light: np.ndarray) -> bytes:
    """Flat pixels, four bytes each: mantissas and a shared exponent (independent of OpenCV)."""
    most = light.max(-1, keepdims=True)
    exponent = np.floor(np.log2(most)) + 1
    mantissa = np.floor(light / 2**exponent * 256).clip(0, 255)
    return np.concatenate([mantissa, exponent + 128], -1).astype(np.uint8).tobytes()


ORDERS = {
    "-Y 4 +X 6": lambda a: a,
    "+Y 4 +X 6": lambda a: a[::-1],
    "-Y 4 -X 6": lambda a: a[:, ::-1],
    "+Y 4 -X 6": lambda a: a[::-1, ::-1],
    "+X 6 -Y 4": lambda a: a.swapaxes(0, 1),
    "-X 6 +Y 4": lambda a: a[::-1, ::-1].swapaxes(0, 1),
}


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("extra", ["", "EXPOSURE=4\nEXPOSURE= 0.5\n# a camera -Y 4 +X 6\n", "COLORCORR=1 2 4\n"])
def test_radiance_files(tmp_path: Path, order: str, extra: str):
    light = np.random.default_rng(0).random((4, 6, 3)).astype(np.float32) + 1
    path = tmp_path / "a.HDR"
    head = f"#?RADIANCE\n{extra}FORMAT=32-bit_rle_rgbe\n\n{order}\n".encode()
    path.write_bytes(head + rgbe(np.ascontiguousarray(ORDERS[order](light))))
    found = read_light(path, 10**6)
    divided = np.array({"": [1, 1, 1], "E": [2, 2, 2], "C": [1, 2, 4]}[extra[:1]])
    np.testing.assert_allclose(found * divided, light, atol=2 / 128)
    assert found.dtype == np.float32 and found.flags.c_contiguous


def test_radiance_files_with_run_lengths(tmp_path: Path):
    light = np.random.default_rng(0).random((40, 80, 3)).astype(np.float32)
    light[:, 20:60] = 0.25
    cv2.imwrite(str(tmp_path / "a.hdr"), light[..., ::-1])
    np.testing.assert_allclose(read_light(tmp_path / "a.hdr", 10**6), light, atol=1 / 128)


@pytest.mark.parametrize(
    ("head", "reason"),
    [
        ("#?RADIANCE\nFORMAT=32-bit_rle_xyze\n\n-Y 4 +X 6\n", "xyze"),
        ("#?RADIANCE\nFORMAT=32-bit_rle_rgbe\n\n-Y 100000 +X 100000\n", "100000x100000"),
        ("#?RADIANCE\nFORMAT=32-bit_rle_rgbe\n\n-Y 0 +X 6\n", "6x0"),
        ("#?RADIANCE\nFORMAT=32-bit_rle_rgbe\n\n-Y 4 +Y 6\n", "header"),
        ("#?RADIANCE\nEXPOSURE=0\n\n-Y 4 +X 6\n", "EXPOSURE"),
        ("#?RADIANCE\nEXPOSURE=bright\n\n-Y 4 +X 6\n", "EXPOSURE"),
        ("RADIANCE\n\n-Y 4 +X 6\n", "header"),
    ],
)
def test_radiance_headers_that_are_refused(tmp_path: Path, head: str, reason: str):
    (tmp_path / "a.hdr").write_bytes(head.encode() + bytes([128] * 96))
    assert reason in refused(tmp_path / "a.hdr")


def old_runs(pixels: np.ndarray) -> bytes:
    """Lines of four-byte pixels with repeats as 1 1 1 n, bytes of a count from low to high (the first format)."""
    content = b""
    for line in pixels:
        place = 0
        while place < len(line):
            run = 1
            while place + run < len(line) and (line[place + run] == line[place]).all():
                run += 1
            content += line[place].tobytes()
            repeats = run - 1
            while repeats:
                content += bytes([1, 1, 1, repeats & 255])
                repeats >>= 8
            place += run
    return content


def test_radiance_files_with_old_run_lengths(tmp_path: Path):
    light = np.random.default_rng(0).random((6, 1000, 3)).astype(np.float32) + 0.5
    light[:, 20:320] = 0.75  # a repeat of more than 255, with two bytes
    light[2] = 3
    light[3, 900:] = 0.75
    pixels = np.frombuffer(rgbe(light), np.uint8).reshape(6, 1000, 4)
    head = b"#?RADIANCE\nFORMAT=32-bit_rle_rgbe\n\n-Y 6 +X 1000\n"
    (tmp_path / "flat.hdr").write_bytes(head + pixels.tobytes())
    expected = cv2.imread(str(tmp_path / "flat.hdr"), cv2.IMREAD_UNCHANGED)[..., ::-1]
    np.testing.assert_array_equal(read_light(tmp_path / "flat.hdr", 10**6), expected)
    content = old_runs(pixels)
    assert len(content) < pixels.size * 0.6
    (tmp_path / "a.hdr").write_bytes(head + content)
    np.testing.assert_array_equal(read_light(tmp_path / "a.hdr", 10**6), read_light(tmp_path / "flat.hdr", 10**6))
    for damaged in (content[:-4], content[: len(content) // 2], b"\1\1\1\2" + content):
        (tmp_path / "bad.hdr").write_bytes(head + damaged)
        assert "damaged or cut off" in refused(tmp_path / "bad.hdr")


def test_primaries_of_a_radiance_file(tmp_path: Path):
    light = np.random.default_rng(0).random((4, 6, 3)).astype(np.float32) + 1
    for line, matrix in (
        ("PRIMARIES= 0.640 0.330 0.300 0.600 0.150 0.060 0.3127 0.329\n", np.eye(3)),
        ("PRIMARIES= 0.680 0.320 0.265 0.690 0.150 0.060 0.3127 0.329\n", np.array(P3_TO_REC709)),
    ):
        head = f"#?RADIANCE\n{line}FORMAT=32-bit_rle_rgbe\n\n-Y 4 +X 6\n".encode()
        (tmp_path / "a.hdr").write_bytes(head + rgbe(light))
        np.testing.assert_allclose(read_light(tmp_path / "a.hdr", 10**6), light @ matrix.T, atol=3 / 128)
    head = b"#?RADIANCE\nPRIMARIES= a b\nFORMAT=32-bit_rle_rgbe\n\n-Y 4 +X 6\n"
    (tmp_path / "a.hdr").write_bytes(head + rgbe(light))
    assert "PRIMARIES" in refused(tmp_path / "a.hdr")
