"""How many submissions and reads a second a studio answers while a job paints, and how long each takes.

``python benchmarks/studio_load.py CONFIG`` starts a web process and a worker of a studio's YAML. It queues jobs, reads
them while the first one paints, lets many clients listen to events, and prints a table as JSON, with the memory of the
web process before and after.
"""

import argparse
import json
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from aognet.system import threads  # noqa: E402

threads.settle()

import httpx2 as httpx  # noqa: E402
import psutil  # noqa: E402
import yaml  # noqa: E402

from benchmarks.studio_processes import Processes, wait_for  # noqa: E402


def timed(count: int, clients: int, ask: Callable[[int], Any]) -> dict[str, float]:
    """Return requests a second, and the median and 99th percentile of their milliseconds."""

    def one(number: int) -> float:
        begun = time.perf_counter()
        ask(number)
        return (time.perf_counter() - begun) * 1000

    begun = time.perf_counter()
    with ThreadPoolExecutor(clients) as pool:
        taken = sorted(pool.map(one, range(count)))
    p99 = taken[min(int(len(taken) * 0.99), len(taken) - 1)]
    rate = count / (time.perf_counter() - begun)
    return {"per second": round(rate, 1), "p50 ms": round(statistics.median(taken), 1), "p99 ms": round(p99, 1)}


class Listeners:
    """Clients that follow the events of a job, and count them."""

    def __init__(self, base: str, job: str, count: int):
        self._stop, self.heard = threading.Event(), [0] * count
        self._threads = [threading.Thread(target=self._listen, args=(base, job, n), daemon=True) for n in range(count)]
        for thread in self._threads:
            thread.start()

    def _listen(self, base: str, job: str, number: int) -> None:
        with (
            suppress(httpx.TransportError),  # the studio is killed at the end
            httpx.Client(timeout=60) as client,
            client.stream("GET", f"{base}/jobs/{job}/events") as stream,
        ):
            for line in stream.iter_lines():
                self.heard[number] += line.startswith("data:")
                if self._stop.is_set():
                    return

    def stop(self) -> None:
        """Hear no more."""
        self._stop.set()


def measured(studio: Processes, jobs: int, reads: int, listeners: int, clients: int) -> dict[str, Any]:
    """Return the numbers of a studio that paints."""
    for name in ("web", "w-0"):
        studio.start(name)
    first = studio.submit("first", prompt="a yard", seed=0)
    wait_for(lambda: studio.job(first)["state"] == "running", 300, "it does not begin")
    web = psutil.Process(studio.pids["web"])
    studio.ask("GET", "/models")
    before = web.memory_info().rss
    base = str(studio.client.base_url).rstrip("/")
    heard = Listeners(base, studio.submit("followed", prompt="a yard", seed=1), listeners)
    limits = httpx.Limits(max_connections=clients)
    with httpx.Client(base_url=base, timeout=60, limits=limits) as client:

        def submit(number: int) -> None:
            client.post("/jobs", json={"prompt": f"job {number}", "seed": number}).raise_for_status()

        told: dict[str, Any] = {"submissions": timed(jobs, clients, submit)}
        told["job"] = timed(reads, clients, lambda number: client.get(f"/jobs/{first}").raise_for_status())
        told["list of 50"] = timed(reads, clients, lambda number: client.get("/jobs").raise_for_status())
        waiting = len(studio.ask("GET", "/jobs?state=queued&limit=200")["jobs"])
    told["listeners that heard"] = sum(count > 0 for count in heard.heard)
    heard.stop()
    told |= {"queued (at least)": waiting, "memory MB": [round(before / 2**20), round(web.memory_info().rss / 2**20)]}
    return told


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("config", type=Path)
    parser.add_argument("--jobs", type=int, default=1000)
    parser.add_argument("--reads", type=int, default=1000)
    parser.add_argument("--listeners", type=int, default=200)
    parser.add_argument("--clients", type=int, default=8)
    options = parser.parse_args()
    settings = yaml.safe_load(options.config.read_text(encoding="utf-8"))
    with tempfile.TemporaryDirectory(prefix="studio-load-") as place, Processes(Path(place), settings) as studio:
        told = measured(studio, options.jobs, options.reads, options.listeners, options.clients)
    sys.stdout.write(json.dumps(told, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
