"""A function of many rows, a few of them at a time, with what it does not keep computed again (Chen et al. 2016)."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint


def in_parts(function: Callable[..., Tensor], at_once: int | None, *rows: Tensor) -> Tensor:
    """Return ``function(*rows)``, which makes each row of its result from the rows of that number alone.

    ``at_once``: so many rows are computed at once, and again where a gradient needs what lies between: less memory,
    more time. None: all at once, and everything is kept. The function may draw no random numbers.
    """
    if at_once is None:
        return function(*rows)
    parts = zip(*(one.split(at_once) for one in rows), strict=True)
    return torch.cat([checkpoint(function, *part, use_reentrant=False, preserve_rng_state=False) for part in parts])
