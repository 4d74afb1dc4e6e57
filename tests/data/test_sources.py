"""Which panoramas are found where, with which captions, and what is said of what does not fit."""

import json
import logging
from pathlib import Path

import pytest

from aognet.data.captions import CaptionRecord, save_captions, save_records
from aognet.data.sources import Entry, SourceConfig, find_entries
from aognet.data.splits import SplitConfig
from aognet.errors import UserError

NAMES = ("a.png", "b.jpg", "c.PNG", "d.jpeg", "more/e.exr", "more/f.HDR")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Files that only their names tell to be panoramas: finding them opens none."""
    folder = tmp_path / "panoramas"
    (folder / "more").mkdir(parents=True)
    for name in (*NAMES, "notes.txt", ".hidden.png"):
        (folder / name).write_bytes(b"")
    return folder


def found(*folders: Path, **settings) -> list[Entry]:
    return find_entries(SourceConfig(folders=[str(folder) for folder in folders], **settings))


def names(entries: list[Entry]) -> list[str]:
    return [entry.name for entry in entries]


def captions_file(path: Path, captions: dict[str, list[str]]) -> str:
    save_captions(captions, path)
    return str(path)


def test_every_image_below_a_folder_in_order(folder: Path):
    assert names(found(folder)) == list(NAMES)
    assert all(entry.path == folder / entry.name and not entry.captions for entry in found(folder))
    assert names(found(folder, limit=2)) == ["a.png", "b.jpg"]


def test_each_folder_has_its_own_limit(folder: Path):
    entries = found(folder, folder / "more", limits=[2, 0])
    assert names(entries) == ["a.png", "b.jpg", "e.exr", "f.HDR"]
    with pytest.raises(UserError, match="limits.*2 folders"):
        SourceConfig(folders=["a", "b"], limits=[1])


def test_few_images_count_like_many(folder: Path):
    entries = found(folder, folder / "more", limits=[1, 0], repeats=[1, 3])
    assert names(entries) == ["a.png", *["e.exr", "f.HDR"] * 3]
    for wrong in ([1], [1, 0]):
        with pytest.raises(UserError, match="repeats must be a number from 1 on for each of 2 folders"):
            SourceConfig(folders=["a", "b"], repeats=wrong)


def test_captions_choose_and_are_found_by_path_or_name(folder: Path, tmp_path: Path):
    one = captions_file(tmp_path / "one.jsonl", {"a.png": ["one", "two"], "more/e.exr": ["deep"]})
    two = captions_file(tmp_path / "two.jsonl", {"f.HDR": ["bare name"]})
    entries = found(folder, captions=[one, two])
    assert {entry.name: entry.captions for entry in entries} == {
        "a.png": ("one", "two"),
        "more/e.exr": ("deep",),
        "more/f.HDR": ("bare name",),
    }


def test_captions_of_an_image_stay_its_own_when_it_is_converted(folder: Path, tmp_path: Path):
    file = captions_file(
        tmp_path / "c.jsonl", {"b.exr": ["light"], "more/e.PNG": ["deep"], "d.jpeg": ["own"], "d.png": ["no"]}
    )
    entries = found(folder, captions=[file])
    assert [(entry.name, entry.captions) for entry in entries] == [
        ("b.jpg", ("light",)),
        ("d.jpeg", ("own",)),
        ("more/e.exr", ("deep",)),
    ]


def test_what_does_not_fit_is_reported_or_refused(folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture):
    file = captions_file(tmp_path / "captions.jsonl", {"a.png": ["x"], "elsewhere.png": ["y"]})
    with caplog.at_level(logging.WARNING):
        assert names(found(folder, captions=[file])) == ["a.png"]
    assert "elsewhere.png" in caplog.text and "b.jpg" in caplog.text and file in caplog.text
    with pytest.raises(UserError, match="captions.jsonl.*elsewhere.png"):
        found(folder, captions=[file], strict_captions=True)


def test_augmented_captions_bring_their_directions(folder: Path, tmp_path: Path):
    record = CaptionRecord("a.png", ("a door", "a wall"), ((0.0, 30.0), (90.0,)))
    save_records([record, CaptionRecord("e.exr", ("no yaw",))], tmp_path / "aug.jsonl")
    entries = {entry.name: entry for entry in found(folder, augmented_captions=[str(tmp_path / "aug.jsonl")])}
    assert entries["a.png"].augmented == ("a door", "a wall") and entries["a.png"].yaws == ((0.0, 30.0), (90.0,))
    assert entries["more/e.exr"].augmented == ("no yaw",) and entries["more/e.exr"].yaws == ((),)
    assert entries["b.jpg"].augmented == ()


def test_a_csv_manifest(folder: Path, caplog: pytest.LogCaptureFixture):
    path = folder / "list.csv"
    path.write_text('caption,file,split\n"a door, open",a.png,train\n,more/e.exr,test\nx,gone.png,train\n')
    with caplog.at_level(logging.WARNING):
        entries = find_entries(SourceConfig(manifests=[str(path)]))
    assert [(entry.name, entry.captions, entry.split) for entry in entries] == [
        ("a.png", ("a door, open",), "train"),
        ("more/e.exr", (), "test"),
    ]
    assert "1 of 3" in caplog.text and "gone.png" in caplog.text
    chosen = find_entries(SourceConfig(manifests=[str(path)], split=SplitConfig(part="test")))
    assert names(chosen) == ["more/e.exr"]


def test_a_jsonl_manifest(folder: Path):
    lines = [{"file": "a.png", "captions": ["x", "y"], "split": "train"}, {"file": "more/f.HDR", "captions": []}]
    (folder / "list.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    entries = find_entries(SourceConfig(manifests=[str(folder / "list.jsonl")]))
    assert [(entry.path, entry.captions, entry.split) for entry in entries] == [
        (folder / "a.png", ("x", "y"), "train"),
        (folder / "more/f.HDR", (), None),
    ]


@pytest.mark.parametrize("below", ["", "images"])
def test_one_prompts_file_beside_the_images(tmp_path: Path, below: str):
    (tmp_path / below).mkdir(exist_ok=True)
    for name in ("2.png", "1.png", "10.png"):
        (tmp_path / below / name).write_bytes(b"")
    (tmp_path / "prompts.txt").write_text("one\nten\ntwo\n\n")
    entries = find_entries(SourceConfig(manifests=[str(tmp_path / "prompts.txt")]))
    assert [(entry.name, entry.captions) for entry in entries] == [
        ("1.png", ("one",)),
        ("10.png", ("ten",)),
        ("2.png", ("two",)),
    ]
    (tmp_path / "prompts.txt").write_text("one\n")
    with pytest.raises(UserError, match="prompts.txt.*1 prompts for 3 images"):
        find_entries(SourceConfig(manifests=[str(tmp_path / "prompts.txt")]))


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("list.csv", b"name,caption\na.png,x\n", "line 2.*file"),
        ("list.csv", b"\xff\xfe", "UTF-8"),
        ("list.jsonl", b'{"file": "a.png", "captions": []}\n{"file"', "line 2"),
        ("list.jsonl", b'{"file": "a.png", "captions": [], "split": 3}\n', "split.*3.*a.png"),
        ("list.parquet", b"", "csv.*parquet"),
        ("missing.csv", None, "missing.csv"),
    ],
)
def test_manifests_that_cannot_be_used(folder: Path, name: str, content: bytes | None, said: str):
    if content is not None:
        (folder / name).write_bytes(content)
    with pytest.raises(UserError, match=said):
        find_entries(SourceConfig(manifests=[str(folder / name)]))


def test_lists_and_hashes_split_folders(folder: Path, tmp_path: Path):
    (tmp_path / "test.txt").write_text("b.exr\nf.exr\n")
    split = SplitConfig(part="test", list=str(tmp_path / "test.txt"))
    assert names(found(folder, split=split)) == ["b.jpg", "more/f.HDR"]
    parts = [found(folder, split=SplitConfig(part=part, validation=0.0, test=0.5)) for part in ("train", "test")]
    assert sorted(sum(map(names, parts), [])) == sorted(NAMES)


def test_nothing_found_is_said(folder: Path, tmp_path: Path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "file.png").write_bytes(b"")
    for name in ("empty", "missing", "file.png"):
        with pytest.raises(UserError, match=name):
            found(tmp_path / name)
    file = captions_file(tmp_path / "others.jsonl", {"elsewhere.png": ["x"]})
    with pytest.raises(UserError, match="others.jsonl"):
        found(folder, captions=[file])
    with pytest.raises(UserError, match="'validation'"):
        found(folder, split=SplitConfig(part="validation", validation=0.0, test=0.0))


@pytest.mark.parametrize("settings", [{"limit": -1}, {"folders": ["a"], "limits": [-1]}])
def test_settings_that_cannot_be(settings: dict[str, object]):
    with pytest.raises(UserError, match="limit"):
        SourceConfig(**settings)
