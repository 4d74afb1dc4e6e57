# ruff: noqa: F811 (fixtures)
"""Whatever happens to the files of an experiment, ``--resume`` goes on to the same end or says one clear line."""

import errno
import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from aognet.errors import UserError
from aognet.system.locking import FolderInUseError, exclusive
from aognet.training.checkpoint import MANIFEST, Checkpoints, _sha256
from tests.training.test_main import clean_slate, train  # noqa: F401, F811
from tests.training.toy import metrics

Train = Callable[..., int]
SHORT = ("trainer.max_steps=3", "trainer.checkpoint_every=1", "trainer.keep_checkpoints=1", "trainer.images_every=2")
BROKEN = (
    b"",
    b"\x00\xff\xfe" * 50,
    b"{",
    b"[" * 100_000,
    b'"text"',
    b"null",
    b"[1, {}]",
    b'{"python": 3, "numpy": []}',
)


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "final" / "model.safetensors")


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)


def sealed(path: Path) -> None:
    """A manifest that fits the files, as if they had been written so."""
    files = [file for file in path.iterdir() if file.name != MANIFEST]
    manifest = {file.name: {"bytes": file.stat().st_size, "sha256": _sha256(file)} for file in files}
    (path / MANIFEST).write_text(json.dumps(manifest))


def one_line(call: Callable[[], object]) -> str | None:
    """What a mistake of the user is told, None if there was none."""
    try:
        call()
    except UserError as error:
        assert str(error).strip() and "\n" not in str(error)
        return str(error)
    return None


def test_a_second_training_is_refused_and_touches_nothing(tmp_path: Path, train: Train) -> None:
    train("-n", "run", *SHORT)
    folder = tmp_path / "run"
    (folder / "checkpoints" / ".tmp-step-00000009").mkdir()  # of the first training, which is at work
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    for options in ((), ("--resume", "trainer.max_steps=4")):
        with exclusive(folder), pytest.raises(FolderInUseError, match="run: another process"):
            train("-n", "run", *options)
    assert before == {path: path.stat().st_mtime_ns for path in folder.rglob("*")}


def test_a_training_that_fails_at_once_leaves_no_folder(tmp_path: Path, train: Train) -> None:
    before = set(tmp_path.rglob("*"))
    with pytest.raises(UserError):
        train("-n", "run", "--out_dir", str(tmp_path / "new" / "logs"), "-c", str(tmp_path / "nothing"))
    assert set(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("name", ["metrics.jsonl", "provenance.json", "wandb_id.txt", "config.yaml"])
def test_damaged_side_files_do_not_stop_a_training(
    tmp_path: Path,
    train: Train,
    name: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    folder = tmp_path / "run"
    train("-n", "run", "trainer.max_steps=1", "trainer.checkpoint_every=1")
    for step, content in enumerate(BROKEN, start=2):
        (folder / name).write_bytes(content)
        train("-n", "run", "--resume", f"trainer.max_steps={step}", "trainer.checkpoint_every=1")
        assert list(metrics(folder))[-1] == step
        if name == "provenance.json" and content != b"[1, {}]":
            assert (folder / "provenance.damaged.json").read_bytes() == content and "provenance.json" in caplog.text
            assert len(json.loads((folder / name).read_text())) == 1


def test_metrics_keep_every_good_line_beside_damaged_ones(
    tmp_path: Path,
    train: Train,
    caplog: pytest.LogCaptureFixture,
) -> None:
    train("-n", "run", *SHORT)
    path = tmp_path / "run" / "metrics.jsonl"
    first, *rest = path.read_bytes().splitlines()
    torn = b'{"step": 1, "train/lo'
    path.write_bytes(b"\n".join([first, b"\xff\x00", b'{"step": "x"}', b'{"step": NaN}', b"[7]", *rest, torn]))
    train("-n", "run", "--resume", *SHORT, "trainer.max_steps=4")
    assert list(metrics(tmp_path / "run")) == [1, 2, 3, 4]
    assert f"metrics.jsonl: 4 of {5 + len(rest)} lines are damaged" in caplog.text


@pytest.mark.parametrize("name", ["state.json", "random.safetensors", "optimizer.safetensors", MANIFEST])
def test_damage_in_a_checkpoint_is_one_line_that_names_it(tmp_path: Path, train: Train, name: str) -> None:
    train("-n", "run", "trainer.max_steps=1", "trainer.checkpoint_every=1")
    checkpoints = Checkpoints(tmp_path / "run" / "checkpoints")
    path = checkpoints.latest()
    for content in BROKEN:
        (path / name).write_bytes(content)
        for seal in (lambda _: None, sealed) if name != MANIFEST else (lambda _: None,):
            seal(path)
            said = one_line(lambda: checkpoints.load(path))
            assert said and str(path / name) in said
    said = one_line(lambda: train("-n", "run", "--resume"))
    assert said and str(path / name) in said


@pytest.mark.parametrize("damage", [{}, {"0:torch": torch.zeros(3)}, {"0:json": torch.zeros(4, dtype=torch.uint8)}])
def test_random_states_that_are_none_are_one_line(tmp_path: Path, train: Train, damage: dict) -> None:
    train("-n", "run", "trainer.max_steps=1", "trainer.checkpoint_every=1")
    path = Checkpoints(tmp_path / "run" / "checkpoints").latest()
    file = path / "random.safetensors"
    good = load_file(file)
    save_file(good | damage if damage else {"0:other": torch.zeros(1)}, file)
    sealed(path)
    assert "random.safetensors: these are no random states; delete" in one_line(lambda: train("-n", "run", "--resume"))


# Kills and full disks


class Killed(BaseException):
    """Nothing catches it, as nothing catches a kill."""


class Disk:
    """Counts what is done to files below a folder, and fails from the ``fail_at``-th on."""

    watched: "Disk | None" = None

    def __init__(self, folder: Path, fail_at: int, full: bool):
        self.folder, self.fail_at, self.full = str(folder), fail_at, full
        self.count = 0

    def see(self, event: str, arguments: tuple) -> None:
        writes = event == "open" and isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR)
        if not writes and event not in ("os.rename", "os.mkdir", "os.remove", "os.rmdir"):
            return
        if not str(arguments[0]).startswith(self.folder):
            return
        self.count += 1
        if self.count < self.fail_at:
            return
        if not self.full:
            raise Killed
        if writes or event == "os.mkdir":  # what is on a full disk can still be removed and renamed
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _see(event: str, arguments: tuple) -> None:
    if Disk.watched is not None:
        Disk.watched.see(event, arguments)


@contextmanager
def disk(folder: Path, fail_at: int, full: bool = False) -> Iterator[Disk]:
    if not hasattr(sys, "_disk_is_watched"):
        sys.addaudithook(_see)  # there is no way to remove one
        sys._disk_is_watched = True
    Disk.watched = Disk(folder, fail_at, full)
    try:
        yield Disk.watched
    finally:
        Disk.watched = None


def survives(train: Train, tmp_path: Path, fail_at: int, full: bool, whole: dict[str, torch.Tensor]) -> None:
    name = f"run-{fail_at}-{full}"
    folder = tmp_path / name
    with disk(folder, fail_at, full):
        try:
            said = one_line(lambda: train("-n", name, *SHORT))
        except Killed:
            said = "killed"
    if full and said is not None:
        assert "No space left" in said and str(folder) in said
    resume = ("--resume",) if (folder / "config.yaml").is_file() else ()
    train("-n", name, *resume, *SHORT)
    assert same(weights(folder), whole), f"failed at {fail_at}"
    assert list(metrics(folder)) == [1, 2, 3]
    leftovers = [path for path in folder.rglob("*") if path.name.startswith(".") or ".tmp" in path.name]
    assert not leftovers, f"failed at {fail_at}"


def operations(train: Train, tmp_path: Path) -> tuple[int, dict[str, torch.Tensor]]:
    """How often an undisturbed training touches its files, and its weights."""
    with disk(tmp_path / "whole", 10**9) as watched:
        train("-n", "whole", *SHORT)
    return watched.count, weights(tmp_path / "whole")


@pytest.mark.parametrize("full", [False, True], ids=["killed", "full"])
def test_some_failures_and_full_disks_end_the_same(tmp_path: Path, train: Train, full: bool) -> None:
    count, whole = operations(train, tmp_path)
    for fail_at in range(1 + full, count + 1, max(count // 4, 1)):
        survives(train, tmp_path, fail_at, full, whole)


@pytest.mark.slow
@pytest.mark.parametrize("full", [False, True], ids=["killed", "full"])
def test_a_failure_at_any_operation_ends_the_same(tmp_path: Path, train: Train, full: bool) -> None:
    count, whole = operations(train, tmp_path)
    for fail_at in range(1, count + 1):
        survives(train, tmp_path, fail_at, full, whole)
