"""The progress bar and the averaged numbers of a training run."""

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
        self.last: dict[str, float] = {}  # the newest value of every scalar: not all are there in every step
        self.speed = 0.0
        self._start()

    def add(self, scalars: Mapping[str, float], seconds: float) -> None:
        """Add the scalars of one step, and its seconds with the time it waited for data."""
        self.last |= scalars
        self._steps += 1
        for name, value in scalars.items():
            self._values.setdefault(name, []).append(value)
        self._seconds += seconds
        self.speed = self._steps * self.samples_per_step / max(self._seconds, 1e-9)

    def averages(self) -> dict[str, float]:
        """Return the means since the last call, with ``samples_per_second``, and start anew.

        A scalar that is not in every step has the mean over the steps that have it.
        """
        means = {name: sum(values) / len(values) for name, values in self._values.items()}
        self._start()
        return means | {"samples_per_second": self.speed}

    def _start(self) -> None:
        self._values: dict[str, list[float]] = {}
        self._steps = 0
        self._seconds = 0.0


class TrainingBar:
    """Shows a progress bar on a terminal; elsewhere only the lines of :meth:`report`."""

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
        """Show that one step is done."""
        losses = [f"{name} {value:.4f}" for name, value in meter.last.items() if name.rpartition("/")[2] == "loss"]
        status = "  ".join([*losses, f"{meter.speed:.1f} samples/s", f"{gigabytes:.1f} GB"])
        self.progress.update(self.task, advance=1, status=status)

    def report(self, step: int, scalars: Mapping[str, float]) -> None:
        """Log the scalars as one line."""
        if self.shown:
            log.info("step %d: %s", step, "  ".join(f"{name} {value:.4g}" for name, value in scalars.items()))


def used_gigabytes(device: torch.device) -> float:
    """Return the peak memory on a CUDA device, or the memory of this process on another, in gigabytes."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 1e9
    return psutil.Process().memory_info().rss / 1e9
