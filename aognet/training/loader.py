"""Which samples a process sees, in which order, and the workers that load them.

A sample of an indexed dataset is a function of its number, so a resumed run needs only its step to go on. Each worker
of each process reads its own part of a streamed dataset and gives its position with every batch. (torchdata's
StatefulDataLoader saves the same position, but under private keys, which a run with other workers could not read.)
"""

import logging
import signal
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, astuple, dataclass
from traceback import clear_frames
from typing import Any, TypeGuard

import torch
from jaxtyping import Int64
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from aognet.data.streams import PanoramaStream, Position
from aognet.errors import Setting, UserError
from aognet.system.workers import end_with_parent, worker_context
from aognet.training.trainable import Batch, Samples, StreamedSamples

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class SampleOrder:
    """Yields the sample numbers of one process, one list per forward pass.

    A training step uses the next ``batch_size * processes * accumulation`` numbers, however they are split: two
    processes with half the batch size see in each step what one process with the whole batch size sees.
    """

    first_sample: int
    steps: int
    batch_size: int
    accumulation: int = 1
    processes: int = 1
    rank: int = 0

    @property
    def samples_per_step(self) -> int:
        """Samples of one training step, over all processes."""
        return self.batch_size * self.processes * self.accumulation

    def __len__(self) -> int:
        return self.steps * self.accumulation

    def __iter__(self) -> Iterator[list[int]]:
        for index in range(len(self)):
            start = self.first_sample + (index * self.processes + self.rank) * self.batch_size
            yield list(range(start, start + self.batch_size))


def load_batches(data: Samples | StreamedSamples, numbers: Iterable[list[int]], workers: int) -> Iterator[Batch]:
    """Yield the batch of each list of sample numbers, loaded ahead by ``workers`` processes (0: in this process).

    Of a stream, samples are numbered as they come if one reads all of it; the numbers must rise.
    """
    if is_streamed(data):
        return _load(_FirstSamples(data, numbers), min(workers, 1), batch_size=None, collate_fn=_as_it_is)
    return _load(data, workers, batch_sampler=numbers, collate_fn=data.collate)


def is_streamed(data: Samples | StreamedSamples) -> TypeGuard[StreamedSamples]:
    """Return whether a dataset is read as a stream."""
    return getattr(data, "stream", None) is not None


def _stream_of(data: StreamedSamples) -> PanoramaStream:
    assert data.stream is not None, "`is_streamed` has been asked"
    return data.stream


class StreamFeed:
    """Yields the batches of one process from a streamed dataset and knows the position of each of its workers.

    Batches that workers have loaded ahead do not count until they are taken.
    """

    def __init__(self, data: StreamedSamples, order: SampleOrder, workers: int, state: Mapping[str, Any]):
        """``state``: what `gathered` returned in an earlier run; empty to read from the beginning."""
        self.data, self.order, self.workers = data, order, workers
        self.lanes = max(workers, 1)
        self.turn, self.positions = self._going_on(state) if state else (0, [Position()] * self.lanes)

    def __iter__(self) -> Iterator[Batch]:
        parts = _Parts(self.data, self.order, self.turn, self.positions)
        for taken in _load(parts, self.workers, batch_size=None, collate_fn=_as_it_is):
            self.positions = [*self.positions[: taken.lane], taken.position, *self.positions[taken.lane + 1 :]]
            self.turn = (taken.lane + 1) % self.lanes  # torch asks the workers in turn
            yield taken.batch

    def table(self) -> Int64[Tensor, "1 lanes fields"]:
        """Return the positions as numbers, to be gathered from all processes."""
        return torch.tensor([[astuple(position) for position in self.positions]])

    def gathered(self, table: Int64[Tensor, "processes lanes fields"]) -> dict[str, Any]:
        """Return the positions of all workers of all processes as JSON values, for the checkpoint."""
        positions = [[asdict(Position(*row)) for row in rows] for rows in table.tolist()]
        return self._layout() | {"shards": _stream_of(self.data).fingerprint, "turn": self.turn, "positions": positions}

    def _layout(self) -> dict[str, Any]:
        return {"processes": self.order.processes, "workers": self.lanes, "data": _stream_of(self.data).layout}

    def _going_on(self, state: Mapping[str, Any]) -> tuple[int, list[Position]]:
        layout = self._layout()
        try:
            positions = [[Position(**values) for values in row] for row in state["positions"]]
            was, turn, fingerprint = {key: state[key] for key in layout}, int(state["turn"]), state.get("shards")
            everyone = [position for row in positions for position in row]
            if not all(type(number) is int and number >= 0 for position in everyone for number in astuple(position)):
                raise ValueError("positions that are no numbers")
            if was == layout and (len(positions), len(everyone)) != (self.order.processes, self.parts):
                raise ValueError("positions for other readers")
            newest, most = (max(getattr(position, name) for position in everyone) for name in ("epoch", "count"))
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise UserError(f"the checkpoint does not say where the readers of the stream are ({error})") from error
        stream = _stream_of(self.data)
        as_many = was["data"].startswith(f"{len(stream.shards)} shards,")
        if as_many and fingerprint not in (None, stream.fingerprint):
            said = f"stream: these are other shards than those of the checkpoint, though as many ({len(stream.shards)})"
            raise UserError(said, "; put them back, or begin another experiment with ", Setting("checkpoint"))
        if was == layout:
            return turn, positions[self.order.rank]
        # Sample numbers are count * parts + part: none is given twice.
        count = -(-(most + 1) * len(everyone) // self.parts)
        log.warning(
            "the stream was read as %s, and now is as %s: it goes on with the beginning of epoch %d (the first is 0); "
            "what was not yet read of the one before is left out",
            *(", ".join(f"{key}: {value}" for key, value in one.items()) for one in (was, layout)),
            newest + 1,
        )
        return 0, [Position(epoch=newest + 1, count=count)] * self.lanes

    @property
    def parts(self) -> int:
        """The number of readers that share the stream: the workers of all processes."""
        return self.order.processes * self.lanes


@dataclass(frozen=True)
class _Taken:
    batch: Batch
    lane: int
    """The worker it comes from, as an uninterrupted run counts them."""
    position: Position


class _Parts(IterableDataset):
    """Yields batches without end; in a worker, those of its own part."""

    def __init__(self, data: StreamedSamples, order: SampleOrder, turn: int, positions: Sequence[Position]):
        self.data, self.order, self.turn, self.positions = data, order, turn, positions

    def __iter__(self) -> Iterator[_Taken]:
        lanes, worker = len(self.positions), get_worker_info()
        # Worker 0 is always asked first: after a restart it takes the place of the worker whose turn it was.
        lane = (self.turn + (worker.id if worker else 0)) % lanes
        part, parts = self.order.rank * lanes + lane, self.order.processes * lanes
        samples = []
        for streamed in _stream_of(self.data).read(part, parts, self.positions[lane]):
            samples.append(self.data.draw(streamed.panorama, streamed.number))
            if len(samples) == self.order.batch_size:
                yield _Taken(self.data.collate(samples), lane, streamed.position)
                samples = []


class _FirstSamples(IterableDataset):
    """Yields batches of chosen samples of a stream, which is read from its beginning."""

    def __init__(self, data: StreamedSamples, numbers: Iterable[list[int]]):
        self.data, self.numbers = data, numbers

    def __iter__(self) -> Iterator[Batch]:
        stream = _stream_of(self.data).read(0, 1)
        for chosen in self.numbers:
            samples = []
            while len(samples) < len(chosen):
                streamed = next(stream)
                if streamed.number == chosen[len(samples)]:
                    samples.append(self.data.draw(streamed.panorama, streamed.number))
            yield self.data.collate(samples)


def _as_it_is(value: Any) -> Any:
    return value


def _load(data: Any, workers: int, **options: Any) -> Iterator[Any]:
    """Yield what torch's loader yields. A UserError in a worker is raised here as one line."""
    loader = DataLoader(
        data,
        num_workers=workers,
        multiprocessing_context=worker_context(*_modules(data)) if workers else None,
        worker_init_fn=_begin_worker,
        generator=torch.Generator(),  # its own, or starting a loader would move the global random state
        **options,
    )
    try:
        yield from loader
    except Exception as error:
        clear_frames(error.__traceback__)  # they hold on to the workers, which end only when nothing does
        if not isinstance(error, UserError):
            raise
        line = str(error).strip().splitlines()[-1]  # from a worker it comes back with a traceback as its text
        raise UserError(line.partition("UserError: ")[2] or line) from None


def _modules(data: Any) -> list[str]:
    """Return the modules that every worker imports: this one and the dataset's."""
    return [__name__, type(getattr(data, "data", data)).__module__]


def _begin_worker(worker: int) -> None:
    # Ctrl-C reaches every process of a terminal; the parent still needs the batches of the step it finishes.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    end_with_parent()
    logging.basicConfig(format="%(asctime)s %(levelname)s %(message)s")  # warnings of the dataset, one line each
