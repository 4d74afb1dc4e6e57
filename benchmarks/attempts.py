"""Commands of this repository tried many times: each attempt is a fork of a process that has imported everything.

An attempt calls the command's ``main`` through `aognet.cli.run`, as its file does, in a process group of its own; it
takes what the command takes, without the seconds of importing torch. Linux and macOS.
"""

import importlib
import json
import os
import resource
import select
import shutil
import signal
import sys
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn

ROOT = Path(__file__).resolve().parents[1]
UNCAUGHT = 70  # the exit code of an attempt that ended by a traceback
LAUNCHER_SECONDS = 5.0  # between asking a rank to end and making it (torchrun: 30)
ONE_THREAD = {
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "HF_HUB_OFFLINE": "1",
}


@dataclass(frozen=True)
class Command:
    """What is called: ``module`` (such as ``misc.captioning``) with arguments, by one process or several ``ranks``."""

    module: str
    arguments: Sequence[str]
    ranks: int = 1
    environment: Mapping[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.module}: {' '.join(self.arguments)}"


@dataclass(frozen=True)
class Ended:
    """How an attempt ended. ``code``: exit code, negative: the signal; ``peak``: bytes of its largest process."""

    code: int
    seconds: float
    peak: int
    output: str
    timed_out: bool = False


@dataclass(frozen=True)
class Kill:
    """SIGKILL so many seconds after an attempt began: to all its processes, or to the first alone."""

    after: float
    first_alone: bool = False


def alone() -> None:
    """Settings of this process before anything heavy is imported: one thread, no network, whatever the user's are."""
    os.environ.update(ONE_THREAD)
    os.chdir(ROOT)


def warm(modules: Sequence[str]) -> None:
    """Import what attempts will need. Modules that cannot be imported here are left to the attempts."""
    for name in modules:
        with suppress(Exception):
            importlib.import_module(name)


def apart(work: Callable[[], None]) -> list[str]:
    """Do ``work`` in a fork, so that no thread of it stays in this process; names of the modules that it imported.

    :raises RuntimeError: with the fork's output, if it fails.
    """
    reader, writer = os.pipe()
    before = set(sys.modules)
    child = os.fork()
    if child == 0:
        code = UNCAUGHT
        try:
            os.close(reader)
            work()
            found = [name for name, module in sys.modules.items() if name not in before and module is not None]
            with os.fdopen(writer, "w") as pipe:
                json.dump([name for name in found if name != "__mp_main__"], pipe)
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)
    os.close(writer)
    with os.fdopen(reader) as pipe:
        text = pipe.read()
    if os.waitpid(child, 0)[1] != 0:
        raise RuntimeError("what attempts need could not be made; see above")
    return json.loads(text)


def start(command: Command, log: Path, before: Callable[[], None] = lambda: None) -> list[int]:
    """Start an attempt: its processes, all in the group of the first. ``before`` is called in each."""
    environment = dict(command.environment)
    if command.ranks > 1:  # as torchrun says it
        environment |= {"WORLD_SIZE": str(command.ranks), "LOCAL_WORLD_SIZE": str(command.ranks)}
        environment |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(_free_port()), "ACCELERATE_USE_CPU": "true"}
    children: list[int] = []
    for rank in range(command.ranks):
        ranked = {"RANK": str(rank), "LOCAL_RANK": str(rank)} if command.ranks > 1 else {}
        child = os.fork()
        if child == 0:
            _attempt(command, log, environment | ranked, children[0] if children else 0, before)
        children.append(child)
        with suppress(OSError):  # it did so itself, or has ended
            os.setpgid(child, children[0])
    return children


def _attempt(
    command: Command, log: Path, environment: Mapping[str, str], group: int, before: Callable[[], None]
) -> None:
    """All that a fork does; it never returns."""
    code = UNCAUGHT
    try:
        with suppress(OSError):
            os.setpgid(0, group)
        _redirect(log)
        os.environ.update(environment)
        module = importlib.import_module(command.module)
        sys.argv = [f"{command.module.replace('.', '/')}.py", *command.arguments]
        before()
        from aognet import cli

        cli.run(module.main, list(command.arguments))
    except SystemExit as stop:
        code = stop.code if isinstance(stop.code, int) else 0 if stop.code is None else 1
    except BaseException:
        traceback.print_exc()
    finally:
        with suppress(Exception):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)


def _redirect(log: Path) -> None:
    target = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for stream in (1, 2):
        os.dup2(target, stream)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    sys.stdout = os.fdopen(1, "w", buffering=1, closefd=False)
    sys.stderr = os.fdopen(2, "w", buffering=1, closefd=False, errors="backslashreplace")  # as Python's own


def finish(children: Sequence[int], log: Path, began: float, seconds: float, kill: Kill | None = None) -> Ended:
    """Wait for an attempt, which is killed when its time has come or at the limit of ``seconds``.

    Nothing of its group is left afterwards, but what a ``kill`` of the first process alone leaves behind.
    """
    killed = timed_out = False
    peak, codes = 0, []
    for child in children:
        until = began + (seconds if kill is None else min(kill.after, seconds))
        if killed and kill is not None and kill.first_alone:
            _end_as_launcher(child)
        elif not _wait(child, until - time.monotonic()):
            killed = kill is not None and kill.after <= seconds
            timed_out = not killed
            end_group(children[0], kill.first_alone if killed and kill is not None else False)
        _, status, usage = os.wait4(child, 0)
        codes.append(os.waitstatus_to_exitcode(status))
        peak = max(peak, usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024))
    took = time.monotonic() - began
    if not (killed and kill is not None and kill.first_alone):
        end_group(children[0])
    output = log.read_text(encoding="utf-8", errors="replace") if log.is_file() else ""
    return Ended(next((code for code in codes if code != 0), 0), took, peak, output, timed_out)


def _wait(child: int, seconds: float) -> bool:
    """Whether a child has ended within the time; it stays to be waited for."""
    until = time.monotonic() + seconds
    if hasattr(os, "pidfd_open"):
        descriptor = os.pidfd_open(child)
        try:
            return bool(select.select([descriptor], [], [], max(seconds, 0))[0])
        finally:
            os.close(descriptor)
    while time.monotonic() < until:
        if os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None:
            return True
        time.sleep(0.005)
    return False


def _end_as_launcher(rank: int) -> None:
    """What torchrun does with the other ranks when one has died: it asks them to end, and then makes them."""
    for request in (signal.SIGTERM, signal.SIGKILL):
        os.kill(rank, request)
        if _wait(rank, LAUNCHER_SECONDS):
            return


def end_group(group: int, first_alone: bool = False) -> None:
    """Kill all that is left of a process group, or only its first process."""
    with suppress(ProcessLookupError, PermissionError):
        (os.kill if first_alone else os.killpg)(group, signal.SIGKILL)


def members(group: int) -> list[int]:
    """The living processes of a group."""
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return []
    import psutil

    found = []
    for process in psutil.process_iter():
        with suppress(OSError, psutil.Error):
            if os.getpgid(process.pid) == group and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process.pid)
    return found


def run(
    command: Command,
    log: Path,
    seconds: float,
    kill: Kill | None = None,
    before: Callable[[], None] = lambda: None,
) -> tuple[Ended, int]:
    """One attempt from its start to its end; and the number of its process group."""
    log.unlink(missing_ok=True)
    began = time.monotonic()
    children = start(command, log, before)
    return finish(children, log, began, seconds, kill), children[0]


def learn(command: Command, log: Path) -> None:
    """Run a command that has to succeed, and import here whatever it imported: later attempts begin with it."""
    modules = log.with_name("modules.txt")
    ended, _ = run(command, log, 600, before=lambda: _leave_names(modules))
    succeeded(command, ended)
    warm(modules.read_text().split())


def succeeded(command: Command, ended: Ended) -> None:
    """Raises RuntimeError with what it said where a command failed though nothing disturbed it."""
    if ended.code != 0:
        raise RuntimeError(f"{command} ends with {ended.code} though nothing disturbed it:\n{ended.output}")


def _leave_names(path: Path) -> None:
    """In an attempt: write the names of all modules that it imports from now on, when it ends."""
    known, leave = set(sys.modules), os._exit

    def end(status: int) -> NoReturn:
        path.write_text("\n".join(name for name in sys.modules if name not in known and not name.startswith("__")))
        leave(status)

    os._exit = end


def bounded_memory(more: int) -> None:
    """In an attempt: refuse this process more than so many bytes of addresses beyond what it has now."""
    now = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (now + more, now + more))


def _free_port() -> int:
    """A port of this computer that nobody listens at."""
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def emptied(folder: Path) -> Path:
    """The folder, there and empty."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder
