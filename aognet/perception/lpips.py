"""LPIPS: how different two images look (Zhang et al. 2018, arXiv 1801.03924), version 0.1 of its weights.

Activations of a classification network at several depths are scaled to unit length over channels. Their squared
differences are weighted per channel and averaged (equation 1). Keys of the weights are those of the ``lpips`` package.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from aognet.errors import UserError
from aognet.nn.weights import read_tensors
from aognet.perception.network_weights import digest, fill, fingerprint, named, weights_file, width_divisor
from aognet.system.transfer import to_memory_format

SMALLEST = 32
NARROWEST = 16


@dataclass(frozen=True)
class Conv:
    """A convolution and its ReLU."""

    channels: int
    kernel: int = 3
    stride: int = 1
    padding: int = 1


@dataclass(frozen=True)
class Fire:
    """SqueezeNet's block: 1 x 1 to ``squeeze`` channels, then 1 x 1 and 3 x 3 to ``expand`` each."""

    squeeze: int
    expand: int


@dataclass(frozen=True)
class Pool:
    """A max pool of stride 2. ``ceil``: a last partial window counts."""

    kernel: int = 3
    ceil: bool = False


# Each row ends where activations are compared (Krizhevsky 2014, SqueezeNet 1.1, VGG-16).
NETS: dict[str, tuple[tuple[Conv | Fire | Pool, ...], ...]] = {
    "alex": (
        (Conv(64, 11, 4, 2),),
        (Pool(), Conv(192, 5, 1, 2)),
        (Pool(), Conv(384)),
        (Conv(256),),
        (Conv(256),),
    ),
    "squeeze": (
        (Conv(64, 3, 2, 0),),
        (Pool(ceil=True), Fire(16, 64), Fire(16, 64)),
        (Pool(ceil=True), Fire(32, 128), Fire(32, 128)),
        (Pool(ceil=True), Fire(48, 192)),
        (Fire(48, 192),),
        (Fire(64, 256),),
        (Fire(64, 256),),
    ),
    "vgg": (
        (Conv(64), Conv(64)),
        (Pool(2), Conv(128), Conv(128)),
        (Pool(2), Conv(256), Conv(256), Conv(256)),
        (Pool(2), Conv(512), Conv(512), Conv(512)),
        (Pool(2), Conv(512), Conv(512), Conv(512)),
    ),
}
FIRST = "net.slice1.0.weight"
STEMS = {net: layer.channels for net, ((layer, *_), *_) in NETS.items() if isinstance(layer, Conv)}
# A key that only this net has.
MARKS = {"alex": "net.slice2.3.weight", "squeeze": "net.slice2.3.squeeze.weight", "vgg": "net.slice1.2.weight"}


class FireBlock(nn.Module):
    """See `Fire`."""

    def __init__(self, inputs: int, squeeze: int, expand: int):
        super().__init__()
        self.squeeze = nn.Conv2d(inputs, squeeze, 1)
        self.expand1x1 = nn.Conv2d(squeeze, expand, 1)
        self.expand3x3 = nn.Conv2d(squeeze, expand, 3, padding=1)

    def forward(self, x: Float[Tensor, "batch inputs rows columns"]) -> Float[Tensor, "batch channels rows columns"]:
        """Return activations, never negative."""
        squeezed = functional.relu(self.squeeze(x))
        return functional.relu(torch.cat([self.expand1x1(squeezed), self.expand3x3(squeezed)], dim=1))


class Trunk(nn.Module):
    """The classification network up to the last activations that are compared. Layers are numbered as in
    torchvision.
    """

    def __init__(self, net: str, divisor: int):
        super().__init__()
        self.channels: list[int] = []
        size, number = 3, 0
        for row, layers in enumerate(NETS[net], start=1):
            part = nn.Sequential()
            for layer in layers:
                module, size = _module(layer, size, divisor)
                part.add_module(str(number), module)
                number += 1
                if isinstance(layer, Conv):
                    part.add_module(str(number), nn.ReLU())
                    number += 1
            self.add_module(f"slice{row}", part)
            self.channels.append(size)

    def forward(self, x: Float[Tensor, "batch 3 rows columns"]) -> Iterator[Tensor]:
        """Yield activations from fine to coarse, one at a time, because those of a whole panorama are large."""
        for part in self.children():
            x = part(x)
            yield x


class Scaling(nn.Module):
    """Scales colours to the mean and deviation that the networks were trained with."""

    shift: Tensor
    scale: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("shift", torch.zeros(1, 3, 1, 1))
        self.register_buffer("scale", torch.ones(1, 3, 1, 1))

    def forward(self, images: Float[Tensor, "batch 3 rows columns"]) -> Float[Tensor, "batch 3 rows columns"]:
        return (images - self.shift) / self.scale


class Lpips(nn.Module):
    """The distance as a module. For tests, channels can be divided by ``divisor``."""

    def __init__(self, net: str, divisor: int = 1):
        super().__init__()
        self.scaling_layer = Scaling()
        self.net = Trunk(net, divisor)
        for row, size in enumerate(self.net.channels):
            weighting = nn.Module()
            # Number 0 of the package's pair is its dropout.
            weighting.model = nn.ModuleDict({"1": nn.Conv2d(size, 1, 1, bias=False)})
            self.add_module(f"lin{row}", weighting)

    def forward(
        self, a: Float[Tensor, "batch 3 rows columns"], b: Float[Tensor, "batch 3 rows columns"]
    ) -> list[Tensor]:
        """Return the differences at each depth, [batch, 1, rows, columns] of that depth. Their means sum up to the
        distance.
        """
        found = []
        # One after the other: no gradient is carried back to an image that wants none.
        for row, (first, second) in enumerate(zip(self._units(a), self._units(b), strict=True)):
            found.append(getattr(self, f"lin{row}").model["1"]((first - second).square()))
        return found

    def _units(self, images: Float[Tensor, "batch 3 rows columns"]) -> Iterator[Tensor]:
        """Yield activations of unit length at each depth, in float32: small differences need all digits."""
        for activations in self.net(self.scaling_layer(images)):
            activations = activations.float()
            # Not the root of a sum: its gradient is infinite where nothing is active.
            yield activations / (torch.linalg.vector_norm(activations, dim=1, keepdim=True) + 1e-10)


class PerceptualDistance:
    """A loaded LPIPS. ``name`` is for reports, ``fingerprint`` identifies weights and preprocessing."""

    def __init__(self, network: Lpips, net: str, model: str, device: torch.device):
        weights = digest([network])
        self.name = named(f"LPIPS 0.1 ({net})", model, weights)
        self.fingerprint = fingerprint(weights, "lpips 1")
        # The layout that convolutions are fastest in, on processors too.
        self.network, self.device = to_memory_format(network.to(device), torch.channels_last), device

    @classmethod
    def load(cls, model: str, device: torch.device, revision: str | None = None) -> "PerceptualDistance":
        """Load it from safetensors with the keys of the ``lpips`` package (file, folder or hub id). The keys say which
        net it is.

        :raises UserError: naming the file and the keys that are missing, unknown or of another shape.
        """
        path = weights_file(model, revision)
        # The package lists its weightings twice.
        tensors = {key: value for key, value in read_tensors(path).items() if not key.startswith("lins.")}
        net = _net_of(tensors, path)
        with torch.device("meta"):
            network = Lpips(net, width_divisor(tensors, FIRST, STEMS[net], NARROWEST, path))
        return cls(fill(network, tensors, path), net, model, device)

    @torch.no_grad()
    def distance(
        self, a: Float[Tensor, "batch 3 height width"], b: Float[Tensor, "batch 3 height width"]
    ) -> Float[Tensor, "batch"]:
        """Return 0 for equal images in [-1, 1], about 1 for images that share nothing.

        :raises UserError: below 32 pixels.
        """
        means = [part.mean(dim=(1, 2, 3)) for part in self._parts(a, b)]
        return sum(means[1:], means[0])

    @torch.no_grad()
    def map(
        self, a: Float[Tensor, "batch 3 height width"], b: Float[Tensor, "batch 3 height width"]
    ) -> Float[Tensor, "batch 1 height width"]:
        """Return where images differ: all depths at the images' size, summed. Its mean is near ``distance``, not equal
        to it.
        """
        sized = [functional.interpolate(part, size=a.shape[-2:], mode="bilinear") for part in self._parts(a, b)]
        return sum(sized[1:], sized[0])

    def _parts(self, a: Tensor, b: Tensor) -> list[Tensor]:
        if min(a.shape[-2:]) < SMALLEST:
            raise UserError(f"LPIPS needs images of at least {SMALLEST} pixels, got {a.shape[-1]}x{a.shape[-2]}")
        a, b = (image.to(self.device, memory_format=torch.channels_last) for image in (a, b))
        return self.network(a, b)


def _module(layer: Conv | Fire | Pool, inputs: int, divisor: int) -> tuple[nn.Module, int]:
    """Return a layer on ``inputs`` channels, and the number of its output channels."""
    if isinstance(layer, Pool):
        return nn.MaxPool2d(layer.kernel, stride=2, ceil_mode=layer.ceil), inputs
    if isinstance(layer, Fire):
        expand = layer.expand // divisor
        return FireBlock(inputs, layer.squeeze // divisor, expand), 2 * expand
    channels = layer.channels // divisor
    return nn.Conv2d(inputs, channels, layer.kernel, layer.stride, layer.padding), channels


def _net_of(tensors: Mapping[str, Tensor], path: Path) -> str:
    found = [net for net, key in MARKS.items() if key in tensors]
    if len(found) != 1:
        raise UserError(f"{path}: not the weights of LPIPS with {', '.join(MARKS)}; {MARKS['alex']!r} is not in it")
    return found[0]
