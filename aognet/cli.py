"""What all command lines share: logging on stderr, one clear line for a user's mistake, exit codes."""

import argparse
import atexit
import logging
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from errno import ENAMETOOLONG
from pathlib import Path
from types import MappingProxyType
from typing import NoReturn

import rich
from rich.logging import RichHandler
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from aognet.callbacks import Listener
from aognet.errors import Setting, UserError
from aognet.installed import known_config
from aognet.system import threads
from aognet.system.terminal import VisibleFormatter, visible

MAX_CHARACTERS = 200
LOG_SECONDS = 30.0  # between lines of progress where there is no terminal to draw a bar on

log = logging.getLogger(__name__)

Main = Callable[[list[str] | None], int | None]


def run(main: Main, arguments: list[str] | None = None) -> None:
    """Call ``main`` and leave with its exit code: 0 done, 2 a user's mistake (one line, no traceback), 130 stopped.

    ``main`` takes the arguments (``None``: those of the process), returns an exit code or None, and is what imports
    torch, since the threads are settled here.
    """
    threads.settle()
    configure_logging()
    try:
        code = main(arguments) or 0
    except UserError as error:
        code = _say("error", str(error), 2)
    except OSError as error:
        # Wherever a name goes to the system first, it may be one that no file can have.
        if error.errno != ENAMETOOLONG:
            raise
        code = _say("error", f"{str(error.filename)[:MAX_CHARACTERS]}...: {error.strerror}", 2)
    except KeyboardInterrupt as stop:
        code = _say("stopped", str(stop) or "by the user", 130)
    if "TORCHELASTIC_RUN_ID" in os.environ:
        _leave_launcher(code)
    sys.exit(code)


def _leave_launcher(code: int) -> NoReturn:
    """End a process of torchrun or accelerate without taking torch down: about one in fifty aborted there, after all
    was done, and the launcher took the work for failed.
    """
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def parse_with_overrides(parser: argparse.ArgumentParser, arguments: Sequence[str] | None) -> argparse.Namespace:
    """Parse ``-b FILE ...`` and ``key.sub=value ...`` in any order, also right behind the files.

    Config files are looked for from the working directory, then among those that come with the program.
    """
    options = parser.parse_intermixed_args(arguments)
    swallowed = [item for item in options.base if "=" in item and not Path(item).exists()]
    options.base = [known_config(Path(item)) for item in options.base if item not in swallowed]
    options.overrides = swallowed + options.overrides
    return options


@contextmanager
def flags(options: argparse.Namespace, others: Mapping[str, str] = MappingProxyType({})) -> Iterator[None]:
    """Inside the block, errors and log lines use a setting's flag where the functions called here use its key.

    A key in ``options`` has the flag ``--key``. ``others`` maps keys to flags with another name.
    """
    names = {key: f"--{key}" for key in vars(options)} | dict(others)

    def told(value: object) -> object:
        if isinstance(value, UserError):
            value.names = names
        return names.get(value.key, value) if isinstance(value, Setting) else value

    def translate(record: logging.LogRecord) -> bool:
        if isinstance(record.args, tuple):
            record.args = tuple(map(told, record.args))
        return True

    handlers = list(logging.getLogger().handlers)
    for handler in handlers:
        handler.addFilter(translate)
    try:
        yield
    except UserError as error:
        error.names = names
        raise
    finally:
        for handler in handlers:
            handler.removeFilter(translate)


@contextmanager
def progress_bars(title: str) -> Iterator[Listener]:
    """Show a bar for each stage of a piece of work on a terminal. Elsewhere log lines tell of its first stage."""
    bar, count, speed = BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[speed]}")
    times = (TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn())
    console, begin = rich.get_console(), time.monotonic()
    tasks: dict[str, TaskID] = {}
    said = begin
    columns = (TextColumn("{task.description}"), bar, count, speed, *times)
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:

        def show(stage: str, done: int, total: int) -> None:
            nonlocal said
            if stage not in tasks:
                name = stage if tasks else f"{escape(visible(title))}: {stage}"
                tasks[stage] = progress.add_task(name, total=total, speed="")
            now = time.monotonic()
            rate = done / max(now - begin, 1e-9)
            progress.update(tasks[stage], completed=done, total=total, speed=f"{rate:.2f}/s")
            if not console.is_terminal and now - said > LOG_SECONDS and stage == next(iter(tasks)):
                said = now
                left = (total - done) / max(rate, 1e-9)
                log.info("%s: %d of %d %s, %.2f/s, %.0f s left", title, done, total, stage, rate, left)

        yield Listener(show)


def configure_logging() -> None:
    """Log to stderr, on a terminal with rich, which progress bars share; processes other than the first only warn."""
    rich.reconfigure(stderr=True)
    if rich.get_console().is_terminal:
        handler: logging.Handler = RichHandler(show_path=False, log_time_format="[%X]")
        handler.setFormatter(VisibleFormatter("%(message)s"))
    else:
        handler = logging.StreamHandler()
        handler.setFormatter(VisibleFormatter("%(asctime)s %(levelname)s %(message)s"))
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    first = os.environ.get("RANK", "0") == "0"
    logging.getLogger("aognet").setLevel(logging.INFO if first else logging.WARNING)


def _say(word: str, message: str, code: int) -> int:
    line = visible(" ".join(message.split()))
    rich.get_console().print(f"[bold]{word}:[/bold] {escape(line)}", soft_wrap=True, highlight=False)
    return code
