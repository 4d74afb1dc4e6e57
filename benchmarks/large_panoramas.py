"""Memory and time of a VAE that takes a large panorama whole, and in bands.

python benchmarks/large_panoramas.py [--heights 1024 2048] [--seconds_at 1024]

The first table is of Stable Diffusion's VAE (83.7 million weights), on tensors that have a shape and a type but no
memory: the most gigabytes (1e9 bytes) that are there at a time besides the weights. The second is of the embedded VAE,
with numbers: its seconds, and the greatest difference of what comes out.
"""

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from aognet.system import threads  # noqa: E402

threads.settle()

import torch  # noqa: E402
from torch import Tensor  # noqa: E402

from aognet import cli  # noqa: E402
from aognet.diffusion import bands  # noqa: E402
from aognet.diffusion.latent_space import LARGE, LARGE_IF_SCARCE  # noqa: E402
from aognet.nn.circular import wrap_around  # noqa: E402
from benchmarks.memory_meter import MemoryMeter, Pretended  # noqa: E402
from benchmarks.sd2 import SD2, default_type  # noqa: E402
from benchmarks.tables import table  # noqa: E402

WAYS = {"whole": None, "in bands": LARGE, "in bands, save_memory": LARGE_IF_SCARCE}
HEAD = ("VAE", "panorama", *(f"{half}, {way}" for half in ("decoding", "encoding") for way in WAYS))

SECONDS = ("embedded VAE", "whole, s", "in bands, s", "in bands that keep nothing, s", "greatest difference")


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--heights", type=int, nargs="+", default=[1024, 2048], help="rows of the panoramas")
    parser.add_argument("--seconds_at", type=int, default=1024, help="rows of the panorama that is really taken")
    options = parser.parse_args(argv)
    rows = [
        (dtype, f"{height}x{2 * height}", *gigabytes(height, dtype))
        for dtype in ("float32", "float16")
        for height in options.heights
    ]
    sys.stdout.write(table(HEAD, rows) + "\n")
    sys.stdout.write(table(SECONDS, seconds(options.seconds_at)))


@torch.no_grad()
def gigabytes(height: int, dtype: str) -> list[float]:
    """The peaks of Stable Diffusion's VAE: decoding in each way, then encoding."""
    found = []
    for half in (decoded, encoded):
        for most in WAYS.values():
            mode = Pretended()
            with mode.everything(), default_type(dtype):
                vae = wrapping(sd_vae())
                given = torch.zeros(shape(vae, half, height))
            with mode, MemoryMeter([*vae.parameters(), given]) as meter:
                half(vae, given, most)
            found.append(meter.peak / 1e9)
    return found


@torch.no_grad()
def seconds(height: int) -> list[tuple[object, ...]]:
    """Of each half of the embedded VAE: the seconds in three ways, and the greatest difference of what comes out."""
    from diffusers import AutoencoderKL

    vae, rows = wrapping(AutoencoderKL.from_pretrained(ROOT / "assets" / "embedded" / "vae")), []
    for name, half in (("decoding", decoded), ("encoding", encoded)):
        given = torch.randn(shape(vae, half, height), generator=torch.Generator().manual_seed(0)).clamp(-1, 1)
        made, took = zip(*(timed(half, vae, given, most) for most in (None, LARGE, 0)), strict=True)
        difference = max(float((made[0] - other).abs().max()) for other in made[1:])
        rows.append((f"{name}, {height}x{2 * height}", *took, f"{difference:.1e}"))
    return rows


def timed(half: Callable[..., Tensor], *given: Any) -> tuple[Tensor, float]:
    """What comes out, and the seconds of the faster of two runs."""
    took = []
    for _ in range(2):
        began = time.perf_counter()
        result = half(*given)
        took.append(time.perf_counter() - began)
    return result, min(took)


def decoded(vae: Any, latents: Tensor, most: int | None) -> Tensor:
    """The image, whole for a ``most`` of None, else in bands that keep maps of so many bytes."""
    if most is None:
        return vae.decode(latents).sample
    return bands.decode(vae, latents, most // latents.dtype.itemsize)


def encoded(vae: Any, images: Tensor, most: int | None) -> Tensor:
    """The mean of the latents, in the same ways."""
    if most is None:
        return vae.encode(images).latent_dist.mean
    return bands.encode(vae, images, most // images.dtype.itemsize).mean


def shape(vae: Any, half: Callable[..., Tensor], height: int) -> tuple[int, ...]:
    """Of what a half is given."""
    if half is encoded:
        return 1, 3, height, 2 * height
    scale = 2 ** (len(vae.config.block_out_channels) - 1)
    return 1, vae.config.latent_channels, height // scale, 2 * height // scale


def wrapping(vae: Any) -> Any:
    """The VAE as Seamless has it."""
    wrap_around(vae.eval())
    return vae


def sd_vae() -> Any:
    """The VAE of Stable Diffusion and SDXL, made from nothing."""
    from diffusers import AutoencoderKL

    blocks = len(SD2.vae)
    return AutoencoderKL(
        block_out_channels=SD2.vae, down_block_types=("DownEncoderBlock2D",) * blocks,
        up_block_types=("UpDecoderBlock2D",) * blocks, layers_per_block=2, latent_channels=4,
    )  # fmt: skip


if __name__ == "__main__":
    cli.run(main)
