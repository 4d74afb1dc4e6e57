"""A stopped run goes on as if it had never stopped; two processes learn what one learns."""

import json
import os
import signal
import sys
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate.state import AcceleratorState
from safetensors.torch import load_file
from torch.testing import assert_close

from aognet.errors import UserError
from aognet.training.loader import SampleOrder
from aognet.training.setup import TrainerConfig, learning_rate
from aognet.training.trainable import Samples, Trainable
from aognet.training.trainer import Trainer
from aognet.training.ui import Meter
from tests.slow import rest_slow
from tests.training.toy import Toy, ToyConfig, ToySamples, ToySamplesConfig, fresh_processes, metrics, power_cut

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
    monkeypatch.setenv("WANDB_MODE", "offline")
    threads = torch.get_num_threads()
    yield from fresh_processes()
    torch.set_num_threads(threads)


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


# Stopping and going on


SHARED_BY_THREADS = 64
"""Side of images whose batches torch divides among its threads (from 32,768 values on)."""


@pytest.mark.parametrize(
    ("config", "size"),
    rest_slow(
        [
            (replace(QUICK, gradient_accumulation=3, lr_schedule="cosine", channels_last=True, num_workers=1), 4),
            (
                replace(
                    QUICK, mixed_precision="bf16", ema_decay=0.0, max_grad_norm=0.0, validate_every=2, images_every=4
                ),
                4,
            ),
            (replace(QUICK, threads=2, num_workers=1, validate_every=2), SHARED_BY_THREADS),
            (QUICK, 4),
            (replace(QUICK, threads=2, mixed_precision="bf16", channels_last=True), SHARED_BY_THREADS),
        ],
        fast=3,
    ),
    ids=["accumulation", "bf16", "threads", "plain", "threads and bf16"],
)
def test_a_resumed_run_ends_with_the_same_bits(tmp_path: Path, config: TrainerConfig, size: int) -> None:
    dropout = ToyConfig(dropout=0.3)
    config = replace(config, checkpoint_every=4)
    whole = make(tmp_path / "whole", config, dropout, size=size)
    whole.fit()

    torch.set_num_threads(1)  # as a new process has it
    first = make(tmp_path / "parts", config, dropout, size=size)
    assert torch.get_num_threads() == config.threads
    first.train_data.on_read = partial(power_cut, 4 * config.batch_size * config.gradient_accumulation)
    with pytest.raises(RuntimeError, match="power cut|Caught RuntimeError"):
        first.fit()
    torch.rand(7), torch.manual_seed(99)  # another process starts with other random states
    torch.set_num_threads(1)
    second = make(tmp_path / "parts", config, dropout, size=size)
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
    with pytest.raises(KeyboardInterrupt, match=r"^after step 3, wrote .*step-00000003$"):
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


def by_the_formula(
    trainer: Trainer,
) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor], dict[int, float], dict[int, float]]:
    """Weights, average, gradient norms and rates of AdamW (Loshchilov and Hutter 2019, algorithm 2), written out."""
    config, data, names = trainer.config, trainer.train_data, trainer.parameters
    weights = {name: value for name, value in names.items() if not name.endswith("unused")}
    average = {name: value.detach().clone() for name, value in weights.items()}
    first, second = ({name: torch.zeros_like(value) for name, value in weights.items()} for _ in range(2))
    norms, rates = {}, {}
    for step in range(1, config.max_steps + 1):
        numbers = range((step - 1) * config.batch_size, step * config.batch_size)
        loss = trainer.model(data.collate([data[number] for number in numbers]))["loss"]
        gradients = dict(zip(weights, torch.autograd.grad(loss, list(weights.values())), strict=True))
        norms[step] = float(torch.cat([value.flatten() for value in gradients.values()]).norm())
        warmup = min(1.0, step / (config.warmup_steps + 1))
        fallen = max(0, step - 1 - config.warmup_steps) / (config.max_steps - config.warmup_steps)
        rates[step] = config.learning_rate * warmup * (1 - fallen)
        decay = min(config.ema_decay, (1 + step) / (10 + step))
        with torch.no_grad():
            for name, value in weights.items():
                gradient = gradients[name] * min(1.0, config.max_grad_norm / norms[step])
                first[name] = config.betas[0] * first[name] + (1 - config.betas[0]) * gradient
                second[name] = config.betas[1] * second[name] + (1 - config.betas[1]) * gradient.square()
                mean = first[name] / (1 - config.betas[0] ** step)
                size = (second[name] / (1 - config.betas[1] ** step)).sqrt() + 1e-8
                value.copy_(value - rates[step] * (mean / size + config.weight_decay * value))
                average[name] = decay * average[name] + (1 - decay) * value
    return weights, average, norms, rates


@pytest.mark.parametrize("ema_decay", [0.15, 0.999])
def test_steps_and_averages_are_those_of_the_formulas(tmp_path: Path, ema_decay: float) -> None:
    """Rate, schedule, warm-up, clipping, both betas, weight decay, the average's factor and its warm-up."""
    config = replace(
        QUICK, lr_schedule="linear", betas=(0.5, 0.7), weight_decay=3.0, max_grad_norm=0.2, ema_decay=ema_decay
    )
    run = make(tmp_path / "run", config)
    run.fit()
    weights, average, norms, rates = by_the_formula(make(tmp_path / "hand", config))
    assert any(norm > config.max_grad_norm for norm in norms.values())
    assert metrics(tmp_path / "run", "train/grad_norm") == pytest.approx(norms, abs=1e-5)
    assert metrics(tmp_path / "run", "train/learning_rate") == pytest.approx(rates)
    for name, value in weights.items():
        assert_close(run.parameters[name], value, atol=2e-6, rtol=0)
        assert_close(run.ema.average[name], average[name], atol=2e-6, rtol=0)


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
    before = run.validate()["loss"]
    run.fit()
    assert torch.equal(run.model.frozen.weight, frozen)
    assert not any(value.requires_grad for value in run.model.frozen.parameters())
    assert list(metrics(tmp_path, "val/loss")) == [30, 60]
    assert metrics(tmp_path, "val/loss")[60] < 0.9 * before


def test_validation_repeats_and_uses_the_average(tmp_path: Path) -> None:
    run = make(tmp_path)
    first = run.validate()["loss"]
    assert run.validate()["loss"] == first
    run.fit()
    after = run.validate()["loss"]
    weights = {key: value.clone() for key, value in run.parameters.items()}
    assert run.validate()["loss"] == after != first
    assert all(torch.equal(run.parameters[key], weights[key]) for key in weights)
    run.ema = None
    assert run.validate()["loss"] != after
    final = load_file(tmp_path / "final" / "model.safetensors")
    assert torch.equal(final["stem.weight"], final_state(run)["ema"]["stem.weight"])


def test_validation_is_the_mean_over_samples_without_dropout(tmp_path: Path) -> None:
    run = make(tmp_path, model=ToyConfig(dropout=0.5))
    data, model = run.validation_data, run.model.eval()
    with torch.no_grad():
        losses = [float(model(data.collate([data[number]]))["loss"]) for number in range(QUICK.validation_samples)]
    model.train()
    assert QUICK.validation_samples % QUICK.batch_size
    assert run.validate() == pytest.approx({name: sum(losses) / len(losses) for name in ("loss", "error")}, abs=1e-6)
    assert model.training


def test_validation_and_images_change_nothing_of_what_is_learned(tmp_path: Path) -> None:
    dropout = ToyConfig(dropout=0.3)
    often = make(tmp_path / "often", replace(QUICK, validate_every=1, images_every=1), dropout)
    never = make(tmp_path / "never", model=dropout)
    for run in (often, never):
        torch.manual_seed(QUICK.seed)
        run.fit()
    assert len(metrics(tmp_path / "often", "val/loss")) == 8
    assert_bitwise_equal(often, never)


def test_what_is_no_trained_part_needs_no_gradient(tmp_path: Path) -> None:
    model = Toy(ToyConfig())
    model.frozen.requires_grad_(True)
    data = ToySamples(ToySamplesConfig())
    Trainer(QUICK, model, data, data, tmp_path)
    assert not any(value.requires_grad for value in model.frozen.parameters())
    assert all(value.requires_grad for part in (model.stem, model.head) for value in part.parameters())


def test_the_meter_gives_means_and_the_speed_of_all_processes() -> None:
    meter = Meter(samples_per_step=8)
    for loss, seconds in ((1.0, 0.25), (3.0, 0.75)):
        meter.add({"loss": loss} | ({"late/loss": 5.0} if loss > 1 else {}), seconds)
    assert meter.averages() == {"loss": 2.0, "late/loss": 5.0, "samples_per_second": 16.0}
    meter.add({"loss": 7.0}, 0.5)
    assert meter.averages() == {"loss": 7.0, "samples_per_second": 16.0}


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


def test_toys_are_what_the_trainer_expects() -> None:
    assert isinstance(Toy(ToyConfig()), Trainable)
    assert isinstance(ToySamples(ToySamplesConfig()), Samples)
