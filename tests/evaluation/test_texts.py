"""Captions of panoramas: from files, from the prompts of runs, and by direction."""

import json
from pathlib import Path

import pytest

from aognet.errors import UserError
from aognet.evaluation.images import Item
from aognet.evaluation.texts import Texts, find_texts


def items(*names: str) -> list[Item]:
    return [Item(name, Path(name)) for name in names]


def captions(path: Path, *records: dict) -> Path:
    path.write_text("".join(f"{json.dumps(record)}\n" for record in records))
    return path


def run(folder: Path, name: str, prompt: str | None) -> Item:
    (folder / name).mkdir(parents=True)
    if prompt is not None:
        (folder / name / "prompt.txt").write_text(prompt)
    return Item(name, folder / name / "result.png", folder / name)


def test_captions_of_the_whole_and_of_directions_are_told_apart(tmp_path: Path) -> None:
    whole = captions(tmp_path / "a.jsonl", {"file": "in/a.png", "captions": ["hall", " "]})
    views = captions(tmp_path / "b.jsonl", {"file": "a.jpg", "captions": ["door", "lamp"], "yaws": [[0, 30], [180]]})
    found = find_texts(items("in/a.png"), [whole, views])
    assert found == {"in/a.png": Texts(("hall",), (("door", (0.0, 30.0)), ("lamp", (180.0,))))}


def test_several_lines_of_one_panorama_add_up(tmp_path: Path) -> None:
    path = captions(
        tmp_path / "a.jsonl",
        {"file": "a.png", "captions": ["hall"]},
        {"file": "a.png", "captions": ["room"]},
        {"file": "a.png", "captions": ["door"], "yaws": [[0]]},
        {"file": "a.png", "captions": ["lamp", ""], "yaws": [[90], [45]]},
    )
    assert find_texts(items("a.png"), [path])["a.png"] == Texts(("hall", "room"), (("door", (0.0,)), ("lamp", (90.0,))))


def test_directions_are_near_all_round() -> None:
    texts = Texts(at=(("back", (180.0, 20.0)), ("left", (-90.0,)), ("right", (90.0,)), ("nowhere", ())))
    assert texts.near(-180.0, 22.5) == ["back"]
    assert texts.near(170.0, 22.5) == ["back"]
    assert texts.near(-160.0, 22.5) == ["back"]
    assert texts.near(270.0, 22.5) == ["left"]
    assert texts.near(450.0, 0.0) == ["right"]
    assert texts.near(0.0, 22.5) == ["back"]
    assert texts.near(45.0, 22.5) == []


def test_panoramas_without_caption_are_named(tmp_path: Path) -> None:
    path = captions(tmp_path / "a.jsonl", {"file": "a.png", "captions": ["hall"]}, {"file": "b.png", "captions": [""]})
    with pytest.raises(UserError, match=r"--captions: .*a.jsonl: 2 of 3 panoramas have none: b.png, c.png"):
        find_texts(items("a.png", "b.png", "c.png"), [path])


def test_an_unreadable_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"file": "a.png"\n')
    with pytest.raises(UserError, match=r"a.jsonl, line 1: not JSON"):
        find_texts(items("a.png"), [tmp_path / "a.jsonl"])
    with pytest.raises(UserError, match=r"b.jsonl: no such captions file"):
        find_texts(items("a.png"), [tmp_path / "b.jsonl"])


def test_runs_have_their_prompts_where_all_have_one(tmp_path: Path) -> None:
    both = [run(tmp_path, "a", "a hall\n"), run(tmp_path, "b", "a room")]
    assert find_texts(both, []) == {"a": Texts(("a hall",)), "b": Texts(("a room",))}
    assert find_texts([*both, run(tmp_path, "c", None)], []) == {}
    assert find_texts([*both, run(tmp_path, "d", "\n")], []) == {}
    assert find_texts(items("a.png"), []) == {}


def test_a_captions_file_goes_before_prompts_and_knows_runs_by_their_photograph(tmp_path: Path) -> None:
    path = captions(tmp_path / "a.jsonl", {"file": "in/v1.2.jpg", "captions": ["from the file"]})
    assert find_texts([run(tmp_path, "in/v1.2", "a hall")], [path])["in/v1.2"].whole == ("from the file",)


def test_a_prompt_is_bounded(tmp_path: Path) -> None:
    found = find_texts([run(tmp_path, "a", "word " * 10_000)], [])
    assert len(found["a"].whole[0]) <= 2000


def test_a_run_has_the_captions_of_what_it_started_from(tmp_path: Path) -> None:
    """Photographs of one name in several folders have runs of other names."""
    runs = [run(tmp_path, "01", "x"), run(tmp_path, "01-2", "x"), run(tmp_path, "02", "x"), run(tmp_path, "whole", "x")]
    for one, request in zip(
        runs,
        (
            {"photos": [{"image": "data/hall/01.png"}]},
            {"photos": [{"image": "data/room/01.png"}]},
            {"photos": [], "partial": "data/02.png"},
            {"truth": "data/deep/03.exr"},
        ),
        strict=True,
    ):
        (one.folder / "run.json").write_text(json.dumps({"request": request}))
    records = (("hall/01.png", "a hall"), ("room/01.exr", "a room"), ("02.png", "a garden"), ("03.png", "a lake"))
    path = captions(tmp_path / "a.jsonl", *({"file": file, "captions": [text]} for file, text in records))
    found = {name: texts.whole for name, texts in find_texts(runs, [path]).items()}
    assert found == {"01": ("a hall",), "01-2": ("a room",), "02": ("a garden",), "whole": ("a lake",)}


@pytest.mark.parametrize("content", ["{", "[]", '{"request": []}', '{"request": {"photos": [3]}}', "[" * 100_000])
def test_a_run_that_makes_no_sense_is_named(content: str, tmp_path: Path) -> None:
    one = run(tmp_path, "01", "x")
    (one.folder / "run.json").write_text(content)
    path = captions(tmp_path / "a.jsonl", {"file": "01.png", "captions": ["a hall"]})
    with pytest.raises(UserError, match="run.json: what the run started from cannot be read"):
        find_texts([one], [path])
