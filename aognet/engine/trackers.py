"""Where the numbers and images of a run go, besides its own folder."""

import json
import math
import secrets
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from jaxtyping import UInt8
from torch import Tensor

from aognet.errors import UserError
from aognet.files import write_atomically


@runtime_checkable
class Tracker(Protocol):
    """Receives scalars and image grids of one run."""

    def log(self, step: int, scalars: Mapping[str, float]) -> None: ...

    def image(self, step: int, name: str, image: UInt8[Tensor, "3 height width"]) -> None: ...

    def close(self) -> None: ...


class MetricsFile:
    """One JSON object per line; always written. Lines after ``resume_step`` (of a killed run) are dropped."""

    def __init__(self, path: Path, resume_step: int) -> None:
        kept = [line for line in _lines(path) if _step(line) <= resume_step]
        write_atomically(path, "".join(f"{line}\n" for line in kept))
        self.file = path.open("a", encoding="utf-8")

    def log(self, step: int, scalars: Mapping[str, float]) -> None:
        finite = {name: value if math.isfinite(value) else None for name, value in scalars.items()}
        self.file.write(json.dumps({"step": step} | finite) + "\n")
        self.file.flush()

    def image(self, step: int, name: str, image: UInt8[Tensor, "3 height width"]) -> None:
        """Images are in the run's own folder already."""

    def close(self) -> None:
        self.file.close()


class TensorBoard:
    """Event files in ``folder``; ``resume_step`` hides what a killed run logged later."""

    def __init__(self, folder: Path, resume_step: int) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise UserError("trainer.tracker: tensorboard is not installed: pip install tensorboard") from error
        self.writer = SummaryWriter(str(folder), purge_step=resume_step + 1 if resume_step else None)

    def log(self, step: int, scalars: Mapping[str, float]) -> None:
        for name, value in scalars.items():
            self.writer.add_scalar(name, value, step)

    def image(self, step: int, name: str, image: UInt8[Tensor, "3 height width"]) -> None:
        self.writer.add_image(name, image.numpy(), step)

    def close(self) -> None:
        self.writer.close()


class WandB:
    """Weights & Biases; ``WANDB_MODE=offline`` needs no account. A resumed run continues the same wandb run."""

    def __init__(self, folder: Path, project: str, config: Mapping[str, Any]) -> None:
        try:
            import wandb
        except ImportError as error:
            raise UserError("trainer.tracker: wandb is not installed: pip install wandb") from error
        self.wandb = wandb
        run_id_file = folder / "wandb_id.txt"
        if not run_id_file.is_file():
            write_atomically(run_id_file, secrets.token_hex(4))
        run_id = run_id_file.read_text(encoding="utf-8").strip()
        try:
            self.run = wandb.init(
                project=project, name=folder.name, dir=str(folder), id=run_id, resume="allow", config=dict(config)
            )
        except wandb.errors.Error as error:
            raise UserError(f"wandb: {error} (WANDB_MODE=offline needs no account)") from error

    def log(self, step: int, scalars: Mapping[str, float]) -> None:
        self.run.log(dict(scalars), step=step)

    def image(self, step: int, name: str, image: UInt8[Tensor, "3 height width"]) -> None:
        self.run.log({name: self.wandb.Image(image.permute(1, 2, 0).numpy())}, step=step)

    def close(self) -> None:
        self.run.finish()


def open_trackers(
    tracker: str, folder: Path, resume_step: int, project: str = "aognet", config: Mapping[str, Any] | None = None
) -> list[Tracker]:
    """The metrics file and the chosen tracker (``none``, ``tensorboard`` or ``wandb``) of the run in ``folder``."""
    trackers: list[Tracker] = [MetricsFile(folder / "metrics.jsonl", resume_step)]
    if tracker == "tensorboard":
        trackers.append(TensorBoard(folder / "tensorboard", resume_step))
    elif tracker == "wandb":
        trackers.append(WandB(folder, project, config or {}))
    return trackers


def _lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").splitlines() if path.is_file() else []


def _step(line: str) -> float:
    """The step of a line; one torn by a kill comes after everything."""
    with suppress(json.JSONDecodeError, KeyError, TypeError):
        return float(json.loads(line)["step"])
    return float("inf")
