"""Random numbers that belong to a sample, not to a batch or a device.

Every row of a batch has its own seed. What is drawn for a row depends on that seed and on a stream number (one per use:
noise, timesteps, dropout, ...). So two processes with half the batch each draw what one process draws.
"""

import hashlib
from collections.abc import Iterable, Sequence

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

Generators = torch.Generator | Sequence[torch.Generator]


def generators(seeds: Int64[Tensor, "batch"] | Iterable[int], stream: int = 0) -> list[torch.Generator]:
    """Return one CPU generator per seed. Different streams of one seed are independent of each other."""
    rows = seeds.tolist() if isinstance(seeds, Tensor) else seeds
    states = (np.random.SeedSequence([int(seed) % 2**64, stream]).generate_state(1, np.uint64) for seed in rows)
    return [torch.Generator().manual_seed(int(state[0])) for state in states]


def named_seed(seed: int, name: str, number: int = 0) -> int:
    """Return the seed, of 63 bits, of a panorama's view: its own for every seed, name and number.

    What is made together with it, where and when does not change it.
    """
    words = f"{seed} {number} {name}".encode(errors="surrogatepass")
    return int.from_bytes(hashlib.blake2b(words, digest_size=8).digest()) >> 1


def normal(
    shape: Sequence[int],
    source: Generators,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
) -> Tensor:
    """Return standard normal numbers: row i from ``source[i]``, or the whole batch from a single generator.

    They are drawn in float32 on the generator's own device, so they do not depend on ``device`` and ``dtype``.
    """
    if isinstance(source, torch.Generator):
        drawn = torch.randn(tuple(shape), generator=source, device=source.device)
    elif len(source) != shape[0]:
        raise ValueError(f"{len(source)} generators for a batch of {shape[0]}")
    else:
        drawn = torch.stack([torch.randn(tuple(shape[1:]), generator=row, device=row.device) for row in source])
    return drawn.to(device=device, dtype=dtype)


def noise_like(
    latents: Float[Tensor, "batch *rest"], seeds: Int64[Tensor, "batch"], stream: int
) -> Float[Tensor, "batch *rest"]:
    """Return standard normal noise with the shape, device and dtype of ``latents``. Row i depends only on
    ``seeds[i]``.
    """
    return normal(latents.shape, generators(seeds, stream), latents.device, latents.dtype)


def uniform(seeds: Int64[Tensor, "batch"], stream: int) -> Float[Tensor, "batch"]:
    """Return one number in [0, 1) per row, on the device of ``seeds``."""
    return torch.cat([torch.rand(1, generator=row) for row in generators(seeds, stream)]).to(seeds.device)


def uniform_timesteps(
    seeds: Int64[Tensor, "batch"], count: int, device: torch.device | str, stream: int
) -> Int64[Tensor, "batch"]:
    """Return one training timestep in 0..count-1 per row."""
    drawn = [torch.randint(count, (1,), generator=row) for row in generators(seeds, stream)]
    return torch.cat(drawn).to(device)
