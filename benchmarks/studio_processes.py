"""The processes of a studio, started in a moment and killed at any: forks of one process that has imported everything.

``python benchmarks/studio_processes.py`` reads lines from standard input: ``web CONFIG`` or ``worker CONFIG NAME``, and
prints the id of each process that it starts. At the end of its input it kills what is left.
"""

import json
import logging
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from aognet.system import threads  # noqa: E402

threads.settle()

from aognet.callbacks import UNHEARD, Listener  # noqa: E402
from aognet.studio.client import StudioClient  # noqa: E402

LONGEST_SECONDS = 600.0


def serve_forks() -> None:
    """Start processes as the lines of standard input say."""
    from aognet.config import load_config
    from aognet.generate import inference  # noqa: F401 - what the processes need is imported before they are forked
    from aognet.methods.aognet import model  # noqa: F401
    from aognet.studio.config import read_studio
    from aognet.studio.web import run_web
    from aognet.studio.worker import Worker

    logging.basicConfig(level=logging.WARNING, stream=sys.stderr)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    started = []
    for line in sys.stdin:
        part, path, *name = line.split()
        pid = os.fork()
        if pid == 0:
            config = read_studio(load_config([Path(path)]))
            run: Callable[[], None] = (lambda: run_web(config)) if part == "web" else Worker(config, *name).run  # noqa: B023
            try:
                run()
            except BaseException:
                logging.exception("%s ended", part)
            os._exit(1)
        started.append(pid)
        sys.stdout.write(f"{pid}\n")
        sys.stdout.flush()
    for pid in started:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


class Processes(StudioClient):
    """A studio whose processes are started and killed one by one, and a client that waits while they are away.

    ``settings``: as in ``config/studio.yaml``; the port is a free one.
    """

    def __init__(self, folder: Path, settings: Mapping[str, Any], log: Path | None = None):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "files").mkdir(exist_ok=True)
        self.folder, self.port = folder, free_port()
        self.config = folder / "studio.yaml"
        content = {**settings, "folder": str(folder / "files"), "port": self.port}
        self.config.write_text(json.dumps(content))
        self._log = (log or folder / "log").open("ab")
        super().__init__(f"http://127.0.0.1:{self.port}", patience_seconds=120.0)
        self.pids: dict[str, int] = {}

    def __enter__(self) -> "Processes":
        command, environment = [sys.executable, __file__], os.environ | {"OMP_NUM_THREADS": "1"}
        self._forks = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._log, text=True, env=environment
        )
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.client.close()
        self._forks.communicate(timeout=60)
        self._log.close()

    def start(self, name: str, config: Path | None = None) -> None:
        """Start ``web``, or a worker of that name, with the studio's YAML or another."""
        assert self._forks.stdin is not None and self._forks.stdout is not None, "they are pipes"
        path = config or self.config
        self._forks.stdin.write(f"web {path}\n" if name == "web" else f"worker {path} {name}\n")
        self._forks.stdin.flush()
        self.pids[name] = int(self._forks.stdout.readline())

    def ended(self, job: str, seconds: float = LONGEST_SECONDS, listener: Listener = UNHEARD) -> dict[str, Any]:
        """As a client waits, but not for a day: jobs are small here, and one that hangs is a fault."""
        return super().ended(job, seconds, listener)

    def signal(self, name: str, number: int) -> None:
        """Send a signal to a process, if it is there."""
        with suppress(ProcessLookupError):
            os.kill(self.pids[name], number)

    def kill(self, name: str) -> None:
        """End a process as a power cut would, and wait until it is gone."""
        self.signal(name, signal.SIGKILL)
        self.wait_gone(name)

    def wait_gone(self, name: str, seconds: float = 30.0) -> None:
        """Wait until a process has ended."""
        wait_for(lambda: not Path(f"/proc/{self.pids[name]}").exists(), seconds, f"{name} is still there")


def wait_for(condition: Callable[[], bool], seconds: float, otherwise: str) -> None:
    """Wait until a condition holds. Raises TimeoutError."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(otherwise)
        time.sleep(0.05)


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return listening.getsockname()[1]


if __name__ == "__main__":
    serve_forks()
