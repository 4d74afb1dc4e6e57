"""Every item gets its answer, whatever happens to the others; nobody is left behind."""

import functools
import os
import signal
import struct
import subprocess
import sys
import threading
import time
from multiprocessing.connection import Connection
from pathlib import Path

import psutil
import pytest

from aognet.errors import UserError
from aognet.system.workers import Done, usable_cores, work_through

ROOT = Path(__file__).resolve().parents[2]
DEADLY = {"exit": "exit code 3", "leave": "exit code 0", "kill": "SIGKILL", "segfault": "SIGSEGV", "send": "SIGKILL"}


def die_in_the_middle(connection: Connection, content: memoryview) -> None:
    """Sends the length of a message and one byte of it."""
    os.write(connection.fileno(), struct.pack("!i", len(content)) + bytes(content[:1]))
    os.kill(os.getpid(), signal.SIGKILL)


def work(item: str) -> tuple[str, int, str | None]:
    if item in ("exit", "leave"):
        os._exit(3 if item == "exit" else 0)
    if item == "send":
        Connection._send_bytes = die_in_the_middle
    if item in ("kill", "segfault"):
        os.kill(os.getpid(), signal.SIGKILL if item == "kill" else signal.SIGSEGV)
    if item == "mistake":
        raise UserError("a.exr: is\nbroken")
    if item == "bug":
        raise ZeroDivisionError("a bug")
    return item.upper(), os.getpid(), os.environ.get("OMP_NUM_THREADS")


def renamed() -> None:
    pass


def send_what_cannot_be_sent(item: str) -> object:
    if item == "lock":
        return threading.Lock()
    if item == "renamed":
        renamed.__qualname__ = "other"
        return renamed
    if item == "deep":
        return functools.reduce(lambda inner, _: [inner], range(100_000), [])
    return lambda: item


def workers_left() -> list[psutil.Process]:
    return [child for child in psutil.Process().children() if "spawn_main" in str(child.cmdline())]


def through(items: list[str], workers: int, **options: object) -> dict[str, Done]:
    return {done.item: done for done in work_through(work, items, workers, **options)}


@pytest.mark.parametrize(("workers", "isolate"), [(1, False), (1, True), (60, False)])
def test_every_item_is_answered(workers: int, isolate: bool, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("aognet.system.workers.usable_cores", lambda: 2)
    done = through(["a", "b", "mistake", "bug", "c"], workers, isolate=isolate)
    assert {item: (entry.result or "?")[0] for item, entry in done.items() if not entry.error} == {
        "a": "A",
        "b": "B",
        "c": "C",
    }
    assert done["mistake"].error == "a.exr: is broken" and done["bug"].error == "ZeroDivisionError: a bug"
    assert done["bug"].result is None
    processes = {entry.result[1] for entry in done.values() if entry.result}
    assert len(processes) <= 2 and (os.getpid() in processes) == (workers == 1 and not isolate)


def test_a_killed_worker_costs_its_item_alone(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("aognet.system.workers.usable_cores", lambda: 2)
    items = ["a", *DEADLY, "b", "c"]
    done = through(items, 2)
    assert set(done) == set(items)
    assert all(text in done[item].error for item, text in DEADLY.items())
    assert [done[item].result[0] for item in "abc"] == ["A", "B", "C"]
    assert {done[item].result[2] for item in "abc"} == {"1"}, "one thread per worker"
    assert workers_left() == []


def test_a_result_that_cannot_be_sent():
    items = ["lambda", "lock", "renamed", "deep"]
    found = list(work_through(send_what_cannot_be_sent, items, 1, isolate=True))
    assert [done.item for done in found] == items
    assert all(done.error.startswith("the result cannot be sent: ") for done in found)


def test_stopping_early_ends_the_workers(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("aognet.system.workers.usable_cores", lambda: 2)
    answers = work_through(work, ["a"] * 50, 2)
    next(answers)
    answers.close()
    assert workers_left() == []


def test_no_items_and_no_workers():
    assert list(work_through(work, [], 4)) == []
    with pytest.raises(UserError, match="at least 1, got 0"):
        list(work_through(work, ["a"], 0))
    assert 1 <= usable_cores() <= (os.cpu_count() or 1)


SLEEPERS = """
import sys, time
from aognet.system.workers import work_through
def sleep(item):
    print("awake", flush=True)
    time.sleep(60)
if __name__ == "__main__":
    try:
        list(work_through(sleep, [1, 2, 3], 1, isolate=True))
    except KeyboardInterrupt:
        print("stopped", flush=True)
        sys.exit(130)
"""


@pytest.mark.parametrize("death", [signal.SIGINT, signal.SIGKILL])
def test_nobody_is_left_when_it_is_stopped(tmp_path: Path, death: signal.Signals):
    script = tmp_path / "sleepers.py"
    script.write_text(SLEEPERS.replace("60", "60" if death == signal.SIGINT else "1"))
    main = subprocess.Popen(
        [sys.executable, script],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert main.stdout.readline() == "awake\n"
    workers = psutil.Process(main.pid).children(recursive=True)
    begin = time.monotonic()
    if death == signal.SIGINT:  # what a terminal does: every process of the group gets it
        os.killpg(main.pid, death)
    else:
        main.kill()
    out, errors = main.communicate(timeout=20)
    assert psutil.wait_procs(workers, timeout=10)[1] == []
    assert time.monotonic() - begin < 10
    if death == signal.SIGINT:
        assert (main.returncode, out, errors) == (130, "stopped\n", "")
