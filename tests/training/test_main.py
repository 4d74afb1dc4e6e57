"""``main.py``: what it writes, what it refuses, and that a killed or doubled run learns the same."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch.testing import assert_close

from aognet import data
from aognet.config import load_config
from aognet.config.plain_yaml import quoted
from aognet.errors import UserError
from aognet.training.checkpoint import Checkpoints
from aognet.training.experiment import write_config
from main import main
from tests.training.toy import TARGETS, fresh_processes, metrics

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def clean_slate(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name, target in TARGETS.items():
        monkeypatch.setitem(data.TARGETS, name, target)
    yield from fresh_processes()


@pytest.fixture
def train(tmp_path: Path) -> Callable[..., int]:
    config = tmp_path / "toy.yaml"
    trainer = "max_steps: 4, batch_size: 2, num_workers: 0, device: cpu, threads: 1, log_every: 1, checkpoint_every: 2"
    config.write_text(
        "model: {target: toy}\ndata: {train: {target: toy_samples}, validation: {target: toy_samples, seed: 9}}\n"
        f"trainer: {{{trainer}, learning_rate: 1e-2}}\n"
    )
    return lambda *arguments: main(["--out_dir", str(tmp_path), "-b", str(config), *arguments])


def test_an_experiment_has_everything_in_its_folder(tmp_path: Path, train: Callable[..., int]) -> None:
    assert train("trainer.ema_decay=0.5", "--n", "toy", "--seed", "3") == 0
    folder = tmp_path / "toy"
    found = {path.name for path in folder.iterdir()}
    assert found == {"config.yaml", "provenance.json", "metrics.jsonl", "checkpoints", "final"}
    (entry,) = json.loads((folder / "provenance.json").read_text())
    assert entry["packages"]["torch"] and "commit" in entry["git"]
    assert "seed: 3" in (folder / "config.yaml").read_text()

    with pytest.raises(UserError, match="toy: this experiment has checkpoints; add --resume"):
        train("--n", "toy")
    assert main(["--out_dir", str(tmp_path), "-n", "toy", "--resume", "trainer.max_steps=5"]) == 0
    assert list(metrics(folder)) == [1, 2, 3, 4, 5]

    weights = load_file(folder / "final" / "model.safetensors")
    assert train("-n", "next", "-c", str(folder / "checkpoints" / "step-00000005"), "trainer.learning_rate=1e-12") == 0
    assert_close(load_file(tmp_path / "next" / "final" / "model.safetensors")["stem.weight"], weights["stem.weight"])


@pytest.mark.parametrize("odd", ["caf\udce9", "line\nfeed", "line\u2028separator", "日本 🏞", "${HOME}"])
def test_an_experiment_with_an_odd_name_goes_on(odd: str, tmp_path: Path, train: Callable[..., int]) -> None:
    out = tmp_path / odd
    assert train("--n", odd, "--out_dir", str(out)) == 0
    assert load_config([out / odd / "config.yaml"]).values["trainer"]["max_steps"] == 4
    assert main(["--out_dir", str(out), "-n", odd, "--resume", "trainer.max_steps=5"]) == 0
    assert list(metrics(out / odd)) == [1, 2, 3, 4, 5]


def test_a_configuration_with_odd_names_comes_back(tmp_path: Path) -> None:
    folders = ["caf\udce9", "line\nfeed", "line\u2028separator", "next\x85line", "日本 🏞", "1e-5", "null"]
    config = load_config([], [f"data={quoted({'folders': folders})}"])
    write_config(tmp_path, config)
    assert load_config([tmp_path / "config.yaml"]).to_container() == config.to_container()


def test_a_dry_run_shows_config_and_parameters(
    tmp_path: Path, train: Callable[..., int], capsys: pytest.CaptureFixture
) -> None:
    assert train("--dry-run", "model.channels=2") == 0
    shown = capsys.readouterr().out
    for text in ("channels: 2", "max_steps: 4", "stem", "56", "everything else", "12"):
        assert text in shown
    assert [path.name for path in tmp_path.iterdir()] == ["toy.yaml"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["-n", "a", "trainer.max_step=3"],
            r"command line: trainer.max_step is an unknown key; did you mean 'max_steps'\?",
        ),
        (["-n", "a", "model.chanels=3"], r"model.chanels is an unknown key; did you mean 'channels'\?"),
        (["-n", "a", "data.trian.size=3"], r"data.trian is an unknown key; did you mean 'train'\?"),
        (
            ["-n", "a", "data.validation.sise=3", "-c", "nowhere"],
            r"data.validation.sise is an unknown key; did you mean",
        ),
        (["-n", "a", "model.target=toy_samples"], "model.target does not fit here.* got 'toy_samples'"),
        (["-n", "a", "trainr.seed=3"], r"trainr is an unknown key; did you mean 'trainer'\?"),
        (["-n", "a", "model.target=toyy"], r"model.target is unknown: 'toyy'; did you mean 'toy'\?"),
        (["-n", "a", "--resume"], "a: no such experiment to resume"),
        (["-n", "../a"], "--n must be a plain folder name"),
        ([], "--n is missing: an experiment needs a name"),
        (["-n", "a", "-c", "nowhere"], "nowhere: no such folder"),
        (["-n", "a", "-b", "nowhere.yaml"], "nowhere.yaml: no such config file"),
    ],
)
def test_mistakes_are_told_before_anything_is_written(
    tmp_path: Path, train: Callable[..., int], arguments: list[str], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        train(*arguments)
    assert [path.name for path in tmp_path.iterdir()] == ["toy.yaml"]


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path, train: Callable[..., int]) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"file/a: cannot make this folder .Not a directory"):
        train("--out_dir", str(tmp_path / "file"), "-n", "a")


# Other processes

COMMAND = [str(ROOT / "tests" / "training" / "toy_main.py")]
TORCHRUN = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]


def start(folder: Path, *arguments: str, launcher: tuple[str, ...] = (), session: bool = False) -> subprocess.Popen:
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    command = [
        sys.executable,
        *launcher,
        *COMMAND,
        "--out_dir",
        str(folder),
        "-b",
        str(folder / "toy.yaml"),
        *arguments,
    ]
    return subprocess.Popen(command, env=environment, stderr=-1, text=True, cwd=folder, start_new_session=session)


@pytest.mark.slow
def test_two_processes_learn_what_one_learns(tmp_path: Path, train: Callable[..., int]) -> None:
    options = [
        "trainer.max_steps=6",
        "trainer.validate_every=3",
        "trainer.validation_samples=5",
        "trainer.ema_decay=0.9",
    ]
    with start(tmp_path, "-n", "two", *options, launcher=tuple(TORCHRUN)) as process:
        train("-n", "one", *options, "trainer.batch_size=4")
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    for name in ("train/loss", "val/loss"):
        assert metrics(tmp_path / "two", name) == pytest.approx(metrics(tmp_path / "one", name), abs=1e-6)
    one, two = (load_file(tmp_path / name / "final" / "model.safetensors") for name in ("one", "two"))
    assert_close(two, one, atol=1e-6, rtol=0)


@pytest.mark.slow
def test_kill_minus_nine_and_ctrl_c_in_a_real_process(tmp_path: Path, train: Callable[..., int]) -> None:
    """Killed while it writes a checkpoint after every step, then stopped with Ctrl-C, then finished."""
    options = ["trainer.max_steps=100000", "trainer.checkpoint_every=1", "trainer.keep_checkpoints=2"]
    killed = start(tmp_path, "-n", "run", *options)
    wait_for(tmp_path / "run", killed, 3)
    killed.kill()
    killed.communicate()
    stopped = start(tmp_path, "-n", "run", *options, "--resume")
    wait_for(tmp_path / "run", stopped, 6)
    stopped.send_signal(signal.SIGINT)
    _, errors = stopped.communicate(timeout=30)
    assert stopped.returncode == 130, errors
    assert errors.strip().splitlines()[-1].startswith("stopped: after step")
    done = max(metrics(tmp_path / "run"))
    assert train("-n", "run", "--resume", f"trainer.max_steps={done + 2}") == 0
    assert train("-n", "whole", f"trainer.max_steps={done + 2}") == 0
    whole, parts = (load_file(tmp_path / name / "final" / "model.safetensors") for name in ("whole", "run"))
    assert all(torch.equal(whole[key], parts[key]) for key in whole)


def wait_for(folder: Path, process: subprocess.Popen, more: int) -> None:
    """Until the process has written the checkpoints of ``more`` steps."""
    start = last = newest_step(folder)
    until = time.monotonic() + 30
    while last < start + more:
        assert process.poll() is None and time.monotonic() < until, process.stderr.read()
        time.sleep(0.01)
        last = newest_step(folder)


def newest_step(folder: Path) -> int:
    latest = Checkpoints(folder / "checkpoints").latest()
    return int(latest.name.removeprefix("step-")) if latest else 0
