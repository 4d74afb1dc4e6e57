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

import httpx2 as httpx

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from aognet.system import threads  # noqa: E402

threads.settle()

API = "/api/v1"
ENDED = ("done", "failed", "cancelled")


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


class Processes:
    """A studio whose processes are started and killed one by one.

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
        self.client = httpx.Client(base_url=f"http://127.0.0.1:{self.port}{API}", timeout=30)
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

    def ask(self, method: str, path: str, seconds: float = 120.0, **options: Any) -> Any:
        """Return the JSON of an answer; ask again while the web process is away."""
        deadline = time.monotonic() + seconds
        while True:
            try:
                answer = self.client.request(method, path, **options)
                if answer.status_code < 500:
                    answer.raise_for_status()
                    return answer.json() if "json" in answer.headers.get("content-type", "") else answer.content
            except httpx.TransportError:
                pass
            if time.monotonic() > deadline:
                raise TimeoutError(f"{method} {path}")
            time.sleep(0.05)

    def submit(self, key: str, **body: Any) -> str:
        """Submit a job once, however often the web process is killed meanwhile. Return its id."""
        return self.ask("POST", "/jobs", json=body, headers={"Idempotency-Key": key})["id"]

    def job(self, job: str) -> dict[str, Any]:
        """Return a job."""
        return self.ask("GET", f"/jobs/{job}")

    def ended(self, job: str, seconds: float = 300.0) -> dict[str, Any]:
        """Wait until a job has ended, and return it."""
        wait_for(lambda: self.job(job)["state"] in ENDED, seconds, f"{job} has not ended")
        return self.job(job)

    def result(self, job: dict[str, Any]) -> bytes:
        """Return the file of what a job painted."""
        return self.ask("GET", f"/versions/{job['version_id']}/files/result.png")

    def events(self, job: str) -> list[tuple[str, dict[str, Any]]]:
        """Return kind and data of each event of an ended job."""
        lines = self.ask("GET", f"/jobs/{job}/events").decode().split("\n")
        kinds = [line.removeprefix("event: ") for line in lines if line.startswith("event: ")]
        data = [json.loads(line.removeprefix("data: ")) for line in lines if line.startswith("data: ")]
        return list(zip(kinds, data, strict=True))


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
