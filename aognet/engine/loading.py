"""Which samples a process sees, in which order, and the workers that load them."""

import signal
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from traceback import clear_frames

import torch
from torch.utils.data import DataLoader

from aognet.engine.trainable import Batch, Samples
from aognet.errors import UserError


@dataclass(frozen=True)
class SampleOrder:
    """Yields the sample numbers of one process, one list per forward pass.

    An optimizer step consumes the next ``batch_size * processes * accumulation`` numbers. How they are split changes
    nothing: two processes with half the batch see in each step what one process with the whole batch sees.
    """

    first_sample: int
    steps: int
    batch_size: int
    accumulation: int = 1
    processes: int = 1
    rank: int = 0

    @property
    def samples_per_step(self) -> int:
        """Samples of one optimizer step, over all processes."""
        return self.batch_size * self.processes * self.accumulation

    def __len__(self) -> int:
        return self.steps * self.accumulation

    def __iter__(self) -> Iterator[list[int]]:
        for index in range(len(self)):
            start = self.first_sample + (index * self.processes + self.rank) * self.batch_size
            yield list(range(start, start + self.batch_size))


def load_batches(data: Samples, numbers: Iterable[list[int]], workers: int) -> Iterator[Batch]:
    """The batch of each list of sample numbers, loaded ahead by ``workers`` processes (0: right here)."""
    loader = DataLoader(
        data,
        batch_sampler=numbers,
        collate_fn=data.collate,
        num_workers=workers,
        worker_init_fn=_leave_stopping_to_parent,
        generator=torch.Generator(),  # its own, or starting a loader would move the global random state
    )
    try:
        yield from loader
    except Exception as error:
        clear_frames(error.__traceback__)  # they hold on to the workers, which end only when nothing does
        if not isinstance(error, UserError):
            raise
        line = str(error).strip().splitlines()[-1]  # from a worker it comes back with a traceback as its text
        raise UserError(line.partition("UserError: ")[2] or line) from None


def _leave_stopping_to_parent(worker: int) -> None:
    """Ctrl-C reaches every process of a terminal; the parent still needs the batches of the step it finishes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
