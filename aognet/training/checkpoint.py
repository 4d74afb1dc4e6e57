"""Checkpoints: one folder has everything a training run needs to go on. A kill at any moment does no harm.

    checkpoints/step-00000100/
        weights.safetensors     trained parts, keys "part.parameter"
        ema.safetensors         their moving average, if there is one
        optimizer.safetensors   of all optimizers, keys "part.parameter:state"
        random.safetensors      random states, keys "rank:kind"
        state.json              step, samples seen, optimizer name, gradient scaler, positions in streamed data
        manifest.json           bytes and SHA-256 of the other files

A checkpoint is written into a hidden folder, flushed to disk and then renamed: a folder with its final name is
complete. There are no pickles: reading a checkpoint runs no code.
"""

import hashlib
import json
import logging
import re
import shutil
from collections.abc import Container, Iterable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from aognet.errors import UserError
from aognet.io.files import flush
from aognet.nn.weights import copy_tensors, part_tensors, read_tensors, write_tensors

log = logging.getLogger(__name__)

FORMAT_VERSION = 1
MANIFEST = "manifest.json"
UNFINISHED = ".tmp-"
NEEDED = ("weights.safetensors", "optimizer.safetensors", "random.safetensors", "state.json")
DIFFUSERS = "diffusion_pytorch_model.safetensors"


@dataclass(frozen=True)
class TrainingProgress:
    """How far a training run has come; written as ``state.json``."""

    step: int = 0
    samples: int = 0
    """Samples that all steps so far have used, which is the number of the next sample."""
    optimizer: str = ""
    grad_scaler: dict[str, float] = field(default_factory=dict)
    stream: dict[str, Any] = field(default_factory=dict)
    """Positions of the readers of a streamed dataset (`aognet.training.loader.StreamFeed`)."""
    format_version: int = FORMAT_VERSION


@dataclass(frozen=True)
class TrainingState:
    """The state of a training run after one step, as plain tensors."""

    progress: TrainingProgress
    weights: dict[str, Tensor]
    optimizer: dict[str, Tensor]
    random: dict[str, Tensor]
    ema: dict[str, Tensor] = field(default_factory=dict)


class Checkpoints:
    """The checkpoints of one experiment."""

    def __init__(self, folder: Path, keep: int = 0) -> None:
        """``keep``: how many of the newest checkpoints to keep; 0 keeps all."""
        self.folder = folder
        self.keep = keep

    def complete(self) -> list[Path]:
        """Return the complete checkpoints, oldest first."""
        found = [path for path in self.folder.glob("step-*") if re.fullmatch(r"step-\d+", path.name)]
        return sorted((path for path in found if (path / MANIFEST).is_file()), key=lambda path: int(path.name[5:]))

    def latest(self) -> Path | None:
        """Return the newest complete checkpoint, or None."""
        return next(reversed(self.complete()), None)

    def save(self, state: TrainingState) -> Path:
        """Write a checkpoint, then remove old checkpoints and what killed saves left.

        :raises UserError: if the folder cannot be written. Earlier checkpoints stay as they are.
        """
        final = self.folder / f"step-{state.progress.step:08d}"
        unfinished = self.folder / f"{UNFINISHED}{final.name}"
        if (final / MANIFEST).is_file():
            return final  # a run stopped before its first new step
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self.clear()
            unfinished.mkdir()
            self._write(unfinished, state)
            unfinished.rename(final)
            flush(self.folder)
            self._prune()
        except (OSError, SafetensorError) as error:
            shutil.rmtree(unfinished, ignore_errors=True)  # a full disk needs the room
            raise UserError(
                f"{final}: cannot write the checkpoint: {getattr(error, 'strerror', None) or error}"
            ) from error
        return final

    def load(self, path: Path) -> TrainingState:
        """Read and verify one checkpoint.

        :raises UserError: if a file is missing or differs from what was written.
        """
        verify(path)
        progress = _progress(path / "state.json")
        ema = path / "ema.safetensors"
        return TrainingState(
            progress=progress,
            weights=read_tensors(path / "weights.safetensors"),
            optimizer=read_tensors(path / "optimizer.safetensors"),
            random=read_tensors(path / "random.safetensors"),
            ema=read_tensors(ema) if ema.is_file() else {},
        )

    def _write(self, folder: Path, state: TrainingState) -> None:
        tensors = {"weights": state.weights, "optimizer": state.optimizer, "random": state.random, "ema": state.ema}
        for name, values in tensors.items():
            if values or name != "ema":
                write_tensors(folder / f"{name}.safetensors", values)
        (folder / "state.json").write_text(json.dumps(asdict(state.progress), indent=2), encoding="utf-8")
        manifest = {path.name: {"bytes": path.stat().st_size, "sha256": _sha256(path)} for path in folder.iterdir()}
        (folder / MANIFEST).write_text(json.dumps(manifest, indent=2), encoding="utf-8")
        for path in [*folder.iterdir(), folder]:
            flush(path)

    def _prune(self) -> None:
        old = self.complete()[: -self.keep] if self.keep else []
        for path in old:
            # Renamed first: a kill while files are being deleted must not leave half a checkpoint under a good name.
            doomed = path.rename(self.folder / f"{UNFINISHED}old-{path.name}")
            shutil.rmtree(doomed)

    def clear(self) -> None:
        """Remove what killed trainings left: unfinished checkpoints, and old ones that they had no time to remove."""
        for leftover in self.folder.glob(f"{UNFINISHED}*"):
            shutil.rmtree(leftover, ignore_errors=True)
        with suppress(OSError):  # the next save says so
            self._prune()


def _progress(path: Path) -> TrainingProgress:
    try:
        values = json.loads(path.read_bytes())
        if values.get("format_version") != FORMAT_VERSION:
            raise UserError(
                f"{path}: checkpoint format {values.get('format_version')}, this program reads {FORMAT_VERSION}"
            )
        progress = TrainingProgress(**values)
        for name, default in asdict(TrainingProgress()).items():
            if type(getattr(progress, name)) is not type(default):
                raise TypeError(f"{name} is {getattr(progress, name)!r:.80}")
    except UserError:
        raise
    except (OSError, ValueError, TypeError, AttributeError, RecursionError) as error:
        raise UserError(f"{path}: is no state of a training ({error})") from error
    return progress


def verify(path: Path) -> None:
    """Compare the files of a checkpoint with its manifest.

    :raises UserError: naming the first file that is missing or differs.
    """
    damaged = f"the checkpoint is damaged; delete {path} to go on from an earlier one"
    try:
        manifest = json.loads((path / MANIFEST).read_bytes())
        expected = {path / name: (entry["bytes"], entry["sha256"]) for name, entry in manifest.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise UserError(f"{path / MANIFEST}: {damaged}") from error
    expected = {path / name: (None, None) for name in NEEDED} | expected
    for file, (size, digest) in expected.items():
        try:
            if not file.is_file() or file.stat().st_size != size or _sha256(file) != digest:
                raise UserError(f"{file}: {damaged}")
        except OSError as error:
            raise UserError(f"{file}: cannot be read ({error.strerror})") from error


def start_from(folder: Path, parts: Mapping[str, nn.Module]) -> None:
    """Copy the weights of another run into the trained parts of a new one; the averaged weights, if there are any.

    ``folder`` is a checkpoint (``checkpoints/step-...``) or a ``final/`` folder. The latter has all parts in one
    ``model.safetensors``, or a folder for each part, as diffusers writes models.

    :raises UserError: if the folder has none of these, or its weights do not fit.
    """
    target = part_tensors(parts)
    checkpoint, final = folder / "weights.safetensors", folder / "model.safetensors"
    apart = {name: folder / name / DIFFUSERS for name in parts}
    if checkpoint.is_file():
        state = Checkpoints(folder.parent).load(folder)
        copy_tensors(state.weights | state.ema, target, checkpoint)
    elif final.is_file():
        copy_tensors(read_tensors(final), target, final)
    elif all(path.is_file() for path in apart.values()):
        source = {f"{name}.{key}": value for name, path in apart.items() for key, value in read_tensors(path).items()}
        copy_tensors(source, target, folder)
    else:
        raise UserError(f"{folder}: has neither {final.name} nor {checkpoint.name}", key="checkpoint")


def optimizer_tensors(optimizer: torch.optim.Optimizer, names: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the state of every parameter as tensors with keys ``parameter:state``. Numbers become scalar tensors."""
    return {
        f"{name}:{key}": value if isinstance(value, Tensor) else torch.tensor(value)
        for name, parameter in names.items()
        for key, value in optimizer.state.get(parameter, {}).items()
    }


def check_optimizer_tensors(tensors: Iterable[str], names: Container[str], path: Path) -> None:
    """Refuse states, keys ``parameter:state``, of parameters that are not in ``names``."""
    unknown = sorted(key for key in tensors if key.rpartition(":")[0] not in names)
    if unknown:
        raise UserError(f"{path}: {len(unknown)} optimizer states are unknown here, the first is {unknown[0]!r}")


def load_optimizer(
    optimizer: torch.optim.Optimizer, names: Mapping[str, Tensor], tensors: Mapping[str, Tensor], path: Path
) -> None:
    """Restore the states that :func:`optimizer_tensors` returned. ``optimizer`` keeps its own rates and decays.

    ``tensors`` may hold the states of other optimizers too.
    """
    state: dict[int, dict[str, Any]] = {}
    for index, (name, parameter) in enumerate(names.items()):
        entries: dict[str, Any] = {
            key.rpartition(":")[2]: value for key, value in tensors.items() if key.startswith(f"{name}:")
        }
        for key, value in entries.items():
            if key.startswith("exp_avg"):
                if value.shape != parameter.shape:
                    raise UserError(f"{path}: {name}:{key} has shape {list(value.shape)}, not {list(parameter.shape)}")
                entries[key] = torch.empty_like(parameter, dtype=value.dtype).copy_(value)
            elif value.ndim == 0 and not value.is_floating_point():
                entries[key] = int(value)
        state[index] = entries
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
