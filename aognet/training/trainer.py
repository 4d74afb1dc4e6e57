"""The training loop of all methods. Accelerate does mixed precision, several processes and gradient accumulation."""

import logging
import math
import shutil
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from torch import Tensor

from aognet.errors import Setting, UserError
from aognet.io.files import replace_folder
from aognet.nn.weights import copy_tensors, part_tensors
from aognet.provenance import provenance, record
from aognet.training.checkpoint import (
    Checkpoints,
    TrainingProgress,
    TrainingState,
    check_optimizer_tensors,
    load_optimizer,
    optimizer_tensors,
)
from aognet.training.ema import WeightAverage
from aognet.training.experiment import FINAL, IMAGES, PROVENANCE
from aognet.training.loader import SampleOrder, StreamFeed, is_streamed, load_batches
from aognet.training.phases import Phase
from aognet.training.preview import image_grid, write_png
from aognet.training.randomness import random_state, seed_everything, set_random_state, untouched_randomness
from aognet.training.setup import TrainerConfig, make_accelerator, prepare_parameters
from aognet.training.stopping import StopRequest
from aognet.training.trackers import Tracker, open_trackers
from aognet.training.trainable import Batch, Samples, StreamedSamples, Trainable
from aognet.training.ui import Meter, TrainingBar, used_gigabytes
from aognet.training.updates import PartsOptimizer, make_optimizers

log = logging.getLogger(__name__)


class Trainer:
    """Trains the parts of a :class:`Trainable` in the folder of one experiment."""

    Config = TrainerConfig

    def __init__(
        self,
        config: TrainerConfig,
        model: Trainable,
        train_data: Samples | StreamedSamples,
        validation_data: Samples | StreamedSamples | None,
        folder: Path,
        project: str = "aognet",
        settings: Mapping[str, Any] | None = None,
    ) -> None:
        """``folder`` receives everything; ``project`` and ``settings`` (the whole config) are for the tracker."""
        self.config, self.model, self.folder = config, model, folder
        self.train_data, self.validation_data = train_data, validation_data
        self.project, self.settings = project, settings or {}
        self.accelerator = make_accelerator(config, model)
        self.device = self.accelerator.device
        if config.threads:
            torch.set_num_threads(config.threads)
        self.parts = model.trainable_parts()
        self.parameters = prepare_parameters(config, model, self.device)
        self.optimizers = make_optimizers(config, model, self.parameters, self.accelerator)
        self.ema = self._new_average()
        self.checkpoints = Checkpoints(folder / "checkpoints", config.keep_checkpoints)
        self.progress = TrainingProgress(optimizer=config.optimizer)
        self.feed: StreamFeed | None = None
        self.saved_step = 0
        seed_everything(config.seed + self.accelerator.process_index)

    @property
    def is_main(self) -> bool:
        """Whether this process writes for all."""
        return self.accelerator.is_main_process

    # The run

    def fit(self, resume: bool = False) -> None:
        """Train to ``max_steps``. ``resume`` goes on from the newest checkpoint, if there is one.

        :raises KeyboardInterrupt: after Ctrl-C or SIGTERM, once the step has ended and its checkpoint is written.
        :raises UserError: if the loss is no longer a number, or something cannot be read or written.
        """
        if resume:
            self._resume()
        if self.is_main:
            self.checkpoints.clear()
        trackers = self._start_records() if self.is_main else []
        try:
            with (
                TrainingBar(self.config.max_steps, self.progress.step, shown=self.is_main) as bar,
                StopRequest() as stop,
            ):
                self._loop(trackers, bar, stop)
            self._save_final()
        finally:
            for tracker in trackers:
                tracker.close()
        self.accelerator.end_training()

    def _loop(self, trackers: list[Tracker], bar: TrainingBar, stop: StopRequest) -> None:
        config, order = self.config, self._order()
        if is_streamed(self.train_data):
            self.feed = StreamFeed(self.train_data, order, config.num_workers, self.progress.stream)
        batches = iter(self.feed) if self.feed else load_batches(self.train_data, order, config.num_workers)
        meter = Meter(order.samples_per_step)
        self.model.train()
        while self.progress.step < config.max_steps:
            stopping = self._train_step(batches, stop, meter)
            step = self.progress.step
            bar.advance(meter, used_gigabytes(self.device))
            last = stopping or step == config.max_steps
            if step % config.log_every == 0 or last:
                scalars = meter.averages() | {"memory_gigabytes": used_gigabytes(self.device)}
                self._log(trackers, scalars, bar)
            if self._due(config.validate_every) and self.validation_data is not None:
                self._log(trackers, {f"val/{name}": value for name, value in self.validate().items()}, bar)
            if self._due(config.images_every) and self.is_main:
                self._show_images(trackers)
            if last or (config.checkpoint_every and step % config.checkpoint_every == 0):
                self.save()
            if stopping:
                path = self.checkpoints.latest()
                raise KeyboardInterrupt(f"after step {step}, wrote {path}")

    def _train_step(self, batches: Iterator[Batch], stop: StopRequest, meter: Meter) -> bool:
        """Run all phases of one training step. Returns whether any process was asked to stop."""
        step, started = self.progress.step, time.perf_counter()
        due = [(one, phase) for one in self.optimizers for phase in one.optimized.phases if phase.is_due(step)]
        loaded: Iterable[Batch] = (next(batches) for _ in range(self.config.gradient_accumulation))
        loaded = loaded if len(due) == 1 else list(loaded)  # one phase needs no batch twice
        scalars: dict[str, float] = {}
        stopping = False
        for optimizer, phase in due:
            means = optimizer.backward(phase, loaded, step)
            means = self._mean_over_processes(means | {"stop": torch.tensor(float(stop.requested), device=self.device)})
            stopping |= means.pop("stop") > 0
            self._check_finite("loss", means["loss"], optimizer, phase)
            norm = optimizer.clip()
            if self.config.mixed_precision != "fp16":  # there the gradient scaler skips the step and lowers its scale
                self._check_finite("gradient norm", norm, optimizer, phase)
            means |= {"grad_norm": norm, "learning_rate": optimizer.update(step)}
            scalars |= {f"{phase.name}/{name}".removeprefix("/"): value for name, value in means.items()}
        if self.ema:
            self.ema.update(step + 1)
        meter.add(scalars, time.perf_counter() - started)
        samples = self.progress.samples + meter.samples_per_step
        self.progress = replace(self.progress, step=step + 1, samples=samples)
        return stopping

    def _check_finite(self, what: str, value: float, optimizer: PartsOptimizer, phase: Phase) -> None:
        if not math.isfinite(value):
            rate = f"trainer.optimizers.{optimizer.name}.learning_rate" if optimizer.name else "trainer.learning_rate"
            of_phase = f" of phase {phase.name!r}" if phase.name else ""
            raise UserError(
                f"the {what}{of_phase} became {value} at step {self.progress.step + 1}; nothing was saved after step "
                f"{self.saved_step}; try a lower {rate} or trainer.mixed_precision: no"
            )

    # Validation and images

    @torch.no_grad()
    def validate(self) -> dict[str, float]:
        """Return the means of the model's scalars (loss, metrics) over the first ``validation_samples`` samples.

        The averaged weights are used, if there are any.
        """
        sums: dict[str, Tensor] = {"": torch.zeros((), device=self.device)}
        processes, rank, size = self.accelerator.num_processes, self.accelerator.process_index, self.config.batch_size
        mine = list(range(rank, self.config.validation_samples, processes))
        # A process without samples learns the names from one that counts for nothing.
        numbers = [mine[start : start + size] for start in range(0, len(mine), size)] or [[0]]
        with self._evaluating():
            batches = load_batches(self._evaluation_data(), numbers, self.config.num_workers)
            for chunk, batch in zip(numbers, batches, strict=True):
                weight = len(chunk) if mine else 0
                sums[""] += weight
                for name, value in self.model(batch.to(self.device)).items():
                    sums[name] = sums.get(name, 0) + value.detach().float() * weight
        totals = self.accelerator.reduce(sums, "sum")
        count = float(totals.pop(""))
        return {name: float(total) / max(count, 1) for name, total in totals.items()}

    @torch.no_grad()
    def preview(self) -> dict[str, Tensor]:
        """Return the model's images of the first samples of the validation data, or training data if there is none."""
        batches = load_batches(self._evaluation_data(), [list(range(self.config.image_samples))], workers=0)
        batch = next(batches).to(self.device)
        with self._evaluating():
            return self.model.preview(batch)

    def _evaluation_data(self) -> Samples | StreamedSamples:
        return self.train_data if self.validation_data is None else self.validation_data

    def _first_batches(self) -> Iterator[Batch]:
        order = SampleOrder(
            0, math.ceil(self.config.validation_samples / self.config.batch_size), self.config.batch_size
        )
        for batch in load_batches(self._evaluation_data(), order, self.config.num_workers):
            yield batch.to(self.device)

    def _show_images(self, trackers: Iterable[Tracker]) -> None:
        images = self.preview()
        if images:
            grid = image_grid(images)
            write_png(self.folder / IMAGES / f"step-{self.progress.step:08d}.png", grid)
            for tracker in trackers:
                tracker.image(self.progress.step, " | ".join(images), grid)

    @contextmanager
    def _evaluating(self) -> Iterator[None]:
        """Run the body in evaluation mode with the averaged weights. Weights and random states stay as they were."""
        average = self.ema.applied() if self.ema else nullcontext()
        self.model.eval()
        try:
            with untouched_randomness(self.device), average, self.accelerator.autocast():
                yield
        finally:
            self.model.train()

    # Checkpoints

    def save(self) -> None:
        """Write a checkpoint. All processes must call it."""
        state = random_state(self.device)
        gathered = {kind: self.accelerator.gather(value[None].to(self.device)) for kind, value in state.items()}
        if self.feed:
            positions = self.accelerator.gather(self.feed.table().to(self.device))
            self.progress = replace(self.progress, stream=self.feed.gathered(positions.cpu()))
        if self.is_main:
            scaler = self.accelerator.scaler
            self.checkpoints.save(
                TrainingState(
                    progress=replace(self.progress, grad_scaler=scaler.state_dict() if scaler else {}),
                    weights=part_tensors(self.parts),
                    optimizer={
                        key: value
                        for one in self.optimizers
                        for key, value in optimizer_tensors(one.optimizer.optimizer, one.parameters).items()
                    },
                    random={f"{rank}:{k}": row for k, rows in gathered.items() for rank, row in enumerate(rows)},
                    ema=self.ema.average if self.ema else {},
                )
            )
        self.saved_step = self.progress.step
        self.accelerator.wait_for_everyone()

    def _resume(self) -> None:
        path = self.checkpoints.latest()
        if path is None:
            log.info("%s: no checkpoint yet, starting from the beginning", self.folder)
            return
        state = self.checkpoints.load(path)
        if state.progress.optimizer != self.config.optimizer:
            raise UserError(
                f"{path}: optimizer {state.progress.optimizer!r}, the config says {self.config.optimizer!r}"
            )
        copy_tensors(state.weights, part_tensors(self.parts), path / "weights.safetensors")
        check_optimizer_tensors(state.optimizer, self.parameters, path / "optimizer.safetensors")
        for one in self.optimizers:
            load_optimizer(one.optimizer.optimizer, one.parameters, state.optimizer, path / "optimizer.safetensors")
        if self.ema and state.ema:
            copy_tensors(state.ema, self.ema.average, path / "ema.safetensors")
        elif self.ema:
            log.warning("%s has no averaged weights: the average starts anew from its weights", path)
            self.ema = self._new_average()
        if self.accelerator.scaler and state.progress.grad_scaler:
            self.accelerator.scaler.load_state_dict(state.progress.grad_scaler)
        mine = f"{self.accelerator.process_index}:"
        random = {key.removeprefix(mine): value for key, value in state.random.items() if key.startswith(mine)}
        if random:
            try:
                set_random_state(random, self.device)
            except ValueError as error:
                raise UserError(
                    f"{path / 'random.safetensors'}: {error}; delete {path} to go on from an earlier checkpoint"
                ) from error
        else:  # more processes than before
            seed_everything(self.config.seed + self.accelerator.process_index + state.progress.step)
        self.progress, self.saved_step = state.progress, state.progress.step
        log.info("going on from %s", path)

    def _save_final(self) -> None:
        """Write the trained weights, averaged if there is an average, as ``final/``, which is complete or not there."""
        if self.is_main:
            final, unfinished = self.folder / FINAL, self.folder / f".tmp-{FINAL}"
            self.model.to(memory_format=torch.contiguous_format)  # safetensors writes no other
            try:
                shutil.rmtree(unfinished, ignore_errors=True)
                with torch.no_grad(), self._evaluating():
                    if hasattr(self.model, "finish"):
                        self.model.finish(self._first_batches())
                    self.model.save_pretrained(unfinished)
                replace_folder(unfinished, final)
            except (OSError, SafetensorError) as error:
                shutil.rmtree(unfinished, ignore_errors=True)
                reason = getattr(error, "strerror", None) or error
                said = f"{final}: cannot write the weights: {reason}; the same command with "
                raise UserError(said, Setting("resume"), " tries again") from error
            log.info("wrote %s", final)
        self.accelerator.wait_for_everyone()

    # Small helpers

    def _new_average(self) -> WeightAverage | None:
        averaged: dict[str, Tensor] = {}
        for one in self.optimizers:
            averaged |= one.parameters if one.optimized.averaged else {}
        return WeightAverage(averaged, self.config.ema_decay) if averaged and self.config.ema_decay else None

    def _start_records(self) -> list[Tracker]:
        record(self.folder / PROVENANCE, provenance(str(self.device), self.accelerator.num_processes))
        return open_trackers(self.config.tracker, self.folder, self.progress.step, self.project, self.settings)

    def _order(self) -> SampleOrder:
        return SampleOrder(
            first_sample=self.progress.samples,
            steps=max(0, self.config.max_steps - self.progress.step),
            batch_size=self.config.batch_size,
            accumulation=self.config.gradient_accumulation,
            processes=self.accelerator.num_processes,
            rank=self.accelerator.process_index,
        )

    def _due(self, every: int) -> bool:
        return every > 0 and (self.progress.step % every == 0 or self.progress.step == self.config.max_steps)

    def _mean_over_processes(self, scalars: Mapping[str, Tensor]) -> dict[str, float]:
        values = self.accelerator.reduce(torch.stack(list(scalars.values())), "mean").tolist()
        return dict(zip(scalars, values, strict=True))

    def _log(self, trackers: Iterable[Tracker], scalars: Mapping[str, float], bar: TrainingBar) -> None:
        named = {name if name.startswith("val/") else f"train/{name}": value for name, value in scalars.items()}
        for tracker in trackers:
            tracker.log(self.progress.step, named)
        bar.report(self.progress.step, scalars)
