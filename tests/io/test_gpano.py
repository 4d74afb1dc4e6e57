"""Photo Sphere metadata: what is written comes back, and no text, shape or folder breaks the file."""

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from aognet.errors import UserError
from aognet.io.gpano import clean_text, read_gpano, save_panorama
from tests.slow import rest_slow

EXPECTED = {
    "ProjectionType": "equirectangular",
    "UsePanoramaViewer": "True",
    "FullPanoWidthPixels": "64",
    "FullPanoHeightPixels": "32",
    "CroppedAreaImageWidthPixels": "64",
    "CroppedAreaImageHeightPixels": "32",
    "CroppedAreaLeftPixels": "0",
    "CroppedAreaTopPixels": "0",
    "PoseHeadingDegrees": "0",
    "PosePitchDegrees": "0",
    "PoseRollDegrees": "0",
}


@pytest.fixture
def panorama() -> Image.Image:
    return Image.radial_gradient("L").resize((64, 32)).convert("RGB")


@pytest.mark.parametrize("name", ["result.png", "result.jpg", "RESULT.JPEG"])
def test_roundtrip(tmp_path: Path, panorama: Image.Image, name: str):
    save_panorama(panorama, tmp_path / name, description="a red barn, ein rotes Haus, 赤い納屋 🏠")
    assert read_gpano(tmp_path / name) == EXPECTED | {"description": "a red barn, ein rotes Haus, 赤い納屋 🏠"}
    with Image.open(tmp_path / name) as written:
        assert written.format == ("PNG" if name.endswith("png") else "JPEG")
        assert written.size == (64, 32)
        if written.format == "PNG":
            assert written.tobytes() == panorama.tobytes()


def test_no_description(tmp_path: Path, panorama: Image.Image):
    save_panorama(panorama, tmp_path / "result.png")
    assert read_gpano(tmp_path / "result.png") == EXPECTED


@pytest.mark.parametrize("suffix", [".png", ".jpg"])
@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("<b> & \"double\" 'single' ]]> </rdf:li>", "<b> & \"double\" 'single' ]]> </rdf:li>"),
        ("&lt; {width} %s", "&lt; {width} %s"),
        ("bell\x07 escape\x1b nul\x00 c1\x9b end", "bell  escape  nul  c1  end"),
        ("lone surrogate \ud800, not a character \uffff.", "lone surrogate  , not a character  ."),
        ("&" * 100_000, "&" * 1999 + "…"),
    ],
)
def test_untrusted_description(tmp_path: Path, panorama: Image.Image, suffix: str, given: str, expected: str):
    save_panorama(panorama, tmp_path / f"result{suffix}", description=given)
    assert read_gpano(tmp_path / f"result{suffix}")["description"] == expected


def test_clean_text_keeps_what_fits():
    assert clean_text("x" * 10, 10) == "x" * 10
    assert clean_text("x" * 11, 10) == "x" * 9 + "…"


@pytest.mark.parametrize("size", [(64, 33), (32, 64), (63, 32)])
def test_wrong_aspect_ratio(tmp_path: Path, size: tuple[int, int]):
    with pytest.raises(UserError, match=f"twice as wide as high, got {size[0]}x{size[1]}"):
        save_panorama(Image.new("RGB", size), tmp_path / "result.png")
    assert not list(tmp_path.iterdir())


def test_unknown_suffix(tmp_path: Path, panorama: Image.Image):
    with pytest.raises(UserError, match=r"result\.gif.*\.png, \.jpg, \.jpeg, got '\.gif'"):
        save_panorama(panorama, tmp_path / "result.gif")


def test_unwritable_folder(tmp_path: Path, panorama: Image.Image):
    (tmp_path / "file").touch()
    for folder in ("file", "missing"):
        path = tmp_path / folder / "result.png"
        with pytest.raises(UserError) as caught:
            save_panorama(panorama, path)
        assert str(path) in str(caught.value) and "\n" not in str(caught.value)


def test_failure_keeps_the_old_file(tmp_path: Path, panorama: Image.Image, monkeypatch: pytest.MonkeyPatch):
    path = tmp_path / "result.png"
    save_panorama(panorama, path, description="first")
    before = path.read_bytes()

    def full(self: Path, content: bytes) -> int:
        with self.open("wb") as file:
            file.write(content[:10])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(UserError, match="No space left on device"):
        save_panorama(panorama, path, description="second")
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_reading_strangers_files(tmp_path: Path, panorama: Image.Image):
    bomb = '<!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]><x>&b;</x>'
    utf16 = bomb.encode("utf-16").decode("latin-1")
    for number, packet in enumerate([bomb, utf16, "<open>", "<x/>", "<x>" + "a" * (1 << 20) + "</x>"]):
        chunks = PngImagePlugin.PngInfo()
        chunks.add_itxt("XML:com.adobe.xmp", packet)
        panorama.save(tmp_path / f"{number}.png", pnginfo=chunks)
        assert read_gpano(tmp_path / f"{number}.png") is None
    panorama.save(tmp_path / "plain.jpg")
    assert read_gpano(tmp_path / "plain.jpg") is None
    (tmp_path / "broken.png").write_bytes(b"no image")
    for name in ("broken.png", "missing.png"):
        with pytest.raises(UserError, match=name):
            read_gpano(tmp_path / name)


@pytest.mark.parametrize("count", rest_slow([100, 400]))
@pytest.mark.parametrize("suffix", [".png", ".jpg"])
def test_no_file_breaks_the_reader(tmp_path: Path, panorama: Image.Image, suffix: str, count: int):
    random, path = np.random.default_rng(0), tmp_path / f"a{suffix}"
    save_panorama(panorama, path, description="a barn")
    whole = path.read_bytes()
    for number in range(count):
        odd = bytearray(whole)
        for place in random.integers(0, min(len(odd), 1500), 1 + number % 6):  # where the metadata is
            odd[place] = random.integers(256)
        path.write_bytes(odd[: random.integers(len(odd))] if number % 5 == 0 else odd)
        try:
            found = read_gpano(path)
            assert found is None or all(isinstance(value, str) for value in found.values())
        except UserError as error:
            assert str(path) in str(error) and "\n" not in str(error)


def test_texts_too_long_hide_nothing(tmp_path: Path, panorama: Image.Image):
    save_panorama(panorama, tmp_path / "a.png", description="a barn")
    whole = (tmp_path / "a.png").read_bytes()
    text = b"zTXt" + b"Comment\0\0" + zlib.compress(bytes(3 << 20))
    chunk = struct.pack(">I", len(text) - 4) + text + struct.pack(">I", zlib.crc32(text))
    (tmp_path / "a.png").write_bytes(whole[:33] + chunk + whole[33:])
    assert read_gpano(tmp_path / "a.png") == EXPECTED | {"description": "a barn"}
