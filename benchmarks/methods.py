"""The methods of this repository on held-out panoramas, each with its embedded checkpoint, and what a panorama takes.

python benchmarks/methods.py --panoramas DIR ... --captions FILE ... --out_dir outputs/methods

Of each panorama the middle 90 degree view is given, and its caption. The backbone, its steps and its guidance are the
same. The baseline is the backbone without any training, painting a cube. Prints a Markdown table.
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

EMBEDDED = ROOT / "assets" / "embedded"
CUBE = ("generator.plan.kind=cube", "generator.plan.fov_degrees=95")
WAYS = (
    Way("AOG-Net", "aognet", checkpoint=EMBEDDED / "aognet"),
    Way("CubeDiff", "cubediff", CUBE, checkpoint=ROOT / "assets" / "cubediff"),
    Way("CubeDiff without training", "untrained", (*CUBE, "method=cubediff"), checkpoint=EMBEDDED),
    Way("Fusion (no training)", "fusion", ("method=fusion",), checkpoint=EMBEDDED),
)


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_arguments(parser)
    options = parser.parse_args(argv)
    files = chosen(options)
    rows = [[way.title, *timed_numbers(way, options, files)] for way in WAYS]
    sys.stdout.write(table(["method", *TIMED], rows))


if __name__ == "__main__":
    main()
