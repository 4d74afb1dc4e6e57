"""Several optimizers: which of them trains which parts of a model, on which loss, in which training steps."""

from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

from torch import Tensor

from aognet.nn.optimized_parts import OptimizedParts, Phase


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
