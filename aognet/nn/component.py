"""What a method says of each network that it runs, so that whoever places the method knows how."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from torch import nn


@dataclass(frozen=True)
class Component:
    """A network of a method, as `aognet.diffusion.execution` places it.

    ``module``: the network, or a module that calls it. ``waits``: it may wait on the CPU while another component runs;
    only for networks that run a few times per picture. ``compiled``: the networks in it that ``torch.compile`` serves.
    ``channels_last``: its convolutions are faster on interleaved channels. ``half``: its weights may be held in half
    precision; those of small trained parts, and of a network that overflows there, may not. ``save_memory``: makes it
    take less memory.
    """

    module: nn.Module
    waits: bool = False
    compiled: tuple[nn.Module, ...] = ()
    channels_last: bool = False
    half: bool = False
    save_memory: Callable[[], None] | None = None


Components = Mapping[str, Component]
