"""A run writes over and removes what it wrote itself, and nothing else, whatever lies where and leads there."""

import json
import os
import re
import shutil
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from aognet.canvas import Canvas
from aognet.commands import generate
from aognet.errors import UserError
from aognet.generate import generator
from aognet.generate.run_files import OUTPUTS
from aognet.generate.view_journal import check_free
from aognet.system import locking
from aognet.system.locking import FolderInUseError, exclusive
from tests import stub_model
from tests.generate.painter import Painter, begin
from tests.stub_model import HEIGHT, contents, run

SEEN = ("input.png", "gt.png", "steps/000.png", "run.json")
NAMES = ("run.json", *OUTPUTS, "steps/000.png", "steps/900.png", "steps", "faces")


@pytest.fixture(scope="module")
def painted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with inputs and a run of the photograph (``out/yard``). Do not write in it."""
    place = stub_model.make_inputs(tmp_path_factory.mktemp("painted"))
    with pytest.MonkeyPatch.context() as patch:
        stub_model.install(patch)
        run("-b", place / "tiny.yaml", *PHOTO(place))
    return place


@pytest.fixture
def place(painted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it; panoramas are painted in no time."""
    stub_model.install(monkeypatch)
    monkeypatch.setattr(generate, "DEFAULT_CONFIG", painted / "tiny.yaml")
    return shutil.copytree(painted, tmp_path, dirs_exist_ok=True)


def PHOTO(place: Path) -> tuple[Any, ...]:  # noqa: N802 (reads as the command that it is)
    return ("--image", place / "yard.png", "--prompt", "a yard", "--inference_out_dir", place / "out")


def refused(place: Path, *arguments: Any, said: str) -> None:
    """The command is refused in one line, and nothing is another than before."""
    before = contents(place)
    with pytest.raises(UserError) as caught:
        generate.main([*map(str, arguments)])
    assert said in str(caught.value) and "\n" not in str(caught.value)
    assert contents(place) == before


KINDS = ("file", "link", "broken link", "folder")
# Folders of these names may be there.
FOREIGN = [(name, kind) for name in NAMES for kind in KINDS if kind != "folder" or name not in ("steps", "faces")]


@pytest.mark.parametrize(("name", "kind"), FOREIGN)
def test_what_no_run_wrote_stays(place: Path, name: str, kind: str) -> None:
    """In a folder without a run."""
    foreign = place / "out" / "lake" / name
    foreign.parent.mkdir(parents=True)
    elsewhere = place / "elsewhere"
    if kind == "file":
        foreign.write_bytes(b"mine")
    elif kind == "folder":
        (foreign / "inside").mkdir(parents=True)
    else:
        if kind == "link":
            elsewhere.mkdir()
            (elsewhere / "mine.txt").write_text("mine")
        foreign.symlink_to(elsewhere)
    if kind == "file" and name in SEEN:
        for more in ((), ("--overwrite",)):
            refused(place, *PHOTO(place), "--name", "lake", *more, said=str(foreign))
    before = contents(place)
    for call in (check_free, lambda folder: begin(folder, Canvas.empty(HEIGHT))):
        with pytest.raises(UserError, match=re.escape(str(foreign))):
            call(place / "out" / "lake")
    assert contents(place) == before


@pytest.mark.parametrize("name", ["gt.png", "faces/front.png", "steps/900.png", "faces"])
def test_what_was_put_into_a_run_stays(place: Path, name: str) -> None:
    foreign = place / "out" / "yard" / name
    foreign.parent.mkdir(exist_ok=True)
    foreign.write_bytes(b"mine")
    out = ("--inference_out_dir", place / "out")
    for command in (
        (*PHOTO(place), "--save_faces"), (*out, "--undo", 1), (*out, "--repaint", "150,0: x"),
        (f"inputs.panoramas=[{place / 'hall.png'}]", "--name", "yard", "--overwrite", *out),
    ):  # fmt: skip
        refused(place, *command, said=str(foreign))


def test_what_has_other_names_is_nobodys_business(place: Path) -> None:
    folder = place / "out" / "yard"
    run(*PHOTO(place), "--overwrite")
    others = ("notes.txt", "steps/mine.png", "faces/mine.png", "result.jpg", ".result.png.bak", ".photo.png.1-1.tmp")
    for name in (*others, "steps/.x.png.1-1.tmp", ".result.png.1-1.tmp.gz"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text("mine")
    before = contents(folder)
    out = ("--inference_out_dir", place / "out")
    for command in ((*PHOTO(place), "--overwrite"), (*out, "--repaint", "150,0: x"), (*out, "--undo", 1)):
        run(*command)
    assert contents(folder) == before


def reached(path: Path, way: str, name: str) -> Path:
    """A way to a file, under a name beside its folder."""
    other = path.parents[1] / name
    if way == "itself":
        return path
    if way == "linked folder":
        other.symlink_to(path.parent)
        return other / path.name
    if way == "link":
        other.symlink_to(path)
    else:
        os.link(path, other)
    return other


@pytest.mark.parametrize(
    ("way", "name"),
    [("itself", "result.png"), ("link", "input.png"), ("hard link", "steps/002.png"), ("linked folder", "result.png")],
)
def test_an_input_is_never_an_output(place: Path, name: str, way: str) -> None:
    source = reached(place / "out" / "yard" / name, way, "source.png")
    out = ("--inference_out_dir", place / "out", "--prompt", "x", "--name", "yard")
    commands = {
        "photos": ("--image", source),
        "partial": ("--panorama", source, "--mask", place / "mask.png"),
        "mask": ("--panorama", place / "hall.png", "--mask", source),
        "truth": (f"inputs.panoramas=[{json.dumps(str(source))}]",),
    }
    for command in commands.values():
        refused(place, *command, *out, "--overwrite", said=f"{source}: is an input")


def test_what_a_command_is_read_from_is_never_an_output(place: Path) -> None:
    folder = place / "out" / "yard"
    (place / "captions.jsonl").write_text('{"file": "yard.png", "captions": ["a yard"]}\n')
    (place / "poses.yaml").write_text("yard.png: {yaw: 10}\n")
    settings = {
        "captions.jsonl": (f"inputs.captions=[{place / 'captions.jsonl'}]", f"inputs.photos=[{place / 'yard.png'}]"),
        "poses.yaml": ("--image", place / "yard.png", "--poses", place / "poses.yaml", "--name", "yard"),
        "tiny.yaml": ("-b", place / "tiny.yaml", "--image", place / "yard.png"),
    }
    for name, command in settings.items():
        (folder / "prompt.txt").unlink()
        os.link(place / name, folder / "prompt.txt")
        refused(
            place, *command, "--inference_out_dir", place / "out", "--overwrite", said=f"{place / name}: is an input"
        )


def test_the_runs_of_a_folder_are_no_inputs_of_a_run_in_it(place: Path) -> None:
    """A folder of photographs that holds the output folder: its results would be painted over while they are read."""
    (place / "photos").mkdir()
    shutil.move(place / "out", place / "photos" / "out")
    shutil.copy(place / "yard.png", place / "photos" / "yard.png")
    command = ("--image", place / "photos", "--prompt", "a yard", "--overwrite")
    (place / "photos" / "out" / "yard").rename(place / "photos" / "out" / "result")
    refused(place, *command, "--inference_out_dir", place / "photos" / "out", said="is an input")


@pytest.mark.parametrize("name", ["...png", ".. .png", "con.png", "a\nb.png", "é" * 120 + ".png"])
def test_whatever_a_photo_is_called_only_its_own_folder_is_written(place: Path, name: str) -> None:
    (place / name).write_bytes((place / "yard.png").read_bytes())
    (place / "new").mkdir()
    (place / "new" / "gt.png").write_bytes(b"mine")
    (place / "steps").mkdir()
    before = contents(place)
    run("--image", place / name, "--prompt", "x", "--inference_out_dir", place / "new" / "out")
    after = contents(place)
    made = [path for path in after if path not in before]
    assert all(path.startswith("new/out") for path in made)
    assert len([path for path in made if path.count("/") == 2 and after[path] is None]) == 1
    assert {path: after[path] for path in before} == before


FAILURES = {
    "noise as a photo": ("--image", "noise.png"),
    "no photo": ("--image", "nowhere.png"),
    "a mask of another size": ("--panorama", "hall.png", "--mask", "yard.png"),
    "no such model": ("--image", "yard.png", "--checkpoint", "/no/such/model"),
    "a setting": ("--image", "yard.png", "generator.hight=3"),
}


@pytest.mark.parametrize("out", ["new/deep/er", "there"])
@pytest.mark.parametrize("failure", FAILURES)
def test_a_failed_command_leaves_nothing_behind(
    place: Path, failure: str, out: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from aognet.methods.identity import model_identity

    monkeypatch.setattr(
        generator, "model_identity", lambda model, *more: model_identity(model) if model[0] == "/" else ""
    )
    monkeypatch.chdir(place)
    (place / "noise.png").write_bytes(os.urandom(3000))
    (place / "there").mkdir()
    refused(place, *FAILURES[failure], "--prompt", "x", "--inference_out_dir", place / out, said="")


def test_what_cannot_be_read_among_others_leaves_no_folder(place: Path) -> None:
    (place / "photos").mkdir()
    shutil.copy(place / "yard.png", place / "photos" / "yard.png")
    (place / "photos" / "noise.png").write_bytes(os.urandom(3000))
    command = ("--image", place / "photos", "--prompt", "x", "--inference_out_dir", place / "new")
    assert generate.main([*map(str, command), "panoramas_per_batch=2"]) == 1
    assert [path.name for path in (place / "new").iterdir()] == ["yard"]


def test_what_killed_writers_left_goes_when_the_run_goes_on(place: Path) -> None:
    folder = place / "out" / "yard"
    run(*PHOTO(place), "--overwrite")
    expected = contents(folder)
    left = (".result.png.12-34.tmp", ".run.json.1-1.tmp", "steps/.003.png.12-34.tmp", ".gt.png.1-2.tmp")
    out = ("--inference_out_dir", place / "out")
    for command in (PHOTO(place), (*PHOTO(place), "--overwrite"), (*out, "--undo", 1), PHOTO(place)):
        for name in left:
            (folder / name).write_bytes(b"half")
        run(*command)
        assert not [name for name in contents(folder) if name in left]
    assert contents(folder) == expected


def test_a_folder_in_use_is_named(place: Path) -> None:
    out = ("--inference_out_dir", place / "out")
    with exclusive(place / "out" / "yard"):
        for command in (
            PHOTO(place),
            (*PHOTO(place), "--overwrite"),
            (*out, "--undo", 1),
            (*out, "--repaint", "9,0: x"),
        ):
            refused(place, *command, said=f"{place / 'out' / 'yard'}: another process is working in this folder")


@pytest.mark.parametrize("together", [1, 2])
def test_a_folder_is_held_as_long_as_it_is_painted_into(
    place: Path, together: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    held: list[tuple[str, ...]] = []

    def watched(outpaint: Any) -> Any:
        def watch(*given: Any, **options: Any) -> Any:
            held.append(tuple(path.name for path in sorted((place / "new").iterdir()) if in_use(path)))
            return outpaint(*given, **options)

        return watch

    monkeypatch.setattr(Painter, "outpaint", watched(Painter.outpaint))
    monkeypatch.setattr(locking, "PATIENCE_SECONDS", 0.01)
    panoramas = f"inputs.panoramas=[{place / 'hall.png'}]"
    run(*PHOTO(place)[:-1], place / "new", panoramas, f"panoramas_per_batch={together}")
    assert set(held) == ({("hall", "yard")} if together == 2 else {("hall",), ("yard",)})
    run("--inference_out_dir", place / "new" / "yard", "--repaint", "150,0: x")
    assert held[-1] == ("yard",) and not any(map(in_use, (place / "new").iterdir()))


def in_use(folder: Path) -> bool:
    with ExitStack() as stack:
        try:
            stack.enter_context(exclusive(folder))
        except FolderInUseError:
            return True
    return False
