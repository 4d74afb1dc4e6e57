"""An optimizer with its parameters: computes the gradients of its losses and updates the weights."""

import math
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from difflib import get_close_matches
from typing import Any

import torch
from torch import Tensor, nn

from aognet.errors import UserError
from aognet.training.phases import OptimizedParts, Phase, optimized_parts
from aognet.training.setup import TrainerConfig, learning_rate, make_optimizer
from aognet.training.trainable import Batch, Trainable


class _Losses(nn.Module):
    """A phase's ``training_step`` or the model's forward, to be wrapped for mixed precision and several processes."""

    def __init__(self, model: Trainable):
        super().__init__()
        self.model = model

    def forward(self, batch: Batch, phase: str, step: int) -> dict[str, Tensor]:
        if hasattr(self.model, "training_step"):
            return self.model.training_step(batch, phase, step)
        return self.model(batch)


class PartsOptimizer:
    """An optimizer with the parts of a model that it trains."""

    def __init__(
        self,
        name: str,
        config: TrainerConfig,
        optimized: OptimizedParts,
        model: Trainable,
        parameters: Mapping[str, Tensor],
        accelerator: Any,
    ):
        """``config``: the settings of this optimizer. ``parameters``: all trained ones, by ``part.parameter``."""
        self.name, self.config, self.optimized, self.accelerator = name, config, optimized, accelerator
        prefixes = tuple(f"{part}." for part in optimized.parts)
        own, decayed = {key: value for key, value in parameters.items() if key.startswith(prefixes)}, optimized.decayed
        if decayed is not None:  # an optimizer's states are in the order of its groups
            own = dict(sorted(own.items(), key=lambda item: item[0] not in decayed))
        self.parameters = own
        self._others = [value for key, value in parameters.items() if key not in self.parameters]
        if not self.parameters:
            raise UserError(f"{type(model).__name__} has nothing to train for its optimizer {name!r}")
        self._first_step = min(phase.start for phase in optimized.phases)
        with self._alone():  # what is wrapped now exchanges the gradients of these parameters between processes
            self._losses, self.optimizer = accelerator.prepare(
                _Losses(model), make_optimizer(config, self.parameters, decayed)
            )

    def backward(self, phase: Phase, batches: Iterable[Batch], step: int) -> dict[str, Tensor]:
        """Accumulate the gradients of a phase over the batches of one step. Returns the mean of each of its scalars."""
        outputs: list[dict[str, Tensor]] = []
        with self._alone():
            for batch in batches:
                with self.accelerator.accumulate(self._losses):
                    output = self._losses(batch.to(self.accelerator.device), phase.name, step)
                    self.accelerator.backward(output["loss"])
                outputs.append({name: value.detach().float() for name, value in output.items()})
        return {name: torch.stack([output[name] for output in outputs]).mean() for name in outputs[0]}

    def clip(self) -> float:
        """Scale the gradient down to the norm ``max_grad_norm``. Returns its norm before that."""
        limit = self.config.max_grad_norm or math.inf
        return float(self.accelerator.clip_grad_norm_(self.parameters.values(), limit))

    def update(self, step: int) -> float:
        """Update the weights and clear the gradients. Returns the learning rate."""
        rate = learning_rate(self.config, step, self._first_step)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.optimizer.step()
        self.optimizer.zero_grad()
        return rate

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Give no gradients to parameters of other optimizers while the body runs."""
        for parameter in self._others:
            parameter.requires_grad_(False)
        try:
            yield
        finally:
            for parameter in self._others:
                parameter.requires_grad_(True)


def make_optimizers(
    config: TrainerConfig, model: Trainable, parameters: Mapping[str, Tensor], accelerator: Any
) -> list[PartsOptimizer]:
    """Return the optimizers of a model in the order of their phases."""
    check_names(config, model)
    return [
        PartsOptimizer(name, config.of_optimizer(name), one, model, parameters, accelerator)
        for name, one in optimized_parts(model).items()
    ]


def check_names(config: TrainerConfig, model: Trainable) -> None:
    """Refuse settings (``trainer.optimizers``) for an optimizer that the model does not have."""
    known = [name for name in optimized_parts(model) if name]
    for name in config.optimizers:
        if name not in known:
            close = get_close_matches(name, known, n=1)
            hint = f"did you mean {close[0]!r}? " if close else ""
            has = f"known: {', '.join(known)}" if known else "it has one, which trainer.learning_rate etc. set"
            key = f"trainer.optimizers.{name}"
            raise UserError(f"names no optimizer of {type(model).__name__}; {hint}{has}", key=key)
