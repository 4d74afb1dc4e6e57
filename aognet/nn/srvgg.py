"""Real-ESRGAN's small network, SRVGG-Compact, which makes images larger.

Wang et al., "Real-ESRGAN", arXiv 2107.10833, and its code's ``SRVGGNetCompact``, whose weights' names these are.
Convolutions wrap around in x and cross the poles, so that a panorama has no seam; views are padded by zeros
(`larger_views`), as in their code.
"""

from collections.abc import Mapping
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from aognet.errors import UserError
from aognet.nn.circular import SphereConv2d, padded_as
from aognet.nn.network_folder import fill_network
from aognet.nn.weights import read_tensors

MOST_LAYERS, MOST_CHANNELS, MOST_SCALE = 200, 1024, 8


class SrvggCompact(nn.Module):
    """Convolutions with PReLU, whose last channels are the pixels of ``scale`` x ``scale`` squares."""

    def __init__(self, channels: int, convolutions: int, scale: int):
        """``convolutions``: between the first and the last."""
        super().__init__()
        self.scale = scale
        layers: list[nn.Module] = [_convolution(3, channels), nn.PReLU(channels)]
        for _ in range(convolutions):
            layers += [_convolution(channels, channels), nn.PReLU(channels)]
        self.body = nn.Sequential(*layers, _convolution(channels, 3 * scale**2))

    @property
    def halo(self) -> int:
        """How many rows around a row its result depends on."""
        return len(self.body) // 2 + 1

    def forward(self, images: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch 3 high wide"]:
        """Return RGB in [0, 1], about, ``scale`` times as large."""
        repeated = functional.interpolate(images, scale_factor=self.scale, mode="nearest")
        return functional.pixel_shuffle(self.body(images), self.scale) + repeated


def read_upscaler(path: Path) -> SrvggCompact:
    """Return the network of a safetensors file, frozen. Raises UserError naming the file."""
    return upscaler_of(read_tensors(path), path)


def upscaler_of(tensors: Mapping[str, Tensor], name: str | Path) -> SrvggCompact:
    """Return the network that has these weights: they tell its sizes.

    :raises UserError: naming ``name``, if they are those of no such network.
    """
    kernels = [key for key, value in tensors.items() if key.startswith("body.") and value.ndim == 4]
    numbers = sorted(int(key.split(".")[1]) for key in kernels if key.split(".")[1].isdecimal())
    if len(numbers) < 2 or numbers[-1] > 2 * MOST_LAYERS or f"body.{numbers[-1]}.weight" not in tensors:
        raise UserError(f"{name}: has no weights of an SRVGG-Compact network (body.0.weight, ...)")
    last = tensors[f"body.{numbers[-1]}.weight"]
    channels, scale = last.shape[1], round((last.shape[0] / 3) ** 0.5)
    if not 1 <= channels <= MOST_CHANNELS or not 1 <= scale <= MOST_SCALE or 3 * scale**2 != last.shape[0]:
        raise UserError(f"{name}: its last layer has shape {list(last.shape)}, which fits no scale up to {MOST_SCALE}")
    with torch.device("meta"):
        network = SrvggCompact(channels, numbers[-1] // 2 - 1, scale)
    fill_network(network, tensors, name)
    return network.requires_grad_(False).eval()


def larger_views(
    network: SrvggCompact, views: Float[Tensor, "batch 3 rows columns"]
) -> Float[Tensor, "batch 3 high wide"]:
    """Return views in [-1, 1], as many times larger as the network says. They do not wrap around."""
    return unbounded_views(network, views).clamp(-1, 1)


def unbounded_views(
    network: SrvggCompact, views: Float[Tensor, "batch 3 rows columns"]
) -> Float[Tensor, "batch 3 high wide"]:
    """Return what `larger_views` returns, before it is brought into [-1, 1], as a training needs it."""
    with padded_as("view"):
        return network(views / 2 + 0.5) * 2 - 1


def _convolution(inputs: int, outputs: int) -> SphereConv2d:
    convolution = SphereConv2d(inputs, outputs, 3, padding=1)
    convolution.before, convolution.after, convolution.poles = 1, 1, "flip"
    return convolution
