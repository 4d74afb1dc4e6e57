"""Training samples a second on one core: this repository beside decoding and turning the whole panorama every time.

python benchmarks/data_loading.py [--height 2048] [--size 512] [--samples 20]

One sample of the baseline: the file is decoded, turned as a whole (pyequilib's equi2equi), and seen as two cubemaps
(equi2cube) and four views (equi2pers), as the published AOG-Net prepares one. One sample here: the view and the six
faces that `aognet.data.outpainting` gives for a random panorama, turn and step of the plan. Prints a Markdown table.
"""

import argparse
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from aognet.system import threads  # noqa: E402

threads.settle()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--height", type=int, default=2048, help="rows of the panoramas")
    parser.add_argument("--size", type=int, default=512, help="pixels of the square views and faces")
    parser.add_argument("--samples", type=int, default=20, help="samples of ours; the baseline takes a fifth")
    options = parser.parse_args()
    one_core()
    from aognet.cli import configure_logging
    from aognet.io.store import CacheConfig

    configure_logging()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_panoramas(folder / "panoramas", options.height)
        ours = samples_of(folder, options.height, options.size, CacheConfig(str(folder / "cache")))
        first = seconds(lambda number: ours[number], range(len(ours)))
        again = seconds(lambda number: ours[number], range(len(ours), len(ours) + options.samples))
        uncached = samples_of(folder, options.height, options.size, CacheConfig(None))
        decoding = seconds(lambda number: uncached[number], range(max(options.samples // 5, 2)))
        assert ours.panoramas is not None
        paths = [entry.path for entry in ours.panoramas.entries]
        baselines = {
            backend: seconds(
                baseline(paths, options.height, options.size, backend), range(max(options.samples // 5, 2))
            )
            for backend in ("numpy", "torch")
        }
    slowest = min(baselines.values())
    rows = {
        "decode, equi2equi, 2 equi2cube, 4 equi2pers (pyequilib, NumPy)": baselines["numpy"],
        "the same (pyequilib, PyTorch)": baselines["torch"],
        "outpainting sample, cache switched off": decoding,
        "outpainting sample, first epoch (decodes and fills the cache)": first,
        "outpainting sample, later epochs": again,
    }
    lines = [
        "| one sample | seconds (median) | samples a second | against the faster baseline |",
        "| --- | ---: | ---: | ---: |",
    ]
    lines += [f"| {title} | {time_:.4f} | {1 / time_:.1f} | {slowest / time_:.1f}x |" for title, time_ in rows.items()]
    sys.stdout.write("\n".join(lines) + "\n")


def one_core() -> None:
    """This process, its libraries too, on one core."""
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    import cv2
    import torch

    torch.set_num_threads(1)
    cv2.setNumThreads(1)


def make_panoramas(folder: Path, height: int) -> None:
    """Four scenes with fine grain, as PNG files of the wanted size."""
    import torch

    from aognet.io.images import resize_panorama, save_image
    from tests.metrics.defects import scenes

    folder.mkdir()
    for number, scene in enumerate(scenes()):
        grain = torch.randn(1, 3, height, 2 * height, generator=torch.Generator().manual_seed(number)) * 0.03
        save_image((resize_panorama(scene[None], height) + grain)[0], folder / f"{number}.png")


def samples_of(folder: Path, height: int, size: int, cache: Any):
    """The dataset that AOG-Net trains on, with the published plan."""
    from aognet.data.outpainting import OutpaintingSamples
    from aognet.geometry.plans import PlanConfig

    plan = PlanConfig(kind="published", size=size)
    config = OutpaintingSamples.Config(
        folders=[str(folder / "panoramas")], height=height, face_size=size, plan=plan, cache=cache
    )
    samples = OutpaintingSamples(config)
    # Masks and grids of the steps are made once in a training run, and not what is measured.
    for step in samples.steps[0]:
        samples._situation(0, step)
    return samples


def baseline(paths: list[Path], height: int, size: int, backend: str) -> Callable[[int], object]:
    """One sample of the baseline, by number."""
    import numpy as np
    import torch
    from equilib import equi2cube, equi2equi, equi2pers
    from PIL import Image

    def sample(number: int) -> object:
        image = np.asarray(Image.open(paths[number % len(paths)]).convert("RGB")).transpose(2, 0, 1)
        image = image.astype(np.float32) / 127.5 - 1
        panorama = torch.from_numpy(image) if backend == "torch" else image
        turn = {"roll": 0.0, "pitch": 0.0, "yaw": float(number)}
        turned = equi2equi(src=panorama, rots=turn, height=height, width=2 * height, mode="bilinear")
        level = {"roll": 0.0, "pitch": 0.0, "yaw": 0.0}
        cubes = [equi2cube(equi=turned, rots=level, w_face=size, cube_format="list", mode="bilinear") for _ in range(2)]
        views = [
            equi2pers(
                equi=turned,
                rots={"roll": 0.0, "pitch": 0.0, "yaw": float(yaw)},
                height=size,
                width=size,
                fov_x=90.0,
                mode="bilinear",
            )
            for yaw in range(4)
        ]
        return cubes, views

    return sample


def seconds(sample: Callable[[int], object], numbers: range) -> float:
    """The median time of a sample."""
    taken = []
    for number in numbers:
        started = time.perf_counter()
        sample(number)
        taken.append(time.perf_counter() - started)
    return statistics.median(taken)


if __name__ == "__main__":
    main()
