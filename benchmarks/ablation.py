"""The paper's ablation on held-out panoramas: what each part of AOG-Net adds, beside the backbone alone and baselines.

python benchmarks/ablation.py --panoramas DIR ... --captions FILE ... --out_dir outputs/ablation [--trained logs]

Of each panorama the middle 90 degree view is given, and its caption. The variants were trained like the full model,
each with its switch (docs/embedded-model.md), and lie in --trained as streams_no_global, streams_no_text,
streams_no_local and streams_no_geometry. All are painted with the same settings. Prints a Markdown table.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from aognet.system import threads  # noqa: E402

threads.settle()

from benchmarks.held_out import COLUMNS, Way, absolute, add_arguments, chosen, measure, paint  # noqa: E402
from benchmarks.tables import table  # noqa: E402


def add_models(parser: argparse.ArgumentParser) -> None:
    """Where the models of `ways` are."""
    parser.add_argument(
        "--trained", type=absolute, default=absolute("logs"), help="folder of the variants' experiments"
    )
    parser.add_argument("--backbone", type=absolute, default=ROOT / "assets" / "embedded", help="with `aognet` in it")


def ways(backbone: Path, trained: Path) -> list[Way]:
    """The rows of the table."""

    def variant(title: str, name: str) -> Way:
        return Way(title, name, checkpoint=trained / f"streams_{name}")

    return [
        Way("AOG-Net", "full", checkpoint=backbone / "aognet"),
        variant("without global stream", "no_global"),
        variant("without text in the global stream", "no_text"),
        variant("without local stream", "no_local"),
        variant("without geometry in the local stream", "no_geometry"),
        Way("backbone alone, same plan", "backbone", checkpoint=backbone),
        Way("backbone, whole panorama at once", "one_shot", baseline="one-shot"),
        Way("OpenCV inpainting (Telea)", "telea", baseline="telea"),
        Way("mirrored edges", "mirrored", baseline="mirrored"),
    ]


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_models(parser)
    parser.add_argument("--only", nargs="+", default=[], metavar="FOLDER", help="paint these ways and print no table")
    add_arguments(parser)
    options = parser.parse_args(argv)
    files = chosen(options)
    rows = ways(options.backbone, options.trained)
    for way in rows:
        if not options.only or way.folder in options.only:
            paint(way, options, files)
    if not options.only:
        found = [(way.title, measure(way, options, files)) for way in rows]
        numbers = [[title, *(values.get(key) for key in COLUMNS)] for title, values in found]
        sys.stdout.write(table(["way", *COLUMNS.values()], numbers))


if __name__ == "__main__":
    main()
