"""Panoramas by number: what happens to broken ones, and the order of samples."""

import logging
from pathlib import Path

import numpy as np
import pytest
import torch

from aognet.data.panoramas import PanoramaConfig, Panoramas, shuffled
from aognet.errors import UserError
from aognet.io.captions import save_captions
from aognet.io.images import save_image


def level_of(panoramas: Panoramas, number: int) -> float:
    return float(panoramas[number].pixels.image.mean()) / 127.5 - 1


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Five panoramas, the level of each told by its place."""
    folder = tmp_path / "panoramas"
    (folder / "more").mkdir(parents=True)
    for number, name in enumerate(("a.png", "b.jpg", "c.PNG", "d.jpeg", "more/e.png")):
        save_image(torch.full((3, 16, 32), number / 5), folder / name)
    return folder


def panoramas(folder: Path, **settings) -> Panoramas:
    return Panoramas(PanoramaConfig(folders=[str(folder)], height=16, **settings))


def picked(found: Panoramas, count: int) -> list[int]:
    """The places of the panoramas of the first samples."""
    return [round((found.pick(number).pixels.image.mean() / 127.5 - 1) * 5) for number in range(count)]


def test_panoramas_have_their_pixels_and_captions(folder: Path, tmp_path: Path):
    found = panoramas(folder)
    assert [round(level_of(found, number), 1) for number in range(5)] == [0.0, 0.2, 0.4, 0.6, 0.8]
    assert found[0].captions == ()
    save_captions({"a.png": ["one", "two"], "e.png": []}, tmp_path / "captions.jsonl")
    found = panoramas(folder, captions=[str(tmp_path / "captions.jsonl")])
    assert [found[0].captions, found[1].captions, len(found)] == [("one", "two"), (), 2]


@pytest.mark.parametrize(
    ("key", "value"), [("folders", []), ("height", 8), ("limit", -1), ("seed", -1), ("seed", 2**32)]
)
def test_settings_that_cannot_be(key: str, value: object):
    with pytest.raises(UserError, match=key):
        PanoramaConfig(**{"folders": ["x"], key: value})


def test_a_wrong_aspect_ratio_is_named(folder: Path):
    save_image(torch.zeros(3, 16, 16), folder / "a.png")
    with pytest.raises(UserError, match="a.png.*16x16"):
        panoramas(folder)[0]


def test_a_broken_file_is_reported_once_and_replaced_by_the_next(folder: Path, caplog: pytest.LogCaptureFixture):
    order = picked(panoramas(folder), 15)
    (folder / "b.jpg").write_bytes(b"\xff\xd8\xff broken")
    (folder / "more" / "e.png").write_bytes(b"")
    with caplog.at_level(logging.WARNING):
        replaced = picked(panoramas(folder), 15)
    assert replaced == [{1: 2, 4: 0}.get(place, place) for place in order]
    assert len(caplog.records) == 2 and "b.jpg" in caplog.text and "e.png" in caplog.text


def test_nothing_but_broken_files(tmp_path: Path):
    for name in ("a.png", "b.jpg", "c.exr", "d.hdr"):
        (tmp_path / name).write_bytes(b"broken")
    with pytest.raises(UserError, match=f"none of the 4.*{tmp_path.name}"):
        panoramas(tmp_path).pick(1)


def test_every_epoch_picks_every_panorama_once(folder: Path):
    order = picked(panoramas(folder, seed=3), 15)
    epochs = [order[start : start + 5] for start in (0, 5, 10)]
    assert all(sorted(epoch) == [0, 1, 2, 3, 4] for epoch in epochs) and len(set(map(tuple, epochs))) > 1
    assert np.array_equal(order, [shuffled(5, 3, number) for number in range(15)])


def test_every_epoch_is_a_permutation_of_its_own():
    epochs = [[shuffled(50, 7, epoch * 50 + place) for place in range(50)] for epoch in range(4)]
    assert all(sorted(epoch) == list(range(50)) for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) == 4
    assert [shuffled(50, 8, place) for place in range(50)] != epochs[0]
    assert [shuffled(1, 7, number) for number in range(3)] == [0, 0, 0]
