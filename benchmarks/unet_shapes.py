"""How many noised views a second small UNets of several shapes learn from, with fused and with plain attention.

python benchmarks/unet_shapes.py [--batch 64] [--threads 1]

Forward and backward passes under bfloat16 autocast, channels last, on latents of random numbers: 16x16 with 8 channels
(factor 8 of a view of 128 pixels) or 8x8 with 24 (factor 16). Seconds are those of the process, so that neighbours on
the machine count little.
"""

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from aognet.system import threads  # noqa: E402

threads.settle()

from benchmarks.tables import table  # noqa: E402

HEAD = ("latents", "channels", "attention", "million parameters", "fused, views/s", "plain, views/s")
REPEATS = 4
# Latent side, latent channels, UNet channels, which levels attend.
SHAPES = (
    (16, 8, (64, 96, 128, 144), (False, False, True, True)),
    (16, 8, (64, 96, 128, 128), (False, False, True, True)),
    (16, 8, (64, 96, 128, 128), (False, True, True, True)),
    (16, 8, (64, 112, 160), (False, False, True)),
    (8, 24, (96, 128, 144), (False, True, True)),
    (8, 24, (96, 128, 144), (True, True, True)),
    (8, 24, (128, 128, 128), (False, True, True)),
    (8, 24, (128, 192, 224), (True, True, True)),
)


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--batch", type=int, default=64, help="noised views together (default: %(default)s)")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args(argv)
    import torch

    torch.set_num_threads(options.threads)
    rows = [row(*shape, options.batch, options.threads) for shape in SHAPES]
    sys.stdout.write(table(HEAD, rows))


def row(
    side: int, latent_channels: int, channels: Sequence[int], attention: Sequence[bool], batch: int, threads: int
) -> list[object]:
    """One shape of a UNet in both ways."""
    import torch
    from diffusers.models.attention_processor import AttnProcessor2_0

    from aognet.embedded.inpainting.model import InpaintingTraining, new_unet, use_plain_attention

    config = InpaintingTraining.Config(
        vae="-", text="-", channels=tuple(channels), attention=tuple(attention), head_dim=32, groups=4
    )
    unet = new_unet(config, latent_channels, context_dim=160).to(memory_format=torch.channels_last)
    noisy = torch.randn(batch, 2 * latent_channels + 1, side, side).to(memory_format=torch.channels_last)
    timesteps, context = torch.randint(0, 1000, (batch,)), torch.randn(batch, 48, 160)

    def step() -> None:
        with torch.autocast("cpu", torch.bfloat16):
            predicted = unet(noisy, timesteps, encoder_hidden_states=context, return_dict=False)[0]
        predicted.float().square().mean().backward()

    speeds = []
    for use in (lambda: unet.set_attn_processor(AttnProcessor2_0()), lambda: use_plain_attention(unet)):
        use()
        speeds.append(batch * threads / seconds(step))
    levels = ", ".join(str(side >> level) for level, attends in enumerate(attention) if attends)
    size = sum(parameter.numel() for parameter in unet.parameters()) / 1e6
    return [f"{side}x{side}x{latent_channels}", ", ".join(map(str, channels)), f"at {levels}", size, *speeds]


def seconds(step: Callable[[], None]) -> float:
    """Processor seconds of a step, after one that warms up."""
    step()
    started = time.process_time()
    for _ in range(REPEATS):
        step()
    return (time.process_time() - started) / REPEATS


if __name__ == "__main__":
    main()
