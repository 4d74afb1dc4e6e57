"""How a method's networks run when it generates: device, memory layout, precision, compilation.

All of it follows from the method's ``components()``, whatever networks these are. Except for rounding, none of it
changes what is generated.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import RLock
from typing import Any, Protocol, runtime_checkable

import torch
from torch import nn

from aognet.diffusion.loading import quiet
from aognet.nn.component import Component, Components
from aognet.system.home import default_folder, expanded
from aognet.system.transfer import Network, to_memory_format

KERNELS = "TORCHINDUCTOR_CACHE_DIR"


@runtime_checkable
class Placeable(Protocol):
    """A method that says which networks it runs."""

    def components(self) -> Components:
        """Return its networks by name."""


@dataclass(frozen=True)
class ExecutionConfig:
    """How networks run.

    ``channels_last``: convolutions on interleaved channels, which fast kernels need. ``compile``: the UNet through
    ``torch.compile``, on CUDA as a graph that is replayed; the first panorama waits for it, and the kernels are kept on
    disk. ``save_memory``: text and image encoders wait on the CPU while another network works, and the VAE takes one
    image at a time, large ones in bands (CubeDiff's decoder: the six faces of a cube).
    """

    channels_last: bool = True
    compile: bool = False
    save_memory: bool = False


def place(method: Network, config: ExecutionConfig, device: torch.device) -> Network:
    """Return a `Placeable` method in evaluation mode on a device, run as the configuration says."""
    placed: Any = method.eval().to(device)
    components = list(placed.components().values())
    if config.save_memory:
        save_memory(components)
        wait_on_cpu(components, device)
    for component in components:
        if config.channels_last and component.channels_last:
            to_memory_format(component.module, torch.channels_last)
    if config.compile:
        keep_kernels()
        for network in (network for component in components for network in component.compiled):
            network.compile(mode="reduce-overhead" if device.type == "cuda" else "default")
    return method


def cast(method: Placeable, dtype: torch.dtype) -> None:
    """Hold a method's weights in another precision, except those that must stay in float32."""
    with quiet():
        for component in method.components().values():
            if component.half:
                component.module.to(dtype)


def save_memory(components: Sequence[Component]) -> None:
    """Let networks that can do with less memory do so."""
    for component in components:
        if component.save_memory is not None:
            component.save_memory()


def keep_kernels() -> None:
    """Let compiled kernels survive a restart of the machine, unless the user says where they are to be kept."""
    chosen = os.environ.get(KERNELS)
    # Torch has written down its own choice by now, a folder of this name among the temporary ones.
    if chosen is None or Path(chosen).name.startswith("torchinductor_"):
        os.environ[KERNELS] = str(expanded(default_folder("kernels")))


def wait_on_cpu(components: Sequence[Component], device: torch.device) -> None:
    """Let the components that can wait move to the device when they are called, and back when another one is called.

    One component runs at a time, so that one thread does not move what another one computes with.
    """
    from accelerate.utils import send_to_device

    waiting, turn = [component.module for component in components if component.waits], RLock()

    def leave(running: nn.Module) -> None:
        for module in waiting:
            if module is not running and module.device.type != "cpu":
                module.to("cpu")

    def begin(module: nn.Module, args: tuple, options: dict[str, Any]) -> tuple[tuple, dict[str, Any]] | None:
        turn.acquire()
        leave(module)
        if module not in waiting:
            return None
        module.to(device)
        moved: Any = send_to_device((args, options), device)
        return moved

    for component in components:
        if component.waits:
            component.module.to("cpu")
        component.module.register_forward_pre_hook(begin, with_kwargs=True)
        component.module.register_forward_hook(lambda *_: turn.release(), always_call=True)
