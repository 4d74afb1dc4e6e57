"""How a method's networks are run when it paints: memory layout, compilation, what waits off the device.

None of it changes what is painted but by rounding.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from aognet.geometry.cubemap import FACES
from aognet.home import default_folder, expanded

KERNELS = "TORCHINDUCTOR_CACHE_DIR"


@dataclass(frozen=True)
class ExecutionConfig:
    """``channels_last``: convolutions on interleaved channels, as the fast kernels want them. ``compile``: the UNet
    through ``torch.compile``, on CUDA as a graph that is replayed; the first panorama waits for it, the kernels are
    kept on disk. ``save_memory``: text and image encoders wait on the CPU while another or the UNet works, and the VAE
    takes one image at a time, large ones in tiles (CubeDiff's decoder: the six faces of a cube)."""

    channels_last: bool = True
    compile: bool = False
    save_memory: bool = False


def place(method: nn.Module, config: ExecutionConfig, device: torch.device) -> nn.Module:
    """A method in evaluation mode on a device, run as the configuration says."""
    backbone = method.eval().to(device).backbone
    if config.save_memory:
        save_vae_memory(method)
        towers = [getattr(method, name).tower for name in ("clip", "clip_text") if getattr(method, name, None)]
        wait_on_cpu([backbone.text_encoder, *towers], backbone.unet, device)
    if config.channels_last:
        backbone.unet.to(memory_format=torch.channels_last)
        backbone.vae.to(memory_format=torch.channels_last)
    if config.compile:
        keep_kernels()
        backbone.unet.compile(mode="reduce-overhead" if device.type == "cuda" else "default")
    return method


def save_vae_memory(method: nn.Module) -> None:
    """Lets the VAE take images one by one; the decoder of a method of whole cubes needs their faces together."""
    method.backbone.save_memory(len(FACES) if method.joint_waves else 1)


def keep_kernels() -> None:
    """Lets compiled kernels outlive a restart of the machine, unless the user says where they are to be kept."""
    chosen = os.environ.get(KERNELS)
    # Torch has written down its own choice by now, a folder of this name among the temporary ones.
    if chosen is None or Path(chosen).name.startswith("torchinductor_"):
        os.environ[KERNELS] = str(expanded(default_folder("kernels")))


def wait_on_cpu(encoders: Sequence[nn.Module], unet: nn.Module, device: torch.device) -> None:
    """Lets encoders come to the device when they are called, and leave it when another of them or the UNet is."""
    from accelerate.utils import send_to_device

    def come(encoder: nn.Module, args: tuple, options: dict[str, Any]) -> tuple[tuple, dict[str, Any]]:
        leave(*(other for other in encoders if other is not encoder))
        encoder.to(device)
        return send_to_device(args, device), send_to_device(options, device)

    def leave(*those: nn.Module) -> None:
        for encoder in those:
            if encoder.device.type != "cpu":
                encoder.to("cpu")

    for encoder in encoders:
        encoder.to("cpu")
        encoder.register_forward_pre_hook(come, with_kwargs=True)
    unet.register_forward_pre_hook(lambda *_: leave(*encoders))
