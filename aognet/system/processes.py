"""The processes that share work, as accelerate or torchrun started them."""

import os
from dataclasses import dataclass
from datetime import timedelta
from types import TracebackType
from typing import Any

import torch

from aognet.errors import UserError


@dataclass(frozen=True)
class Processes:
    """The number of this process, the number of all processes, and the device. At the end of a ``with`` block they wait
    for each other, or end by an error.

    Without it, connections between processes may abort one when its interpreter ends.
    """

    number: int
    count: int
    device: torch.device

    @classmethod
    def start(cls, device: str) -> "Processes":
        """Return this process; alone without a launcher. ``device`` is auto, cpu or cuda.

        :raises UserError: if there is no such device.
        """
        if device == "cuda" and not torch.cuda.is_available():
            raise UserError("device: cuda was asked for, but torch finds no CUDA device here")
        on_cpu = device == "cpu" or not torch.cuda.is_available()
        if int(os.environ.get("WORLD_SIZE", "1")) == 1:
            return cls(0, 1, torch.device("cpu" if on_cpu else "cuda"))
        from accelerate import PartialState

        # They wait for the slowest at the end; one that fails ends the others through the launcher.
        state = PartialState(cpu=on_cpu, timeout=timedelta(days=30))
        return cls(state.process_index, state.num_processes, torch.device(state.device or "cpu"))

    def __enter__(self) -> "Processes":
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        # After an error the others may still be waiting for this one: the launcher ends them.
        if self.count > 1 and error is None:
            from accelerate import PartialState

            PartialState().destroy_process_group()

    @property
    def first(self) -> bool:
        """Whether this process writes for all."""
        return self.number == 0

    def wait(self) -> None:
        """Wait until all processes are here."""
        if self.count > 1:
            from accelerate import PartialState

            PartialState().wait_for_everyone()

    def gathered(self, items: list[Any]) -> list[Any]:
        """Return the items of all processes, in the order of their numbers."""
        if self.count == 1:
            return items
        from accelerate.utils import gather_object

        return gather_object(items)

    def total(self, number: int) -> int:
        """Return the sum over all processes."""
        return sum(self.gathered([number]))
