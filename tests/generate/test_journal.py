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
from aognet.generate import pixels
from aognet.generate.entries import JournalEntry
from aognet.generate.run import Run
from aognet.generate.view_journal import ViewJournal, open_views
from aognet.geometry.camera import Camera
from aognet.geometry.perspective import footprint
from aognet.geometry.plans import PlanConfig, anchor_of
from aognet.methods.outpainter import OutpaintSettings
from aognet.request import DirectedPrompt
from tests.generate import painter
from tests.generate.painter import QUIET, SETTINGS, outpaint, smooth_photo
from tests.slow import rest_slow

PHOTO = Camera(fov_degrees=80.0, width=80, height=60)
DOOR = DirectedPrompt(150.0, 10.0, "a blue door")


def begin(folder: Path) -> ViewJournal:
    return painter.begin(folder, Canvas.empty(64).paint(smooth_photo()[None], PHOTO))


def paint(folder: Path, stop_at: int | None = None, settings: OutpaintSettings = SETTINGS) -> ViewJournal:
    """Goes on with the run in a folder, or begins it; may stop before a view."""
    journal = open_views(folder) if (folder / "run.json").is_file() else begin(folder)
    try:
        outpaint(stop_at, settings).paint([Run(journal)], QUIET)
        journal.finished = True
        journal.settle()
    except KeyboardInterrupt:
        assert stop_at is not None
    return open_views(folder)


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
    canvas = outpaint().paint([Run(journal)], QUIET)[0]
    reopened = open_views(tmp_path / "run")
    assert same(reopened.canvas(), canvas)
    assert reopened.entries == journal.entries and len(journal.entries) > 5
    assert reopened.asked == journal.asked
    assert canvas.unknown_pixels == 0 and not reopened.finished
    assert sorted(path.name for path in (tmp_path / "run" / "steps").iterdir()) == [e.file for e in journal.entries]


def test_stopped_before_any_view_it_goes_on_to_the_same_bytes(whole: Path, tmp_path: Path) -> None:
    views = len(open_views(whole).entries)
    for stop_at in (0, views // 2):
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
    write, folder = ViewJournal.write, tmp_path / "run"

    def die(journal: ViewJournal) -> None:
        if len(journal.entries) == 3:
            raise KeyboardInterrupt
        write(journal)

    monkeypatch.setattr(ViewJournal, "write", die)
    paint(folder, 100)
    monkeypatch.undo()
    assert len(open_views(folder).entries) == 2
    assert len(list((folder / "steps").iterdir())) == 3
    paint(folder)
    assert contents(folder) == contents(whole)


def test_several_views_at_a_time_are_stopped_and_undone_alike(tmp_path: Path, whole: Path) -> None:
    settings = replace(SETTINGS, views_per_batch=2)
    views = len(paint(tmp_path / "whole", settings=settings).entries)
    paint(tmp_path / "run", 3, settings)
    paint(tmp_path / "run", settings=settings)
    assert contents(tmp_path / "run") == contents(tmp_path / "whole")
    for count in (1, 2):
        open_views(tmp_path / "run").undo(count)
        assert len(paint(tmp_path / "run", settings=settings).entries) == views
        assert contents(tmp_path / "run") == contents(tmp_path / "whole")
    # A view's seed is its own, and views of one wave do not see each other.
    assert (open_views(whole).canvas().image - open_views(tmp_path / "run").canvas().image).abs().max() < 0.02


def test_the_anchor_is_seen_and_never_left(tmp_path: Path) -> None:
    """Stopped or taken back anywhere, also where the anchor stands or is gone, the run ends with the same bytes."""
    settings = replace(SETTINGS, plan=PlanConfig(kind="anchored", size=32))
    whole = paint(tmp_path / "whole", settings=settings)
    start = whole.start()
    anchored = [entry for entry in whole.entries if entry.anchored]
    behind = anchor_of(start.known)
    before = start.anchored()
    copied = [before.look(entry.camera).known & ~start.look(entry.camera).known for entry in anchored]
    most = max(range(len(anchored)), key=lambda number: int(copied[number].sum()))
    shown, copy = whole.view(anchored[most]), packed_view(before.look(anchored[most].camera).image)
    assert copied[most].any() and torch.equal(shown.where(copied[most], 0), copy.where(copied[most], 0))
    result = whole.canvas()
    assert result.unknown_pixels == 0
    assert (result.image - before.image).abs().amax(1, keepdim=True)[behind].median() > 0.05, (
        "painted anew, not the copy"
    )
    taken = open_views(tmp_path / "whole")._painted(anchored)
    assert not (taken.known & behind).any() and taken.known.sum() > start.known.sum()
    for stop_at in (1, len(anchored), len(anchored) + 1):
        folder = tmp_path / f"stopped {stop_at}"
        assert len(paint(folder, stop_at, settings).entries) == stop_at
        paint(folder, settings=settings)
        assert contents(folder) == contents(tmp_path / "whole")
    open_views(folder).undo(len(whole.entries) - 2)
    paint(folder, settings=settings)
    assert contents(folder) == contents(tmp_path / "whole")


def packed_view(image: Tensor) -> Tensor:
    """An image as the file of a view keeps it."""
    return pixels.unpacked(pixels.packed(image, "srgb"), "srgb")


def test_views_taken_back_come_again(run: Path, whole: Path) -> None:
    journal = open_views(run)
    views = len(journal.entries)
    journal.undo(3)
    assert len(journal.entries) == views - 3 == len(list((run / "steps").iterdir()))
    assert not open_views(run).finished and open_views(run).canvas().unknown_pixels > 0
    paint(run)
    assert contents(run) == contents(whole)
    open_views(run).undo(views)
    assert same(open_views(run).canvas(), open_views(run).start())
    paint(run)
    assert contents(run) == contents(whole)


@pytest.mark.parametrize("count", [0, -1, 1000])
def test_only_painted_views_can_be_taken_back(whole: Path, count: int) -> None:
    with pytest.raises(UserError, match=rf"undo must lie in \[1, \d+\], the views painted in .*, got {count}"):
        open_views(whole).undo(count)


def repaint(folder: Path, at: DirectedPrompt = DOOR) -> Canvas:
    journal = open_views(folder)
    return outpaint().repaint(journal, at, QUIET)


def shown(at: DirectedPrompt, fov_degrees: float) -> Tensor:
    mask = torch.zeros(64 * 128, dtype=torch.bool)
    camera = Camera(at.yaw, at.pitch, 0.0, fov_degrees, 32, 32)
    mask[footprint(camera, 64, 128, 1, torch.device("cpu")).index] = True
    return mask.view(64, 128)


@pytest.mark.parametrize(
    "at", rest_slow([DirectedPrompt(-70.0, 90.0, "a lamp"), DOOR, DirectedPrompt(30.0, 0.0, "a cat")])
)
def test_a_direction_is_painted_anew_and_nothing_else(run: Path, whole: Path, at: DirectedPrompt) -> None:
    before, after = open_views(run).canvas(), repaint(run, at)
    assert after.unknown_pixels == 0
    assert same(open_views(run).canvas(), after)
    changed = (before.image != after.image).any(1)[0]
    assert changed.any() and not (changed & ~shown(at, 72.0)).any()
    known = open_views(run).start().known
    assert torch.equal(after.image * known, before.image * known)
    entry = open_views(run).entries[-1]
    assert (entry.prompt, entry.erased.fov_degrees) == (f"{at.text}, a room", 72.0)
    # Twice, and both taken back.
    again = repaint(run, at)
    assert again.unknown_pixels == 0 and not same(again, after)
    open_views(run).undo(1)
    assert same(open_views(run).canvas(), after)
    open_views(run).undo(1)
    assert same(open_views(run).canvas(), before)
    paint(run)
    assert contents(run) == contents(whole)


def test_the_plan_goes_on_after_a_repainted_run_lost_views(run: Path, whole: Path) -> None:
    repaint(run)
    open_views(run).undo(4)
    paint(run)
    assert contents(run) == contents(whole)


def test_only_a_finished_run_is_repainted_and_not_what_the_input_shows(run: Path, tmp_path: Path) -> None:
    paint(tmp_path / "part", 2)
    with pytest.raises(UserError, match="a run must be finished"):
        repaint(tmp_path / "part")
    journal = painter.begin(tmp_path / "full", open_views(run).canvas())
    journal.finished = True
    journal.settle()
    with pytest.raises(UserError, match="repaint 150,10: the input covers this direction wholly"):
        repaint(tmp_path / "full")


def test_what_differs_from_the_first_request_is_named(whole: Path) -> None:
    journal = open_views(whole)
    asked, request = journal.asked, journal.asked.request
    assert journal.differences(asked) == []
    assert journal.differences(replace(asked, camera=PHOTO)) == []
    assert journal.differences(replace(asked, request=replace(request, seed=1))) == ["seed: 0 there, 1 here"]
    settings = {**request.settings, "feather": 0.5}
    other = replace(asked, request=replace(request, settings=settings))
    assert journal.differences(other) == ["settings.feather: 0.1 there, 0.5 here"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", ""),
        ("{", ""),
        ("[1]", ""),
        ("null", ""),
        ("[" * 100_000, ""),
        ("{}", "version"),
        ('{"version": 9}', "version 9, this program writes version 3"),
        ('{"version": 1, "steps": 3, "request": {}, "finished": false}', ""),
        ('{"version": 1, "steps": [[]], "request": {}, "finished": false}', ""),
        ('{"version": 1, "steps": [], "request": {"generator": {"sampler": {}}}, "finished": false}', "seed"),
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
        ({"kind": "songs"}, "songs"),
        ({"encoding": "cmyk"}, "encoding: unknown value 'cmyk'"),
        ({"camera": {"yaw": 3}}, "yaw"),
        ({"camera": {"width": 1000000000}}, ""),
        ({"request": {"version": 1, "height": 5}}, "height must lie in"),
        ({"request": {"version": 9}}, "version must be 1"),
        ({"request": {"version": 1, "photos": [3]}}, "photos"),
        ({"model": {"checkpoint": "x", "pickle": "x"}}, "pickle"),
        ({"files": 3}, ""),
    ],
)
def test_a_journal_names_no_files_but_a_runs(run: Path, change: dict[str, Any], said: str) -> None:
    """What it lists may be removed, and it may be a stranger's."""
    content = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps(content | change))
    assert_refused(run, "run.json: not a run that can be continued", said)


def assert_refused(run: Path, *said: str) -> None:
    with pytest.raises(UserError) as caught:
        open_views(run)
    for words in said:
        assert words in str(caught.value)


def test_damaged_images_are_named(run: Path) -> None:
    journal = open_views(run)
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
    journal = painter.begin(tmp_path / "run", canvas, prompt="ünï 🌲")
    start = journal.start()
    assert torch.equal(start.known, canvas.known)
    assert (start.image - canvas.image).abs().max() <= 1 / 255 + 1e-6
    again = painter.begin(tmp_path / "again", start)
    assert same(again.start(), start)
    assert open_views(tmp_path / "run").asked.request.prompt == "ünï 🌲"


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot make this output folder"):
        painter.begin(tmp_path / "file" / "run", Canvas.empty(64))
    with pytest.raises(UserError, match="no run here"):
        open_views(tmp_path)


def test_views_written_together_are_all_recorded_or_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = begin(tmp_path / "run")
    entries = [JournalEntry(f"{i:03d}.png", Camera(width=8, height=8), 0, "", i) for i in range(2)]
    write = pixels.write_atomically

    def write_first(path: Path, content: bytes | str) -> None:
        if path.name == "001.png":
            raise KeyboardInterrupt
        write(path, content)

    monkeypatch.setattr(pixels, "write_atomically", write_first)
    with pytest.raises(KeyboardInterrupt):
        journal.add(list(torch.zeros(2, 3, 8, 8, dtype=torch.uint8)), entries)
    assert open_views(tmp_path / "run").entries == []


def test_the_largest_panoramas_are_read_without_a_warning(tmp_path: Path, recwarn: pytest.WarningsRecorder) -> None:
    journal = begin(tmp_path / "run")
    small = Image.MAX_IMAGE_PIXELS
    Image.MAX_IMAGE_PIXELS = 64 * 128 - 1
    try:
        journal.start()
    finally:
        Image.MAX_IMAGE_PIXELS = small
    assert not [warning for warning in recwarn if "bomb" in str(warning.message)]
