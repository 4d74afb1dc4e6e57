"""Captions come back as they were written; whatever else a file holds is refused with file and line."""

import csv
import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aognet.errors import UserError
from aognet.io import captions
from aognet.io.captions import (
    CaptionRecord,
    check_captions,
    load_captions,
    load_records,
    save_captions,
    save_records,
)
from misc import index_captions

GOOD = '{"file": "a.jpg", "captions": ["a lake"]}\n'


def test_roundtrip(tmp_path: Path):
    texts = {"a.jpg": ["a lake", "ein See, 湖 🏞", 'quotes " and \\ and\nlines'], "b ü.png": [""], "c.exr": []}
    save_captions(texts, tmp_path / "captions.jsonl")
    assert load_captions(tmp_path / "captions.jsonl") == texts
    assert [path.name for path in tmp_path.iterdir()] == ["captions.jsonl"]


def test_lines_of_one_file_add_up_and_empty_lines_do_not_matter(tmp_path: Path):
    path = tmp_path / "captions.jsonl"
    path.write_text("\n" + GOOD + "  \n" + GOOD.replace("lake", "pond") + "\n", encoding="utf-8")
    assert load_captions(path) == {"a.jpg": ["a lake", "a pond"]}


def test_files_of_windows_editors(tmp_path: Path):
    path = tmp_path / "captions.jsonl"
    path.write_bytes(b"\xef\xbb\xbf" + GOOD.replace("\n", "\r\n").encode())
    assert load_captions(path) == {"a.jpg": ["a lake"]}


def test_long_captions_are_cut(tmp_path: Path):
    save_captions({"a.jpg": ["x" * 5000]}, tmp_path / "captions.jsonl")
    assert load_captions(tmp_path / "captions.jsonl") == {"a.jpg": ["x" * captions.MAX_CHARACTERS]}


@pytest.mark.parametrize(
    "line",
    [
        "{",
        "a lake",
        '{"file": "a.jpg", "captions": ["a lake"]',
        "[" * 100_000,
        "1" * 5000,
        "null",
        '["a.jpg", "a lake"]',
        '{"captions": ["a lake"]}',
        '{"file": 3, "captions": ["a lake"]}',
        '{"file": "a.jpg"}',
        '{"file": "a.jpg", "captions": "a lake"}',
        '{"file": "a.jpg", "captions": ["a lake", 7]}',
        '{"file": "a.jpg", "captions": {"0": "a lake"}}',
        '{"file": "a.jpg", "captions": null}',
        '{"file": "a.jpg", "captions": ["\\ud800 half a character"]}',
        '{"file": "\\udfff.jpg", "captions": ["a lake"]}',
        '{"file": "a.jpg", "captions": ["a lake"], "note": "\\ud800"}',
        '{"file": "a.jpg", "captions": ["a lake"], "model": 3}',
        '{"file": "a.jpg", "captions": ["a lake"], "revision": ["main"]}',
        '{"file": "a.jpg", "captions": ["a lake"], "yaws": [0.0]}',
        '{"file": "a.jpg", "captions": ["a lake"], "yaws": [["north"]]}',
        '{"file": "a.jpg", "captions": ["a lake"], "yaws": [[NaN]]}',
        '{"file": "a.jpg", "captions": ["a lake"], "yaws": [[0], [90]]}',
        '{"file": "a.jpg", "captions": ["a lake"], "yaws": "0"}',
        '{"file": "a.jpg", "captions": ["a lake"], "yaws": 0}',
        '{"file": "a.jpg", "captions": ["a lake"], "yaws": [[1' + "0" * 400 + "]]}",
    ],
)
def test_malformed_lines(tmp_path: Path, line: str):
    path = tmp_path / "captions.jsonl"
    path.write_text(GOOD + line + "\n", encoding="utf-8")
    with pytest.raises(UserError) as caught:
        load_captions(path)
    assert f"{path}, line 2" in str(caught.value) and "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400


def test_records_keep_all_that_a_line_says(tmp_path: Path):
    path = tmp_path / "captions.jsonl"
    records = [
        CaptionRecord("in/a.jpg", ("a lake", "a pond"), ((0.0, 30.5), (60.0,)), "owner/model", "4f3343c5"),
        CaptionRecord("in/a.jpg", ("again",)),
        CaptionRecord("b ü.png", (), (), extra={"note": ["checked", 1], "split": "train"}),
    ]
    save_records(records, path)
    assert load_records(path) == records
    assert load_captions(path) == {"in/a.jpg": ["a lake", "a pond", "again"], "b ü.png": []}
    assert json.loads(path.read_text(encoding="utf-8").splitlines()[1]) == {"file": "in/a.jpg", "captions": ["again"]}
    path.write_text('{"file": "a.jpg", "captions": ["a"], "yaws": [[0, 90]], "model": null}')
    assert load_records(path) == [CaptionRecord("a.jpg", ("a",), ((0.0, 90.0),))]


def test_captions_and_images_that_do_not_match(caplog: pytest.LogCaptureFixture):
    texts = {"in/a.jpg": ["a"], "b.jpg": ["b"]}
    check_captions(texts, ["in/a.jpg", "in/b.jpg"], "my.jsonl")
    check_captions({}, [], "my.jsonl", refuse=True)
    assert not caplog.records
    many = texts | {f"gone{n}.jpg": ["x"] for n in range(5)}
    names = ["in/a.jpg", "deep/in/b.jpg", "new.jpg", "empty.jpg"]
    said = (
        "my.jsonl: 5 caption(s) for missing images (gone0.jpg, gone1.jpg, gone2.jpg, ...), "
        "2 image(s) without caption (new.jpg, empty.jpg)"
    )
    check_captions(many | {"empty.jpg": [""]}, names, "my.jsonl")
    assert [record.getMessage() for record in caplog.records] == [said]
    with pytest.raises(UserError) as caught:
        check_captions(many, names, "my.jsonl", refuse=True)
    assert str(caught.value) == said


def test_files_that_hold_no_text(tmp_path: Path):
    (tmp_path / "bytes.jsonl").write_bytes(GOOD.encode() + b"\xff\xfe\x00")
    (tmp_path / "folder.jsonl").mkdir()
    for name in ("bytes.jsonl", "folder.jsonl", "missing.jsonl"):
        with pytest.raises(UserError, match=name):
            load_captions(tmp_path / name)


def test_files_that_are_too_large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "captions.jsonl").write_text(GOOD)
    monkeypatch.setattr(captions, "MAX_BYTES", len(GOOD) - 1)
    with pytest.raises(UserError, match="captions.jsonl"):
        load_captions(tmp_path / "captions.jsonl")


def write_index(path: Path, rows: list[dict[str, str]]) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    return path


def test_an_index_becomes_one_captions_file_for_each_split(tmp_path: Path):
    rows = [
        {"slug": "lake", "split": "train", "caption": 'a lake, with "quotes"', "licence": "CC0"},
        {"slug": "barn", "split": "train", "caption": "a red barn", "licence": "CC0"},
        {"slug": "hall", "split": "Test", "caption": "a hall", "licence": "CC0"},
    ]
    index = write_index(tmp_path / "index.csv", rows)
    arguments = ["--index", str(index), "--out_dir", str(tmp_path / "out" / "deep")]
    index_captions.main([*arguments, "--prefix", "real"])
    out = tmp_path / "out" / "deep"
    assert load_captions(out / "real_train.jsonl") == {
        "lake.jpg": ['a lake, with "quotes"'],
        "barn.jpg": ["a red barn"],
    }
    assert load_captions(out / "real_test.jsonl") == {"hall.jpg": ["a hall"]}
    index_captions.main([*arguments, "--suffix", ".exr"])
    assert json.loads((out / "test.jsonl").read_text())["file"] == "hall.exr"


def test_an_index_that_cannot_be_used(tmp_path: Path):
    index = write_index(tmp_path / "index.csv", [{"slug": "a", "split": "train", "caption": "a"}, {"slug": "b"}])
    (tmp_path / "file").write_text("")
    (tmp_path / "bytes.csv").write_bytes(b"slug,split,caption\na,train,\xff\n")
    wrong = write_index(tmp_path / "wrong.csv", [{"name": "a", "split": "train", "caption": "a"}])
    good = write_index(tmp_path / "good.csv", [{"slug": "a", "split": "train", "caption": "a"}])
    for table, out, words in [
        (index, "out", "index.csv, line 3"),
        (wrong, "out", "wrong.csv, line 1"),
        (tmp_path / "bytes.csv", "out", "bytes.csv"),
        (tmp_path / "missing.csv", "out", "missing.csv"),
        (good, "file/out", "--out_dir .*cannot make"),
    ]:
        with pytest.raises(UserError, match=words):
            index_captions.main(["--index", str(table), "--out_dir", str(tmp_path / out)])
    assert not (tmp_path / "out").exists()


NAMES = st.text(st.one_of(st.characters(codec="utf-8"), st.sampled_from("\udc80\udce9\udcff")), max_size=8)
TEXTS = st.lists(st.text(st.characters(codec="utf-8"), max_size=8), max_size=3)


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(NAMES, TEXTS, max_size=4))
def test_whatever_names_and_texts_come_back(tmp_path_factory: pytest.TempPathFactory, texts: dict[str, list[str]]):
    """Bytes of names that are not UTF-8, and all that some programs take for the end of a line."""
    path = tmp_path_factory.getbasetemp() / "captions.jsonl"
    save_captions(texts, path)
    path.read_bytes().decode()
    assert load_captions(path) == texts
