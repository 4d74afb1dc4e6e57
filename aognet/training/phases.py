"""Several optimizers: which of them trains which parts of a model, on which loss, in which training steps."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class Phase:
    """One loss of a training step. It has a backward pass and a step of its optimizer."""

    name: str
    """Given to ``training_step``; also the prefix of the phase's numbers in the log."""
    every: int = 1
    """The phase runs in every ``every``-th training step, e.g. 16 for lazy regularization (StyleGAN2, appendix B)."""
    start: int = 0
    """The first training step with the phase, counted from 0."""

    def __post_init__(self) -> None:
        if self.every < 1 or self.start < 0:
            raise ValueError(f"phase {self.name!r}: every must be at least 1 and start at least 0, got {self}")

    def is_due(self, step: int) -> bool:
        """Return whether training step ``step`` (the first is 0) has this phase."""
        return step >= self.start and (step - self.start) % self.every == 0


@dataclass(frozen=True, kw_only=True)
class OptimizedParts:
    """The parts of a model that one optimizer trains. During its phases no other parameters get gradients."""

    parts: tuple[str, ...]
    """Names from ``trainable_parts()``."""
    phases: tuple[Phase, ...]
    """They run in this order."""
    averaged: bool = True
    """Whether the moving average of the weights (``trainer.ema_decay``) includes these parts."""


@runtime_checkable
class HasPhases(Protocol):
    """A :class:`~aognet.training.trainable.Trainable` with several optimizers.

    Only validation calls its ``forward``. ``find_unused_parameters`` is True unless the model says otherwise.
    """

    def optimizers(self) -> Mapping[str, OptimizedParts]:
        """Return the parts that each optimizer trains, by its name. Every trainable part has exactly one optimizer.

        The phases of a training step run in this order and see the same batches.
        """

    def training_step(self, batch: Any, phase: str, step: int) -> dict[str, Tensor]:
        """Return the ``loss`` of one phase (scalar, mean over the batch) and other scalars to log.

        ``step`` is the number of the training step; the first is 0. With ``trainer.mixed_precision: fp16`` the trainer
        scales the loss only afterwards: gradients taken in here, as for a gradient penalty, are those without a scale.
        """


def optimized_parts(model: Any) -> dict[str, OptimizedParts]:
    """Return the optimizers of a model: those it names, or one without a name for all its parts.

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
