"""Truncated z (Brock et al. 2019, section 3.1): the smaller its numbers, the better and the more alike the images."""

import torch
from jaxtyping import Float
from torch import Tensor

from aognet.diffusion.sampling.noise import generators
from aognet.errors import UserError

REACH = 2.0
"""Where the normal distribution is cut off, in standard deviations, before the truncation scales it."""


def check_truncation(truncation: float) -> None:
    """Raise UserError for a truncation outside of [0, 1]."""
    if not 0 <= truncation <= 1:
        raise UserError("must lie in [0, 1]", key="truncation", value=truncation)


def truncated_z(
    seeds: list[int], dim: int, truncation: float = 1.0, factor: float = 1.0, stream: int = 0
) -> Float[Tensor, "batch dim"]:
    """Return z: normal numbers between -2 and 2 times the truncation, then times the ``factor``.

    Row i comes from ``seeds[i]`` alone, by `aognet.diffusion.sampling.noise.generators` (one of torch's on the CPU for
    each seed and ``stream``): uniform numbers through the inverse of the cut distribution, so that the same seed gives
    the same z at every truncation, only smaller.

    :raises UserError: for a truncation outside of [0, 1].
    """
    check_truncation(truncation)
    uniform = torch.stack([torch.rand(dim, generator=row, dtype=torch.float64) for row in generators(seeds, stream)])
    lowest = torch.special.ndtr(torch.tensor(-REACH, dtype=torch.float64))
    normal = torch.special.ndtri(lowest + uniform * (1 - 2 * lowest)).clamp(-REACH, REACH)
    return (normal * truncation).float() * factor
