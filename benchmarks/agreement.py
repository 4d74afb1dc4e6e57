"""Views that agree: one sparse product for a layer, beside the double loop over pairs that Ganorama published.

python benchmarks/agreement.py [--threads 1 2] [--kind published] [--share 1]

The layers are those of the 256 model whose features Ganorama averages. The loop makes 240 times a layer what it needs:
where the pixels of one view lie in another, and that view sampled there. It is as published, but for half a pixel: it
reads a view where the features have their centres, which the published code misses.

Prints a Markdown table: seconds of both ways (of the loop once; of the product the least of five, into new memory and
in place), seconds of making a layer's matrix, how many times as fast the product is in place with its matrix made and
without, the largest difference of the results, the memory of the matrix, and the most that each way takes beside the
features. Seconds are those of a clock on the wall, or (``--clock cpu``) those that processors spent for this process:
others on a busy machine change them less.
"""

import argparse
import math
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter, process_time
from typing import Any

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
from benchmarks.tables import table  # noqa: E402

MEBI = 2**20
LAYERS = ((2048, 8), (1024, 16), (1024, 16), (1024, 32), (1024, 32), (512, 64))  # channels and size after layers 2..7
HEAD = (
    *(
        "layer",
        "loop s",
        "product s",
        "in place s",
        "matrix made in s",
        "times as fast",
        "the first time",
        "difference",
    ),
    *("matrix MB", "loop MB", "product MB"),
)
CLOCKS = {"wall": perf_counter, "cpu": process_time}


@dataclass(frozen=True)
class Layer:
    """What was measured of one layer: seconds, and megabytes of 2^20 bytes."""

    name: str
    loop: float
    product: float
    in_place: float
    made: float
    difference: float
    matrix_mb: float
    loop_mb: float
    product_mb: float

    def cells(self) -> list[object]:
        faster = (self.loop / self.in_place, self.loop / (self.in_place + self.made))
        times = (self.loop, self.product, self.in_place, self.made, *faster)
        return [self.name, *times, self.difference, self.matrix_mb, self.loop_mb, self.product_mb]


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--kind", choices=("published", "cover"), default="published", help="the set of views")
    parser.add_argument("--share", type=int, default=1, help="measure with one of so many channels, to be quick")
    parser.add_argument("--clock", choices=tuple(CLOCKS), default="wall")
    options = parser.parse_args(argv)
    for count in options.threads:
        torch.set_num_threads(count)
        agreement.mean_matrix.cache_clear()
        clock = CLOCKS[options.clock]
        layers = [measure(channels // options.share, size, options.kind, clock) for channels, size in LAYERS]
        rows = [layer.cells() for layer in (*layers, together(layers))]
        sys.stdout.write(f"{count} thread{'s' if count > 1 else ''}\n\n{table(HEAD, rows)}\n")


def together(layers: Sequence[Layer]) -> Layer:
    """Return the sums over all layers, and the most memory and difference of any. Layers of one size share a matrix."""
    matrices = {layer.name.split()[-1]: layer.matrix_mb for layer in layers}
    values: dict[str, float] = {
        name: sum(getattr(layer, name) for layer in layers) for name in ("loop", "product", "in_place", "made")
    }
    values |= {name: max(getattr(layer, name) for layer in layers) for name in ("loop_mb", "product_mb", "difference")}
    return Layer("all", matrix_mb=sum(matrices.values()), **values)


def measure(channels: int, size: int, kind: Any, clock: Callable[[], float]) -> Layer:
    views = make_views(ViewSetConfig(kind, size=size))
    features = torch.randn(len(views), channels, size, size, generator=torch.Generator().manual_seed(size))
    _, made, _ = watched(lambda: agreement.mean_matrix(views, "uniform"), clock)
    expected, loop, loop_mb = watched(lambda: published_loop(features, views), clock)
    found, *first = watched(lambda: agreement.mean(features, views), clock)
    difference = float((found - expected).abs().max())
    del found, expected
    times = [watched(lambda: agreement.mean(features, views), clock)[1] for _ in range(5)]
    replaced = [watched(lambda: agreement.mean(features, views, in_place=True), clock)[1] for _ in range(5)]
    matrix_mb = weigh(agreement.mean_matrix(views, "uniform")) / MEBI
    name = f"{channels} channels, {size}x{size}"
    return Layer(name, loop, min(times), min(replaced), made, difference, matrix_mb, loop_mb, first[1])


def watched(run: Callable[[], Tensor], clock: Callable[[], float]) -> tuple[Tensor, float, float]:
    """Return what ``run`` returns, its seconds, and the megabytes that it took at most (Linux)."""
    Path("/proc/self/clear_refs").write_text("5")
    before, start = memory("VmRSS"), clock()
    result = run()
    return result, clock() - start, memory("VmHWM") - before


def memory(name: str) -> float:
    (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(name))
    return int(line.split()[1]) * 1024 / MEBI


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
