"""Views that agree: one sparse product for a layer, beside the double loop over pairs that Ganorama published.

python benchmarks/agreement.py [--threads 1 2] [--kind published] [--share 1]

The layers are those of the 256 model whose features Ganorama averages. The loop makes 240 times a layer what it needs:
where the pixels of one view lie in another, and that view sampled there. It is as published, but for half a pixel: it
reads a view where the features have their centres, which the published code misses. Prints a Markdown table: seconds of
both, the seconds of making a layer's matrix, how many times as fast with it made and without, the largest difference of
the results, and the memory of the matrix and of each way beyond its input.
"""

import argparse
import math
import resource
import sys
from collections.abc import Sequence
from pathlib import Path
from time import perf_counter

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from aognet.system import threads  # noqa: E402

threads.settle()

import torch  # noqa: E402
from torch import Tensor  # noqa: E402
from torch.nn import functional  # noqa: E402

from aognet.geometry import agreement  # noqa: E402
from aognet.geometry.camera import Camera  # noqa: E402
from aognet.geometry.sparse import weigh  # noqa: E402
from aognet.geometry.view_sets import ViewSetConfig, make_views  # noqa: E402
from benchmarks.tables import measured, table  # noqa: E402

LAYERS = ((2048, 8), (1024, 16), (1024, 16), (1024, 32), (1024, 32), (512, 64))  # channels and size after layers 2..7
HEAD = ("layer", "loop s", "matrix s", "made in s", "times as fast", "the first time", "difference", "matrix MB")


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--kind", choices=("published", "cover"), default="published", help="the set of views")
    parser.add_argument("--share", type=int, default=1, help="measure with one of so many channels, to be quick")
    options = parser.parse_args(argv)
    for count in options.threads:
        torch.set_num_threads(count)
        sys.stdout.write(f"{count} thread{'s' if count > 1 else ''}\n\n{table(HEAD, rows_of(options, count))}\n")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    sys.stdout.write(f"Most memory of the whole measurement: {peak:.0f} MB\n")


def rows_of(options: argparse.Namespace, count: int) -> list[list[object]]:
    agreement.mean_matrix.cache_clear()
    rows = [measure(channels // options.share, size, options.kind, count) for channels, size in LAYERS]
    loop, product, making = (sum(row[column] for row in rows) for column in (1, 2, 3))
    weight = sum({row[0].split()[-1]: row[7] for row in rows}.values())
    most = max(row[6] for row in rows)
    return [*rows, ["all", loop, product, making, loop / product, loop / (product + making), most, weight]]


def measure(channels: int, size: int, kind: str, count: int) -> list[object]:
    views = make_views(ViewSetConfig(kind, size=size))
    features = torch.randn(len(views), channels, size, size, generator=torch.Generator().manual_seed(size))
    start = perf_counter()
    made = agreement.mean_matrix(views, "uniform")
    making = perf_counter() - start
    start = perf_counter()
    expected = published_loop(features, views)
    loop = perf_counter() - start
    difference = float((agreement.mean(features, views) - expected).abs().max())
    product, _ = measured(lambda: agreement.mean(features, views), count)
    name = f"{channels} channels, {size}x{size}"
    times = (loop, product, making, loop / product, loop / (product + making))
    return [name, *times, difference, weigh(made) / 2**20]


def published_loop(features: Tensor, cameras: Sequence[Camera]) -> Tensor:
    """Return each view's features, averaged with every other view that sees the same ray (all [views, C, H, W])."""
    averaged = []
    for one, camera in enumerate(cameras):
        total, seen_by = features[one].clone(), torch.ones(features.shape[-2:])
        for number, other in enumerate(cameras):
            if number != one:
                grid, inside = where_seen(camera, other, features.shape[-1])
                found = functional.grid_sample(
                    features[number][None], grid[None], padding_mode="border", align_corners=False
                )[0]
                total += found * inside
                seen_by += inside
        averaged.append(total / seen_by)
    return torch.stack(averaged)


def where_seen(one: Camera, other: Camera, size: int) -> tuple[Tensor, Tensor]:
    """Return where another square view shows the pixels of one, from -1 to 1 [H, W, 2], and whether (0 or 1)."""
    slope = math.tan(math.radians(one.fov_degrees) / 2)
    steps = ((torch.arange(size, dtype=torch.float64) + 0.5) / size * 2 - 1) * slope
    down, right = torch.meshgrid(steps, steps, indexing="ij")
    ray = torch.stack([right, -down, torch.ones_like(right)], dim=-1)
    x, y, z = (ray @ turn(one).T @ turn(other)).unbind(-1)
    slope = math.tan(math.radians(other.fov_degrees) / 2)
    grid = torch.stack([x, -y], dim=-1) / z.abs().clamp_min(1e-9)[..., None] / slope
    return grid.float(), ((z > 0) & (grid.abs() <= 1).all(-1)).float()


def turn(camera: Camera) -> Tensor:
    """Return the matrix from the axes of a camera without roll to the world's."""
    yaw, pitch = math.radians(camera.yaw_degrees), math.radians(camera.pitch_degrees)
    lifted = [[1, 0, 0], [0, math.cos(pitch), math.sin(pitch)], [0, -math.sin(pitch), math.cos(pitch)]]
    turned = [[math.cos(yaw), 0, math.sin(yaw)], [0, 1, 0], [-math.sin(yaw), 0, math.cos(yaw)]]
    return torch.tensor(turned, dtype=torch.float64) @ torch.tensor(lifted, dtype=torch.float64)


if __name__ == "__main__":
    main()
