"""What the poles of seamless panoramas look like, by what the layers see beyond them, and polished or not.

python benchmarks/poles.py --out_dir outputs/poles [--checkpoint DIR] [--set generator.sampler.steps=50 ...]

Paints the same prompts from the same noise in each way, and writes panoramas and the views up and down. Prints a
Markdown table: the pole ratio (1: the pole is like the rows beside it) and the wrap ratio, over all panoramas.
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
from aognet.methods.seamless.poles import poles_to_paint, polished  # noqa: E402
from aognet.metrics.seam import pole_gradient_ratio, wrap_gradient_ratio  # noqa: E402
from benchmarks.tables import table  # noqa: E402

PROMPTS = (
    "A beach under a blue sky.",
    "A meadow with trees.",
    "A living room with a sofa.",
    "A field covered with snow.",
)
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
    rows = [row for poles in ("none", "flip") for row in measured(options, poles)]
    sys.stdout.write(table(("poles", "seconds each", *NUMBERS), rows))


def measured(options: argparse.Namespace, poles: str) -> list[tuple[object, ...]]:
    """The rows of panoramas that are painted with these ``poles``, and of the same ones polished."""
    here = [f"generator.height={options.height}", f"generator.poles={poles}", "device=cpu", *SAMPLER, *options.set]
    generator = load(options.checkpoint, settings=["method=seamless", *here])
    backbone, settings = generator.model.backbone, generator.defaults.settings
    seconds, found = {poles: 0.0, f"{poles}, polished": 0.0}, {poles: [], f"{poles}, polished": []}
    for prompt in PROMPTS:
        for seed in range(options.seeds):
            request = Request(prompt, name=f"{prompt[:-1]} {seed}".replace(" ", "_"), seed=seed, height=options.height)
            image = None
            for way in found:
                began = time.perf_counter()
                if image is None:
                    image = generator.generate(request).panorama[None] * 2 - 1
                else:
                    nothing = torch.zeros_like(image[:, :1], dtype=torch.bool)
                    image = polished(backbone, poles_to_paint(backbone, request, settings, image, nothing))
                seconds[way] += time.perf_counter() - began
                found[way].append(image)
                write(options.out_dir / way, request.name, image)
    return [(way, seconds[way] / len(images), *numbers(torch.cat(images))) for way, images in found.items()]


def numbers(panoramas: torch.Tensor) -> list[float]:
    """What the table says of panoramas."""
    poles, wrap = pole_gradient_ratio(panoramas), wrap_gradient_ratio(panoramas, 1 / 16)
    return [float(number) for number in (poles.mean(), poles.median(), poles.max(), wrap.mean(), wrap.max())]


def write(folder: Path, name: str, image: torch.Tensor) -> None:
    """Write a panorama and the views up and down, side by side."""
    size = image.shape[-2]
    views = [look(image, Camera(pitch_degrees=pitch, fov_degrees=100, width=size, height=size)) for pitch in (90, -90)]
    folder.mkdir(parents=True, exist_ok=True)
    save_image(torch.cat([image, *views], dim=-1)[0], folder / f"{name}.png")


if __name__ == "__main__":
    cli.run(main)
