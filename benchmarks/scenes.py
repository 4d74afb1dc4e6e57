"""Measures how long scenes take on one core: `python benchmarks/scenes.py [--height 512] [--repeats 3] [--core 0]`.

Every kind is made ``--repeats`` times, with radiance, depth, labels, captions and the image, after a small
scene of every kind that fills the caches. Prints a Markdown table: mean and worst seconds per scene of every kind,
beside the clear sky alone sampled on the same panorama, and the mean of all.
"""

import argparse
import os
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from aognet.system import threads  # noqa: E402

threads.settle()


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--height", type=int, default=512)
    parser.add_argument("--repeats", type=int, default=3, help="scenes of each kind")
    parser.add_argument("--kinds", nargs="+", help="only these")
    parser.add_argument("--core", type=int, default=0, help="the one to run on")
    return parser.parse_args()


def main() -> None:
    arguments = parse()
    # Before NumPy and torch start their threads.
    os.environ.update({name: "1" for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")})
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {arguments.core})
    import torch

    from aognet.scenes import KINDS, make_scene

    torch.set_num_threads(1)
    kinds = arguments.kinds or list(KINDS)
    for kind in kinds:
        make_scene(0, 16, kind)
    rows = {"(clear sky alone)": _times(lambda seed: _sky(arguments.height), arguments.repeats)}
    for kind in kinds:
        rows[kind] = _times(lambda seed, kind=kind: make_scene(seed, arguments.height, kind).image, arguments.repeats)
    scenes = [seconds for name, times in rows.items() if name in kinds for seconds in times]
    worst = max(kinds, key=lambda kind: statistics.mean(rows[kind]))
    lines = [f"| kind, {arguments.height}x{2 * arguments.height} | mean s | worst s |", "| --- | --- | --- |"]
    lines += [f"| {name} | {statistics.mean(times):.2f} | {max(times):.2f} |" for name, times in rows.items()]
    lines += [f"| **all kinds** | **{statistics.mean(scenes):.2f}** | **{max(scenes):.2f}** |"]
    sys.stdout.write("\n".join(lines) + f"\n\nSlowest kind by its mean: {worst}.\n")


def _times(make: Callable[[int], object], repeats: int) -> list[float]:
    """CPU seconds of this one thread, which other programs on the machine do not lengthen by waiting."""
    times = []
    for seed in range(1, repeats + 1):
        begin = time.process_time()
        make(seed)
        times.append(time.process_time() - begin)
    return times


def _sky(height: int) -> object:
    """What the cheapest scene would be: the clear sky along every ray, made displayable."""
    import numpy as np

    from aognet.geometry.sphere import pixel_directions
    from aognet.scenes.rays import Rays
    from aognet.scenes.render import display, exposure
    from aognet.scenes.sky.sky import draw_sky

    directions = pixel_directions(height, 2 * height).numpy().reshape(-1, 3).astype(np.float32)
    sky = draw_sky(np.random.default_rng(0), "clear")
    radiance = sky.radiance(Rays(directions, np.pi / height)).reshape(height, 2 * height, 3)
    return display(radiance, exposure(radiance))


if __name__ == "__main__":
    main()
