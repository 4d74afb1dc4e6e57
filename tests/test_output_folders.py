"""A folder that a command writes into: one process at a time, nothing left by a failure, leftovers of kills cleared."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from aognet.captioning.captioner import CaptionerConfig
from aognet.captioning.folder_captions import FolderCaptionsConfig, caption_folder
from aognet.data.conversion import Conversion, convert_folder
from aognet.errors import UserError
from aognet.evaluation.pipeline import EvaluationConfig, evaluate
from aognet.io.hdr import write_exr
from aognet.scenes.folder import SceneFolder, fill
from aognet.system.locking import FolderInUseError, exclusive
from misc import index_captions, train_tokenizer
from tests.captioning.test_folder_captions import Compass, compass_panorama
from tests.evaluation.folders import ALONE, panoramas, small, write


@dataclass(frozen=True)
class Command:
    """``work`` and ``fail`` write into a folder, the latter in vain; ``held``: of what they hold, its name (""; all).

    ``leftovers``: what kills of earlier ones may have left there.
    """

    work: Callable[[Path], object]
    fail: Callable[[Path], object]
    held: str | None
    leftovers: tuple[str, ...]


@pytest.fixture
def inputs(tmp_path: Path) -> Path:
    folder = tmp_path / "inputs"
    write(folder / "panoramas", [compass_panorama()])
    write(folder / "generated", panoramas(2))
    (folder / "light").mkdir()
    write_exr({name: np.ones((4, 8), np.float32) for name in "RGB"}, folder / "light" / "a.exr")
    (folder / "index.csv").write_text("slug,split,caption\na,train,a room\n")
    (folder / "captions.jsonl").write_text('{"file": "a.png", "captions": ["a room"]}\n')
    (folder / "file").write_text("")
    return folder


HOLDING = ("exr2png", "captioning", "make_scenes", "evaluate", "train_tokenizer")
"""Commands that hold what they write while they work; an index is written at once."""


@pytest.fixture(params=[*HOLDING, "index_captions"])
def command(request: pytest.FixtureRequest, inputs: Path, monkeypatch: pytest.MonkeyPatch) -> Command:
    def captioning(out: Path) -> None:
        with monkeypatch.context() as patched:
            patched.setattr("aognet.captioning.folder_captions.build_captioner", lambda *_: Compass())
            caption_folder(
                FolderCaptionsConfig(inputs / "panoramas", out, "said"), CaptionerConfig(model="compass"), ALONE
            )

    def captioning_in_vain(out: Path) -> None:
        config = CaptionerConfig(model=str(inputs / "nothing"))
        caption_folder(FolderCaptionsConfig(inputs / "panoramas", out, "said"), config, ALONE)

    def evaluation(out: Path, generated: str = "generated") -> None:
        config = EvaluationConfig(inputs / generated, inputs / "generated", out / "report", cache=out / "cache")
        evaluate(config, small("psnr"), ALONE)

    def scenes(out: Path, depth: Path | None = None) -> None:
        fill(SceneFolder(out, 16, 0, ("field rows",), "jpg", depth), 1, 1)

    def index(out: Path, prefix: str = "") -> None:
        index_captions.main(["--index", str(inputs / "index.csv"), "--out_dir", str(out), "--prefix", prefix])

    def tokenizer(out: Path, size: int = 600) -> None:
        captions = str(inputs / "captions.jsonl")
        train_tokenizer.main(["--captions", captions, "--out_dir", str(out), "--vocabulary", str(size)])

    return {
        "exr2png": Command(
            lambda out: convert_folder(inputs / "light", out, Conversion(), 1),
            lambda out: convert_folder(inputs / "panoramas", out, Conversion(), 1),
            "",
            (".a.png.1-2.tmp", ".exr2png.json.1-2.tmp"),
        ),
        "captioning": Command(captioning, captioning_in_vain, "said.jsonl", (".said.jsonl.1-2.tmp",)),
        "make_scenes": Command(
            scenes,
            lambda out: scenes(out, inputs / "file" / "depth"),
            "",
            (".scene_000007.jpg.1-2.tmp", ".captions.jsonl.1-2.tmp"),
        ),
        "evaluate": Command(
            evaluation,
            lambda out: evaluation(out, "light"),
            "report.html",
            (".report.html.1-2.tmp", ".report.json.1-2.tmp"),
        ),
        "index_captions": Command(index, lambda out: index(out, "no/such"), None, ()),
        "train_tokenizer": Command(tokenizer, lambda out: tokenizer(out, 7), "", ()),
    }[request.param]


def content(folder: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*")}


@pytest.mark.parametrize("command", HOLDING, indirect=True)
def test_a_second_one_is_refused_and_touches_nothing(command: Command, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "mine.txt").write_text("")
    for name in command.leftovers:
        (out / name).write_text("of the first, which is at work")
    with exclusive(out, command.held):
        before = content(out)
        with pytest.raises(FolderInUseError, match=f"{out}.*another process is working"):
            command.work(out)
        assert content(out) == before
    command.work(out)


def test_a_failure_leaves_no_folder(command: Command, tmp_path: Path) -> None:
    with pytest.raises(UserError):
        command.fail(tmp_path / "new" / "out")
    assert not (tmp_path / "new").exists()


def test_leftovers_of_its_own_are_cleared_and_nothing_else(command: Command, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    others = ("mine.txt", ".mine.txt.1-2.tmp", "x.tmp")
    for name in (*command.leftovers, *others):
        (out / name).write_text("")
    command.work(out)
    names = {path.name for path in out.iterdir()}
    assert names >= set(others) and len(names) > len(others)
    assert not names & set(command.leftovers) and not any(name.endswith(".lock") for name in names)
