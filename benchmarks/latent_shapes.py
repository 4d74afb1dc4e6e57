"""What the embedded model's autoencoder could look like: short trainings of config/embedded/vae.yaml in several shapes.

python benchmarks/latent_shapes.py --out_dir logs/latent_shapes [--steps 1000] [--jobs 2] [key.sub=value ...]

Every shape learns from the same samples in the same order. Prints a Markdown table: how many numbers stand for 8x8
pixels, how many latent pixels a UNet has of a view of 256 pixels, PSNR and SSIM on the validation rows, and how large
differences of brightness and of colours (means of 8x8 pixels) come out, as a share of what they were (regression
slope). Below stands what the whole training came to. The baseline is the best linear coding of 8x8 blocks, principal
components, fitted to the same kind of views.
"""

import argparse
import json
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from aognet.system import threads  # noqa: E402

threads.settle()

from benchmarks.tables import table  # noqa: E402

CONFIG = ROOT / "config" / "embedded" / "vae.yaml"
VIEWS = 64  # fitted to and measured on so many views
BLOCK = 8
SHAPES = {
    "factor 8, 4 channels": {"model.latent_channels": 4},
    "factor 8, 8 channels": {},
    "factor 8, 16 channels": {"model.latent_channels": 16},
    "factor 4, 4 channels": {"model.channels": [16, 32, 64], "model.latent_channels": 4},
    "factor 8, 8 channels, no guide": {"model.guide_weight": 0},
    "factor 8, 8 channels, groups of 8 in its norms": {"model.groups": 8},
}
HEAD = ("shape", "numbers", "latent pixels", "PSNR", "SSIM", "brightness", "red - green", "blue - green")


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out_dir", type=Path, required=True, help="a folder for each training is made here")
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--jobs", type=int, default=1, help="trainings side by side, a thread each")
    parser.add_argument("overrides", nargs="*", metavar="key.sub=value", help="passed on to main.py")
    options = parser.parse_args(argv)
    options.out_dir = options.out_dir.resolve()
    with ThreadPoolExecutor(options.jobs) as pool:
        list(pool.map(lambda title: train(title, options), SHAPES))
    fitted, shown = (views(split, options.overrides) for split in ("train", "validation"))
    rows = [
        [f"linear, {count} numbers", str(count), "-", *judge(shown, linear(fitted, shown, count))] for count in (8, 16)
    ]
    rows += [[title, *measure(options.out_dir / slug(title) / "final" / "vae", shown)] for title in SHAPES]
    rows.append(["the embedded model's, whole training", *measure(ROOT / "assets" / "embedded" / "vae", shown)])
    sys.stdout.write(table(HEAD, rows))


def slug(title: str) -> str:
    """The folder of a shape."""
    return title.replace(",", "").replace(" ", "_")


def train(title: str, options: argparse.Namespace) -> None:
    """A short training, unless it is there already."""
    if (options.out_dir / slug(title) / "final").is_dir():
        return
    settings = {
        "trainer.max_steps": options.steps,
        "trainer.validate_every": options.steps,
        "trainer.images_every": 0,
        "trainer.threads": 1,
        **SHAPES[title],
    }
    command = [sys.executable, str(ROOT / "main.py"), "-b", str(CONFIG), "--out_dir", str(options.out_dir)]
    overrides = [f"{key}={json.dumps(value)}" for key, value in settings.items()]
    subprocess.run([*command, "-n", slug(title), *options.overrides, *overrides], check=True)


def views(split: str, overrides: Sequence[str]):
    """Views of a split of the training's data, as large as the validation's."""
    import torch

    from aognet.config import load_config
    from aognet.targets import build

    size = [f"data.train.{key}=${{data.validation.{key}}}" for key in ("size", "fov_degrees")]
    samples = build(load_config([CONFIG], [*overrides, *size]).section("data").section(split))
    return torch.stack([samples[number].image for number in range(VIEWS)])


def linear(fitted, shown, count: int, block: int = BLOCK):
    """Blocks of ``block`` x ``block`` pixels projected on the ``count`` principal components of blocks."""
    import torch
    from torch.nn.functional import fold, unfold

    blocks, inputs = (unfold(images, block, stride=block).movedim(1, -1) for images in (fitted, shown))
    mean = blocks.mean((0, 1))
    axes = torch.linalg.eigh(torch.cov((blocks - mean).flatten(0, 1).T)).eigenvectors[:, -count:]
    outputs = (inputs - mean) @ axes @ axes.T + mean
    return fold(outputs.movedim(-1, 1), shown.shape[-2:], block, stride=block).clamp(-1, 1)


def measure(weights: Path, shown) -> list[object]:
    """The rest of a trained autoencoder's row."""
    import torch
    from diffusers import AutoencoderKL

    vae: Any = AutoencoderKL.from_pretrained(weights, torch_dtype=torch.float32)
    vae.eval()
    with torch.no_grad():
        latents = vae.encode(shown).latent_dist.mean
        outputs = vae.decode(latents).sample.clamp(-1, 1)
    factor = shown.shape[-1] // latents.shape[-1]
    numbers = latents.shape[1] * (BLOCK // factor) ** 2
    return [str(numbers), str((256 // factor) ** 2), *judge(shown, outputs)]


def judge(shown, outputs) -> list[float]:
    """PSNR, SSIM, and slopes of brightness and colour differences."""
    from torch.nn.functional import avg_pool2d

    from aognet.metrics.psnr import psnr
    from aognet.metrics.ssim import ssim

    slopes = []
    for before, after in zip(opponents(avg_pool2d(shown, BLOCK)), opponents(avg_pool2d(outputs, BLOCK)), strict=True):
        centred = before - before.mean()
        slopes.append(((centred * (after - after.mean())).sum() / centred.square().sum()).item())
    return [psnr(outputs, shown).mean().item(), ssim(outputs, shown).mean().item(), *slopes]


def opponents(images):
    """Brightness, red minus green, blue minus green."""
    red, green, blue = images.unbind(1)
    return (red + green + blue) / 3, red - green, blue - green


if __name__ == "__main__":
    main()
