"""Many items, several processes. An item that fails or kills its worker stops no other item."""

import multiprocessing
import os
import pickle
import signal
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from multiprocessing.context import BaseContext
from pathlib import Path
from typing import Any, Generic, TypeVar

from aognet.errors import UserError
from aognet.system.threads import ALONE, one_thread

Item = TypeVar("Item")
Result = TypeVar("Result")

UNSENDABLE = (pickle.PicklingError, TypeError, AttributeError, ValueError, RecursionError)
"""What pickling raises."""


@dataclass(frozen=True)
class Done(Generic[Item, Result]):
    """One item with its result, or with one line that says why there is none."""

    item: Item
    result: Result | None
    error: str | None


def usable_cores() -> int:
    """Return how many cores this process may use: its affinity, and the quota of its container if there is one."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    with suppress(OSError, ValueError):
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        cores = min(cores, max(1, round(int(quota) / int(period))))
    return cores


def work_through(
    function: Callable[[Item], Result],
    items: Sequence[Item],
    workers: int,
    isolate: bool = False,
) -> Iterator[Done[Item, Result]]:
    """Call ``function`` (importable by name, or a `functools.partial` of such) on every item, in any order.

    It yields one `Done` per item as soon as the item is finished. An exception becomes its ``error``. No more
    ``workers`` than usable cores or items are started. One worker is this process itself, unless ``isolate`` asks for a
    process that a broken item may kill alone. Stopping early (Ctrl-C, or closing the iterator) ends all workers at
    once.

    :raises UserError: if ``workers`` is below 1.
    """
    if workers < 1:
        raise UserError(f"the number of workers must be at least 1, got {workers}")
    workers = min(workers, usable_cores(), len(items))
    if workers > 1 or (isolate and items):
        yield from _in_processes(function, items, workers)
    else:
        yield from (_attempt(function, item) for item in items)


def worker_context(*modules: str) -> BaseContext:
    """Return how to start processes that another library manages: as forks of a server that has ``modules`` imported.

    They are never forks of this process: threads of torch or OpenCV in here would leave locked locks in them, which
    hang. The server, which the first call starts, has no threads, and its forks need not import anything again. What is
    sent to them must be picklable. Each should call `end_with_parent`.
    """
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    from multiprocessing import forkserver

    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(list(modules))
    with _environment(dict.fromkeys(ALONE, "1")), _interrupts_held():  # whatever the training itself has
        forkserver.ensure_running()
    return context


def end_with_parent() -> None:
    """End this worker when the process that asked for it is gone, however it ended. A server would keep it alive."""
    if (parent := multiprocessing.parent_process()) is None:
        return

    def watch() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def in_threads(function: Callable[[Item], Result], items: Sequence[Item], threads: int) -> Iterator[Result]:
    """Yield ``function`` of every item, in order, up to ``threads`` items ahead of the one in use.

    Use it for work that does not hold Python's lock, such as decoding images. Exceptions are raised when their item is
    due.
    """
    with ThreadPoolExecutor(threads) as pool:
        coming: deque[Future[Result]] = deque()
        try:
            for item in items:
                coming.append(pool.submit(function, item))
                if len(coming) > threads:
                    yield coming.popleft().result()
            while coming:
                yield coming.popleft().result()
        finally:
            for future in coming:
                future.cancel()


def _attempt(function: Callable[[Item], Result], item: Item) -> Done[Item, Result]:
    try:
        return Done(item, function(item), None)
    except UserError as error:
        return Done(item, None, _one_line(str(error)))
    # One bad item of thousands must not lose the others; its line says what happened.
    except Exception as error:
        return Done(item, None, _one_line(f"{type(error).__name__}: {error}"))


def _one_line(text: str) -> str:
    return " ".join(text.split())


@dataclass(frozen=True)
class _Worker:
    """A process that answers every number with (result, error) of the item of that number."""

    process: Any
    connection: Connection

    def stop(self) -> None:
        self.connection.close()
        self.process.kill()
        self.process.join()

    def cause_of_death(self) -> str:
        self.process.join()
        code = self.process.exitcode
        if code >= 0:
            return f"the worker ended with exit code {code}"
        name = signal.Signals(-code).name
        return f"the worker was killed by {name}" + (" (out of memory?)" if name == "SIGKILL" else "")


def _start(function: Callable[[Any], Any], staff: list[_Worker]) -> _Worker:
    ours, theirs = multiprocessing.Pipe()
    # Spawned, not forked: threads of torch or OpenCV in this process would leave locked locks in a fork.
    process = multiprocessing.get_context("spawn").Process(target=_serve, args=(function, theirs), daemon=True)
    # Every core has a worker, so threads inside a worker would only fight for the cores.
    with _environment(one_thread()), _interrupts_held():
        process.start()
        staff.append(_Worker(process, ours))
    theirs.close()
    return staff[-1]


def _serve(function: Callable[[Any], Any], connection: Connection) -> None:
    # The end of the connection ends the worker too: nobody is left when this process's parent is killed.
    with suppress(EOFError, BrokenPipeError, ConnectionResetError):
        while True:
            done = _attempt(function, connection.recv())
            try:
                connection.send((done.result, done.error))
            except UNSENDABLE as error:
                connection.send((None, _one_line(f"the result cannot be sent: {error}")))


def _in_processes(
    function: Callable[[Item], Result], items: Sequence[Item], count: int
) -> Iterator[Done[Item, Result]]:
    # Every worker has a pipe of its own. Where they share one, as in the pools of pebble 5.2 and billiard 4.3, a worker
    # that is killed at the wrong moment, or leaves with code 0, ends all the others or makes them wait for ever.
    waiting = iter(items)
    staff: list[_Worker] = []
    busy: dict[Connection, tuple[_Worker, Item]] = {}

    def give(worker: _Worker | None) -> None:
        """Give the next item, if there is one, to a worker or to a new one."""
        for item in waiting:
            worker = worker or _start(function, staff)
            busy[worker.connection] = worker, item
            with suppress(BrokenPipeError, ConnectionResetError):  # its death is seen when its answer is read
                worker.connection.send(item)
            return

    try:
        for _ in range(count):
            give(None)
        while busy:
            ready = set(wait(list(busy)))
            for connection in [one for one in busy if one in ready]:
                worker, item = busy.pop(connection)
                try:
                    result, error = connection.recv()
                    give(worker)
                except (EOFError, OSError):  # OSError: it died in the middle of an answer
                    result, error = None, worker.cause_of_death()
                    give(None)
                yield Done(item, result, error)
    finally:
        for worker in staff:
            worker.stop()


@contextmanager
def _environment(values: Mapping[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})


@contextmanager
def _interrupts_held() -> Iterator[None]:
    """Hold back Ctrl-C, which reaches every process of a terminal. Processes started here never see it; this one gets
    it afterwards.
    """
    if sys.platform == "win32":
        yield
        return
    resource_tracker.ensure_running()  # starting it would let interrupts through again
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
