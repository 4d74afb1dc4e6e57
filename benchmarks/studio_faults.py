"""Kills the processes of a studio with SIGKILL at random moments while it paints, and compares with a quiet run.

``python benchmarks/studio_faults.py --kills 100 CONFIG`` (a studio's YAML, such as ``config/studio.yaml``) prints how
many jobs were submitted, killed and painted, and whether all pixels are those of the quiet run. Jobs are of
``--height`` rows, and their views take ``--steps`` steps.
"""

import argparse
import hashlib
import json
import random
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from aognet.system import threads  # noqa: E402

threads.settle()

from benchmarks.studio_processes import Processes  # noqa: E402

WORKER = "w-0"


@dataclass(frozen=True)
class Painted:
    """What came of the jobs: states, digests of pixels, the order in which they ended, and the views that were told."""

    states: list[str]
    digests: list[str]
    in_order: bool
    views_told_once: bool
    jobs: int
    seconds: float


def run_studio(
    folder: Path,
    settings: Mapping[str, Any],
    jobs: int,
    kills: int,
    chance: random.Random,
    asked: Mapping[str, Any] | None = None,
) -> Painted:
    """Submit jobs, which are also ``asked`` for what is given, and paint them, with so many kills of the web process,
    the worker or both meanwhile.
    """
    begun, ids = time.monotonic(), []
    with Processes(folder, settings) as studio:
        for name in ("web", WORKER):
            studio.start(name)
        done = 0
        while len(ids) < jobs or done < kills:
            if len(ids) < jobs:
                number = len(ids)
                ids.append(studio.submit(f"job {number}", prompt=f"a yard {number}", seed=number, **(asked or {})))
            if done < kills:
                if chance.random() < 0.7:  # in the middle of painting; else mostly while a process starts
                    wait_for_more(studio)
                time.sleep(chance.uniform(0.0, 0.7))
                for name in chance.choice((["web"], [WORKER], ["web", WORKER])):
                    studio.kill(name)
                    studio.start(name)
                done += 1
        ended = [studio.ended(job, 1200.0) for job in ids]
        digests = [hashlib.sha256(studio.result(job)).hexdigest() if job["version_id"] else "" for job in ended]
        told = [[data["index"] for kind, data in studio.events(job) if kind == "view"] for job in ids]
        once = all(views == list(range(len(views))) and views for views in told)
        times = [job["ended"] for job in ended]
        count = len(studio.ask("GET", "/jobs?limit=200")["jobs"])
        states = [job["state"] for job in ended]
        return Painted(states, digests, times == sorted(times), once, count, time.monotonic() - begun)


def wait_for_more(studio: Processes, seconds: float = 15.0) -> None:
    """Wait until a view more is painted, or nothing is left to paint."""
    before, deadline = None, time.monotonic() + seconds
    while time.monotonic() < deadline:
        jobs = studio.ask("GET", "/jobs?limit=200")["jobs"]
        views = sum(job["progress"]["done"] for job in jobs)
        if before is not None and views > before or all(job["state"] == "done" for job in jobs):
            return
        before = views if before is None else before
        time.sleep(0.05)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("config", type=Path)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--jobs", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--height", type=int, default=128)
    parser.add_argument("--steps", type=int, default=4)
    options = parser.parse_args()
    import yaml

    settings = yaml.safe_load(options.config.read_text(encoding="utf-8"))
    # From outside it is hit more often than a job's own faults may end it.
    settings["workers"] = {**settings.get("workers", {}), "lease_seconds": 5, "attempts": options.kills + 1}
    asked = {"height": options.height, "settings": {"sampler": {"steps": options.steps}}}
    with tempfile.TemporaryDirectory(prefix="studio-faults-") as place:
        chance = [random.Random(options.seed) for _ in range(2)]
        quiet = run_studio(Path(place) / "quiet", settings, options.jobs, 0, chance[0], asked)
        killed = run_studio(Path(place) / "killed", settings, options.jobs, options.kills, chance[1], asked)
    told = {
        "kills": options.kills,
        "jobs": killed.jobs,
        "done": killed.states.count("done"),
        "equal pixels": sum(a == b for a, b in zip(quiet.digests, killed.digests, strict=True)),
        "in order": killed.in_order,
        "views told once": killed.views_told_once,
        "seconds quiet": round(quiet.seconds, 1),
        "seconds killed": round(killed.seconds, 1),
    }
    sys.stdout.write(json.dumps(told, indent=2) + "\n")
    return 0 if quiet.digests == killed.digests and killed.states.count("done") == options.jobs else 1


if __name__ == "__main__":
    sys.exit(main())
