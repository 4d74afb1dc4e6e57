"""A stopped run goes on as if it had never stopped; two processes learn what one learns."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate.state import AcceleratorState
from PIL import Image
from safetensors.torch import load_file
from torch.testing import assert_close

from aognet.config import REGISTRY
from aognet.engine.checkpoint import Checkpoints
from aognet.engine.loading import SampleOrder
from aognet.engine.setup import TrainerConfig, learning_rate
from aognet.engine.trainer import Trainer
from aognet.errors import UserError
from main import main
from tests.engine import toy
from tests.engine.toy import Toy, ToyConfig, ToySamples, ToySamplesConfig

ROOT = Path(__file__).parents[2]
QUICK = TrainerConfig(
    max_steps=8,
    batch_size=4,
    learning_rate=1e-2,
    lr_schedule="constant",
    warmup_steps=3,
    ema_decay=0.9,
    log_every=1,
    num_workers=0,
    validation_samples=6,
    device="cpu",
    threads=1,
)


@pytest.fixture(autouse=True)
def clean_slate(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name, target in {"toy": "tests.engine.toy:Toy", "toy_samples": "tests.engine.toy:ToySamples"}.items():
        monkeypatch.setitem(REGISTRY, name, target)
    monkeypatch.setenv("WANDB_MODE", "offline")
    AcceleratorState._reset_state(reset_partial_state=True)
    yield
    AcceleratorState._reset_state(reset_partial_state=True)


def make(folder: Path, config: TrainerConfig = QUICK, model: ToyConfig | None = None, **data: Any) -> Trainer:
    AcceleratorState._reset_state(reset_partial_state=True)
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(0)
    train = ToySamples(ToySamplesConfig(**data))
    return Trainer(config, Toy(model or ToyConfig()), train, ToySamples(ToySamplesConfig(seed=9)), folder)


def final_state(trainer: Trainer) -> dict[str, dict[str, torch.Tensor]]:
    state = trainer.checkpoints.load(trainer.checkpoints.latest())
    assert state.progress == trainer.progress
    random = {"torch": state.random["0:torch"]}  # the type checker of the tests draws from Python's own generator
    return {"weights": state.weights, "ema": state.ema, "optimizer": state.optimizer, "random": random}


def assert_bitwise_equal(one: Trainer, other: Trainer) -> None:
    left, right = final_state(one), final_state(other)
    for kind in left:
        assert left[kind].keys() == right[kind].keys()
        for key, value in left[kind].items():
            assert torch.equal(value, right[kind][key]), f"{kind} {key}"


def metrics(folder: Path, name: str = "train/loss") -> dict[int, float]:
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return {line["step"]: line[name] for line in lines if name in line}


# Stopping and going on


@pytest.mark.parametrize(
    "config",
    [
        QUICK,
        replace(QUICK, gradient_accumulation=3, lr_schedule="cosine", channels_last=True, num_workers=1),
        replace(QUICK, mixed_precision="bf16", ema_decay=0.0, max_grad_norm=0.0, validate_every=2, images_every=4),
    ],
    ids=["plain", "accumulation", "bf16"],
)
def test_a_resumed_run_ends_with_the_same_bits(tmp_path: Path, config: TrainerConfig) -> None:
    dropout = ToyConfig(dropout=0.3)
    config = replace(config, checkpoint_every=4)
    whole = make(tmp_path / "whole", config, dropout)
    whole.fit()

    def stop_at_sample(number: int) -> None:
        if number >= 4 * config.batch_size * config.gradient_accumulation:
            raise RuntimeError("power cut")

    first = make(tmp_path / "parts", config, dropout)
    first.train_data.on_read = stop_at_sample
    with pytest.raises(RuntimeError, match="power cut|Caught RuntimeError"):
        first.fit()
    torch.rand(7), torch.manual_seed(99)  # another process starts with other random states
    second = make(tmp_path / "parts", config, dropout)
    second.fit(resume=True)
    assert_bitwise_equal(whole, second)
    assert metrics(tmp_path / "whole") == metrics(tmp_path / "parts")
    assert final_state(whole)["weights"]["stem.weight"].std() > 0


def test_ctrl_c_ends_the_step_and_writes_a_checkpoint(tmp_path: Path) -> None:
    whole = make(tmp_path / "whole")
    whole.fit()

    def interrupt(number: int) -> None:
        if number == 2 * 4 + 1:
            os.kill(os.getpid(), signal.SIGINT)

    stopped = make(tmp_path / "stopped")
    stopped.train_data.on_read = interrupt
    with pytest.raises(KeyboardInterrupt, match=r"after step 3, wrote .*step-00000003; .* --resume"):
        stopped.fit()
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert not (tmp_path / "stopped" / "final").exists()
    resumed = make(tmp_path / "stopped")
    resumed.fit(resume=True)
    assert_bitwise_equal(whole, resumed)


def test_a_killed_run_never_counts_a_step_twice_in_its_metrics(tmp_path: Path) -> None:
    run = make(tmp_path, replace(QUICK, max_steps=4))
    run.fit()
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"step": 5, "train/loss": 1.0}\n{"step": 6, "tra')
    make(tmp_path).fit(resume=True)
    assert list(metrics(tmp_path)) == [1, 2, 3, 4, 5, 6, 7, 8]
    assert len(json.loads((tmp_path / "provenance.json").read_text())) == 2


def test_a_finished_run_stays_as_it_is(tmp_path: Path) -> None:
    make(tmp_path).fit()
    before = load_file(tmp_path / "final" / "model.safetensors")
    make(tmp_path).fit(resume=True)
    after = load_file(tmp_path / "final" / "model.safetensors")
    assert all(torch.equal(before[key], after[key]) for key in before)


def test_what_does_not_fit_a_checkpoint_is_refused(tmp_path: Path) -> None:
    make(tmp_path, replace(QUICK, max_steps=1)).fit()
    with pytest.raises(
        UserError, match=r"weights.safetensors: 'stem.weight' has shape \[4, 3, 3, 3\], the model needs"
    ):
        make(tmp_path, model=ToyConfig(channels=8)).fit(resume=True)
    other = make(tmp_path)
    other.config = replace(QUICK, optimizer="adamw8bit")
    with pytest.raises(UserError, match="optimizer 'adamw', the config says 'adamw8bit'"):
        other.fit(resume=True)


# What is learned


def test_order_is_the_same_however_it_is_split() -> None:
    whole = list(SampleOrder(first_sample=24, steps=3, batch_size=12))
    for processes, accumulation in [(2, 1), (1, 3), (2, 3)]:
        size = 12 // processes // accumulation
        ranks = [list(SampleOrder(24, 3, size, accumulation, processes, rank)) for rank in range(processes)]
        for step in range(3):
            seen = [
                n for rank in ranks for batch in rank[step * accumulation : (step + 1) * accumulation] for n in batch
            ]
            assert sorted(seen) == whole[step]


def test_accumulation_learns_what_one_large_batch_learns(tmp_path: Path) -> None:
    large = make(tmp_path / "a")
    large.fit()
    small = make(tmp_path / "b", replace(QUICK, batch_size=1, gradient_accumulation=4))
    small.fit()
    assert_close(small.parts["stem"].weight, large.parts["stem"].weight, atol=1e-6, rtol=0)
    assert metrics(tmp_path / "a") == pytest.approx(metrics(tmp_path / "b"), abs=1e-6)


def test_only_trained_parts_change_and_the_loss_falls(tmp_path: Path) -> None:
    run = make(tmp_path, replace(QUICK, max_steps=60, learning_rate=3e-2, validate_every=30))
    frozen = run.model.frozen.weight.clone()
    before = run.validate()
    run.fit()
    assert torch.equal(run.model.frozen.weight, frozen)
    assert not any(value.requires_grad for value in run.model.frozen.parameters())
    assert list(metrics(tmp_path, "val/loss")) == [30, 60]
    assert metrics(tmp_path, "val/loss")[60] < 0.9 * before


def test_validation_repeats_and_uses_the_average(tmp_path: Path) -> None:
    run = make(tmp_path)
    first = run.validate()
    assert run.validate() == first
    run.fit()
    after = run.validate()
    weights = {key: value.clone() for key, value in run.parameters.items()}
    assert run.validate() == after != first
    assert all(torch.equal(run.parameters[key], weights[key]) for key in weights)
    run.ema = None
    assert run.validate() != after
    final = load_file(tmp_path / "final" / "model.safetensors")
    assert torch.equal(final["stem.weight"], final_state(run)["ema"]["stem.weight"])


def test_a_loss_that_is_no_number_stops_the_run(tmp_path: Path) -> None:
    run = make(tmp_path, replace(QUICK, checkpoint_every=2), ToyConfig(nan_at=17))
    with pytest.raises(UserError, match="the loss became nan at step 5; nothing was saved after step 4"):
        run.fit()
    assert run.checkpoints.latest().name == "step-00000004"
    assert all(value.isfinite().all() for value in run.parameters.values())


def test_a_worker_passes_a_mistake_on_as_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError) as caught:
        make(tmp_path, replace(QUICK, num_workers=1), fail_at=5).fit()
    assert str(caught.value) == "sample 5 cannot be read"


def test_learning_rate_is_a_function_of_the_step() -> None:
    config = TrainerConfig(max_steps=104, warmup_steps=4, learning_rate=1.0)
    assert [learning_rate(config, step) for step in (0, 1, 3, 4, 90)] == pytest.approx([0.2, 0.4, 0.8, 1, 1])
    assert learning_rate(replace(config, lr_schedule="linear"), 54) == pytest.approx(0.5)
    assert learning_rate(replace(config, lr_schedule="cosine"), 29) == pytest.approx(0.853553)
    assert learning_rate(replace(config, lr_schedule="cosine"), 200) == pytest.approx(0)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"max_steps": 0}, "max_steps must be at least 1, got 0"),
        ({"threads": 0}, "threads must be at least 1, got 0"),
        ({"warmup_steps": -1}, "warmup_steps must be at least 0, got -1"),
        ({"learning_rate": float("nan")}, "learning_rate must be more than 0, got nan"),
        ({"ema_decay": 1.0}, "ema_decay must lie in"),
        ({"betas": (0.9, 1.0)}, "betas must lie in"),
    ],
)
def test_impossible_settings_are_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        TrainerConfig(**values)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (replace(QUICK, optimizer="adamw8bit"), "trainer.optimizer: adamw8bit needs bitsandbytes"),
        (replace(QUICK, mixed_precision="fp16"), "trainer.mixed_precision: fp16 needs a GPU"),
        (replace(QUICK, device="cuda"), "trainer.device: cuda, but torch sees no CUDA"),
    ],
)
def test_what_is_not_here_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, config: TrainerConfig, message: str
) -> None:
    monkeypatch.setitem(sys.modules, "bitsandbytes.optim", None)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(UserError, match=message):
        make(tmp_path, config)


@pytest.mark.parametrize("tracker", ["tensorboard", "wandb"])
def test_trackers_need_no_account(tmp_path: Path, tracker: str) -> None:
    pytest.importorskip("tensorboard" if tracker == "tensorboard" else "wandb")
    make(tmp_path, replace(QUICK, max_steps=2, tracker=tracker, images_every=2)).fit()
    assert list((tmp_path / tracker).rglob("*tfevents*" if tracker == "tensorboard" else "*.wandb"))
    with Image.open(tmp_path / "images" / "step-00000002.png") as image:
        assert image.size == (2 * (4 + 4), 4 * (4 + 4))


# The command line


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
            r"command line: unknown key 'trainer.max_step'; did you mean 'max_steps'\?",
        ),
        (["-n", "a", "model.chanels=3"], r"unknown key 'model.chanels'; did you mean 'channels'\?"),
        (["-n", "a", "data.trian.size=3"], r"unknown key 'data.trian'; did you mean 'train'\?"),
        (["-n", "a", "data.validation.sise=3", "-c", "nowhere"], r"unknown key 'data.validation.sise'; did you mean"),
        (["-n", "a", "model.target=toy_samples"], "model.target: 'toy_samples' does not fit here"),
        (["-n", "a", "trainr.seed=3"], r"unknown key 'trainr'; did you mean 'trainer'\?"),
        (["-n", "a", "model.target=toyy"], r"model.target is unknown: 'toyy'; did you mean 'toy'\?"),
        (["-n", "a", "--resume"], "a: no such experiment to resume"),
        (["-n", "../a"], "--n must be a plain folder name"),
        ([], "an experiment needs a name: --n NAME"),
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
    with pytest.raises(UserError, match=r"file/a: cannot write the experiment: Not a directory"):
        train("--out_dir", str(tmp_path / "file"), "-n", "a")


# Other processes

COMMAND = [str(ROOT / "tests" / "engine" / "toy_main.py")]
TORCHRUN = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]


def start(folder: Path, *arguments: str, launcher: tuple[str, ...] = ()) -> subprocess.Popen:
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
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
    return subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True, cwd=folder)


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


def test_toys_are_what_the_trainer_expects() -> None:
    from aognet.engine.trainable import Trainable

    toy.register()
    assert isinstance(Toy(ToyConfig()), Trainable)
