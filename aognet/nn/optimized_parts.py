"""What a model with several optimizers says of them; `aognet.training.phases` trains with it."""

from dataclasses import dataclass


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
    decayed: frozenset[str] | None = None
    """Names ``part.parameter`` of those that ``weight_decay`` is for; None: all."""
    averaged: bool = True
    """Whether the moving average of the weights (``trainer.ema_decay``) includes these parts."""
