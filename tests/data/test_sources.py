"""Which panoramas are found where, with which captions, and what is said of what does not fit."""

import json
import logging
import unicodedata
from pathlib import Path

import pytest

from aognet.data.sources import CaptionedFile, SourceConfig, find_entries
from aognet.data.splits import Split, SplitConfig
from aognet.errors import UserError
from aognet.io.captions import MAX_CHARACTERS, CaptionRecord, save_captions, save_records

NAMES = ("a.png", "b.jpg", "c.PNG", "d.jpeg", "more/e.exr", "more/f.HDR")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Files that only their names tell to be panoramas: finding them opens none."""
    folder = tmp_path / "panoramas"
    (folder / "more").mkdir(parents=True)
    for name in (*NAMES, "notes.txt", ".hidden.png"):
        (folder / name).write_bytes(b"")
    return folder


def found(*folders: Path, **settings) -> list[CaptionedFile]:
    return find_entries(SourceConfig(folders=[str(folder) for folder in folders], **settings))


def names(entries: list[CaptionedFile]) -> list[str]:
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
        ("list.csv", b"name,caption\na.png,x\n", "line 1: needs a column 'file', got 'name', 'caption'"),
        ("list.csv", b"files,caption\na.png,x\n", r"line 1.*'files' \(did you mean 'file'\?\)"),
        ("list.csv", b"", "line 1: needs a column 'file', got an empty line"),
        ("list.csv", b"file,caption,Caption \na.png,x,y\n", "line 1: has several columns 'caption'"),
        ("list.csv", b"file,caption\na.png,a hall, wide\n", "line 2: has 3 cells for 2 columns.*','.*quotes"),
        ("list.csv", b"file,caption\na.png,x\n,y\n", "line 3: needs a 'file', got , y"),
        ("list.csv", b'file,caption\na.png,x\nmore/e.exr,"y\n', "after line 2: not a table .*end of data"),
        ("list.csv", b"file,split\na.png,train\nmore/e.exr,tset\n", "line 3: split must be one of .*got 'tset'"),
        ("list.csv", b"file,split\na.png,train\na.png,test\n", "a.png is in two parts, train and test"),
        ("list.csv", b"file,caption\na.png," + b"x" * 2**21 + b"\n", "after line 1: not a table .field larger"),
        (
            "list.jsonl",
            b'{"file": "a.png", "caption": "x"}\n',
            "line 1: needs 'captions', a list of strings; it has 'caption'",
        ),
        ("list.jsonl", b'{"file": "a.png", "File": "b.png", "captions": []}\n', "line 1: .*'file' stands there twice"),
        ("list.jsonl", b'{"file": "a.png", "file": "b.png", "captions": []}\n', "line 1: .*'file' stands there twice"),
        (
            "list.jsonl",
            b'{"file": "a.png", "captions": [], "split": "tset"}\n',
            "a.png: split must be one of .*got 'tset'",
        ),
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


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("mark", ["", "\ufeff", "\ufeff\ufeff"])
def test_headers_and_splits_as_people_write_them(folder: Path, separator: str, mark: str):
    """What is not understood would let test images train."""
    rows = [("File ", " CAPTION", "Split"), (" a.png", ' "a hall; a door, open\t"', "Val"), ("b.jpg", "x", " TEST ")]
    rows += [("c.PNG", "", "valid"), ("d.jpeg", "", "training"), ("more/e.exr", "", "dev"), ("", "", "")]
    lines = "\r\n".join(separator.join(row) for row in rows)
    (folder / "list.csv").write_text(f"{mark}{lines}\r\n", encoding="utf-8", newline="")

    def part(name: str) -> list[str]:
        return names(find_entries(SourceConfig(manifests=[str(folder / "list.csv")], split=SplitConfig(part=name))))

    assert part("validation") == ["a.png", "c.PNG", "more/e.exr"]
    assert part("test") == ["b.jpg"] and part("train") == ["d.jpeg"]
    entries = find_entries(SourceConfig(manifests=[str(folder / "list.csv")]))
    assert [entry.captions for entry in entries[:3]] == [("a hall; a door, open",), ("x",), ()]


def test_the_same_keys_in_json(folder: Path, caplog: pytest.LogCaptureFixture):
    lines = [
        {" File": "a.png", "CAPTIONS": ["x"], "Split ": "val"},
        {"file": "b.jpg", "captions": [], "splitt": "test"},
    ]
    (folder / "list.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    entries = find_entries(SourceConfig(manifests=[str(folder / "list.jsonl")]))
    assert [(entry.captions, entry.split) for entry in entries] == [(("x",), "validation"), ((), None)]
    assert "list.jsonl: unknown key(s) 'splitt' (did you mean 'split'?) are not used" in caplog.text


def test_unknown_columns_are_named_once(folder: Path, caplog: pytest.LogCaptureFixture):
    (folder / "list.csv").write_text("file,captions,licence,\n" + "a.png,x,CC0,\n" * 3)
    find_entries(SourceConfig(manifests=[str(folder / "list.csv")]))
    (said,) = [record.getMessage() for record in caplog.records]
    assert said.endswith("list.csv: unknown column(s) 'captions' (did you mean 'caption'?), 'licence' are not used")


def test_large_cells_are_cut_as_other_captions(folder: Path):
    """The csv module alone takes 128 KiB."""
    (folder / "list.csv").write_text(f"file,caption\na.png,{'x' * 2**18}\n")
    (entry,) = find_entries(SourceConfig(manifests=[str(folder / "list.csv")]))
    assert entry.captions == ("x" * MAX_CHARACTERS,)


def test_names_that_the_list_alone_has_are_said(folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture):
    (tmp_path / "test.txt").write_text("b.exr\ngone.exr\n")
    assert names(found(folder, split=SplitConfig(part="test", list=str(tmp_path / "test.txt")))) == ["b.jpg"]
    assert "test.txt: 1 of its names are no panorama's (gone)" in caplog.text


ODD = [
    "caf\u00e9",
    "cafe\u0301",
    "\udce9",
    "a b ",
    "a,b",
    'a"b',
    "a;b",
    "a\u2028b",
    "a\x85b",
    "a\x0cb",
    "日本",
    "n" * 240,
]


@pytest.mark.parametrize("name", ODD)
@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_manifests_and_lists_find_odd_names(name: str, form: str, tmp_path: Path):
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / f"{name}.png").write_bytes(b"")
    (tmp_path / "other.png").write_bytes(b"")
    written = unicodedata.normalize(form, f"images/{name}.png")
    save_captions({written: ["a hall"]}, tmp_path / "list.jsonl")
    (entry,) = find_entries(SourceConfig(manifests=[str(tmp_path / "list.jsonl")]))
    assert entry.path == tmp_path / "images" / f"{name}.png" and entry.captions == ("a hall",)
    (entry,) = found(tmp_path, captions=[str(tmp_path / "list.jsonl")])
    assert entry.name == f"images/{name}.png" and entry.captions == ("a hall",)
    if "\udce9" not in name:
        quoted = written.replace('"', '""')
        (tmp_path / "list.csv").write_text(f'file,caption\n"{quoted}",a hall\n', encoding="utf-8", newline="")
        (entry,) = find_entries(SourceConfig(manifests=[str(tmp_path / "list.csv")]))
        assert entry.path == tmp_path / "images" / f"{name}.png" and entry.captions == ("a hall",)
        (tmp_path / "list.txt").write_text(f"{written}\r\n", encoding="utf-8", newline="")
        listed = found(tmp_path, split=SplitConfig(part="train", list=str(tmp_path / "list.txt")))
        assert names(listed) == [f"images/{name}.png"]
    parts = [SplitConfig(part=part) for part in ("train", "validation", "test")]
    assert [Split(part).takes(f"{name}.png") for part in parts].count(True) == 1


@pytest.mark.parametrize("name", ["n" * 300, "nul\0.png", "f" * 5000 + "/a.png"])
def test_names_that_no_file_can_have_are_missing(name: str, folder: Path, caplog: pytest.LogCaptureFixture):
    save_captions({name: ["x"], "a.png": ["y"]}, folder / "list.jsonl")
    (folder / "list.csv").write_text(f"file\n{name}\na.png\n")
    for manifest in ("list.jsonl", "list.csv"):
        assert names(find_entries(SourceConfig(manifests=[str(folder / manifest)]))) == ["a.png"]
    assert caplog.text.count("1 of 2 images are missing") == 2
    assert names(found(folder, captions=[str(folder / "list.jsonl")])) == ["a.png"]
    for settings in ({"folders": [name]}, {"manifests": [name]}, {"folders": [str(folder)], "captions": [name]}):
        with pytest.raises(UserError, match="no such"):
            find_entries(SourceConfig(**settings))
    with pytest.raises(UserError, match="no such list"):
        found(folder, split=SplitConfig(list=name))


def test_only_line_feeds_end_the_lines_of_prompts(tmp_path: Path):
    for number in range(2):
        (tmp_path / f"{number}.png").write_bytes(b"")
    prompts = ["a hall\u2028a door\x85and\x0bmore\x0c\x1c", "a room"]
    (tmp_path / "prompts.txt").write_text("\r\n".join(prompts) + "\r\n", encoding="utf-8", newline="")
    entries = find_entries(SourceConfig(manifests=[str(tmp_path / "prompts.txt")]))
    assert [entry.captions for entry in entries] == [(prompts[0].strip(),), ("a room",)]
