"""Autoencoders beside each other and beside linear coding, on the validation views of a config.

python benchmarks/autoencoders.py --vae assets/embedded logs/decoder/final --lpips lpips_vgg.safetensors \\
    [--linear 8x8 16x16 16x24] [--picture compared.png] [-b config/embedded/decoder.yaml] [key.sub=value ...]

Prints a Markdown table: numbers that stand for 8x8 pixels, latent pixels of a view, PSNR, SSIM, LPIPS, and sharpness:
the mean difference between neighbouring pixels as a share of the true one. ``--linear 16x24``: 24 principal components
of 16x16 pixels, fitted to the training's views at the validation's field of view. The picture shows some views and what
each autoencoder makes of them.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from aognet.system import threads  # noqa: E402

threads.settle()

from benchmarks.latent_shapes import linear  # noqa: E402
from benchmarks.tables import table  # noqa: E402

HEAD = ("autoencoder", "numbers", "latent pixels", "PSNR", "SSIM", "LPIPS", "sharpness")
FITTED = 400
PICTURED = 6


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("-b", "--base", type=Path, default=ROOT / "config" / "embedded" / "decoder.yaml", metavar="YAML")
    add("--vae", type=Path, nargs="*", default=[], help="folders that hold a vae")
    add("--linear", nargs="*", default=[], metavar="BLOCKxCHANNELS")
    add("--lpips", required=True, metavar="FILE", help="LPIPS weights: a safetensors file")
    add("--views", type=int, default=64, help="measured on so many views (default: %(default)s)")
    add("--picture", type=Path, help="a PNG to look at")
    add("overrides", nargs="*", metavar="key.sub=value", help="settings that override the config")
    options = parser.parse_intermixed_args(argv)
    import torch

    from aognet.perception.lpips import PerceptualDistance
    from aognet.training.preview import image_grid, write_png

    distance = PerceptualDistance.load(options.lpips, torch.device("cpu"))
    shown = views(options, "validation", options.views)
    rows, pictured = [], {"true": shown[:PICTURED]}
    fitted = views(options, "train", FITTED) if options.linear else None
    for shape in options.linear:
        block, channels = map(int, shape.split("x"))
        output = linear(fitted, shown, channels, block)
        rows.append([f"linear, factor {block}, {channels} channels", *judge(shown, output, block, channels, distance)])
    for folder in options.vae:
        output, factor, channels = decoded(folder, shown)
        rows.append([str(folder), *judge(shown, output, factor, channels, distance)])
        pictured[str(folder)] = output[:PICTURED]
    sys.stdout.write(table(HEAD, rows))
    if options.picture:
        write_png(options.picture, image_grid(pictured))


def views(options: argparse.Namespace, split: str, count: int):
    """Views of a split of the data, seen as validation sees."""
    import torch

    from aognet.config import load_config
    from aognet.targets import build

    size = [f"data.train.{key}=${{data.validation.{key}}}" for key in ("size", "fov_degrees")]
    samples = build(load_config([options.base], [*options.overrides, *size]).section("data").section(split))
    return torch.stack([samples[number].image for number in range(count)])


def decoded(folder: Path, shown):
    """Views encoded and decoded, the factor and the number of latent channels."""
    import torch
    from diffusers import AutoencoderKL

    from aognet.diffusion.loading import load_weights

    vae = load_weights(AutoencoderKL, folder, "vae")
    with torch.no_grad():
        latents = [vae.encode(part).latent_dist.mode() for part in shown.split(8)]
        output = torch.cat([vae.decode(part).sample for part in latents]).clamp(-1, 1)
    return output, shown.shape[-1] // latents[0].shape[-1], latents[0].shape[1]


def judge(shown, output, factor: int, channels: int, distance) -> list[object]:
    """The rest of a row."""
    import torch

    from aognet.metrics.psnr import psnr
    from aognet.metrics.sharpness import view_sharpness
    from aognet.metrics.ssim import ssim

    lpips = torch.cat(
        [distance.distance(one, other) for one, other in zip(output.split(8), shown.split(8), strict=True)]
    )
    sharpness = float(view_sharpness(output, shown))
    numbers, pixels = str(channels * 64 // factor**2), str((shown.shape[-1] // factor) ** 2)
    scores = (psnr(output, shown).mean(), ssim(output, shown).mean(), lpips.mean())
    return [numbers, pixels, *map(float, scores), sharpness]


if __name__ == "__main__":
    main()
