"""A checkpoint is either complete or it is not there."""

import json
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from aognet.errors import UserError
from aognet.nn.weights import copy_tensors
from aognet.training import checkpoint
from aognet.training.checkpoint import DIFFUSERS, Checkpoints, TrainingProgress, TrainingState, start_from


def state(step: int) -> TrainingState:
    return TrainingState(
        progress=TrainingProgress(step=step, samples=3 * step, optimizer="adamw", grad_scaler={"scale": 2.0}),
        weights={"part.weight": torch.full((2, 3, 1, 1), float(step)).to(memory_format=torch.channels_last)},
        optimizer={"part.weight:step": torch.tensor(float(step)), "part.weight:exp_avg": torch.ones(2, 3)},
        random={"0:torch": torch.arange(9, dtype=torch.uint8)},
        ema={"part.weight": torch.zeros(2, 3, 1, 1)},
    )


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def assert_same(one: TrainingState, other: TrainingState) -> None:
    assert one.progress == other.progress
    for kind in ("weights", "optimizer", "random", "ema"):
        left, right = getattr(one, kind), getattr(other, kind)
        assert left.keys() == right.keys()
        assert all(torch.equal(left[key], right[key]) and left[key].dtype == right[key].dtype for key in left)


def test_what_is_saved_is_loaded(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path / "checkpoints")
    path = checkpoints.save(state(5))
    assert path.name == "step-00000005"
    assert_same(checkpoints.load(path), state(5))
    assert {file.suffix for file in path.iterdir()} == {".safetensors", ".json"}


def test_the_newest_are_kept(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path, keep=2)
    assert checkpoints.latest() is None
    for step in (1, 5, 99_999_999, 100_000_000):
        checkpoints.save(state(step))
    assert names(tmp_path) == ["step-100000000", "step-99999999"]
    assert checkpoints.latest() == tmp_path / "step-100000000"


@pytest.mark.parametrize("survived", range(6))
def test_a_kill_during_a_save_leaves_the_earlier_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, survived: int
) -> None:
    """Killed after 0 files, 1 file, ... all files but before the rename: a later run sees none of it."""
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(state(1))
    killed = killer(survived)
    if survived < 4:
        monkeypatch.setattr(checkpoint, "write_tensors", killed(checkpoint.write_tensors))
    elif survived == 4:
        monkeypatch.setattr(checkpoint, "_sha256", killer(0)(checkpoint._sha256))
    else:
        monkeypatch.setattr(Path, "rename", killer(0)(Path.rename))
    with pytest.raises(SystemExit):
        checkpoints.save(state(2))
    monkeypatch.undo()
    assert names(tmp_path) == [".tmp-step-00000002", "step-00000001"]
    assert checkpoints.latest() == tmp_path / "step-00000001"
    checkpoints.save(state(3))
    assert names(tmp_path) == ["step-00000001", "step-00000003"]


def test_a_kill_while_old_checkpoints_are_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checkpoints = Checkpoints(tmp_path, keep=1)
    checkpoints.save(state(1))
    monkeypatch.setattr(shutil, "rmtree", killer(0)(shutil.rmtree))
    with pytest.raises(SystemExit):
        checkpoints.save(state(2))
    monkeypatch.undo()
    assert checkpoints.complete() == [tmp_path / "step-00000002"]
    checkpoints.save(state(3))
    assert names(tmp_path) == ["step-00000003"]


def test_a_kill_after_the_last_save_keeps_no_checkpoint_too_many(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoints = Checkpoints(tmp_path, keep=1)
    checkpoints.save(state(1))
    monkeypatch.setattr(checkpoint, "flush", lambda path: sys.exit(137) if path == tmp_path else None)
    with pytest.raises(SystemExit):
        checkpoints.save(state(2))
    monkeypatch.undo()
    assert len(checkpoints.complete()) == 2
    checkpoints.clear()  # as a training begins, which may have nothing left to learn and to save
    assert names(tmp_path) == ["step-00000002"]


def killer(survived: int):
    """A wrapper that stops everything, as SIGKILL would, once a function was called ``survived`` times."""
    calls = 0

    def wrap(function):
        def wrapped(*arguments, **options):
            nonlocal calls
            calls += 1
            if calls > survived:
                raise SystemExit
            return function(*arguments, **options)

        return wrapped

    return wrap


@pytest.mark.parametrize("harm", ["flip", "cut", "delete", "manifest"])
def test_a_damaged_checkpoint_is_refused(tmp_path: Path, harm: str) -> None:
    checkpoints = Checkpoints(tmp_path)
    path = checkpoints.save(state(1))
    file = path / ("manifest.json" if harm == "manifest" else "optimizer.safetensors")
    data = bytearray(file.read_bytes())
    if harm == "delete":
        file.unlink()
    else:
        data[-1] ^= 1
        file.write_bytes(data[:-4] if harm in ("cut", "manifest") else data)
    with pytest.raises(UserError, match="step-00000001.*the checkpoint is damaged"):
        checkpoints.load(path)


def test_another_format_is_refused(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path)
    path = checkpoints.save(replace(state(1), progress=TrainingProgress(step=1, format_version=2)))
    with pytest.raises(UserError, match="checkpoint format 2, this program reads 1"):
        checkpoints.load(path)


def test_a_folder_that_cannot_be_written_is_a_clear_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="step-00000001: cannot write the checkpoint: Not a directory|File exists"):
        Checkpoints(tmp_path / "file" / "checkpoints").save(state(1))


def test_weights_that_do_not_fit_are_refused() -> None:
    target = {"a.weight": torch.zeros(2, 3), "b.weight": torch.zeros(1)}
    with pytest.raises(UserError, match=r"w.safetensors: 1 weights are missing, the first is 'b.weight'"):
        copy_tensors({"a.weight": torch.ones(2, 3)}, target, "w.safetensors")
    with pytest.raises(UserError, match=r"w.safetensors: 1 weights are unknown here, the first is 'c'"):
        copy_tensors({**target, "c": torch.ones(1)}, target, "w.safetensors")
    with pytest.raises(UserError, match=r"'a.weight' has shape \[3, 2\], the model needs \[2, 3\]"):
        copy_tensors({"b.weight": torch.ones(1), "a.weight": torch.ones(3, 2)}, target, "w.safetensors")
    assert all(not value.any() for value in target.values()), "nothing is copied unless all fits"


def test_a_new_run_starts_from_averaged_or_final_weights(tmp_path: Path) -> None:
    part = nn.Conv2d(3, 2, 1, bias=False)
    start_from(Checkpoints(tmp_path).save(state(4)), {"part": part})
    assert not part.weight.any()
    start_from(Checkpoints(tmp_path).save(replace(state(5), ema={})), {"part": part})
    assert (part.weight == 5).all()
    save_file({"part.weight": torch.full((2, 3, 1, 1), 7.0)}, tmp_path / "model.safetensors")
    start_from(tmp_path, {"part": part})
    assert (part.weight == 7).all()
    (tmp_path / "model.safetensors").write_bytes(b"nonsense")
    with pytest.raises(UserError, match="model.safetensors: not a readable safetensors file"):
        start_from(tmp_path, {"part": part})
    (tmp_path / "apart" / "part").mkdir(parents=True)
    save_file({"weight": torch.full((2, 3, 1, 1), 9.0)}, tmp_path / "apart" / "part" / DIFFUSERS)
    start_from(tmp_path / "apart", {"part": part})
    assert (part.weight == 9).all()
    with pytest.raises(UserError, match="nowhere: has neither model.safetensors nor weights.safetensors"):
        start_from(tmp_path / "nowhere", {"part": part})


def test_files_are_plain_safetensors_and_json(tmp_path: Path) -> None:
    path = Checkpoints(tmp_path).save(state(2))
    assert json.loads((path / "state.json").read_text())["samples"] == 6
    assert load_file(path / "optimizer.safetensors")["part.weight:step"] == 2
