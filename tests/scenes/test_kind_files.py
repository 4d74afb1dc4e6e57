"""The kinds of scenes that were drawn, from their seeds alone."""

import json
from pathlib import Path

import pytest

from aognet.errors import UserError
from aognet.io.captions import load_records
from aognet.scenes import KINDS, VERSION, draw_world
from aognet.scenes.kind_files import drawn_kind, kind_records
from misc.name_kinds import main


def folder_of(folder: Path, **changed: object) -> Path:
    settings = {"seed": 3, "height": 8, "kinds": None, "format": "jpg", "version": VERSION} | changed
    (folder / "scenes.json").write_text(json.dumps(settings))
    for number in (0, 1, 2, 4):
        (folder / f"scene_{number:06d}.jpg").touch()
    return folder


@pytest.mark.parametrize("seed", [0, 7, 12345])
def test_a_kind_is_that_of_the_scene(seed: int) -> None:
    assert drawn_kind(seed) == draw_world(seed)[1]


def test_each_image_has_the_kind_of_its_number(tmp_path: Path) -> None:
    found = {record.file: record.captions for record in kind_records(folder_of(tmp_path))}
    assert found == {f"scene_{number:06d}.jpg": (drawn_kind(3 + number),) for number in (0, 1, 2, 4)}
    in_turn = kind_records(folder_of(tmp_path, kinds=list(KINDS[:3])))
    assert [record.captions[0] for record in in_turn] == [KINDS[0], KINDS[1], KINDS[2], KINDS[1]]


def test_the_command_keeps_some_for_testing(tmp_path: Path) -> None:
    (tmp_path / "scenes").mkdir()
    folder_of(tmp_path / "scenes")
    assert main(["--scenes", str(tmp_path / "scenes"), "--out_dir", str(tmp_path / "kinds"), "--every", "4"]) is None
    train, test = (load_records(tmp_path / "kinds" / f"kinds_{part}.jsonl") for part in ("train", "test"))
    assert [record.file for record in test] == ["scene_000004.jpg"] and len(train) == 3


def test_other_folders_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="scenes.json: no such file"):
        kind_records(tmp_path)
    with pytest.raises(UserError, match="version"):
        kind_records(folder_of(tmp_path, version=1))
