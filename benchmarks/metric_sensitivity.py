"""Damages real panoramas more and more, and measures them against what they were, as `misc/evaluate.py` would.

python benchmarks/metric_sensitivity.py --panoramas DIR [--captions FILE ...] [--height 512] [--limit 40]

Prints Markdown: a table of what the strongest damage of each kind does to each measure, then one table for each kind.
The first row of each, strength 0, is the baseline: the undamaged panoramas against themselves. Distances have a second
one: every other undamaged panorama against those between, which is what sets of different places of one kind score.
The measures are those of the protocol `ours` in the embedded model's features. Runs on one core and keeps nothing.
"""

import argparse
import io
import math
import os
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from aognet.system import threads  # noqa: E402

threads.settle()

if TYPE_CHECKING:
    from torch import Tensor

    from aognet.evaluation.measure import Unit
    from aognet.evaluation.networks import LoadedNetworks
    from aognet.evaluation.protocol import Protocol
    from aognet.evaluation.sets import PanoramaCaptions

COLUMNS = {
    "frechet/crops/image": "Fréchet crops",
    "frechet/horizon/image": "Fréchet horizon",
    "frechet/panorama/image": "Fréchet panorama",
    "frechet/poles/image": "Fréchet poles",
    "frechet/seam/image": "Fréchet seam",
    "kernel/crops/image": "kernel crops",
    "omnifid/image": "Omni-Fréchet pooled",
    "frechet/panorama/faed": "FAED",
    "discontinuity": "DS",
    "wrap_gradient": "wrap",
    "pole_gradient": "poles",
    "cube_edges": "cube edges",
    "psnr": "PSNR",
    "ssim": "SSIM",
    "clip_score/horizon/clip": "CLIP score",
}
DISTANCES = ("frechet", "kernel", "omnifid")
LEVEL = 1 / 127.5  # one of 255 in [-1, 1]
MIN_STEP = 1e-6  # what rounding leaves of a distance is below
MAX_DECIBELS = 60.0  # stands for the infinite PSNR of equal pictures: about what rounding to bytes leaves
# What is little: a distance below this share of that between halves, another measure within this of its baseline.
LITTLE_DISTANCE, LITTLE_VALUE = 0.01, 0.02


@dataclass(frozen=True)
class Damage:
    """``apply``: a panorama [1, 3, height, 2 height] in [-1, 1], a strength and a seed -> the damaged panorama.

    ``fine``: at twice the height, so that resampling it blurs little.
    """

    title: str
    strengths: tuple[float, ...]
    apply: "Callable[[Tensor, float, int], Tensor]"
    fine: bool = False


def _noise(panorama: "Tensor", levels: float, seed: int) -> "Tensor":
    from tests.metrics import defects

    return panorama + levels * LEVEL * defects.noise(panorama.shape, seed)


def _noisy_poles(panorama: "Tensor", levels: float, seed: int) -> "Tensor":
    damaged, rows = panorama.clone(), [0, 1, -2, -1]
    damaged[:, :, rows] = _noise(panorama[:, :, rows], levels, seed)
    return damaged


def _colour(panorama: "Tensor", levels: float, seed: int) -> "Tensor":
    return panorama + levels * LEVEL * panorama.new_tensor([1, 0, -1]).view(3, 1, 1)


def _cut(panorama: "Tensor", degrees: float, seed: int) -> "Tensor":
    rows, damaged = round(degrees / 180 * panorama.shape[-2]), panorama.clone()
    damaged[:, :, :rows], damaged[:, :, -rows:] = -1, -1
    return damaged


def _misfit(panorama: "Tensor", degrees: float, seed: int) -> "Tensor":
    """The wrap joins what does not belong together: some is left out there, the rest stretched."""
    from torch.nn import functional

    columns = round(degrees / 720 * panorama.shape[-1])
    kept = panorama[..., columns : panorama.shape[-1] - columns]
    return functional.interpolate(kept, size=panorama.shape[-2:], mode="bicubic")


def _jpeg(panorama: "Tensor", quality: float, seed: int) -> "Tensor":
    import numpy as np
    import torch
    from PIL import Image

    from aognet.io.images import to_uint8

    content = io.BytesIO()
    Image.fromarray(to_uint8(panorama[0]).permute(1, 2, 0).numpy()).save(content, "JPEG", quality=int(quality))
    pixels = np.array(Image.open(content), np.float32)
    return torch.from_numpy(pixels / np.float32(127.5) - 1).permute(2, 0, 1)[None]


def damages() -> tuple[Damage, ...]:
    """All kinds, strengths growing."""
    from aognet.geometry.perspective import rotate
    from tests.metrics import defects

    uneven = defects.with_uneven_faces  # of zeros: nothing is resampled
    return (
        Damage("Gaussian blur, sigma in pixels", (0.5, 1, 2, 4), lambda p, s, _: defects.blurred(p, s)),
        Damage("noise, deviation in levels", (4, 8, 16, 32), _noise),
        Damage("step at the wrap, levels", (8, 16, 32, 64), lambda p, s, _: defects.with_wrap_seam(p, s * LEVEL)),
        Damage("left out at the wrap, degrees", (4, 8, 16, 32), _misfit, fine=True),
        Damage("tilt of the horizon, degrees", (3, 6, 12, 24), lambda p, s, _: rotate(p, 0.0, float(s)), fine=True),
        Damage("red up and blue down, levels", (8, 16, 32, 64), _colour),
        Damage("uneven cube faces, levels", (8, 16, 32, 64), lambda p, s, _: p + uneven(0 * p, s * LEVEL)),
        Damage("noise in two rows at each pole, levels", (16, 32, 64), _noisy_poles),
        Damage("black beyond a latitude, degrees cut at each pole", (10, 20, 30), _cut),
        Damage("JPEG, quality", (90, 60, 30, 10), _jpeg),
        Damage("turn about the vertical, degrees", (45, 90, 180), lambda p, s, _: rotate(p, float(s)), fine=True),
    )  # fmt: skip


@dataclass
class Bench:
    """Undamaged panoramas in a temporary folder, and what measures others against them."""

    sources: "Sequence[Path]"
    names: "Sequence[str]"
    height: int
    captions: "list[Path]"
    folder: Path
    protocol: "Protocol"
    networks: "LoadedNetworks"

    def write(self, damage: Damage | None, strength: float) -> Path:
        """The panoramas with a damage (None: without), as PNG files."""
        from torch.nn import functional

        from aognet.io.images import load_panorama, save_image

        target = self.folder / ("undamaged" if damage is None else "damaged")
        target.mkdir(exist_ok=True)
        for seed, (path, name) in enumerate(zip(self.sources, self.names, strict=True)):
            panorama = load_panorama(path, 2 * self.height)[None]
            if damage and damage.fine:
                panorama = damage.apply(panorama, strength, seed)
            panorama = functional.avg_pool2d(panorama, 2)
            if damage and not damage.fine:
                panorama = damage.apply(panorama, strength, seed)
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            save_image(panorama[0].clamp(-1, 1), target / name)
        return target

    def measure(self, generated: Path) -> "Row":
        """A folder of damaged panoramas against the undamaged of the same names."""
        from aognet.evaluation.sets import find_sets

        sets = find_sets(generated, self.folder / "undamaged", self.captions, self.protocol.height)
        return self._values(sets.units, sets.captions)

    def measure_halves(self) -> "Row":
        """Every other undamaged panorama against those between: only its distances mean something."""
        from aognet.evaluation.sets import Unit, find_panoramas

        items = find_panoramas(self.folder / "undamaged", "--panoramas")
        return self._values([Unit(one, None) for one in items[::2]] + [Unit(None, one) for one in items[1::2]], {})

    def _values(self, units: "list[Unit]", captions: "dict[str, PanoramaCaptions]") -> "Row":
        import torch

        from aognet.callbacks import UNHEARD
        from aognet.evaluation.aggregate import Aggregator
        from aognet.evaluation.measure import Measurer, measure_units
        from aognet.io.store import TENSORS, CacheConfig, Store
        from aognet.system.processes import Processes

        device = torch.device("cpu")
        store = Store(CacheConfig(str(self.folder / "cache")), TENSORS)
        measurer = Measurer(self.protocol, self.height, self.networks.features, {}, store, 64, device)
        digests = measure_units(measurer, units, 1, Processes(0, 1, device))
        aggregate = Aggregator(measurer, self.networks, units, digests, captions).aggregate(UNHEARD)
        return {value.key: value.value for value in aggregate.values}


Row = dict[str, Any]  # numbers; None where a measure could not be made, which no table shows
"""Key of a measure -> its value."""


@dataclass(frozen=True)
class Found:
    """``tables``: title of a damage -> strength (0: undamaged) -> row. ``halves``: of the undamaged."""

    halves: Row
    tables: dict[str, dict[float, Row]]

    @property
    def baseline(self) -> Row:
        """Of the undamaged panoramas against themselves."""
        return next(iter(self.tables.values()))[0]

    @property
    def columns(self) -> list[str]:
        """The measures that could be made: the CLIP score needs captions."""
        return [key for key in COLUMNS if self.baseline.get(key) is not None]

    def behaviour(self, title: str, key: str) -> str:
        """↑ or ↓: a measure rises or falls with each step of a damage; ~: it moves otherwise; in brackets: little.

        A dot: little, and not with each step.
        """
        path = [min(row[key], MAX_DECIBELS) if key == "psnr" else row[key] for row in self.tables[title].values()]
        distance = key.startswith(DISTANCES)
        least = LITTLE_DISTANCE * abs(self.halves[key]) if distance else LITTLE_VALUE * abs(path[0])
        steps = [after - before for before, after in zip(path, path[1:], strict=False)]
        mark = "↑" if min(steps) > MIN_STEP else "↓" if max(steps) < -MIN_STEP else "~"
        if max(abs(value - path[0]) for value in path) >= least:
            return mark
        return "·" if mark == "~" else f"({mark})"


def run_all(bench: Bench) -> Found:
    """Measures every damage at every strength."""
    baseline = bench.measure(bench.write(None, 0))
    tables = {}
    for damage in damages():
        tables[damage.title] = {0.0: baseline}
        for strength in damage.strengths:
            tables[damage.title][strength] = bench.measure(bench.write(damage, strength))
    return Found(bench.measure_halves(), tables)


def overview(found: Found) -> list[str]:
    """One row for each damage: what its strongest does, and whether every step did."""
    keys = found.columns
    halves = [shown(found.halves[key]) if key.startswith(DISTANCES) else "" for key in keys]
    lines = [
        *header("strongest damage", keys),
        "| none | " + " | ".join(shown(found.baseline[key]) for key in keys) + " |",
        "| none, one half against the other | " + " | ".join(halves) + " |",
    ]
    for title, table in found.tables.items():
        strength, row = list(table.items())[-1]
        cells = [f"{shown(row[key])} {found.behaviour(title, key)}" for key in keys]
        lines.append(f"| {title}: {strength:g} | " + " | ".join(cells) + " |")
    return lines


def details(found: Found, title: str) -> list[str]:
    """The whole table of a damage, and what it says."""
    keys = found.columns
    lines = header(title, keys)
    for strength, row in found.tables[title].items():
        name = f"{strength:g}" if strength else "0 (undamaged)"
        lines.append(f"| {name} | " + " | ".join(shown(row[key]) for key in keys) + " |")
    how = {key: found.behaviour(title, key) for key in keys}
    named = {
        "Rises with every step": "↑",
        "falls with every step": "↓",
        "moves, but not with every step": "~",
        "rises with every step by little": "(↑)",
        "falls with every step by little": "(↓)",
        "does not move": "·",
    }
    said = []
    for words, wanted in named.items():
        some = [COLUMNS[key] for key in keys if how[key] == wanted]
        said += [f"{words}: {', '.join(some)}"] if some else []
    return [*lines, "", f"{'; '.join(said)}."]


def header(title: str, keys: Sequence[str]) -> list[str]:
    """The first two lines of a table."""
    return [f"| {title} | " + " | ".join(COLUMNS[key] for key in keys) + " |", "| --- |" + " ---: |" * len(keys)]


def shown(value: float) -> str:
    """Three digits that matter; what is below a millionth is 0."""
    if math.isinf(value):
        return "inf"
    return "0" if abs(value) < 1e-6 else f"{value:.3g}" if abs(value) < 100 else f"{value:.0f}"


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--panoramas", type=Path, required=True, help="folder of real panoramas")
    parser.add_argument(
        "--captions", type=Path, nargs="+", default=[], metavar="FILE", help="JSONL, for the CLIP score"
    )
    parser.add_argument("--height", type=int, default=512, help="rows at which they are damaged and measured")
    parser.add_argument("--limit", type=int, default=0, help="at most so many panoramas (0: all)")
    parser.add_argument("--core", type=int, default=0, help="the one to run on")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> None:
    arguments = parse(argv)
    # Before NumPy and torch start their threads.
    os.environ.update({name: "1" for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")})
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {arguments.core})
    import torch

    from aognet.errors import UserError
    from aognet.evaluation.networks import load_networks
    from aognet.evaluation.protocol import load_protocol
    from aognet.evaluation.sets import find_panoramas

    begin = time.process_time()
    torch.set_num_threads(1)
    items = find_panoramas(arguments.panoramas, "--panoramas")[: arguments.limit or None]
    if len(items) < 4:
        raise UserError(f"--panoramas: two halves need at least 4 panoramas, got {len(items)}")
    protocol = load_protocol("ours", [f"height={arguments.height}"])
    protocol = replace(protocol, measures=[one for one in protocol.measures if one.key in COLUMNS])
    networks = load_networks(protocol, "float32", torch.device("cpu"))
    with tempfile.TemporaryDirectory() as name:
        sources, names = [item.path for item in items], [f"{item.stem}.png" for item in items]
        bench = Bench(sources, names, arguments.height, arguments.captions, Path(name), protocol, networks)
        found = run_all(bench)
    sets = 1 + sum(len(table) - 1 for table in found.tables.values())
    lines = [
        f"{len(items)} panoramas of {arguments.height}x{2 * arguments.height}, {sets} sets, "
        f"{time.process_time() - begin:.0f} CPU seconds. ↑ rises with every step of the damage, ↓ falls with each, "
        f"~ moves otherwise; in brackets or as a dot: by little (a distance below {LITTLE_DISTANCE:.0%} of that "
        f"between the halves, another measure within {LITTLE_VALUE:.0%} of its baseline).",
        "",
        *overview(found),
    ]
    for title in found.tables:
        lines += ["", *details(found, title)]
    sys.stdout.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    from aognet.cli import run

    run(main)
