"""Styles: how long colours take beside a plain transfer, and a sheet to look at.

python benchmarks/style.py --panorama FILE --photo FILE [--height 2048] [--repeats 3]
python benchmarks/style.py --sheet sheet.png --cell PANORAMA PHOTO colour [--cell ...] [--weights FILE] [--rows 160]

The first prints a Markdown table: seconds of processor time of all threads together, which other processes do not
change much, of a panorama that is enlarged to the height. Baseline: Reinhard et al. 2001 by OpenCV (means and
deviations in CIELAB, of the whole image, poles included), in the same run. The second writes for each cell the
panorama, the photograph and below them the result; the ways gatys and photo need --weights (misc/style.py).
"""

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from aognet.system import threads  # noqa: E402

threads.settle()

import cv2  # noqa: E402
import numpy as np  # noqa: E402
import torch  # noqa: E402
from PIL import Image  # noqa: E402

from aognet.io.images import load_image, resize_panorama, to_pil  # noqa: E402
from aognet.style.styling import StyleConfig, Styler  # noqa: E402
from benchmarks.tables import table  # noqa: E402

WIDE, GAP, COLUMNS = 640, 8, 3


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--panorama", type=Path)
    parser.add_argument("--photo", type=Path)
    parser.add_argument("--height", type=int, default=2048)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--sheet", type=Path, metavar="PNG")
    parser.add_argument("--cell", nargs=3, action="append", default=[], metavar=("PANORAMA", "PHOTO", "WAY"))
    parser.add_argument("--weights", default="", help="of VGG-16, for gatys and photo")
    parser.add_argument("--rows", type=int, default=160, help="of the small panorama of gatys and photo")
    parser.add_argument("--steps", type=int, default=80)
    options = parser.parse_args(argv)
    torch.set_num_threads(options.threads)
    cv2.setNumThreads(options.threads)
    if options.sheet is not None:
        write_sheet(options)
        return
    if options.panorama is None or options.photo is None:
        parser.error("give --panorama and --photo, or --sheet and --cell")
    sys.stdout.write(timings(options))


def timings(options: argparse.Namespace) -> str:
    """The table of seconds."""
    display = resize_panorama((load_image(options.panorama)[None] + 1) / 2, options.height)[0].clamp(0, 1)
    levels = np.ascontiguousarray(display.mul(255).round().byte().permute(1, 2, 0).numpy())
    photo = np.asarray(to_pil(load_image(options.photo)))
    rows = [("Reinhard, OpenCV, 8 bits", seconds(lambda: reinhard(levels, photo), options.repeats))]
    for transport in ("linear", "sliced"):
        for segments in (1, 4):
            config = StyleConfig(photo=str(options.photo), transport=transport, segments=segments)
            styler = Styler(config)
            name = f"colour, {transport}, {segments} segment{'s' if segments > 1 else ''}"
            rows.append((name, seconds(lambda styler=styler: styler(display), options.repeats)))
    return table(("way", f"core seconds, {2 * options.height}x{options.height}"), rows)


def seconds(run: Callable[[], object], repeats: int) -> float:
    """The median processor time of all threads, after warming up."""
    run()
    found = []
    for _ in range(repeats):
        begin = time.process_time()
        run()
        found.append(time.process_time() - begin)
    return median(found)


def reinhard(levels: np.ndarray, photo: np.ndarray) -> np.ndarray:
    """Means and deviations of CIELAB moved to those of the photograph."""
    ours, theirs = (cv2.cvtColor(one, cv2.COLOR_RGB2LAB).astype(np.float32) for one in (levels, photo))
    (mean, deviation), (wanted, spread) = (cv2.meanStdDev(one) for one in (ours, theirs))
    gain = (spread / np.maximum(deviation, 1e-6))[:, 0].astype(np.float32)
    moved = (ours - mean[:, 0].astype(np.float32)) * gain + wanted[:, 0].astype(np.float32)
    return cv2.cvtColor(moved.clip(0, 255).astype(np.uint8), cv2.COLOR_LAB2RGB)


def write_sheet(options: argparse.Namespace) -> None:
    """Write the sheet; it is written anew after each cell."""
    step = WIDE + GAP, WIDE // 4 + WIDE // 2 + 3 * GAP
    rows = -(-len(options.cell) // COLUMNS)
    sheet = Image.new("RGB", (min(COLUMNS, len(options.cell)) * step[0], rows * step[1]), "white")
    for number, (panorama, photo, way) in enumerate(options.cell):
        neural = {} if way == "colour" else {"weights": options.weights, "rows": options.rows, "steps": options.steps}
        image = (load_image(Path(panorama)) + 1) / 2
        found = Styler(StyleConfig(photo=photo, way=way, **neural))(image)
        x, y = number % COLUMNS * step[0], number // COLUMNS * step[1]
        style = to_pil(load_image(Path(photo)))
        style.thumbnail((WIDE // 2 - GAP, WIDE // 4), Image.Resampling.LANCZOS)
        small = to_pil(image * 2 - 1).resize((WIDE // 2, WIDE // 4), Image.Resampling.LANCZOS)
        sheet.paste(small, (x, y))
        sheet.paste(style, (x + WIDE // 2 + GAP, y))
        sheet.paste(to_pil(found * 2 - 1).resize((WIDE, WIDE // 2), Image.Resampling.LANCZOS), (x, y + WIDE // 4 + GAP))
        sheet.save(options.sheet)


if __name__ == "__main__":
    main()
