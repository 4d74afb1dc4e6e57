"""The methods of this repository on held-out panoramas, each with its embedded checkpoint, and what a panorama takes.

python benchmarks/methods.py --panoramas DIR ... --captions FILE ... --out_dir outputs/methods

In the first table the middle 90 degree view of each panorama is given, and its caption. The backbone is the same. Each
method paints as the settings.json beside its weights says, in two or four steps (Fusion, which needs a sampler without
noise, takes ten). The baselines are the backbone without any training, painting a cube or the whole at once. In the
second table captions are given alone. A method whose checkpoint is not there is left out. Prints Markdown tables.
"""

import argparse
import logging
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from aognet.system import threads  # noqa: E402

threads.settle()

from benchmarks.held_out import TIMED, Way, add_arguments, chosen, timed_numbers  # noqa: E402
from benchmarks.tables import table  # noqa: E402

EMBEDDED = ROOT / "assets" / "embedded"
LARGER = "generator.enlarge_views=true"  # as the trained methods say beside their weights
CUBE = ("generator.plan.kind=cube", "generator.plan.fov_degrees=95")
SEAMLESS = ROOT / "config" / "inference_seamless.yaml"
WAYS = (
    Way("AOG-Net", "aognet", checkpoint=EMBEDDED / "aognet"),
    Way("CubeDiff", "cubediff", CUBE, checkpoint=ROOT / "assets" / "cubediff"),
    Way("CubeDiff without training", "untrained", (*CUBE, LARGER, "method=cubediff"), checkpoint=EMBEDDED),
    Way("Fusion (no training)", "fusion", checkpoint=EMBEDDED, config=ROOT / "config" / "inference_fusion.yaml"),
    Way("Seamless", "seamless", config=SEAMLESS),
    Way(
        "Seamless without training",
        "untrained-seamless",
        ("method=seamless", "generator.height=256"),
        checkpoint=EMBEDDED,
    ),
    Way(
        "Text2Light",
        "text2light",
        ("hdr=false", "generator.height=256"),
        checkpoint=ROOT / "assets" / "text2light",
        config=ROOT / "config" / "inference_text2light.yaml",
    ),
    Way(
        "Ganorama",
        "ganorama",
        ("inputs.count=1", "generator.height=256"),
        checkpoint=ROOT / "assets" / "ganorama",
        config=ROOT / "config" / "inference_ganorama.yaml",
    ),
)
FROM_WORDS = tuple(replace(way, folder=f"{way.folder}-words", from_words=True) for way in WAYS)
PAIRED = ("PSNR outside", "SSIM outside", "sharpness")
"""Columns that compare each panorama with the one that the photograph is of."""
log = logging.getLogger(__name__)


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_arguments(parser)
    options = parser.parse_args(argv)
    files = chosen(options)
    rows = [[way.title, *timed_numbers(way, options, files)] for way in there(WAYS)]
    sys.stdout.write(table(["method", *TIMED], rows) + "\n")
    kept = [number for number, name in enumerate(TIMED) if name not in PAIRED]
    numbers = {way.title: timed_numbers(way, options, files) for way in there(FROM_WORDS)}
    rows = [[title, *(found[number] for number in kept)] for title, found in numbers.items()]
    sys.stdout.write(table(["from words alone", *(TIMED[number] for number in kept)], rows))


def there(ways: Sequence[Way]) -> list[Way]:
    """The ways whose checkpoints are there; the others are named in the log."""
    for way in ways:
        if way.checkpoint and not way.checkpoint.exists():
            log.warning("%s (%s) is left out: %s is not there", way.title, way.folder, way.checkpoint)
    return [way for way in ways if way.checkpoint is None or way.checkpoint.exists()]


if __name__ == "__main__":
    main()
