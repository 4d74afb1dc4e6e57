"""A folder is captioned once, all the way round, whatever stops it and however often."""

import json
import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import torch
from torch import Tensor

from aognet.captioning import folder_captions
from aognet.captioning.captioner import CaptionerConfig
from aognet.captioning.folder_captions import FolderCaptionsConfig, caption_folder, image_names, shrunk
from aognet.captioning.parts import CaptionsFile
from aognet.errors import UserError
from aognet.io.captions import CaptionRecord, fold, load_captions, load_records
from aognet.io.images import save_image
from aognet.system.processes import Processes

CPU = torch.device("cpu")
NAMES = ["a.png", "in/b.jpg", "in/deep er/c ü.PNG", "z.png"]


@dataclass
class Compass:
    """Says in which direction a picture of `compass_panorama` looks; can be stopped, and counts its batches."""

    model: str = "compass"
    revision: str | None = "r1"
    stop_after: int = 10**9
    batches: list[int] = field(default_factory=list)

    def caption(self, images: Sequence[Tensor]) -> list[str]:
        if len(self.batches) == self.stop_after:
            raise KeyboardInterrupt
        self.batches.append(len(images))
        return [self.say(image) for image in images]

    def say(self, image: Tensor) -> str:
        rows, columns = image.shape[-2:]
        if columns == 2 * rows:
            return "all round"
        north, east = (
            image[:2, rows // 2 - 1 : rows // 2 + 1, columns // 2 - 1 : columns // 2 + 1].mean((1, 2)).tolist()
        )
        return f"yaw {round(math.degrees(math.atan2(east, north))) % 360}"


def compass_panorama(rows: int = 64) -> Tensor:
    """Red and green say the longitude of every pixel."""
    longitude = ((torch.arange(2 * rows) + 0.5) / (2 * rows) - 0.5) * 2 * math.pi
    planes = [longitude.cos(), longitude.sin(), torch.zeros_like(longitude)]
    return torch.stack(planes)[:, None].expand(-1, rows, -1)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in NAMES:
        path = tmp_path / "images" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        save_image(compass_panorama(), path)
    (tmp_path / "images" / ".hidden").mkdir()
    for name in (".hidden/x.png", ".y.png", "notes.txt"):
        (tmp_path / "images" / name).write_text("")
    return tmp_path


@pytest.fixture
def compass(monkeypatch: pytest.MonkeyPatch) -> Compass:
    compass = Compass()
    monkeypatch.setattr(folder_captions, "build_captioner", lambda config, device: compass)
    return compass


def settings(folder: Path, **options: object) -> FolderCaptionsConfig:
    return FolderCaptionsConfig(
        folder / "images", folder / "out", "pano", **{"view_size": 32, "batch_size": 3, **options}
    )


def start(folder: Path, number: int = 0, count: int = 1, model: str = "compass", **options: object) -> int:
    return caption_folder(settings(folder, **options), CaptionerConfig(model=model), Processes(number, count, CPU))


@pytest.fixture
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Several processes, one after the other in this one: none waits."""
    monkeypatch.setattr(Processes, "wait", lambda self: None)
    monkeypatch.setattr(Processes, "total", lambda self, number: number)


@pytest.mark.parametrize(
    ("stride", "yaws"),
    [
        (30.0, list(range(0, 360, 30))),
        (100.0, [0, 100, 200, 300]),
        (360.0, [0]),
        (359.0, [0, 359]),
        (45.5, [0, 45.5, 91, 136.5, 182, 227.5, 273, 318.5]),
        (0.1, [n * 0.1 for n in range(3600)]),
    ],
)
def test_views_go_really_all_the_way_round(tmp_path: Path, stride: float, yaws: list[float]) -> None:
    assert FolderCaptionsConfig(tmp_path, tmp_path, "x", stride_degrees=stride).yaws == pytest.approx(yaws)


def test_each_view_is_described_with_its_yaw(folder: Path, compass: Compass) -> None:
    assert start(folder, augment=True, stride_degrees=40.0) == 0
    plain = load_records(folder / "out" / "pano.jsonl")
    assert plain == [CaptionRecord(name, ("all round",), model="compass", revision="r1") for name in NAMES]
    for record, name in zip(load_records(folder / "out" / "pano_aug.jsonl"), NAMES, strict=True):
        assert record.file == name
        assert record.captions == tuple(f"yaw {n}" for n in range(0, 360, 40))
        assert record.yaws == tuple((float(n),) for n in range(0, 360, 40))
        assert (record.model, record.revision) == ("compass", "r1")
    # Full batches that mix images: 4 images with 1 + 9 pictures each.
    assert compass.batches == [3] * 13 + [1]
    assert sorted(path.name for path in (folder / "out").iterdir()) == ["pano.jsonl", "pano_aug.jsonl"]


def test_equal_captions_become_one() -> None:
    captions = ["A lake", "a room", "a  LAKE ", "", "a room.", " \n", "a lake"]
    assert fold(captions, [0.0, 30.0, 60.0, 90.0, 120.0, 150.0, 180.0]) == (
        ("A lake", "a room", "a room."),
        ((0.0, 60.0, 180.0), (30.0,), (120.0,)),
    )
    assert fold([], []) == ((), ())


def whole(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in (folder / "out").iterdir()}


@pytest.mark.parametrize("stop_after", [0, 1, 4, 7, 13])
def test_a_stopped_run_goes_on(folder: Path, compass: Compass, stop_after: int) -> None:
    start(folder, augment=True, stride_degrees=40.0)
    expected, pictures = whole(folder), sum(compass.batches)
    for path in (folder / "out").iterdir():
        path.unlink()
    compass.batches, compass.stop_after = [], stop_after
    with pytest.raises(KeyboardInterrupt):
        start(folder, augment=True, stride_degrees=40.0)
    done = sum(len(texts.splitlines()) for texts in whole(folder).values())
    finished = sum(len(load_records(path)) * (9 if "aug" in path.name else 1) for path in (folder / "out").iterdir())
    assert done > 0 or stop_after == 0
    compass.batches, compass.stop_after = [], 10**9
    assert start(folder, augment=True, stride_degrees=40.0) == 0
    assert whole(folder) == expected
    assert sum(compass.batches) == pictures - finished
    compass.batches = []
    assert start(folder, augment=True, stride_degrees=40.0) == 0
    assert compass.batches == [] and whole(folder) == expected


@pytest.mark.usefixtures("alone")
def test_killed_processes_lose_no_line_whatever_their_number(folder: Path, compass: Compass) -> None:
    expected = [CaptionRecord(name, ("all round",), model="compass", revision="r1") for name in NAMES]
    # Two of three processes were killed with their parts behind them, one of them within a line.
    (folder / "out").mkdir()
    for number in (1, 2):
        start(folder, number, 3)
    parts = CaptionsFile(folder / "out", "pano").parts()
    assert [path.name for path in parts] == [".pano.1.part", ".pano.2.part"]
    with parts[0].open("ab") as file:
        file.write(b'{"file": "z.png", "capt')
    (folder / "out" / ".pano_aug.0.part").write_text("")  # of another captions file
    (folder / "out" / ".pano.old.part").write_text("no part")
    compass.batches = []
    assert start(folder) == 0
    assert load_records(folder / "out" / "pano.jsonl") == expected
    assert sum(compass.batches) == len(NAMES) - 2
    assert not CaptionsFile(folder / "out", "pano").parts()


def test_what_was_written_by_hand_stays(folder: Path, compass: Compass, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "aognet")
    (folder / "out").mkdir()
    mine = [
        '{"file": "gone.png", "captions": ["a lost place"]}',
        '{"file": "z.png", "captions": ["mine", "also mine"], "note": "checked", "model": null}',
        '{"file": "b.jpg", "captions": ["by its bare name"]}',
    ]
    (folder / "out" / "pano.jsonl").write_text("\n".join(mine))
    start(folder)
    captions = load_captions(folder / "out" / "pano.jsonl")
    assert captions["z.png"] == ["mine", "also mine"] and captions["b.jpg"] == ["by its bare name"]
    assert list(captions) == ["a.png", "in/deep er/c ü.PNG", "z.png", "gone.png", "b.jpg"]
    assert '"note": "checked"' in (folder / "out" / "pano.jsonl").read_text()
    assert sum(compass.batches) == 2
    assert "1 caption(s) for missing images (gone.png)" in caplog.text and "another model" not in caplog.text


def test_captions_of_another_model_or_stride_are_kept_and_named(
    folder: Path, compass: Compass, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, logger="aognet")
    start(folder, augment=True, stride_degrees=90.0)
    assert not caplog.records
    before, compass.batches = whole(folder), []
    start(folder, augment=True, stride_degrees=45.0)
    assert whole(folder) == before and compass.batches == []
    assert "pano_aug.jsonl: 4 of 4 records" in caplog.text and "overwrite makes them anew" in caplog.text
    assert "pano.jsonl: 4" not in caplog.text
    caplog.clear()
    compass.model = "other"
    start(folder, model="other")
    assert whole(folder) == before and "pano.jsonl: 4 of 4 records" in caplog.text
    caplog.clear()
    start(folder, model="other", augment=True, stride_degrees=180.0, overwrite=True)
    assert not caplog.records and compass.batches
    assert {record.model for record in load_records(folder / "out" / "pano.jsonl")} == {"other"}
    assert [record.yaws for record in load_records(folder / "out" / "pano_aug.jsonl")] == [((0.0,), (180.0,))] * 4


def test_a_failed_start_overwrites_nothing(folder: Path, compass: Compass, monkeypatch: pytest.MonkeyPatch) -> None:
    start(folder)
    before = whole(folder)

    def fails(config: CaptionerConfig, device: torch.device) -> None:
        raise UserError("no such model")

    monkeypatch.setattr(folder_captions, "build_captioner", fails)
    with pytest.raises(UserError):
        start(folder, overwrite=True)
    assert whole(folder) == before


def test_unusable_images_are_named_and_the_others_go_on(
    folder: Path, compass: Compass, caplog: pytest.LogCaptureFixture
) -> None:
    (folder / "images" / "in" / "broken.png").write_text("no picture")
    save_image(torch.zeros(3, 20, 30), folder / "images" / "photo.png")
    assert start(folder, augment=True, stride_degrees=180.0) == 2
    assert "in/broken.png: not a readable" in caplog.text
    assert "photo.png: views need a panorama, twice as wide as high; this image is 30x20" in caplog.text
    assert list(load_captions(folder / "out" / "pano.jsonl")) == sorted([*NAMES, "photo.png"])
    assert list(load_captions(folder / "out" / "pano_aug.jsonl")) == NAMES


def test_an_image_without_words_is_not_asked_again(folder: Path, compass: Compass) -> None:
    compass.say = lambda image: ""
    start(folder, augment=True)
    assert load_captions(folder / "out" / "pano_aug.jsonl") == dict.fromkeys(NAMES, [])
    compass.batches = []
    start(folder, augment=True)
    assert compass.batches == []


def test_pictures_are_no_larger_than_needed(folder: Path) -> None:
    image = torch.rand(3, 3000, 1500)
    small = shrunk(image)
    assert small.shape == (3, 1024, 512) and abs(float(small.mean() - image.mean())) < 1e-3
    assert shrunk(small) is small
    assert image_names(folder / "images") == NAMES


def test_a_broken_captions_file_is_named(folder: Path, compass: Compass) -> None:
    (folder / "out").mkdir()
    (folder / "out" / "pano.jsonl").write_text('{"file": "a.png", "captions": []}\n{"file":')
    with pytest.raises(UserError, match="pano.jsonl, line 2: not JSON"):
        start(folder)
    assert json.loads((folder / "out" / "pano.jsonl").read_text().splitlines()[0])


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"stride_degrees": 0.0}, "stride_degrees must be more than 0 and at most 360, got 0"),
        ({"stride_degrees": -30.0}, "got -30"),
        ({"stride_degrees": 361.0}, "got 361"),
        ({"stride_degrees": math.nan}, "got nan"),
        ({"stride_degrees": 1e-9}, "stride_degrees asks for 360000000000 views, more than 3600, got 1e-09"),
        ({"name": "a/b"}, "name must be a plain file name, got 'a/b'"),
        ({"batch_size": 0}, "batch_size must be at least 1, got 0"),
        ({"view_size": 2}, "view_size must be at least 16, got 2"),
        ({"limit": -1}, "limit must be at least 0, got -1"),
        ({"image_dir": Path("nowhere")}, "image_dir nowhere: no such folder"),
    ],
)
def test_impossible_settings(tmp_path: Path, options: dict[str, object], said: str) -> None:
    with pytest.raises(UserError, match=said):
        FolderCaptionsConfig(**{"image_dir": tmp_path, "out_dir": tmp_path, "name": "x", **options})


def test_a_folder_without_images(tmp_path: Path, compass: Compass) -> None:
    (tmp_path / "images").mkdir()
    with pytest.raises(UserError, match="image_dir .*: no image"):
        start(tmp_path)
