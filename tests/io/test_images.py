"""Every image a user may have is read alike, and every file that is none is refused in one line."""

import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import OpenEXR
import pytest
import torch
from PIL import Image
from torch.testing import assert_close

from aognet.errors import UserError
from aognet.io import files
from aognet.io.files import write_atomically
from aognet.io.images import (
    from_uint8,
    load_image,
    load_panorama,
    resize_panorama,
    save_image,
    to_uint8,
)
from aognet.io.tonemap import tone_map
from tests.smooth import smooth_panorama


@pytest.fixture
def pixels() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (6, 10, 3), dtype=np.uint8)


def as_tensor(pixels: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(pixels.astype(np.float32)).permute(2, 0, 1) / 127.5 - 1


def write_exr(path: Path, channels: dict[str, np.ndarray]) -> Path:
    channels = {name: np.ascontiguousarray(values) for name, values in channels.items()}
    header = {"compression": OpenEXR.ZIP_COMPRESSION, "type": OpenEXR.scanlineimage}  # OpenEXR writes into it
    with OpenEXR.File(header, channels) as file:
        file.write(str(path))
    return path


def refused(path: Path) -> str:
    with pytest.raises(UserError) as caught:
        load_image(path)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value).strip()
    return str(caught.value)


def test_bytes_and_floats():
    levels = torch.arange(256, dtype=torch.uint8)[None]
    assert torch.equal(to_uint8(from_uint8(levels)), levels)
    assert from_uint8(levels).min() == -1 and from_uint8(levels).max() == 1
    assert to_uint8(torch.tensor([[-3.0, 3.0]])).tolist() == [[0, 255]]


def test_png_comes_back_to_the_bit(tmp_path: Path, pixels: np.ndarray):
    save_image(as_tensor(pixels), tmp_path / "a.png")
    assert torch.equal(to_uint8(load_image(tmp_path / "a.png")), torch.from_numpy(pixels).permute(2, 0, 1))
    assert_close(load_image(tmp_path / "a.png"), as_tensor(pixels))


@pytest.mark.parametrize("name", ["a.jpg", "A.JPEG", "photo of a lake, ein See.JPG"])
def test_jpeg(tmp_path: Path, name: str):
    smooth = smooth_panorama(32)[0]
    save_image(smooth, tmp_path / name)
    assert_close(load_image(tmp_path / name), smooth, atol=0.15, rtol=0)


@pytest.mark.parametrize("mode", ["L", "1", "P", "LA", "RGBA", "CMYK"])
def test_other_colour_modes(tmp_path: Path, pixels: np.ndarray, mode: str):
    image = Image.fromarray(pixels).convert(mode)
    path = tmp_path / ("a.jpg" if mode == "CMYK" else "a.png")
    image.save(path, quality=100) if mode == "CMYK" else image.save(path)
    loaded = load_image(path)
    assert loaded.shape == (3, 6, 10) and loaded.dtype == torch.float32
    if mode != "CMYK":
        assert_close(loaded, as_tensor(np.array(image.convert("RGB"))))


def test_transparency_is_dropped(tmp_path: Path, pixels: np.ndarray):
    Image.fromarray(np.dstack([pixels, np.zeros((6, 10), np.uint8)])).save(tmp_path / "a.png")
    assert_close(load_image(tmp_path / "a.png"), as_tensor(pixels))


def test_16_bit_grey_keeps_its_range(tmp_path: Path):
    grey = np.linspace(0, 65535, 60).astype(np.uint16).reshape(6, 10)
    Image.fromarray(grey).save(tmp_path / "a.png")
    expected = torch.from_numpy(grey.astype(np.float32) / 65535 * 2 - 1).expand(3, 6, 10)
    assert_close(load_image(tmp_path / "a.png"), expected, atol=1e-4, rtol=0)


@pytest.mark.parametrize(("orientation", "turn"), [(1, 0), (3, 2), (6, 3), (8, 1)])
def test_photos_are_turned_upright(tmp_path: Path, orientation: int, turn: int):
    pixels = np.zeros((32, 64, 3), np.uint8)
    pixels[:, :32, 0] = 255
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(pixels).save(tmp_path / "a.jpg", exif=exif, quality=100, subsampling=0)
    expected = as_tensor(np.rot90(pixels, turn).copy())
    assert_close(load_image(tmp_path / "a.jpg"), expected, atol=0.1, rtol=0)


@pytest.mark.parametrize("suffix", [".exr", ".hdr"])
def test_linear_light_is_tone_mapped(tmp_path: Path, suffix: str):
    light = (np.random.default_rng(0).random((6, 12, 3)) * 50 + 5).astype(np.float32)
    path = tmp_path / f"a{suffix}"
    if suffix == ".exr":
        write_exr(path, {name: light[..., i] for i, name in enumerate("RGB")})
    else:
        cv2.imwrite(str(path), light[..., ::-1])
    shown = (load_image(path) + 1) / 2
    assert shown.shape == (3, 6, 12) and shown.median().item() == pytest.approx(0.5, abs=0.02)
    atol = 0.01 if suffix == ".hdr" else 1e-6
    assert_close(shown, torch.from_numpy(tone_map(light)).permute(2, 0, 1), atol=atol, rtol=0)


def test_files_that_are_no_images(tmp_path: Path):
    assert "no such" in refused(tmp_path / "missing.png")
    (tmp_path / "folder.png").mkdir()
    refused(tmp_path / "folder.png")
    for name in ("empty", "text", "noise"):
        for suffix in (".png", ".jpg", ".exr"):
            path = tmp_path / (name + suffix)
            path.write_bytes({"empty": b"", "text": b"<html>404</html>", "noise": bytes(range(256)) * 8}[name])
            refused(path)


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".exr"])
def test_truncated_and_damaged_files(tmp_path: Path, suffix: str):
    noise = np.random.default_rng(0).integers(0, 256, (32, 64, 3), dtype=np.uint8)
    whole = tmp_path / f"whole{suffix}"
    if suffix == ".exr":
        write_exr(whole, {name: noise[..., i].astype(np.float32) for i, name in enumerate("RGB")})
    else:
        Image.fromarray(noise).save(whole)
    data = whole.read_bytes()
    for share in (0.02, 0.2, 0.5, 0.9):
        (tmp_path / f"cut{suffix}").write_bytes(data[: int(len(data) * share)])
        refused(tmp_path / f"cut{suffix}")
    random = np.random.default_rng(1)
    for _ in range(40):  # whatever a damaged file does, nothing but a picture or a clear line comes out
        damaged = bytearray(data)
        for place in random.integers(0, len(data), 8):
            damaged[place] = random.integers(256)
        (tmp_path / f"bad{suffix}").write_bytes(damaged)
        try:
            assert load_image(tmp_path / f"bad{suffix}").isfinite().all()
        except UserError as error:
            assert "bad" in str(error)


def png_chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


@pytest.mark.parametrize(("width", "height"), [(100_000, 100_000), (16385, 8192), (2**31 - 1, 1)])
def test_a_png_that_claims_to_be_huge(tmp_path: Path, width: int, height: int):
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    body = png_chunk(b"IHDR", header) + png_chunk(b"IDAT", zlib.compress(bytes(100))) + png_chunk(b"IEND", b"")
    (tmp_path / "huge.png").write_bytes(b"\x89PNG\r\n\x1a\n" + body)
    refused(tmp_path / "huge.png")


@pytest.mark.parametrize(("right", "bottom"), [(99_999, 99_999), (32_000, 32_000), (-5, 3), (2**31 - 1, 0)])
def test_an_exr_that_claims_to_be_huge(tmp_path: Path, right: int, bottom: int):
    path = write_exr(tmp_path / "huge.exr", {name: np.zeros((8, 16), np.float32) for name in "RGB"})
    data = path.read_bytes()
    start = data.index(b"dataWindow\x00box2i\x00") + len(b"dataWindow\x00box2i\x00") + 4
    path.write_bytes(data[:start] + struct.pack("<iiii", 0, 0, right, bottom) + data[start + 16 :])
    refused(path)


@pytest.mark.parametrize("shape", [(20, 30), (20, 20), (20, 60), (30, 20)])
def test_a_panorama_has_the_aspect_ratio_of_one(tmp_path: Path, shape: tuple[int, int]):
    save_image(torch.zeros(3, *shape), tmp_path / "a.png")
    with pytest.raises(UserError, match=f"a.png.*{shape[1]}x{shape[0]}"):
        load_panorama(tmp_path / "a.png", 16)


@pytest.mark.parametrize("width", [63, 64, 65])
@pytest.mark.parametrize("height", [16, 32, 48])
def test_panoramas_are_loaded_in_the_size_that_is_asked_for(tmp_path: Path, width: int, height: int):
    save_image(torch.full((3, 32, width), 0.2), tmp_path / "a.png")
    loaded = load_panorama(tmp_path / "a.png", height)
    assert_close(loaded, torch.full((3, height, 2 * height), 0.2), atol=0.01, rtol=0)


@pytest.mark.parametrize("height", [8, 12, 31, 64, 65, 100, 133, 200])
def test_resizing_keeps_every_colour_in_its_direction(height: int):
    resized = resize_panorama(smooth_panorama(64), height)
    # Bilinear sampling and averaging both err with the square of the larger pixel.
    assert_close(resized, smooth_panorama(height), atol=5 / min(height, 64) ** 2, rtol=0)


@pytest.mark.parametrize("height", [16, 32, 25, 63])
def test_shrinking_keeps_the_mean(height: int):
    panorama = torch.rand(1, 3, 64, 128)
    assert_close(resize_panorama(panorama, height).mean((2, 3)), panorama.mean((2, 3)))


@pytest.mark.parametrize("height", [8, 32, 48, 64])
def test_resizing_has_no_seam(height: int):
    panorama = torch.rand(1, 3, 16, 32)
    turned = resize_panorama(panorama.roll(8, -1), height)
    assert_close(turned, resize_panorama(panorama, height).roll(height // 2, -1), atol=1e-5, rtol=0)


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_nothing_half_written_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException):
    target = tmp_path / "a.txt"
    target.write_text("before")

    def fail(path: Path) -> None:
        assert path.read_text() == "after", "written before it is moved into place"
        raise error

    monkeypatch.setattr(files, "flush", fail)
    with pytest.raises(UserError if isinstance(error, OSError) else KeyboardInterrupt) as caught:
        write_atomically(target, "after")
    assert target.read_text() == "before"
    assert list(tmp_path.iterdir()) == [target]
    assert not isinstance(error, OSError) or (str(target) in str(caught.value) and "space" in str(caught.value))


@pytest.mark.parametrize("content", ["after, süß", "after, süß".encode()])
def test_writing_replaces_the_whole_file(tmp_path: Path, content: str | bytes):
    (tmp_path / "a.txt").write_text("a long text before")
    write_atomically(tmp_path / "a.txt", content)
    assert (tmp_path / "a.txt").read_text(encoding="utf-8") == "after, süß"
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]


def test_places_that_cannot_be_written(tmp_path: Path):
    (tmp_path / "file").write_text("")
    (tmp_path / "folder.png").mkdir()
    for path in (tmp_path / "file" / "a.png", tmp_path / "missing" / "a.png", tmp_path / "folder.png"):
        with pytest.raises(UserError, match="cannot write") as caught:
            save_image(torch.zeros(3, 4, 4), path)
        assert str(path.parent) in str(caught.value)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "folder.png"]
