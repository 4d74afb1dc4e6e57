"""Decoded once, never stale, never more than allowed, and safe among several processes."""

import logging
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from aognet.data.cache import PanoramaCache
from aognet.data.viewing import bordered, level_heights
from aognet.errors import UserError
from aognet.io.images import decode_panorama, load_panorama, save_image, to_uint8
from aognet.io.store import ABANDONED_SECONDS, CacheConfig
from tests.smooth import smooth_panorama

HEIGHT = 32
BYTES_EACH = sum(3 * (rows + 2) * (2 * rows + 2) for rows in level_heights(HEIGHT))
GIGABYTE = 2**30


@pytest.fixture
def image(tmp_path: Path) -> Path:
    return saved(tmp_path / "a.png")


def saved(path: Path, level: float = 1.0) -> Path:
    save_image(smooth_panorama(64)[0] * level, path)
    return path


def cache_in(folder: Path, **settings) -> PanoramaCache:
    return PanoramaCache(CacheConfig(folder=str(folder), **settings), HEIGHT)


def files(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.bin"))


def decoded(path: Path) -> np.ndarray:
    return decode_panorama(path.read_bytes(), str(path), HEIGHT)


@pytest.fixture
def decodings(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The files that were decoded, one entry each time."""
    seen: list[Path] = []

    def counted(content: bytes, name: str, height: int) -> np.ndarray:
        seen.append(Path(name))
        return decode_panorama(content, name, height)

    monkeypatch.setattr("aognet.data.cache.decode_panorama", counted)
    return seen


def test_what_comes_back_is_what_was_decoded_once(tmp_path: Path, image: Path, decodings: list[Path]):
    folder = tmp_path / "cache"
    first, second, other_process = cache_in(folder), cache_in(folder), cache_in(folder)
    pyramids = [one.get(image) for one in (first, first, second, other_process)]
    assert decodings == [image]
    for pyramid in pyramids:
        assert np.array_equal(pyramid.image, decoded(image))
        for level, expected in zip(pyramid.levels, bordered(decoded(image)).levels, strict=True):
            assert np.array_equal(level, expected)
    assert not pyramids[1].levels[0].flags.writeable


def test_equal_content_is_kept_once_and_every_height_by_itself(tmp_path: Path, image: Path, decodings: list[Path]):
    folder = tmp_path / "cache"
    (tmp_path / "copy.png").write_bytes(image.read_bytes())
    for path in (image, tmp_path / "copy.png"):
        cache_in(folder).get(path)
    PanoramaCache(CacheConfig(folder=str(folder)), 16).get(image)
    assert len(decodings) == 2 and len(files(folder)) == 2


def test_a_changed_image_is_decoded_anew(tmp_path: Path, image: Path):
    cache = cache_in(tmp_path / "cache")
    before = cache.get(image).image.copy()
    saved(image, -0.5)
    os.utime(image, ns=(1, 1))
    assert np.array_equal(cache.get(image).image, decoded(image))
    assert not np.array_equal(before, decoded(image))


@pytest.mark.parametrize("content", [b"", b"short", b"x" * 100_000])
def test_a_damaged_file_is_made_again(tmp_path: Path, image: Path, content: bytes):
    folder = tmp_path / "cache"
    cache_in(folder).get(image)
    files(folder)[0].write_bytes(content)
    assert np.array_equal(cache_in(folder).get(image).image, decoded(image))
    assert np.array_equal(cache_in(folder).get(image).image, decoded(image))


def test_it_stays_within_its_bound_and_forgets_what_is_unused(tmp_path: Path, decodings: list[Path]):
    folder = tmp_path / "cache"
    images = [saved(tmp_path / f"{number}.png", number / 10) for number in range(6)]
    room = 3.5 * BYTES_EACH / GIGABYTE
    old = cache_in(folder, gigabytes=room)
    for path in images[:3]:
        old.get(path)
    assert len(files(folder)) == 3
    for path in files(folder):
        os.utime(path, (time.time() - 100, time.time() - 100))
    new = cache_in(folder, gigabytes=room)
    kept = files(folder)
    for path in images[3:]:
        assert np.array_equal(new.get(path).image, decoded(path))
        assert sum(path.stat().st_size for path in files(folder)) <= room * GIGABYTE
    assert not set(kept) & set(files(folder)) or len(set(files(folder)) - set(kept)) >= 1


def test_what_this_run_uses_is_not_thrown_away_for_more(tmp_path: Path, decodings: list[Path]):
    """With less room than panoramas, those that are kept stay: going round would otherwise never find one."""
    folder = tmp_path / "cache"
    images = [saved(tmp_path / f"{number}.png", number / 10) for number in range(5)]
    cache = cache_in(folder, gigabytes=3.2 * BYTES_EACH / GIGABYTE)
    for _ in range(4):
        for path in images:
            cache.get(path)
    assert len(files(folder)) == 3
    assert len(decodings) == 3 + 4 * 2


def test_no_folder_and_no_room_mean_decoding_each_time(tmp_path: Path, image: Path, decodings: list[Path]):
    none, full = PanoramaCache(CacheConfig(folder=None), HEIGHT), cache_in(tmp_path / "cache", gigabytes=0.0)
    for cache in (none, full, none, full):
        assert np.array_equal(cache.get(image).image, decoded(image))
    assert not files(tmp_path / "cache")


def test_a_folder_that_cannot_be_written_is_said_once(tmp_path: Path, image: Path, caplog: pytest.LogCaptureFixture):
    (tmp_path / "file").write_bytes(b"")
    cache = cache_in(tmp_path / "file" / "cache")
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            assert np.array_equal(cache.get(image).image, decoded(image))
    assert len(caplog.records) == 1 and "cache.folder" in caplog.text


def test_a_folder_that_may_only_be_read_is_read(
    tmp_path: Path, image: Path, decodings: list[Path], monkeypatch: pytest.MonkeyPatch
):
    cache_in(tmp_path / "cache").get(image)

    def refuse(path: Path) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "utime", refuse)
    cache_in(tmp_path / "cache").get(image)
    assert decodings == [image]


def test_broken_and_missing_images_are_named(tmp_path: Path):
    (tmp_path / "broken.png").write_bytes(b"\x89PNG")
    for name in ("broken.png", "missing.png"):
        with pytest.raises(UserError, match=name):
            cache_in(tmp_path / "cache").get(tmp_path / name)
    assert not files(tmp_path / "cache")


def test_what_a_killed_process_left_goes_away(tmp_path: Path, image: Path):
    folder = tmp_path / "cache"
    folder.mkdir()
    old, new = (f".{digit * 32}-32.bin.7-1.tmp" for digit in "01")
    for name, age in ((old, 2 * ABANDONED_SECONDS), (new, 10)):
        path = folder / name
        path.write_bytes(b"half")
        os.utime(path, (time.time() - age, time.time() - age))
    cache_in(folder).get(image)
    assert [path.name for path in folder.glob(".*.tmp")] == [new]


@pytest.mark.slow
def test_several_processes_at_once(tmp_path: Path):
    """They start together on the same images and an empty folder; each must see every panorama as it is."""
    images = [saved(tmp_path / f"{number}.png", number / 10) for number in range(4)]
    program = (
        "import sys; from pathlib import Path; from aognet.data.cache import PanoramaCache\n"
        "from aognet.io.store import CacheConfig\n"
        f"cache = PanoramaCache(CacheConfig(folder=sys.argv[1]), {HEIGHT})\n"
        "print([int(cache.get(Path(name)).image.astype(int).sum()) for name in sys.argv[2:] * 3])"
    )
    command = [sys.executable, "-c", program, str(tmp_path / "cache"), *map(str, images)]
    root = Path(__file__).resolve().parents[2]
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=root) for _ in range(3)]
    expected = [int(decoded(path).astype(int).sum()) for path in images] * 3
    for process in running:
        assert process.communicate(timeout=60)[0].strip() == str(expected) and process.returncode == 0
    assert len(files(tmp_path / "cache")) == 4


def test_a_negative_bound_is_refused():
    with pytest.raises(UserError, match="gigabytes.*-1"):
        CacheConfig(gigabytes=-1.0)


def test_memory_maps_survive_their_file(tmp_path: Path, image: Path):
    folder = tmp_path / "cache"
    cache_in(folder).get(image)
    pyramid = cache_in(folder).get(image)
    files(folder)[0].unlink()
    assert torch.equal(torch.tensor(pyramid.image), torch.from_numpy(decoded(image)))


def test_both_ways_to_decode_agree(tmp_path: Path):
    """Shrunk as bytes or as floats, or made larger."""
    image = saved(tmp_path / "a.jpg")
    for height in (16, 17, 24, 32, 64, 80):
        floats = to_uint8(load_panorama(image, height)).permute(1, 2, 0).numpy().astype(int)
        assert np.abs(decode_panorama(image.read_bytes(), "a.jpg", height) - floats).max() <= 1
