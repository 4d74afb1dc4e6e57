"""The ways in which fusion makes views agree, on held-out panoramas with the embedded backbone, and what each takes.

python benchmarks/fusion.py --panoramas DIR ... --captions FILE ... --out_dir outputs/fusion [--limit 8]

Of each panorama the middle 90 degree view is given, and its caption. The backbone, its sampler and the noise are the
same. Beside them: shift with the views of the others, and views that do not agree before they are merged (one step is
fused). Prints a Markdown table.
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
WAYS = {
    "linear": ("generator.way=linear",),
    "mean": ("generator.way=mean",),
    "shift": ("generator.way=shift",),
    "shift, 14 views": ("generator.way=shift", "generator.views.kind=published"),
    "views apart": ("generator.way=mean", "generator.fused_until=0.01"),
}


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_arguments(parser)
    parser.add_argument("--ways", nargs="+", choices=list(WAYS), default=list(WAYS), metavar="WAY")
    options = parser.parse_args(argv)
    files = chosen(options)
    rows = []
    for title in options.ways:
        settings = ("method=fusion", *WAYS[title])
        way = Way(title, title.replace(", ", "_").replace(" ", "_"), settings, checkpoint=EMBEDDED)
        rows.append([title, *timed_numbers(way, options, files)])
    sys.stdout.write(table(["way", *TIMED], rows))


if __name__ == "__main__":
    main()
