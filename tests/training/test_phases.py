"""Several optimizers and losses in turn: what each of them changes, and that a stopped run goes on bit for bit."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from safetensors.torch import load_file
from torch import nn
from torch.testing import assert_close

from aognet.errors import UserError
from aognet.training import trainer as trainer_module
from aognet.training.checkpoint import TrainingState
from aognet.training.ema import WeightAverage
from aognet.training.phases import HasPhases, OptimizedParts, Phase, optimized_parts
from aognet.training.setup import OptimizerConfig, TrainerConfig, learning_rate
from aognet.training.trainable import Trainable
from aognet.training.trainer import Trainer
from tests.slow import rest_slow
from tests.training.test_main import TORCHRUN, clean_slate, newest_step, start, train, wait_for  # noqa: F401
from tests.training.test_trainer import QUICK, assert_bitwise_equal, final_state
from tests.training.toy import Toy, ToyBatch, ToyConfig, ToySamples, ToySamplesConfig, metrics, power_cut
from tests.training.toy_gan import ToyGan, ToyGanConfig

GAN = replace(
    QUICK, optimizers={"discriminator": OptimizerConfig(learning_rate=3e-3, betas=(0.0, 0.99), warmup_steps=1)}
)


def make(folder: Path, config: TrainerConfig = GAN, model: ToyGanConfig | None = None) -> Trainer:
    AcceleratorState._reset_state(reset_partial_state=True)
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(0)
    data = ToySamples(ToySamplesConfig())
    return Trainer(config, ToyGan(model or ToyGanConfig()), data, data, folder)


def test_the_toy_is_what_the_trainer_expects() -> None:
    gan = ToyGan(ToyGanConfig())
    assert isinstance(gan, Trainable) and isinstance(gan, HasPhases)
    assert not isinstance(Toy(ToyConfig()), HasPhases)


def test_phases_come_when_they_are_due_and_see_the_same_batches(tmp_path: Path) -> None:
    run = make(tmp_path, replace(GAN, gradient_accumulation=2))
    run.fit()
    phases = {step: list(dict.fromkeys(name for at, name, _ in run.model.seen if at == step)) for step in range(8)}
    assert phases[0] == ["generator", "path"] and phases[1] == ["generator"]
    assert phases[2] == ["generator", "path", "discriminator", "r1"]
    assert phases[3] == ["generator", "discriminator"] and phases[5] == ["generator", "discriminator", "r1"]
    for step, names in phases.items():
        for name in names:
            batches = [seeds for at, phase, seeds in run.model.seen if (at, phase) == (step, name)]
            assert batches == [list(range(8 * step, 8 * step + 4)), list(range(8 * step + 4, 8 * step + 8))]


def by_hand(folder: Path, config: TrainerConfig) -> tuple[ToyGan, WeightAverage]:
    """The same training, written out."""
    model = make(folder, config).model
    data = ToySamples(ToySamplesConfig())
    averaged = {f"{n}.{k}": p for n in ("encoder", "decoder") for k, p in getattr(model, n).named_parameters()}
    average = WeightAverage(averaged, config.ema_decay)
    optimizers = {}
    for name, one in model.optimizers().items():
        weights = [p for part in one.parts for p in model.trainable_parts()[part].parameters()]
        optimizers[name] = torch.optim.AdamW(
            weights, betas=config.of_optimizer(name).betas, weight_decay=config.weight_decay, fused=True
        )
    for step in range(config.max_steps):
        batch = data.collate([data[number] for number in range(4 * step, 4 * step + 4)])
        for name, one in model.optimizers().items():
            own = [p for group in optimizers[name].param_groups for p in group["params"]]
            for phase in one.phases:
                if step < phase.start or (step - phase.start) % phase.every:
                    continue
                optimizers[name].param_groups[0]["lr"] = learning_rate(
                    config.of_optimizer(name), step, one.phases[0].start
                )
                model.zero_grad()
                model.training_step(batch, phase.name, step)["loss"].backward()
                nn.utils.clip_grad_norm_(own, config.max_grad_norm)
                optimizers[name].step()
        average.update(step + 1)
    return model, average


def test_what_is_learned_is_what_the_loop_written_out_learns(tmp_path: Path) -> None:
    config = replace(GAN, lr_schedule="linear")
    run = make(tmp_path / "run", config)
    run.fit()
    model, average = by_hand(tmp_path / "hand", config)
    state = final_state(run)
    for part, module in model.trainable_parts().items():
        for key, value in module.state_dict().items():
            assert torch.equal(state["weights"][f"{part}.{key}"], value), key
    assert state["ema"].keys() == average.average.keys(), "the discriminator is not averaged"
    assert all(torch.equal(state["ema"][key], value) for key, value in average.average.items())
    assert all(value.requires_grad for value in run.parameters.values())
    assert all(value.grad is None for value in run.parameters.values())


@pytest.mark.parametrize("stopped", rest_slow([3, 5]), ids=["between lazy phases", "before one"])
@pytest.mark.parametrize(
    "config",
    [GAN, replace(GAN, gradient_accumulation=2, mixed_precision="bf16", num_workers=1, validate_every=2)],
    ids=["plain", "accumulation"],
)
def test_a_resumed_run_ends_with_the_same_bits(tmp_path: Path, config: TrainerConfig, stopped: int) -> None:
    config = replace(config, checkpoint_every=1)
    whole = make(tmp_path / "whole", config)
    whole.fit()
    first = make(tmp_path / "parts", config)
    first.train_data.on_read = partial(power_cut, stopped * config.batch_size * config.gradient_accumulation)
    with pytest.raises(RuntimeError, match="power cut|Caught RuntimeError"):
        first.fit()
    torch.manual_seed(99)  # another process starts with other random states
    second = make(tmp_path / "parts", config)
    second.fit(resume=True)
    assert second.model.seen[0][0] <= stopped
    assert_bitwise_equal(whole, second)
    assert metrics(tmp_path / "whole", "train/generator/loss") == metrics(tmp_path / "parts", "train/generator/loss")
    optimizer = final_state(whole)["optimizer"]
    assert {key.partition(".")[0] for key in optimizer} == {"encoder", "decoder", "discriminator"}
    assert optimizer["decoder.1.weight:step"] == 8 + 4 and optimizer["discriminator.0.weight:step"] == 6 + 2


@pytest.mark.slow
def test_two_killed_processes_go_on_with_the_same_bits(tmp_path: Path, train: Callable[..., int]) -> None:  # noqa: F811
    options = ["model={target: toy_gan}", "trainer.ema_decay=0.9", "trainer.checkpoint_every=1"]
    options += ["trainer.gradient_accumulation=2", "trainer.optimizers.discriminator.learning_rate=1e-3"]
    launcher = tuple(TORCHRUN)
    killed = start(tmp_path, "--name", "parts", *options, "trainer.max_steps=100000", launcher=launcher)
    try:
        wait_for(tmp_path / "parts", killed, 3)
    finally:
        for one in (*psutil.Process(killed.pid).children(recursive=True), killed):  # ranks outlive their launcher
            one.kill()
        killed.communicate(timeout=30)
    last = newest_step(tmp_path / "parts") + 2
    for name, more in (("parts", ["--resume"]), ("whole", [])):
        with start(
            tmp_path, "--name", name, *options, f"trainer.max_steps={last}", *more, launcher=launcher
        ) as process:
            _, errors = process.communicate(timeout=100)
        assert process.returncode == 0 and ("going on from" in errors) == bool(more), errors
    for file in ("weights", "ema", "optimizer", "random"):
        whole, parts = (
            load_file(tmp_path / name / "checkpoints" / f"step-{last:08d}" / f"{file}.safetensors")
            for name in ("whole", "parts")
        )
        assert whole.keys() == parts.keys()
        assert all(torch.equal(whole[key], parts[key]) for key in whole if not key.endswith(":json")), file


@pytest.mark.slow
def test_two_processes_learn_what_one_learns(tmp_path: Path, train: Callable[..., int]) -> None:  # noqa: F811
    options = ["model={target: toy_gan, dropout: 0.0, adaptive: false}", "trainer.max_steps=6", "trainer.ema_decay=0.9"]
    with start(tmp_path, "--name", "two", *options, launcher=tuple(TORCHRUN)) as process:
        train("-n", "one", *options, "trainer.batch_size=4")
        _, errors = process.communicate(timeout=100)
    assert process.returncode == 0, errors
    for phase in ("generator", "path", "discriminator", "r1"):
        for number in ("loss", "grad_norm"):
            one, two = (metrics(tmp_path / name, f"train/{phase}/{number}") for name in ("one", "two"))
            assert one and two == pytest.approx(one, abs=1e-6), f"{phase} {number}"
    one, two = (load_file(tmp_path / name / "checkpoints/step-00000006/weights.safetensors") for name in ("one", "two"))
    del one["discriminator.mean_score"], two["discriminator.mean_score"]  # each process has a mean of its own samples
    assert_close(two, one, atol=1e-6, rtol=0)


def test_the_log_names_the_numbers_of_every_phase(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    run = make(tmp_path, replace(GAN, log_every=4, validate_every=8))
    run.fit()
    for name in ("generator", "path", "discriminator", "r1"):
        for number in ("loss", "grad_norm", "learning_rate"):
            assert list(metrics(tmp_path, f"train/{name}/{number}")) == [4, 8]
    assert metrics(tmp_path, "train/discriminator/learning_rate")[8] == pytest.approx(3e-3)
    assert metrics(tmp_path, "train/generator/learning_rate")[8] == pytest.approx(1e-2)
    assert not metrics(tmp_path, "train/loss") and list(metrics(tmp_path, "val/loss")) == [8]
    assert "step 8: generator/loss" in caplog.text


def test_means_of_lazy_phases_are_those_of_the_steps_that_had_them(tmp_path: Path) -> None:
    make(tmp_path / "each", GAN).fit()
    make(tmp_path / "mean", replace(GAN, log_every=8)).fit()
    each = metrics(tmp_path / "each", "train/path/loss")
    assert list(each) == [1, 3, 5, 7]
    assert metrics(tmp_path / "mean", "train/path/loss")[8] == pytest.approx(sum(each.values()) / 4)


def test_a_late_optimizer_warms_up_from_its_first_step() -> None:
    config = TrainerConfig(max_steps=100, warmup_steps=9, learning_rate=1.0, lr_schedule="linear")
    assert learning_rate(config, 50, first=50) == pytest.approx(0.1)
    assert learning_rate(config, 59, first=50) == pytest.approx(1.0)
    assert learning_rate(config, 100, first=50) == pytest.approx(0.0)


@pytest.mark.parametrize("phase", ["generator", "r1"])
def test_a_loss_that_is_no_number_names_its_phase(tmp_path: Path, phase: str) -> None:
    optimizer = {"generator": "generator", "r1": "discriminator"}[phase]
    step = {"generator": 1, "r1": 3}[phase]
    with pytest.raises(
        UserError, match=rf"the loss of phase '{phase}' became nan at step {step}; .*{optimizer}\.learn"
    ):
        make(tmp_path, model=ToyGanConfig(nan_phase=phase)).fit()


def test_settings_of_an_optimizer_that_is_not_there_are_refused(tmp_path: Path) -> None:
    config = replace(QUICK, optimizers={"discriminato": OptimizerConfig(learning_rate=1e-3)})
    with pytest.raises(
        UserError, match=r"optimizers.discriminato names no optimizer of ToyGan; did you mean 'discriminator'\?"
    ):
        make(tmp_path, config)
    data = ToySamples(ToySamplesConfig())
    with pytest.raises(UserError, match=r"trainer.optimizers.discriminato names no optimizer of Toy; it has one,"):
        Trainer(config, Toy(ToyConfig()), data, None, tmp_path)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        (
            "trainer.optimizers.generator.learning_rat=1",
            r"trainer.optimizers.generator.learning_rat is an unknown key; did you mean 'learning_rate'\?",
        ),
        (
            "trainer.optimizers.generator.learning_rate=0",
            "line: trainer.optimizers.generator.learning_rate must be more than 0, got 0",
        ),
        (
            "trainer.optimizers.generator.warmup_steps=-1",
            "generator.warmup_steps must be at least 0, got -1",
        ),
        ("trainer.optimizers.other.weight_decay=0", "trainer.optimizers.other names no optimizer of ToyGan"),
    ],
)
def test_mistakes_in_the_settings_of_one_optimizer_are_told_before_anything_is_written(
    tmp_path: Path,
    train: Callable[..., int],  # noqa: F811
    override: str,
    message: str,
) -> None:
    with pytest.raises(UserError, match=message):
        train("-n", "run", "model={target: toy_gan}", override)
    assert [path.name for path in tmp_path.iterdir()] == ["toy.yaml"]


def test_a_dry_run_shows_which_optimizer_trains_what(
    tmp_path: Path,
    train: Callable[..., int],  # noqa: F811
    capsys: pytest.CaptureFixture,
) -> None:
    assert train("--dry-run", "model={target: toy_gan}") == 0
    shown = capsys.readouterr().out
    assert "decoder (generator optimizer)" in shown and "discriminator (discriminator optimizer)" in shown
    with pytest.raises(UserError, match="optimizers.other names no optimizer of ToyGan"):
        train("--dry-run", "model={target: toy_gan}", "trainer.optimizers.other.weight_decay=0")


class Told(ToyGan):
    """Says of its optimizers what a test tells it."""

    def __init__(self, told: dict[str, OptimizedParts]) -> None:
        super().__init__(ToyGanConfig())
        self.told = told

    def optimizers(self) -> dict[str, OptimizedParts]:
        return self.told


def parts(*names: str, **phase: Any) -> OptimizedParts:
    return OptimizedParts(parts=names, phases=(Phase(**({"name": names[0]} | phase)),))


@pytest.mark.parametrize(
    ("told", "message"),
    [
        ({"a": parts("encoder", "decoder")}, "must belong to one optimizer"),
        ({"a": parts("encoder", "decoder"), "b": parts("decoder", "discriminator")}, "must belong to one optimizer"),
        (
            {"a": parts("encoder", "decoder", name="x"), "b": parts("discriminator", name="x")},
            "need names of their own",
        ),
        ({"": parts("encoder", "decoder", "discriminator")}, "need names of their own"),
        ({"a": parts("encoder", "decoder", "discriminator", every=2)}, "must be in every training step"),
    ],
)
def test_a_model_that_contradicts_itself_is_refused(told: dict[str, OptimizedParts], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        optimized_parts(Told(told))


@pytest.mark.parametrize("values", [{"every": 0}, {"start": -1}])
def test_a_phase_that_never_comes_is_refused(values: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="phase 'a'"):
        Phase(name="a", **values)


class Annealed(Toy):
    """One optimizer, but its loss depends on the step."""

    def training_step(self, batch: ToyBatch, phase: str, step: int) -> dict[str, torch.Tensor]:
        assert phase == ""
        found = self(batch)
        return {"loss": found["loss"] * 0.5**step, "factor": torch.tensor(0.5**step)}


def test_a_model_with_one_optimizer_may_know_the_step(tmp_path: Path) -> None:
    data = ToySamples(ToySamplesConfig())
    run = Trainer(replace(QUICK, max_steps=3), Annealed(ToyConfig()), data, data, tmp_path)
    run.fit()
    assert metrics(tmp_path, "train/factor") == {1: 1.0, 2: 0.5, 3: 0.25}
    assert run.validate().keys() == {"loss", "error"}


def test_what_is_called_is_what_is_compiled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """``training_step`` calls the parts, so compiling the model's forward would compile nothing."""
    compiled: list[nn.Module] = []
    monkeypatch.setattr(nn.Module, "compile", lambda self: compiled.append(self))
    gan = make(tmp_path / "gan", replace(GAN, compile=True)).model
    assert compiled == [gan.encoder, gan.decoder, gan.discriminator]
    compiled.clear()
    data = ToySamples(ToySamplesConfig())
    toy = Trainer(replace(QUICK, compile=True), Toy(ToyConfig()), data, data, tmp_path).model
    assert compiled == [toy]


# Half precision


class Overflowing(ToyGan):
    """Its discriminator has once a loss that overflows when it is scaled."""

    def discriminator_losses(self, batch: Any, step: int) -> dict[str, torch.Tensor]:
        found = super().discriminator_losses(batch, step)
        return found | {"loss": found["loss"].float() * (1e36 if step == 4 else 1.0)}


def with_scaler(config: TrainerConfig, model: Any) -> Accelerator:
    """As `make_accelerator` with fp16 on a GPU, but on the CPU."""
    accelerator = Accelerator(cpu=True)
    accelerator.scaler = torch.amp.GradScaler("cpu", init_scale=1024.0, growth_interval=1000)
    accelerator.native_amp, accelerator.state._mixed_precision = True, "fp16"
    return accelerator


def test_an_overflow_leaves_out_one_step_of_one_optimizer_and_resuming_keeps_the_scale(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trainer_module, "make_accelerator", with_scaler)
    data = ToySamples(ToySamplesConfig())
    config = replace(GAN, mixed_precision="fp16", checkpoint_every=1)

    def run(name: str, steps: int, resume: bool = False) -> TrainingState:
        AcceleratorState._reset_state(reset_partial_state=True)
        (tmp_path / name).mkdir(exist_ok=True)
        torch.manual_seed(0)
        trainer = Trainer(replace(config, max_steps=steps), Overflowing(ToyGanConfig()), data, data, tmp_path / name)
        trainer.fit(resume)
        return trainer.checkpoints.load(trainer.checkpoints.latest())

    whole = run("whole", 8)
    assert whole.optimizer["decoder.1.weight:step"] == 8 + 4
    assert whole.optimizer["discriminator.0.weight:step"] == 6 + 2 - 1
    assert run("parts", 5).progress.grad_scaler["scale"] == 512
    parts = run("parts", 8, resume=True)
    assert parts.progress == whole.progress and whole.progress.grad_scaler["_growth_tracker"] > 0
    for kind in ("weights", "optimizer", "ema"):
        one, other = getattr(whole, kind), getattr(parts, kind)
        assert one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)
