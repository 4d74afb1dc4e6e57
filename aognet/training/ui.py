"""What the person at the terminal sees of a training run."""

import logging
from collections.abc import Mapping

import psutil
import rich
import torch
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

log = logging.getLogger(__name__)


class Meter:
    """Averages scalars since the last report, and the speed of the training steps alone."""

    def __init__(self, samples_per_step: int) -> None:
        self.samples_per_step = samples_per_step
        self.last: dict[str, float] = {}
        self.speed = 0.0
        self._start()

    def add(self, scalars: Mapping[str, float], seconds: float) -> None:
        """Take in one step that took so long, waiting for data included."""
        self.last = dict(scalars)
        self._steps += 1
        for name, value in scalars.items():
            self._sums[name] = self._sums.get(name, 0.0) + value
        self._seconds += seconds
        self.speed = self._steps * self.samples_per_step / max(self._seconds, 1e-9)

    def averages(self) -> dict[str, float]:
        """Means since the last call, with ``samples_per_second``; starts anew."""
        means = {name: value / self._steps for name, value in self._sums.items()}
        self._start()
        return means | {"samples_per_second": self.speed}

    def _start(self) -> None:
        self._sums: dict[str, float] = {}
        self._steps = 0
        self._seconds = 0.0


class TrainingBar:
    """A progress bar on a terminal; elsewhere only the lines of :meth:`report`."""

    def __init__(self, total: int, done: int, shown: bool) -> None:
        console = rich.get_console()
        self.shown = shown
        self.progress = Progress(
            TextColumn("step"),
            MofNCompleteColumn(),
            BarColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[status]}"),
            console=console,
            disable=not (shown and console.is_terminal),
        )
        self.task = self.progress.add_task("train", total=total, completed=done, status="")

    def __enter__(self) -> "TrainingBar":
        self.progress.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self.progress.stop()

    def advance(self, meter: Meter, gigabytes: float) -> None:
        """One step done."""
        status = f"loss {meter.last['loss']:.4f}  {meter.speed:.1f} samples/s  {gigabytes:.1f} GB"
        self.progress.update(self.task, advance=1, status=status)

    def report(self, step: int, scalars: Mapping[str, float]) -> None:
        """A line for the log."""
        if self.shown:
            log.info("step %d: %s", step, "  ".join(f"{name} {value:.4g}" for name, value in scalars.items()))


def used_gigabytes(device: torch.device) -> float:
    """Most memory so far on a CUDA device; memory of this process elsewhere."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 1e9
    return psutil.Process().memory_info().rss / 1e9
