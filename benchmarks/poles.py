"""What the poles of seamless panoramas look like, by what the layers see beyond them and whether they are polished.

python benchmarks/poles.py --out_dir outputs/poles [--checkpoint DIR] [--set generator.sampler.steps=16 ...]

Paints the same prompts from the same noise in each way, and writes panoramas and the views up and down. Prints a
Markdown table: the mean over the panoramas of the pole ratio (1: the pole is like the rows beside it), and of the wrap
ratio.
"""

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from aognet.system import threads  # noqa: E402

threads.settle()

import torch  # noqa: E402

from aognet import Request, cli, load  # noqa: E402
from aognet.geometry.camera import Camera  # noqa: E402
from aognet.geometry.perspective import look  # noqa: E402
from aognet.io.images import save_image  # noqa: E402
from aognet.metrics.seam import pole_gradient_ratio, wrap_gradient_ratio  # noqa: E402
from benchmarks.tables import table  # noqa: E402

PROMPTS = (
    "A beach under a blue sky.",
    "A meadow with trees.",
    "A living room with a sofa.",
    "A field covered with snow.",
)
WAYS = {
    "none": ("generator.poles=none",),
    "flip": ("generator.poles=flip",),
    "none, polished": ("generator.poles=none", "generator.polish=views"),
    "flip, polished": ("generator.poles=flip", "generator.polish=views"),
}
NUMBERS = ("pole ratio, mean", "median", "greatest", "wrap ratio, mean", "greatest")
SAMPLER = ("generator.sampler.steps=20", "generator.sampler.guidance=3")


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--checkpoint", type=Path, default=ROOT / "assets" / "embedded")
    parser.add_argument("--out_dir", type=Path, required=True)
    parser.add_argument("--height", type=int, default=256)
    parser.add_argument("--seeds", type=int, default=3, help="panoramas of each prompt")
    parser.add_argument("--set", nargs="+", default=[], metavar="key.sub=value", help="settings of inference.py")
    options = parser.parse_args(argv)
    rows = [(way, *measured(options, way, settings)) for way, settings in WAYS.items()]
    sys.stdout.write(table(("poles", "seconds each", *NUMBERS), rows))


def measured(options: argparse.Namespace, way: str, settings: Sequence[str]) -> list[float]:
    """Seconds for a panorama, pole ratios and wrap ratios of all panoramas of a way."""
    here = ["method=seamless", f"generator.height={options.height}", *SAMPLER, *settings, *options.set]
    generator = load(options.checkpoint, settings=here)
    generator.model  # noqa: B018 (read before the clock runs)
    began, panoramas = time.perf_counter(), []
    for prompt in PROMPTS:
        for seed in range(options.seeds):
            made = generator.generate(Request(prompt, name=f"{prompt} {seed}", seed=seed)).panorama
            panoramas.append(made)
            write(options.out_dir / way, f"{prompt[:-1]} {seed}".replace(" ", "_"), made)
    seconds = (time.perf_counter() - began) / len(panoramas)
    every = torch.stack(panoramas) * 2 - 1
    poles, wrap = pole_gradient_ratio(every), wrap_gradient_ratio(every, 1 / 16)
    numbers = (poles.mean(), poles.median(), poles.max(), wrap.mean(), wrap.max())
    return [seconds, *(float(number) for number in numbers)]


def write(folder: Path, name: str, panorama: torch.Tensor) -> None:
    """Write a panorama and the views up and down, side by side."""
    image = panorama[None] * 2 - 1
    size = panorama.shape[-2]
    views = [look(image, Camera(pitch_degrees=pitch, fov_degrees=100, width=size, height=size)) for pitch in (90, -90)]
    folder.mkdir(parents=True, exist_ok=True)
    save_image(torch.cat([image, *views], dim=-1)[0], folder / f"{name}.png")


if __name__ == "__main__":
    cli.run(main)
