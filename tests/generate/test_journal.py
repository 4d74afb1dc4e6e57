"""The folder of a run: stopped anywhere it goes on, views are taken back and painted anew, nonsense is refused."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from torch import Tensor

from aognet.canvas import Canvas
from aognet.errors import UserError
from aognet.generate import journal as journal_module
from aognet.generate.entries import JournalEntry
from aognet.generate.inputs import DirectedPrompt
from aognet.generate.journal import Journal
from aognet.generate.outpaint import GeneratorConfig, Run
from aognet.geometry.camera import Camera
from aognet.geometry.perspective import footprint
from tests.generate.painter import CONFIG, QUIET, generator, smooth_photo

REQUEST = {"prompt": "a room", "generator": {"seed": 0, "plan": {"size": 32}}, "files": {}}
PHOTO = Camera(fov_degrees=80.0, width=80, height=60)
DOOR = DirectedPrompt(150.0, 10.0, "a blue door")


def begin(folder: Path) -> Journal:
    return Journal.create(folder, REQUEST, Canvas.empty(64).paint(smooth_photo()[None], PHOTO))


def paint(folder: Path, stop_at: int | None = None, config: GeneratorConfig = CONFIG) -> Journal:
    """Goes on with the run in a folder, or begins it; may stop before a view."""
    journal = Journal.open(folder) if (folder / "run.json").is_file() else begin(folder)
    try:
        generator(stop_at, config).paint([Run(journal, "a room")], QUIET)
        journal.finished = True
        journal.settle()
    except KeyboardInterrupt:
        assert stop_at is not None
    return Journal.open(folder)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an uninterrupted run. Do not write in it."""
    folder = tmp_path_factory.mktemp("runs") / "whole"
    paint(folder)
    return folder


@pytest.fixture
def run(whole: Path, tmp_path: Path) -> Path:
    """A copy of it."""
    return shutil.copytree(whole, tmp_path / "run")


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def same(one: Canvas, other: Canvas) -> bool:
    return torch.equal(one.image, other.image) and torch.equal(one.known, other.known)


def test_replays_to_the_canvas_that_was_painted(tmp_path: Path) -> None:
    journal = begin(tmp_path / "run")
    canvas = generator().paint([Run(journal, "a room")], QUIET)[0]
    reopened = Journal.open(tmp_path / "run")
    assert same(reopened.canvas(), canvas)
    assert reopened.entries == journal.entries and len(journal.entries) > 5
    assert reopened.request == REQUEST
    assert canvas.unknown_pixels == 0 and not reopened.finished
    assert sorted(path.name for path in (tmp_path / "run" / "steps").iterdir()) == [e.file for e in journal.entries]


def test_stopped_before_any_view_it_goes_on_to_the_same_bytes(whole: Path, tmp_path: Path) -> None:
    views = len(Journal.open(whole).entries)
    for stop_at in (0, 1, views // 2, views - 1):
        folder = tmp_path / f"stopped {stop_at}"
        assert len(paint(folder, stop_at).entries) == stop_at
        assert paint(folder).finished
        assert contents(folder) == contents(whole)
    for done in range(1, views + 1):
        assert len(paint(tmp_path / "often", 1).entries) == done
    paint(tmp_path / "often")
    assert contents(tmp_path / "often") == contents(whole)


def test_killed_between_a_view_and_the_journal_it_goes_on(
    whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write, folder = Journal.write, tmp_path / "run"

    def die(journal: Journal) -> None:
        if len(journal.entries) == 3:
            raise KeyboardInterrupt
        write(journal)

    monkeypatch.setattr(Journal, "write", die)
    paint(folder, 100)
    monkeypatch.undo()
    assert len(Journal.open(folder).entries) == 2
    assert len(list((folder / "steps").iterdir())) == 3
    paint(folder)
    assert contents(folder) == contents(whole)


def test_several_views_at_a_time_are_stopped_and_undone_alike(tmp_path: Path, whole: Path) -> None:
    config = replace(CONFIG, views_per_batch=2)
    views = len(paint(tmp_path / "whole", config=config).entries)
    paint(tmp_path / "run", 3, config)
    paint(tmp_path / "run", config=config)
    assert contents(tmp_path / "run") == contents(tmp_path / "whole")
    for count in (1, 2, 3, views - 1):
        Journal.open(tmp_path / "run").undo(count)
        assert len(paint(tmp_path / "run", config=config).entries) == views
        assert contents(tmp_path / "run") == contents(tmp_path / "whole")
    # A view's seed is its own, and views of one wave do not see each other.
    assert (Journal.open(whole).canvas().image - Journal.open(tmp_path / "run").canvas().image).abs().max() < 0.02


def test_views_taken_back_come_again(run: Path, whole: Path) -> None:
    journal = Journal.open(run)
    views = len(journal.entries)
    journal.undo(3)
    assert len(journal.entries) == views - 3 == len(list((run / "steps").iterdir()))
    assert not Journal.open(run).finished and Journal.open(run).canvas().unknown_pixels > 0
    paint(run)
    assert contents(run) == contents(whole)
    Journal.open(run).undo(views)
    assert same(Journal.open(run).canvas(), Journal.open(run).start())
    paint(run)
    assert contents(run) == contents(whole)


@pytest.mark.parametrize("count", [0, -1, 1000])
def test_only_painted_views_can_be_taken_back(whole: Path, count: int) -> None:
    with pytest.raises(UserError, match=rf"--undo must lie in \[1, \d+\], the views painted; got {count}"):
        Journal.open(whole).undo(count)


def repaint(folder: Path, at: DirectedPrompt = DOOR) -> Canvas:
    journal = Journal.open(folder)
    return generator().repaint(journal, at, "a room", QUIET)


def shown(at: DirectedPrompt, fov_degrees: float) -> Tensor:
    mask = torch.zeros(64 * 128, dtype=torch.bool)
    camera = Camera(at.yaw, at.pitch, 0.0, fov_degrees, 32, 32)
    mask[footprint(camera, 64, 128, 1, torch.device("cpu")).index] = True
    return mask.view(64, 128)


@pytest.mark.parametrize("at", [DOOR, DirectedPrompt(30.0, 0.0, "a cat"), DirectedPrompt(-70.0, 90.0, "a lamp")])
def test_a_direction_is_painted_anew_and_nothing_else(run: Path, whole: Path, at: DirectedPrompt) -> None:
    before, after = Journal.open(run).canvas(), repaint(run, at)
    assert after.unknown_pixels == 0
    assert same(Journal.open(run).canvas(), after)
    changed = (before.image != after.image).any(1)[0]
    assert changed.any() and not (changed & ~shown(at, 72.0)).any()
    known = Journal.open(run).start().known
    assert torch.equal(after.image * known, before.image * known)
    entry = Journal.open(run).entries[-1]
    assert (entry.prompt, entry.erased.fov_degrees) == (f"{at.text}, a room", 72.0)
    # Twice, and both taken back.
    again = repaint(run, at)
    assert again.unknown_pixels == 0 and not same(again, after)
    Journal.open(run).undo(1)
    assert same(Journal.open(run).canvas(), after)
    Journal.open(run).undo(1)
    assert same(Journal.open(run).canvas(), before)
    paint(run)
    assert contents(run) == contents(whole)


def test_the_plan_goes_on_after_a_repainted_run_lost_views(run: Path, whole: Path) -> None:
    repaint(run)
    Journal.open(run).undo(4)
    paint(run)
    assert contents(run) == contents(whole)


def test_only_a_finished_run_is_repainted_and_not_what_the_input_shows(run: Path, tmp_path: Path) -> None:
    paint(tmp_path / "part", 2)
    with pytest.raises(UserError, match="--repaint needs a finished run"):
        repaint(tmp_path / "part")
    journal = Journal.create(tmp_path / "full", REQUEST, Journal.open(run).canvas())
    journal.finished = True
    journal.settle()
    with pytest.raises(UserError, match="--repaint 150,10: the input covers this direction wholly"):
        repaint(tmp_path / "full")


def test_what_differs_from_the_first_request_is_named(whole: Path) -> None:
    journal = Journal.open(whole)
    assert journal.differences(REQUEST) == []
    assert journal.differences({**REQUEST, "camera": {"yaw_degrees": 3}}) == []
    other = {**REQUEST, "generator": {"seed": 1, "plan": {"size": 32}}}
    assert journal.differences(other) == ["generator.seed: 0 there, 1 here"]
    assert journal.differences({**REQUEST, "generator": {"seed": 0}}) == ["generator.plan.size: 32 there, None here"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", ""),
        ("{", ""),
        ("[1]", ""),
        ("null", ""),
        ("[" * 100_000, ""),
        ("{}", "version"),
        ('{"version": 9}', "version 9, this program writes version 2"),
        ('{"version": 1, "steps": 3, "request": {}, "finished": false}', ""),
        ('{"version": 1, "steps": [[]], "request": {}, "finished": false}', ""),
        ('{"version": 1, "steps": [], "request": {"camera": {"yaw": 3}}, "finished": false}', "yaw"),
        ('{"version": 1, "steps": [], "request": {"camera": {"width": 1000000000}}, "finished": false}', "1e+09"),
        (" " * (2**24 + 1), "larger than"),
    ],
)
def test_a_damaged_journal_is_refused(run: Path, text: str, said: str) -> None:
    (run / "run.json").write_text(text)
    assert_refused(run, "run.json: not a run that can be continued", said)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"file": "../x.png"}, "'../x.png'"),
        ({"file": ".."}, "'..'"),
        ({"file": "/etc/passwd"}, "'/etc/passwd'"),
        ({"file": 3}, ""),
        ({"wave": "1"}, "wave"),
        ({"wave": True}, "wave"),
        ({"camera": {}}, ""),
        ({"camera": {"fov_degrees": 200.0}}, "200.0"),
        ({"camera": {"width": "wide"}}, ""),
        ({"camera": {"width": 10**12, "height": 10**12}}, "pixels"),
        ({"camera": {"width": 8000, "height": 8000}}, "4096"),
        ({"camera": {"width": 32.5}}, "32.5"),
        ({"camera": {"width": True}}, "True"),
        ({"erased": {"width": 2**14, "height": 2**14}}, "4096"),
        ({"more": 1}, "more"),
    ],
)
def test_a_damaged_step_is_refused(run: Path, change: dict[str, Any], said: str) -> None:
    content = json.loads((run / "run.json").read_text())
    step = content["steps"][1]
    step.update(change if change != {"camera": {}} else {"camera": None})
    (run / "run.json").write_text(json.dumps(content))
    assert_refused(run, "run.json: not a run that can be continued", said)
    assert (run / "steps" / "001.png").is_file()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"outputs": ["../x.png"]}, "outputs: unknown name '../x.png'"),
        ({"outputs": ["result.png", "/etc/passwd"]}, "outputs: unknown name '/etc/passwd'"),
        ({"outputs": 3}, ""),
        ({"plan": [{"file": "../x.png"}]}, "'../x.png'"),
        ({"plan": 3}, ""),
        ({"edit": {"command": "--undo 1", "gone": ["../x.png"], "view": None}}, "'../x.png'"),
        ({"edit": {"command": "--undo 1", "gone": [3], "view": None}}, ""),
        ({"edit": {"command": "x", "gone": [], "view": {"file": "001.png"}}}, ""),
        ({"edit": 3}, ""),
        ({"begun": None, "edit": []}, ""),
    ],
)
def test_a_journal_names_no_files_but_a_runs(run: Path, change: dict[str, Any], said: str) -> None:
    """What it lists may be removed, and it may be a stranger's."""
    content = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps(content | change))
    assert_refused(run, "run.json: not a run that can be continued", said)


def assert_refused(run: Path, *said: str) -> None:
    with pytest.raises(UserError) as caught:
        Journal.open(run)
    for words in said:
        assert words in str(caught.value)


def test_damaged_images_are_named(run: Path) -> None:
    journal = Journal.open(run)
    for name, content in (("input.png", b"not a picture"), ("steps/001.png", b"\x89PNG")):
        whole = (run / name).read_bytes()
        (run / name).write_bytes(content)
        with pytest.raises(UserError, match=name):
            journal.canvas()
        Image.new("RGB", (40, 30)).save(run / name)
        with pytest.raises(UserError, match=f"{name}.*(40x30|twice as wide)"):
            journal.canvas()
        (run / name).write_bytes(whole)
    (run / "steps" / "001.png").unlink()
    with pytest.raises(UserError, match="001.png: no such image file"):
        journal.canvas()


def test_the_input_is_kept_to_the_last_of_256_levels(tmp_path: Path) -> None:
    canvas = Canvas.empty(64).paint(smooth_photo()[None], PHOTO)
    journal = Journal.create(tmp_path / "run", {"prompt": "ünï 🌲"}, canvas)
    start = journal.start()
    assert torch.equal(start.known, canvas.known)
    assert (start.image - canvas.image).abs().max() <= 1 / 255 + 1e-6
    again = Journal.create(tmp_path / "again", {}, start)
    assert same(again.start(), start)
    assert Journal.open(tmp_path / "run").request == {"prompt": "ünï 🌲"}


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot make this output folder"):
        Journal.create(tmp_path / "file" / "run", {}, Canvas.empty(64))
    with pytest.raises(UserError, match="no run here"):
        Journal.open(tmp_path)


def test_views_written_together_are_all_recorded_or_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = begin(tmp_path / "run")
    entries = [JournalEntry(f"{i:03d}.png", Camera(width=8, height=8), 0, "", i) for i in range(2)]
    write = journal_module.write_atomically

    def write_first(path: Path, content: bytes | str) -> None:
        if path.name == "001.png":
            raise KeyboardInterrupt
        write(path, content)

    monkeypatch.setattr(journal_module, "write_atomically", write_first)
    with pytest.raises(KeyboardInterrupt):
        journal.add(list(torch.zeros(2, 3, 8, 8, dtype=torch.uint8)), entries)
    assert Journal.open(tmp_path / "run").entries == []


def test_the_largest_panoramas_are_read_without_a_warning(tmp_path: Path, recwarn: pytest.WarningsRecorder) -> None:
    journal = begin(tmp_path / "run")
    small = Image.MAX_IMAGE_PIXELS
    Image.MAX_IMAGE_PIXELS = 64 * 128 - 1
    try:
        journal.start()
    finally:
        Image.MAX_IMAGE_PIXELS = small
    assert not [warning for warning in recwarn if "bomb" in str(warning.message)]
