"""What it costs and saves to guide in a part of the noise schedule alone: quality and time of held-out panoramas.

python benchmarks/guidance_interval.py --panoramas DIR ... --captions FILE ... --limit 3 --out_dir outputs/guidance

Outside of the part the UNet is asked once a step, not twice. The baseline guides everywhere. Prints a Markdown table.
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

PARTS = ((0.0, 1.0), (0.0, 0.75), (0.0, 0.5), (0.25, 0.75), (0.25, 1.0))


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_arguments(parser)
    options = parser.parse_args(argv)
    files = chosen(options)
    rows = []
    for first, last in PARTS:
        settings = (f"generator.sampler.guided_from={first}", f"generator.sampler.guided_until={last}")
        way = Way(f"{first:g} to {last:g}", f"guided_{100 * first:.0f}_{100 * last:.0f}", settings)
        rows.append([way.title, *timed_numbers(way, options, files)])
    sys.stdout.write(table(["guided part", *TIMED], rows))


if __name__ == "__main__":
    main()
