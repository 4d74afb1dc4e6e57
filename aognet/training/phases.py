"""What a model with several losses says of its training step: which optimizer trains which parts, and when."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class Phase:
    """One loss of a training step: a backward pass and a step of the optimizer that it belongs to."""

    name: str
    """What ``training_step`` is told; also the prefix of the phase's numbers in the log."""
    every: int = 1
    """The phase comes in every so many training steps; lazy regularization has 4 or 16 (StyleGAN2, appendix B)."""
    start: int = 0
    """The first training step (counted from 0) that has the phase."""

    def __post_init__(self) -> None:
        if self.every < 1 or self.start < 0:
            raise ValueError(f"phase {self.name!r}: every must be at least 1 and start at least 0, got {self}")

    def is_due(self, step: int) -> bool:
        """Whether training step ``step`` (the first is 0) has this phase."""
        return step >= self.start and (step - self.start) % self.every == 0


@dataclass(frozen=True, kw_only=True)
class OptimizedParts:
    """What one optimizer trains. No other parameters have gradients during its phases."""

    parts: tuple[str, ...]
    """Names from ``trainable_parts()``."""
    phases: tuple[Phase, ...]
    """In this order."""
    averaged: bool = True
    """Whether the moving average of the weights (``trainer.ema_decay``) has these parts."""


@runtime_checkable
class HasPhases(Protocol):
    """A :class:`~aognet.training.trainable.Trainable` with several optimizers.

    Its ``forward`` is used by the validation alone.
    """

    def optimizers(self) -> Mapping[str, OptimizedParts]:
        """Name of an optimizer -> what it trains. Every trainable part belongs to exactly one optimizer.

        The phases of a training step run in this order, all on the same batches.
        """

    def training_step(self, batch: Any, phase: str, step: int) -> dict[str, Tensor]:
        """``loss`` of one phase (scalar, mean over the batch) and other scalars worth logging.

        ``step``: number of the training step, the first is 0.
        """


def optimized_parts(model: Any) -> dict[str, OptimizedParts]:
    """The optimizers of a model: those it names, or one without a name for all its parts.

    :raises ValueError: if a part belongs to no optimizer or to several, or a training step may be empty.
    """
    parts = tuple(model.trainable_parts())
    if not isinstance(model, HasPhases):
        return {"": OptimizedParts(parts=parts, phases=(Phase(name=""),))}
    found = dict(model.optimizers())
    claimed = [part for one in found.values() for part in one.parts]
    if sorted(claimed) != sorted(parts):
        raise ValueError(f"each of {sorted(parts)} must belong to one optimizer, got {sorted(claimed)}")
    phases = [phase for one in found.values() for phase in one.phases]
    names = [phase.name for phase in phases]
    if "" in names or "" in found or len(set(names)) < len(names):
        raise ValueError(f"optimizers and phases need names of their own, got {list(found)} and {names}")
    if not any(phase.every == 1 and phase.start == 0 for phase in phases):
        raise ValueError(f"one phase must be in every training step, got {phases}")
    return found
