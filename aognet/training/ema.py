"""Exponential moving average of trained weights."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor


class WeightAverage:
    """Keeps a float32 average of parameters: ``average += (1 - decay) * (weight - average)``.

    The decay warms up as ``min(decay, (1 + step) / (10 + step))``, so the average soon forgets the untrained start.
    """

    def __init__(self, parameters: Mapping[str, Tensor], decay: float) -> None:
        self.parameters = parameters
        self.decay = decay
        self.average = {name: weight.detach().float().clone() for name, weight in parameters.items()}

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Update the average with the weights after training step ``step`` (the first is 1)."""
        decay = min(self.decay, (1 + step) / (10 + step))
        weights = [self.parameters[name].detach().float() for name in self.average]
        torch._foreach_lerp_(list(self.average.values()), weights, 1 - decay)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Replace the weights by their averages while the body runs."""
        kept = {name: weight.detach().clone() for name, weight in self.parameters.items()}
        self._write(self.average)
        try:
            yield
        finally:
            self._write(kept)

    @torch.no_grad()
    def _write(self, values: Mapping[str, Tensor]) -> None:
        for name, weight in self.parameters.items():
            weight.copy_(values[name])
