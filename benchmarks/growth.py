"""How painting grows: seconds and memory against the panorama's size, the number of views, and panoramas side by side.

python benchmarks/growth.py [--heights 512 1024 2048 4096 8192] [--fovs 110 90 60 45] [--panoramas 1 2 4] [--steps 4]

Every row is a process of its own. *Outside*: seconds outside of the networks; per million pixels of all panoramas it
stays the same where time grows with what is painted and no faster. *Peak* is that of the process, the network included.
The first row of each table is the baseline of the others. Prints Markdown tables.
"""

import argparse
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from aognet.system import threads  # noqa: E402

threads.settle()

from aognet import cli  # noqa: E402
from benchmarks.end_to_end import add_again, run  # noqa: E402
from benchmarks.models import add_model_arguments  # noqa: E402
from benchmarks.tables import table  # noqa: E402

HEAD = ("views", "seconds", "networks, seconds", "outside, seconds", "outside per million pixels", "peak GB")


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--heights", type=int, nargs="*", default=[512, 1024, 2048, 4096, 8192])
    parser.add_argument(
        "--fovs", type=float, nargs="*", default=[110, 90, 60, 45], help="degrees; narrow views are many"
    )
    parser.add_argument("--panoramas", type=int, nargs="*", default=[1, 2, 4], help="painted side by side")
    parser.add_argument("--steps", type=int, default=4)
    add_model_arguments(parser)
    add_again(parser)
    parser.add_argument("--one", type=json.loads, help=argparse.SUPPRESS)
    options = parser.parse_args(argv)
    if options.one is not None:
        sys.stdout.write(json.dumps(one_row(options)))
        return
    groups = {
        "rows of the panorama": [(f"{height:,}", {"height": height}) for height in options.heights],
        "field of view, degrees": [
            (f"{fov:g}", {"set": [f"generator.plan.fov_degrees={fov}"]}) for fov in options.fovs
        ],
        "panoramas side by side": [(str(count), {"panoramas": count}) for count in options.panoramas],
    }
    for name, rows in groups.items():
        lines = [[label, *measured_apart(options, change)] for label, change in rows]
        sys.stdout.write(table((name, *HEAD), lines) + "\n")
        sys.stdout.flush()


def measured_apart(options: argparse.Namespace, change: dict) -> list[object]:
    """The numbers of a row, found in a process of its own."""
    given = ["--one", json.dumps(change)]
    given += [f"--{name}={getattr(options, name)}" for name in ("steps", "device", "layout", "dtype", "method")]
    given += ["--again"] if options.again else []
    given += ["--set", *options.set] if options.set else []
    command = [sys.executable, str(Path(__file__)), *given]
    found = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, cwd=ROOT).stdout.splitlines()[-1])
    outside = found["seconds"] - found["networks"]
    spent = [found["seconds"], found["networks"], outside, outside / found["pixels"] * 1e6]
    return [str(found["views"]), *spent, found["gigabytes"]]


def one_row(options: argparse.Namespace) -> dict[str, float]:
    """Paints once and measures."""
    options.height, count = options.one.get("height", 1024), options.one.get("panoramas", 1)
    options.set = [*options.set, *options.one.get("set", [])]
    found = run("here", options, count)
    return {
        "seconds": found["seconds"],
        "networks": found["networks"],
        "views": found["views"],
        "pixels": count * 2 * options.height**2,
        "gigabytes": found["gigabytes"],
    }


if __name__ == "__main__":
    cli.run(main)
