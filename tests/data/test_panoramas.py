"""Folders of panoramas: which files are taken, what happens to broken ones, and the order of samples."""

import logging
from pathlib import Path

import pytest
import torch
from torch.testing import assert_close

from aognet.data.captions import save_captions
from aognet.data.images import load_panorama, save_image
from aognet.data.panorama import PanoramaConfig, Panoramas, shuffled
from aognet.errors import UserError


def grey(level: float) -> torch.Tensor:
    return torch.full((3, 16, 32), level)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Five panoramas, the level of each told by its name, one of them in a folder below."""
    folder = tmp_path / "panoramas"
    (folder / "more").mkdir(parents=True)
    for number, name in enumerate(("a.png", "b.jpg", "c.PNG", "d.jpeg", "more/e.png")):
        save_image(grey(number / 5), folder / name)
    (folder / "notes.txt").write_text("not a panorama")
    (folder / ".hidden.png").write_bytes(b"half written")
    return folder


def panoramas(folder: Path, **settings) -> Panoramas:
    return Panoramas(PanoramaConfig(folders=[str(folder)], height=16, **settings))


def test_every_image_below_a_folder_is_taken_in_order(folder: Path):
    found = panoramas(folder)
    assert [path.name for path in found.paths] == ["a.png", "b.jpg", "c.PNG", "d.jpeg", "e.png"]
    for number in range(5):
        assert_close(found.image(number), grey(number / 5), atol=0.02, rtol=0)
        assert found.captions_of(number) == [""]
    assert len(panoramas(folder, limit=2)) == 2


def test_captions_choose_the_files(folder: Path, tmp_path: Path):
    save_captions({"a.png": ["one", "two"], "e.png": [], "elsewhere.png": ["x"]}, tmp_path / "captions.jsonl")
    found = panoramas(folder, captions=[str(tmp_path / "captions.jsonl")])
    assert [path.name for path in found.paths] == ["a.png", "e.png"]
    assert found.captions_of(0) == ["one", "two"] and found.captions_of(1) == [""]


def test_captions_that_name_nothing_choose_nothing(folder: Path, tmp_path: Path):
    (tmp_path / "empty.jsonl").write_text("")
    save_captions({"elsewhere.png": ["x"]}, tmp_path / "others.jsonl")
    for name in ("empty.jsonl", "others.jsonl"):
        with pytest.raises(UserError, match=name):
            panoramas(folder, captions=[str(tmp_path / name)])


def test_folders_that_cannot_be_used(tmp_path: Path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "file.png").write_bytes(b"")
    for name in ("empty", "missing", "file.png"):
        with pytest.raises(UserError, match=name):
            panoramas(tmp_path / name)


@pytest.mark.parametrize(
    ("key", "value"), [("folders", []), ("height", 8), ("limit", -1), ("cache_mb", -1), ("seed", -1), ("seed", 2**32)]
)
def test_settings_that_cannot_be(key: str, value: object):
    with pytest.raises(UserError, match=key):
        PanoramaConfig(**{"folders": ["x"], key: value})


def test_a_wrong_aspect_ratio_is_named(folder: Path):
    save_image(torch.zeros(3, 16, 16), folder / "a.png")
    with pytest.raises(UserError, match="a.png.*16x16"):
        panoramas(folder).image(0)


def test_a_broken_file_is_reported_once_and_replaced(folder: Path, caplog: pytest.LogCaptureFixture):
    (folder / "b.jpg").write_bytes(b"\xff\xd8\xff broken")
    found = panoramas(folder)
    with caplog.at_level(logging.WARNING):
        assert [found.sound(number) for number in (1, 0, 1, 2, 1)] == [2, 0, 2, 2, 2]
    assert len(caplog.records) == 1 and "b.jpg" in caplog.text


def test_the_last_file_is_replaced_by_the_first(folder: Path):
    (folder / "more" / "e.png").write_bytes(b"")
    assert panoramas(folder).sound(4) == 0


def test_nothing_but_broken_files(tmp_path: Path):
    for name in ("a.png", "b.jpg", "c.exr"):
        (tmp_path / name).write_bytes(b"broken")
    with pytest.raises(UserError, match=f"none of the 3.*{tmp_path.name}"):
        panoramas(tmp_path).sound(1)


@pytest.mark.parametrize("cache_mb", [0, 1])
def test_the_cache_is_bounded_and_changes_nothing(folder: Path, cache_mb: int):
    found = Panoramas(PanoramaConfig(folders=[str(folder)], height=256, cache_mb=cache_mb))
    for number in (0, 1, 2, 3, 4, 0, 4):
        assert_close(found.image(number), load_panorama(found.paths[number], 256), atol=0.005, rtol=0)
        assert len(found._decoded) <= max(cache_mb * 2**20 // (3 * 256 * 512), 1)


def test_every_epoch_is_a_permutation_of_its_own():
    epochs = [[shuffled(50, 7, epoch * 50 + place) for place in range(50)] for epoch in range(4)]
    assert all(sorted(epoch) == list(range(50)) for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) == 4
    assert [shuffled(50, 8, place) for place in range(50)] != epochs[0]
    assert [shuffled(1, 7, number) for number in range(3)] == [0, 0, 0]
