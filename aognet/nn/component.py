"""What a method says about each network that it runs, for whoever places the method on devices."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from torch import nn


@dataclass(frozen=True)
class Component:
    """A network of a method, as `aognet.diffusion.execution` places it.

    ``module`` is the network, or a module that calls it. ``waits``: it may wait on the CPU while another component
    runs; only for networks that run a few times per picture. ``compiled``: the networks in it that ``torch.compile``
    speeds up. ``channels_last``: its convolutions are faster on interleaved channels. ``half``: its weights may be in
    half precision, which is not so for small trained parts and for networks that overflow there. ``save_memory`` is a
    function that makes it use less memory.
    """

    module: nn.Module
    waits: bool = False
    compiled: tuple[nn.Module, ...] = ()
    channels_last: bool = False
    half: bool = False
    save_memory: Callable[[], None] | None = None


Components = Mapping[str, Component]
