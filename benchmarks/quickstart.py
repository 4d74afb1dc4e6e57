"""Runs `python inference.py` as a newcomer does and measures it, beside the published plan of 21 views as a baseline.

python benchmarks/quickstart.py [--config config/inference_config.yaml] [--plans cover published] [key.sub=value ...]

Prints a Markdown table: whole-process seconds (imports and model loading included), peak memory, unknown pixels left,
PSNR of the result over the photograph's footprint against the photograph projected directly, and the gradient across
the wrap column divided by the mean gradient between other neighbouring columns: those within a sixteenth of the width
of the wrap, and all of them; mean, least and most over the panoramas.
"""

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SEAMS = ("wrap gradient, near columns", "wrap gradient, all columns")
sys.path.insert(0, str(ROOT))

from aognet.system import threads  # noqa: E402

threads.settle()


@dataclass(frozen=True)
class Row:
    """Figures of one run over all its panoramas; the worst one counts."""

    name: str
    panoramas: int
    views: int
    seconds: float
    gigabytes: float
    unknown: int
    psnr: float
    seam_near: tuple[float, ...]
    seam_all: tuple[float, ...]

    def __str__(self) -> str:
        ratios = (self.seam_near, self.seam_all)
        seams = [f"{sum(one) / len(one):.2f} ({min(one):.2f} to {max(one):.2f})" for one in ratios]
        cells = (self.panoramas, self.views, f"{self.seconds:.1f}", f"{self.gigabytes:.2f}", self.unknown)
        return f"| {self.name} | " + " | ".join(map(str, (*cells, f"{self.psnr:.1f}", *seams))) + " |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--config", type=Path, default=ROOT / "config" / "inference_config.yaml")
    parser.add_argument("--plans", nargs="+", default=["cover", "published"])
    parser.add_argument("overrides", nargs="*", metavar="key.sub=value", help="passed on to inference.py")
    options = parser.parse_args()
    head = (
        "run",
        "panoramas",
        "views",
        "seconds",
        "GB",
        "unknown pixels",
        "PSNR of the photo (dB, worst)",
        *SEAMS,
    )
    lines = ["| " + " | ".join(head) + " |", "| --- |" + " ---: |" * (len(head) - 1)]
    lines += [str(measure(options.config, plan, options.overrides)) for plan in options.plans]
    sys.stdout.write("\n".join(lines) + "\n")


def measure(config: Path, plan: str, overrides: list[str]) -> Row:
    """One run of the command line in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, str(ROOT / "inference.py"), "-b", str(config), "--plan", plan]
        begin = time.perf_counter()
        subprocess.run([*command, "--inference_out_dir", folder, *overrides], cwd=ROOT, check=True)
        seconds = time.perf_counter() - begin
        # Kilobytes on Linux, of the largest child so far: the rows come in order of size, both run the same model.
        gigabytes = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**20
        figures = [inspect(run.parent) for run in sorted(Path(folder).glob("*/run.json"))]
    views, unknown, psnrs, near, everywhere = zip(*figures, strict=True)
    name = f"`python inference.py --plan {plan}`"
    return Row(name, len(figures), sum(views), seconds, gigabytes, sum(unknown), min(psnrs), near, everywhere)


def inspect(folder: Path) -> tuple[int, int, float, float, float]:
    """Views painted, unknown pixels, PSNR over the photograph's footprint, wrap gradient ratios of a run."""
    from aognet.canvas import Canvas
    from aognet.generate.photos import read_photo
    from aognet.generate.view_journal import open_views
    from aognet.io.images import load_image
    from aognet.metrics.psnr import psnr
    from aognet.metrics.seam import wrap_gradient_ratio

    journal = open_views(folder)
    result = load_image(folder / "result.png")[None]
    direct = Canvas.empty(result.shape[-2])
    for photo in journal.asked.request.photos:
        direct = direct.paint(*read_photo(photo, direct.height))
    unknown = journal.canvas().unknown_pixels
    seams = wrap_gradient_ratio(result, 1 / 16).item(), wrap_gradient_ratio(result).item()
    return len(journal.entries), unknown, psnr(result, direct.image, direct.known).item(), *seams


if __name__ == "__main__":
    main()
