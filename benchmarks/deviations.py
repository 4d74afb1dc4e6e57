"""What can be measured of docs/deviations.md without training: how published and revised ways to paint differ.

python benchmarks/deviations.py --panoramas DIR ... --captions FILE ... --out_dir outputs/deviations [--only FOLDER ...]

Of each panorama the middle 90 degree view is given, and its caption. All are painted with the embedded checkpoints and
their settings but for what the row says. Prints a Markdown table.
"""

import argparse
import json
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from aognet.system import threads  # noqa: E402

threads.settle()

from benchmarks.held_out import COLUMNS, Way, add_arguments, chosen, measure, paint  # noqa: E402
from benchmarks.tables import table  # noqa: E402

AOGNET, CUBEDIFF = ROOT / "assets" / "embedded" / "aognet", ROOT / "assets" / "cubediff"
PUBLISHED = ("generator.plan.kind=published", "generator.plan.margin=0")
SEQUENTIAL = ("generator.plan.kind=sequential", "generator.plan.margin=0")
CUBE = ("generator.plan.kind=cube", "generator.plan.fov_degrees=95")
PASTED = "generator.feather=0"
IMAGE_SCALES = (0.5, 1.5, 3.0)


def ways(cropping: Path) -> list[Way]:
    """The rows of the table. ``cropping``: CubeDiff's checkpoint, set to crop."""
    guided = [
        Way(f"CubeDiff, image guidance {scale:g}", f"image_{scale:g}", settings, checkpoint=CUBEDIFF)
        for scale in IMAGE_SCALES
        for settings in [(*CUBE, f"generator.sampler.image_guidance={scale}")]
    ]
    return [
        Way("AOG-Net, published views in waves", "waves", PUBLISHED, checkpoint=AOGNET),
        Way("AOG-Net, one after the other", "sequential", SEQUENTIAL, checkpoint=AOGNET),
        Way("AOG-Net, one after the other, pasted", "pasted", (*SEQUENTIAL, PASTED), checkpoint=AOGNET),
        Way("CubeDiff, faces blended", "blended", CUBE, checkpoint=CUBEDIFF),
        Way("CubeDiff, faces cropped", "cropped", CUBE, checkpoint=cropping),
        *guided,
    ]


def cropped(checkpoint: Path, folder: Path) -> Path:
    """A copy of a CubeDiff checkpoint that crops its faces."""
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(checkpoint / "model.safetensors", folder / "model.safetensors")
    described = json.loads((checkpoint / "config.json").read_text(encoding="utf-8"))
    described["backbone"]["model"] = str((checkpoint / described["backbone"]["model"]).resolve())
    (folder / "config.json").write_text(json.dumps(described | {"overlap": "crop"}), encoding="utf-8")
    return folder


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", default=[], metavar="FOLDER", help="these rows alone")
    add_arguments(parser)
    options = parser.parse_args(argv)
    files = chosen(options)
    rows = []
    for way in ways(cropped(CUBEDIFF, options.out_dir / "cropping")):
        if options.only and way.folder not in options.only:
            continue
        paint(way, options, files)
        values = measure(way, options, files)
        rows.append([way.title, *(values.get(key) for key in COLUMNS)])
    sys.stdout.write(table(["way", *COLUMNS.values()], rows))


if __name__ == "__main__":
    main()
