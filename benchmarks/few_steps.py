"""Schedulers and numbers of steps against quality and time, on held-out panoramas.

python benchmarks/few_steps.py --panoramas DIR ... --captions FILE ... --out_dir outputs/steps [--limit 8]

Seconds are of the whole process divided by the panoramas, so model loading counts too; the same cores paint all rows,
one after the other. Prints a Markdown table; the first row is the baseline of 50 DDIM steps.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from aognet.system import threads  # noqa: E402

threads.settle()

from benchmarks.held_out import TIMED, Way, add_arguments, chosen, timed_numbers  # noqa: E402
from benchmarks.tables import table  # noqa: E402

BASELINE = ("ddim", 50)


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--schedulers", nargs="+", default=["ddim", "dpm-solver++", "unipc", "euler", "euler-a", "lcm"])
    parser.add_argument("--steps", type=int, nargs="+", default=[4, 8, 16, 32])
    add_arguments(parser)
    options = parser.parse_args(argv)
    files = chosen(options)
    rows = []
    for name, steps in [BASELINE, *((name, steps) for name in options.schedulers for steps in options.steps)]:
        folder = f"{name}-{steps}".replace("+", "p")
        settings = (f"generator.sampler.scheduler={name}", f"generator.sampler.steps={steps}")
        rows.append([name, str(steps), *timed_numbers(Way(name, folder, settings), options, files)])
    sys.stdout.write(table(["scheduler", "steps", *TIMED], rows))


if __name__ == "__main__":
    main()
