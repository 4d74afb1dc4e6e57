"""Panoramas whose layers wrap around: as diffusers makes them, as published, and as Seamless makes them.

python benchmarks/seamless.py [--panoramas 12]

The published way (Coherent_Panorama_SD, 2024) wraps the padding of the UNet's and the VAE's own convolutions. It leaves
the encoder's downsampling, which pads by itself, and the ControlNet as they are.

The first table has the roll error: how far a network's answer to a rolled input is from its rolled answer, relative to
the greatest number in it (double precision, rolls by one to three times the stride; 0: no seam). The second table has
ratios of panoramas from words alone by the embedded backbone: differences across the wrap, and across the poles,
compared with those beside them (1: like any other place).
"""

import argparse
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from aognet.system import threads  # noqa: E402

threads.settle()

import torch  # noqa: E402
from torch import Tensor, nn  # noqa: E402

from aognet.diffusion.backbone import Backbone, BackboneConfig  # noqa: E402
from aognet.diffusion.condition import ControlImage, TextCondition  # noqa: E402
from aognet.nn.circular import CircularConv2d, wrap_around  # noqa: E402
from benchmarks.tables import table  # noqa: E402

EMBEDDED = ROOT / "assets" / "embedded"
ROWS, COLUMNS = 16, 32
"""The latents whose rolls are measured."""
PROMPTS = (
    *("a sunny meadow with flowers under a blue sky", "a beach at sunset", "a mountain lake with snowy peaks"),
    *("a cozy living room with a sofa", "an empty hall with large windows", "a street between old houses at night"),
)
STEPS, GUIDANCE = 20, 2.0


def plain(backbone: Backbone) -> None:
    """Leave a backbone as it is."""


def published(backbone: Backbone) -> None:
    """Wrap what the public code wraps."""
    for network in (backbone.denoiser.unet, backbone.latents.vae):
        for layer in network.modules():
            if type(layer) is nn.Conv2d and layer.padding != (0, 0):
                layer.__class__ = CircularConv2d


def ours(backbone: Backbone) -> None:
    """Wrap what `Seamless` wraps."""
    for network in (backbone.denoiser, backbone.latents.vae):
        wrap_around(network)


WAYS: dict[str, Callable[[Backbone], None]] = {"plain": plain, "published": published, "ours": ours}


@dataclass(frozen=True)
class Network:
    """A network as a function of one image of ``channels`` x ``ROWS * size`` x ``COLUMNS * size`` numbers.

    Its answer is ``answer`` times as wide as the latents. It is rolled by multiples of ``stride`` latent columns.
    """

    call: Callable[[Tensor], Tensor]
    channels: int
    size: int
    answer: int
    stride: int

    @torch.no_grad()
    def roll_error(self) -> float:
        """Return the greatest error of three rolls, relative to the greatest number of the answer."""
        source = torch.Generator().manual_seed(1)
        shown = torch.randn(1, self.channels, ROWS * self.size, COLUMNS * self.size, generator=source).double()
        made, errors = self.call(shown), []
        for columns in (self.stride, 2 * self.stride, 3 * self.stride):
            again = self.call(shown.roll(columns * self.size, -1))
            errors.append((again - made.roll(columns * self.answer, -1)).abs().max() / made.abs().max())
        return float(max(errors))


def networks(backbone: Backbone) -> dict[str, Network]:
    """The networks of a backbone in double precision, the last one with its ControlNet."""
    backbone = backbone.double()
    denoiser, vae, scale = backbone.denoiser, backbone.latents.vae, backbone.latents.scale
    stride, latent = 2 ** (len(denoiser.down_channels) - 1), backbone.latents.channels
    source = torch.Generator().manual_seed(2)
    pooled = torch.randn(1, denoiser.pooled_dim, generator=source).double() if denoiser.pooled_dim else None
    text = TextCondition(torch.randn(1, 77, denoiser.context_dim, generator=source).double(), pooled)
    sizes = torch.full((1, 6), 512.0, dtype=torch.float64) if denoiser.has_added_conditions else None
    time = torch.tensor([500])

    def controlled(shown: Tensor) -> Tensor:
        """The control image; the UNet's input is its mean, so that both roll."""
        small = nn.functional.avg_pool2d(shown, scale)
        inputs = small.mean(1, keepdim=True).expand(-1, denoiser.in_channels, -1, -1)
        return denoiser(inputs, time, text, sizes, controls=[ControlImage(shown)])

    return {
        "VAE encoder": Network(lambda x: vae.encode(x).latent_dist.mean, 3, scale, 1, 1),
        "VAE decoder": Network(lambda x: vae.decode(x).sample, latent, 1, scale, 1),
        "UNet": Network(lambda x: denoiser(x, time, text, sizes), denoiser.in_channels, 1, 1, stride),
        "UNet with ControlNet": Network(controlled, 3, scale, 1, stride),
    }


def backbones() -> dict[str, Callable[[], Backbone]]:
    """Makers of backbones by name, each with a ControlNet of random weights."""
    from benchmarks.sd2 import TINY, sd2_backbone

    return {
        "tiny SD 2, random": lambda: _with_control(sd2_backbone(4, TINY)),
        "tiny SDXL, random": lambda: _with_control(_tiny_sdxl()),
        "embedded": lambda: _with_control(Backbone.load(BackboneConfig(str(EMBEDDED)))),
    }


def _tiny_sdxl() -> Backbone:
    """SDXL's three levels in small, without text towers: the benchmark makes its texts itself."""
    from diffusers import UNet2DConditionModel

    from benchmarks.sd2 import TINY, sd2_backbone

    backbone = sd2_backbone(4, TINY)
    unet = UNet2DConditionModel(
        in_channels=4, out_channels=4, sample_size=64, block_out_channels=(32, 64, 64), layers_per_block=2,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        transformer_layers_per_block=(1, 2, 4), cross_attention_dim=TINY.words, attention_head_dim=(1, 2, 2),
        use_linear_projection=True, addition_embed_type="text_time", addition_time_embed_dim=8,
        projection_class_embeddings_input_dim=6 * 8 + TINY.words,
    )  # fmt: skip
    backbone.denoiser = type(backbone.denoiser)(unet)
    return backbone


def _with_control(backbone: Backbone) -> Backbone:
    """Add a ControlNet with the UNet's encoder, and zero convolutions that are not zero, as if it had been trained."""
    from aognet.diffusion.controlnets import from_unet

    levels = len(backbone.latents.vae.config.block_out_channels)
    network = from_unet(backbone.denoiser.unet, (8, 16, 32, 64)[:levels])
    for layer in (*network.controlnet_down_blocks, network.controlnet_mid_block):
        nn.init.normal_(layer.weight, std=0.1)
    nn.init.normal_(network.controlnet_cond_embedding.conv_out.weight, std=0.1)
    backbone.denoiser = type(backbone.denoiser)(backbone.denoiser.unet, [network])
    return backbone


def roll_errors() -> Iterator[list[object]]:
    """The rows of the first table."""
    for name, make in backbones().items():
        found: dict[str, list[float]] = {}
        for change in WAYS.values():
            torch.manual_seed(0)
            backbone = make()
            change(backbone)
            for part, network in networks(backbone).items():
                found.setdefault(part, []).append(network.roll_error())
        for part, errors in found.items():
            yield [f"{name}: {part}", *errors]


def ratios(count: int, height: int) -> Iterator[list[object]]:
    """The rows of the second table: the means of both ratios over ``count`` panoramas."""
    from aognet.metrics.seam import pole_gradient_ratio, wrap_gradient_ratio

    for name, change in WAYS.items():
        backbone = Backbone.load(BackboneConfig(str(EMBEDDED)))
        change(backbone)
        made = torch.cat([_panorama(backbone, number, height) for number in range(count)])
        near = float(wrap_gradient_ratio(made, reach=1 / 32).mean())
        yield [name, near, float(pole_gradient_ratio(made).mean())]


def _panorama(backbone: Backbone, number: int, height: int) -> Tensor:
    from aognet.diffusion.inpaint import TextContext, inpaint
    from aognet.diffusion.sampling.noise import generators
    from aognet.diffusion.sampling.sampler import SamplerConfig

    source = generators([number])
    nothing = torch.zeros(1, 3, height, 2 * height), torch.zeros(1, 1, height, 2 * height, dtype=torch.bool)
    condition = backbone.prepare_condition(*nothing, source)
    context = TextContext.of_prompts(backbone, [PROMPTS[number % len(PROMPTS)]])
    return inpaint(backbone, condition, context, SamplerConfig("euler", STEPS, GUIDANCE), source)


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--panoramas", type=int, default=12, help="how many panoramas each way paints")
    parser.add_argument("--height", type=int, default=256, help="their rows")
    options: Any = parser.parse_args(argv)
    sys.stdout.write(table(["roll error", *WAYS], list(roll_errors())) + "\n")
    rows = list(ratios(options.panoramas, options.height))
    sys.stdout.write(table(["embedded", "wrap ratio", "pole ratio"], rows))


if __name__ == "__main__":
    main()
