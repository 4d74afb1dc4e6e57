"""Measures `misc/exr2png.py` on one core beside the recipe that AOG-Net's published script follows.

python benchmarks/exr2png.py [--height 2048] [--repeats 5] [--source FILE.exr] [--core 0]

The recipe: OpenEXR decodes, NumPy takes powers and their percentile, Pillow saves with its defaults. Both convert the
same panorama, textured and noisy, in half and in single precision, ZIP compressed. Each row is a fresh process pinned
to one core; one conversion is left out, then come the measured ones. Prints a Markdown table: median seconds, how many
times as fast as the recipe, peak memory of the process (interpreter and libraries included), size of the image, and
the largest difference of an 8-bit PNG from the recipe's in levels.
"""

import argparse
import json
import multiprocessing
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from aognet.system import threads  # noqa: E402

threads.settle()


@dataclass(frozen=True)
class Way:
    """One way to make an image: its name, the precision of its file, and settings of `Conversion` or the recipe."""

    name: str
    precision: str
    suffix: str = ".png"
    format: str | None = None
    shrunk: bool = False  # to a quarter of the height and the width


WAYS = (
    Way("recipe", "half"),
    Way("exr2png", "half", format="png8"),
    Way("recipe", "single"),
    Way("exr2png", "single", format="png8"),
    Way("exr2png --size, a quarter", "half", format="png8", shrunk=True),
    Way("exr2png --format png16", "half", format="png16"),
    Way("exr2png --format jpeg", "half", ".jpg", "jpeg"),
)


def recipe(source: Path, target: Path) -> None:
    import numpy as np
    import OpenEXR
    from PIL import Image

    with OpenEXR.File(str(source)) as file:
        light = file.channels()["RGB"].pixels.astype(np.float32)
    compressed = np.power(np.clip(light, 0, None), 1 / 2.4)
    alpha = 0.5 / np.percentile(compressed[compressed > 0], 50)
    shown = np.clip(alpha * compressed, 0, 1)
    Image.fromarray(np.rint(shown * 255).astype(np.uint8)).save(target)


def measure(way: Way, source: Path, target: Path, height: int, repeats: int) -> dict[str, float]:
    """Median seconds of a conversion and the peak memory in bytes of this process."""
    from functools import partial

    once = partial(recipe, source, target)
    if way.format:
        from aognet.data.conversion import Conversion, convert

        once = partial(
            convert,
            source,
            target,
            Conversion(size=(height // 4, height // 2) if way.shrunk else None, format=way.format),
        )
    once()
    seconds = []
    for _ in range(repeats):
        begin = time.perf_counter()
        once()
        seconds.append(time.perf_counter() - begin)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    return {"seconds": statistics.median(seconds), "peak": peak}


def paint(height: int, folder: Path, source: Path | None) -> None:
    """A panorama as half.exr and single.exr in the folder: ``source`` enlarged, or sky, sun, ground and grain."""
    import cv2
    import numpy as np

    from aognet.io.hdr import read_radiance, write_exr
    from aognet.io.tonemap import clean

    rng = np.random.default_rng(0)
    if source:
        light = clean(read_radiance(source, 1 << 30))
        light = np.maximum(cv2.resize(light, (2 * height, height), interpolation=cv2.INTER_CUBIC), 0)
    else:
        elevation = np.linspace(1, -1, height, dtype=np.float32)[:, None, None]
        sky, ground = (np.array(colour, np.float32) for colour in ((0.3, 0.5, 0.9), (0.25, 0.2, 0.12)))
        light = np.where(elevation > 0, sky + (1 - elevation) ** 4, ground) * np.ones((1, 2 * height, 1), np.float32)
        for octave in range(2, 10):
            noise = rng.standard_normal((1 << octave, 2 << octave, 1)).astype(np.float32)
            texture = cv2.resize(noise, (2 * height, height), interpolation=cv2.INTER_CUBIC)[..., None]
            light *= np.exp(texture * np.where(elevation > 0, 0.1, 0.25) * 1.5 ** (2 - octave) * 4).astype(np.float32)
        rows, columns = np.mgrid[:height, : 2 * height].astype(np.float32) / height
        away = np.hypot(rows - 0.25, columns - 0.8)[..., None]
        light += 3e4 * np.exp(-((away / 0.004) ** 2)) + 2 * np.exp(-away / 0.05)
    light *= 1 + 0.01 * rng.standard_normal(light.shape, dtype=np.float32)  # what a sensor adds
    for precision, dtype in (("half", np.float16), ("single", np.float32)):
        values = np.clip(light, 0, 65504).astype(dtype)
        write_exr({name: values[..., i] for i, name in enumerate("RGB")}, folder / f"{precision}.exr")


def difference(first: Path, second: Path) -> int:
    import numpy as np
    from PIL import Image

    with Image.open(first) as one, Image.open(second) as other:
        return np.abs(np.asarray(one, np.int16) - np.asarray(other, np.int16)).max()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--height", type=int, default=2048)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--source", type=Path, help="an EXR file to enlarge, instead of a painted panorama")
    parser.add_argument("--core", type=int, default=0)
    parser.add_argument("--row", nargs=2, metavar=("NUMBER", "FOLDER"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.row:
        way, folder = WAYS[int(arguments.row[0])], Path(arguments.row[1])
        os.sched_setaffinity(0, {arguments.core})
        source, target = folder / f"{way.precision}.exr", folder / f"{arguments.row[0]}{way.suffix}"
        measured = measure(way, source, target, arguments.height, arguments.repeats)
        sys.stdout.write(json.dumps(measured) + "\n")
        return
    with tempfile.TemporaryDirectory() as name:
        sys.stdout.write("\n".join(table(arguments, Path(name))) + "\n")


def table(arguments: argparse.Namespace, folder: Path) -> list[str]:
    """The lines of the table. This process stays small until the end: on Linux its peak counts in those it starts."""
    painter = multiprocessing.get_context("spawn").Process(
        target=paint, args=(arguments.height, folder, arguments.source)
    )
    painter.start()
    painter.join()
    shared = ["--height", str(arguments.height), "--repeats", str(arguments.repeats), "--core", str(arguments.core)]
    found = []
    for number in range(len(WAYS)):
        command = [sys.executable, __file__, *shared, "--row", str(number), str(folder)]
        found.append(json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout))
    lines = ["| way | file | seconds per image | times as fast | peak memory | image | largest difference |"]
    lines.append("| --- | --- | --- | --- | --- | --- | --- |")
    baselines = {way.precision: number for number, way in enumerate(WAYS) if way.name == "recipe"}
    for number, way in enumerate(WAYS):
        first, target = baselines[way.precision], folder / f"{number}{way.suffix}"
        same = way.format == "png8" and not way.shrunk
        lines.append(
            f"| {way.name} | {way.precision}, {(folder / f'{way.precision}.exr').stat().st_size / 1e6:.1f} MB "
            f"| {found[number]['seconds']:.3f} | {found[first]['seconds'] / found[number]['seconds']:.1f} "
            f"| {found[number]['peak'] / 2**20:.0f} MiB | {target.stat().st_size / 1e6:.1f} MB "
            f"| {difference(folder / f'{first}.png', target) if same else '-'} |"
        )
    return lines


if __name__ == "__main__":
    main()
