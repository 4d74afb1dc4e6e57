"""Write the numbers and images of a run: to its metrics file and to one of the trackers of accelerate."""

import json
import logging
import math
import re
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from jaxtyping import UInt8
from torch import Tensor

from aognet.errors import UserError
from aognet.io.files import write_atomically
from aognet.training.experiment import METRICS

log = logging.getLogger(__name__)


@runtime_checkable
class Tracker(Protocol):
    """Receives scalars and image grids of one run."""

    def log(self, step: int, scalars: Mapping[str, float]) -> None:
        """Take numbers by name."""

    def image(self, step: int, name: str, image: UInt8[Tensor, "3 height width"]) -> None:
        """Take a grid of images."""

    def close(self) -> None:
        """Write what is not written yet."""


class MetricsFile:
    """Writes one JSON object per line. It drops the lines after ``resume_step``, which a killed run left.

    It also drops damaged lines and warns of them, unless it is half a line at the end, as a kill or a full disk leaves.
    Raises UserError if the file cannot be read or written.
    """

    def __init__(self, path: Path, resume_step: int) -> None:
        self.path = path
        *lines, half = _content(path).split(b"\n")
        steps = {line: _step(line) for line in lines}
        if damaged := sum(steps[line] is None for line in lines):
            log.warning("%s: %d of %d lines are damaged and are left out", path, damaged, len(lines))
        if half and _step(half) is not None:
            lines, steps = [*lines, half], steps | {half: _step(half)}
        kept = [line for line in lines if (step := steps[line]) is not None and step <= resume_step]
        write_atomically(path, b"".join(line + b"\n" for line in kept))
        with _written(path):
            self.file = path.open("ab", buffering=0)  # whatever could not be written must not come again at the end

    def log(self, step: int, scalars: Mapping[str, float]) -> None:
        finite = {name: value if math.isfinite(value) else None for name, value in scalars.items()}
        with _written(self.path):
            self.file.write((json.dumps({"step": step} | finite) + "\n").encode())

    def image(self, step: int, name: str, image: UInt8[Tensor, "3 height width"]) -> None:
        """Do nothing: the run's own folder has its images already."""

    def close(self) -> None:
        self.file.close()


class RunTracker:
    """Starts and drives a tracker of accelerate. Raises UserError if it cannot write."""

    def __init__(self, tracker: Any, folder: Path, **image_options: str) -> None:
        """``image_options``: arguments with which ``tracker.log_images`` takes images [batch, height, width, 3]."""
        self.tracker, self.folder, self.image_options = tracker, folder, image_options
        with _installed(tracker.name), _written(folder):
            tracker.start()

    def log(self, step: int, scalars: Mapping[str, float]) -> None:
        with _written(self.folder):
            self.tracker.log(dict(scalars), step=step)

    def image(self, step: int, name: str, image: UInt8[Tensor, "3 height width"]) -> None:
        with _written(self.folder):
            images = image.permute(1, 2, 0)[None].numpy()
            self.tracker.log_images({name: images}, step=step, **self.image_options)

    def close(self) -> None:
        with _written(self.folder):
            self.tracker.finish()


def tensorboard(folder: Path, resume_step: int) -> RunTracker:
    """Write event files to ``folder/tensorboard``. They hide what a killed run logged after ``resume_step``."""
    from accelerate.tracking import TensorBoardTracker

    purge = resume_step + 1 if resume_step else None
    tracker = TensorBoardTracker("tensorboard", str(folder), purge_step=purge)
    return RunTracker(tracker, folder / "tensorboard", dataformats="NHWC")


def wandb(folder: Path, project: str, config: Mapping[str, Any]) -> RunTracker:
    """Log to Weights & Biases. A resumed run continues the same wandb run; ``WANDB_MODE=offline`` needs no account."""
    from accelerate.tracking import WandBTracker

    with _installed("wandb"):
        from wandb.errors import Error
    run_id_file = folder / "wandb_id.txt"
    run_id = _content(run_id_file).decode("ascii", errors="replace").strip()
    if not re.fullmatch(r"[\w-]{1,64}", run_id, re.ASCII):
        if run_id:
            log.warning("%s: is damaged; a new wandb run begins", run_id_file)
        run_id = secrets.token_hex(4)
        write_atomically(run_id_file, run_id)
    settings = {"name": folder.name, "dir": str(folder), "id": run_id, "resume": "allow", "config": dict(config)}
    try:
        return RunTracker(WandBTracker(project, **settings), folder)
    except Error as error:
        raise UserError(f"wandb: {error} (WANDB_MODE=offline needs no account)") from error


def open_trackers(
    tracker: str, folder: Path, resume_step: int, project: str = "aognet", config: Mapping[str, Any] | None = None
) -> list[Tracker]:
    """Open the metrics file and the tracker (``none``, ``tensorboard`` or ``wandb``) of the run in ``folder``."""
    trackers: list[Tracker] = [MetricsFile(folder / METRICS, resume_step)]
    if tracker == "tensorboard":
        trackers.append(tensorboard(folder, resume_step))
    elif tracker == "wandb":
        trackers.append(wandb(folder, project, config or {}))
    return trackers


@contextmanager
def _installed(name: str) -> Iterator[None]:
    try:
        yield
    except ImportError as error:
        raise UserError(f"trainer.tracker: {name} is not installed: pip install {name}") from error


@contextmanager
def _written(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise UserError(f"{path}: cannot be written ({error.strerror or error})") from error


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return b""
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from error


def _step(line: bytes) -> float | None:
    """Return the step of a line, or None if the line is damaged."""
    try:
        step = float(json.loads(line)["step"])
    except (ValueError, KeyError, TypeError, IndexError, RecursionError, OverflowError):
        return None
    return step if math.isfinite(step) else None
