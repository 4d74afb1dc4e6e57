"""How much of what true views have is in painted ones: the power of latents from coarse to fine, and the sharpness.

python benchmarks/painted_latents.py --backbones assets/embedded logs/model --samplers euler-a:32:1.5 lcm:4:1 \\
    [--views 48] [--picture compared.png] [-b config/embedded/unet.yaml] [key.sub=value ...]

Prints a Markdown table. Views are those of the config's validation. *Nothing*: they are painted of their captions
alone. Powers are those of unknown latents, as a share of the true ones, by how many waves lie across the view; a view
that is the mean of all that could be there has too little. *Sharpness*: the mean difference between neighbouring
unknown pixels, as a share of the true one behind the same decoder.
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

from benchmarks.tables import table  # noqa: E402

BANDS = ((0, 1), (1, 2), (2, 4), (4, 6), (6, 9))
NAMES = ("mean", "1 wave", "2 to 3", "4 to 5", "6 to 8")
HEAD = ("backbone", "sampler", "known", "core seconds a view", *NAMES, "sharpness")
TOGETHER, PICTURED = 8, 8


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("-b", "--base", type=Path, default=ROOT / "config" / "embedded" / "unet.yaml", metavar="YAML")
    add("--backbones", nargs="+", default=["assets/embedded"], help="folders of whole models")
    add("--samplers", nargs="+", default=["lcm:4:1"], metavar="SCHEDULER:STEPS:GUIDANCE")
    add("--views", type=int, default=48)
    add("--picture", type=Path, help="a PNG to look at")
    add("overrides", nargs="*", metavar="key.sub=value", help="settings that override the config")
    options = parser.parse_intermixed_args(argv)
    from aognet.config import load_config
    from aognet.diffusion.backbone import Backbone, BackboneConfig
    from aognet.targets import build
    from aognet.training.preview import image_grid, write_png

    samples = build(load_config([options.base], options.overrides).section("data").section("validation"))
    batch = samples.collate([samples[number] for number in range(options.views)])
    rows, pictured = [], {"true": batch.view[:PICTURED], "known": (batch.view * batch.known)[:PICTURED]}
    for folder in options.backbones:
        backbone = Backbone.load(BackboneConfig(folder)).eval()
        for text in options.samplers:
            for known in (True, False):
                cells, images = row(backbone, batch, text, known)
                rows.append([folder, text, "a part" if known else "nothing", *cells])
                pictured[f"{folder} {text} {'' if known else 'nothing'}"] = images[:PICTURED]
    sys.stdout.write(table(HEAD, rows))
    if options.picture:
        write_png(options.picture, image_grid(pictured))


def row(backbone, batch, text: str, is_known: bool):
    """The numbers of one way to paint, and its images."""
    import torch
    from torch.nn import functional

    from aognet.metrics.sharpness import view_sharpness

    known = batch.known & is_known
    started = time.process_time()
    painted = paint(backbone, batch, known, sampler_of(text))
    seconds = (time.process_time() - started) / len(known)
    with torch.inference_mode():
        true = torch.cat([backbone.latents.encode(part) for part in batch.view.split(TOGETHER)])
        images, shown = (
            torch.cat([backbone.latents.decode(part) for part in each.split(TOGETHER)]) for each in (painted, true)
        )
    mask = functional.interpolate((~known).float(), size=true.shape[-2:])
    powers = [of / max(to, 1e-12) for of, to in zip(power(painted * mask), power(true * mask), strict=True)]
    return [seconds, *(value**0.5 for value in powers), view_sharpness(images, shown, ~known).item()], images


def sampler_of(text: str):
    """The settings that SCHEDULER:STEPS:GUIDANCE says."""
    from aognet.diffusion.sampling.sampler import SamplerConfig

    scheduler, steps, guidance = text.split(":")
    return SamplerConfig(scheduler=scheduler, steps=int(steps), guidance=float(guidance))


def paint(backbone, batch, known, sampler):
    """Painted latents."""
    import torch

    from aognet.diffusion.inpaint import TextContext, inpaint_latents
    from aognet.diffusion.sampling.noise import generators

    found = []
    for rows in torch.arange(len(known)).split(TOGETHER):
        source = generators(batch.seeds[rows])
        condition = backbone.prepare_condition(batch.view[rows] * known[rows], known[rows], source)
        context = TextContext.of_prompts(backbone, [batch.prompts[number] for number in rows])
        found.append(inpaint_latents(backbone, condition, context, sampler, source))
    return torch.cat(found)


def power(latents) -> list[float]:
    """The mean power of each band."""
    import torch

    side = latents.shape[-1]
    spectrum = torch.fft.fft2(latents, norm="ortho").abs().square().mean((0, 1))
    waves = torch.fft.fftfreq(side) * side
    radius = (waves[:, None].square() + waves.square()).sqrt()
    return [spectrum[(radius >= low) & (radius < high)].mean().item() for low, high in BANDS]


if __name__ == "__main__":
    main()
