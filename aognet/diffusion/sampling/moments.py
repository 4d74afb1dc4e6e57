"""Where a denoising stands between two steps, so that it can go on in another process to the same bits."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor

from aognet.diffusion.sampling.noise import Generators
from aognet.errors import Setting, UserError

LATENTS, SOURCE, MEMORY = "latents", "source", "memory"


@dataclass(frozen=True)
class Moment:
    """The number of steps ``done``, and what they left: the latents, and all that the scheduler and the generators
    remember.

    ``memory`` has the scheduler's attributes that steps changed, as plain values; a tensor is named in it and lies in
    ``tensors``.
    """

    done: int
    tensors: Mapping[str, Tensor]
    memory: Mapping[str, Any]


@runtime_checkable
class MomentKeeper(Protocol):
    """Who keeps moments. ``begin``: the one to go on from, None at the beginning."""

    begin: Moment | None

    def passed(self, moment: Callable[[], Moment]) -> None:
        """Hear of a step that was made; ``moment()`` returns where the denoising stands until the next one."""


def moment_of(done: int, latents: Tensor, scheduler: Any, fresh: Any, source: Generators | None) -> Moment:
    """Return where a denoising stands. ``fresh`` is an equal scheduler before its first step."""
    tensors = {LATENTS: latents.clone()}
    for number, row in enumerate(_rows(source)):
        tensors[f"{SOURCE}.{number}"] = row.get_state()
    memory = {}
    for name, value in vars(scheduler).items():
        if not _same(value, vars(fresh).get(name)):
            memory[name] = _plain(value, f"{MEMORY}.{name}", tensors)
    return Moment(done, tensors, memory)


def return_to(moment: Moment, steps: int, latents: Tensor, scheduler: Any, source: Generators | None) -> Tensor:
    """Put a scheduler and generators where they were, and return the latents on the device of those given, which have
    their form.

    :raises UserError: if the moment is not of such a denoising of so many ``steps``.
    """
    there, kind = moment.tensors.get(LATENTS), type(scheduler)
    if there is None or there.shape != latents.shape or there.dtype != latents.dtype:
        raise unfit(f"its latents are not {tuple(latents.shape)} of {latents.dtype}")
    if not 0 < moment.done < steps:
        raise unfit(f"{moment.done} of {steps} steps are done")
    if foreign := [name for name in moment.memory if hasattr(kind, name)]:
        raise unfit(f"{foreign[0]!r} is nothing that {kind.__name__} remembers")
    try:
        for number, row in enumerate(_rows(source)):
            row.set_state(moment.tensors[f"{SOURCE}.{number}"])
        for name, value in moment.memory.items():
            setattr(scheduler, name, _value(value, moment.tensors, latents))
    except (KeyError, TypeError, RuntimeError) as error:
        raise unfit(f"{kind.__name__} leaves something else: {error}") from error
    return there.to(latents.device)


def unfit(reason: str) -> UserError:
    """Return the error for a moment that is not of the denoising that is to go on."""
    said = f"what was recorded of an interrupted run does not fit it ({reason}); add "
    return UserError(said, Setting("overwrite"), " to begin anew")


def _rows(source: Generators | None) -> list[torch.Generator]:
    return [] if source is None else [source] if isinstance(source, torch.Generator) else list(source)


def _same(value: Any, other: Any) -> bool:
    if isinstance(value, Tensor):
        return isinstance(other, Tensor) and value.dtype == other.dtype and torch.equal(value, other)
    if isinstance(value, list) and isinstance(other, list):
        return len(value) == len(other) and all(map(_same, value, other))
    return type(value) is type(other) and bool(np.all(value == other))


def _plain(value: Any, name: str, tensors: dict[str, Tensor]) -> Any:
    """Return a value for JSON. Tensors in it are put into ``tensors``."""
    if isinstance(value, Tensor):
        tensors[name] = value.clone()
        return {"tensor": name}
    if isinstance(value, list):
        return [_plain(one, f"{name}.{number}", tensors) for number, one in enumerate(value)]
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise TypeError(f"{name}: {type(value).__name__} cannot be kept")


def _value(plain: Any, tensors: Mapping[str, Tensor], latents: Tensor) -> Any:
    if isinstance(plain, Mapping):
        found = tensors[plain["tensor"]]  # what is made of latents lies with them, timesteps on the CPU
        return found.to(latents.device) if found.shape == latents.shape else found
    return [_value(one, tensors, latents) for one in plain] if isinstance(plain, list) else plain
