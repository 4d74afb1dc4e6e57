"""Inception-v3, the network of FID and of the Inception Score.

Szegedy et al., "Rethinking the Inception Architecture for Computer Vision" (CVPR 2016, arXiv 1512.00567). FID (Heusel
et al. 2017) is defined by one graph of it, TensorFlow's of 2015-12-05 with 1008 classes. It differs from the
Inception-v3 of torchvision and timm (1000 classes) in its weights, in average pools that do not count their padding,
and in a max pool in place of the last average pool. Keys of the weights are torchvision's.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from aognet.diffusion.loading import DTYPES
from aognet.errors import UserError
from aognet.nn.weights import read_tensors
from aognet.perception.network import NetworkConfig
from aognet.perception.network_weights import digest, fill, fingerprint, named, weights_file, width_divisor
from aognet.system.transfer import to_memory_format

SIZE = 299
FID_CLASSES, FEATURES = 1008, 2048
FIRST = "Conv2d_1a_3x3.conv.weight"
NARROWEST = 16


@dataclass(frozen=True)
class InceptionStep:
    """A convolution with batch norm and ReLU. ``kernel`` is (height, width) or one number for both."""

    name: str
    channels: int
    kernel: int | tuple[int, int] = 1
    stride: int = 1
    padded: bool = True


@dataclass(frozen=True)
class Branch:
    """A branch: ``pool`` (average, max or halve; empty: none), then ``steps`` in a row, then ``fork`` side by side."""

    steps: tuple[InceptionStep, ...] = ()
    fork: tuple[InceptionStep, ...] = ()
    pool: str = ""


STEM = (
    InceptionStep("Conv2d_1a_3x3", 32, 3, stride=2, padded=False),
    InceptionStep("Conv2d_2a_3x3", 32, 3, padded=False),
    InceptionStep("Conv2d_2b_3x3", 64, 3),
    InceptionStep("Conv2d_3b_1x1", 80, 1),
    InceptionStep("Conv2d_4a_3x3", 192, 3, padded=False),
)
POOLED_AFTER = ("Conv2d_2b_3x3", "Conv2d_4a_3x3")


def _fine(pooled: int) -> tuple[Branch, ...]:
    """Return the branches for 35 x 35, figure 5 of the paper."""
    double = (
        InceptionStep("branch3x3dbl_1", 64),
        InceptionStep("branch3x3dbl_2", 96, 3),
        InceptionStep("branch3x3dbl_3", 96, 3),
    )
    return (
        Branch((InceptionStep("branch1x1", 64),)),
        Branch((InceptionStep("branch5x5_1", 48), InceptionStep("branch5x5_2", 64, 5))),
        Branch(double),
        Branch((InceptionStep("branch_pool", pooled),), pool="average"),
    )


def _middle(inner: int) -> tuple[Branch, ...]:
    """Return the branches for 17 x 17, with 7 x 7 convolutions in two factors, figure 6."""
    once = (
        InceptionStep("branch7x7_1", inner),
        InceptionStep("branch7x7_2", inner, (1, 7)),
        InceptionStep("branch7x7_3", 192, (7, 1)),
    )
    twice = (
        InceptionStep("branch7x7dbl_1", inner),
        InceptionStep("branch7x7dbl_2", inner, (7, 1)),
        InceptionStep("branch7x7dbl_3", inner, (1, 7)),
        InceptionStep("branch7x7dbl_4", inner, (7, 1)),
        InceptionStep("branch7x7dbl_5", 192, (1, 7)),
    )
    pooled = Branch((InceptionStep("branch_pool", 192),), pool="average")
    return (Branch((InceptionStep("branch1x1", 192),)), Branch(once), Branch(twice), pooled)


def _coarse(pool: str) -> tuple[Branch, ...]:
    """Return the branches for 8 x 8, with forked ends, figure 7."""
    once, ends = (
        (InceptionStep("branch3x3_1", 384),),
        (InceptionStep("branch3x3_2a", 384, (1, 3)), InceptionStep("branch3x3_2b", 384, (3, 1))),
    )
    twice = (InceptionStep("branch3x3dbl_1", 448), InceptionStep("branch3x3dbl_2", 384, 3))
    twice_ends = (InceptionStep("branch3x3dbl_3a", 384, (1, 3)), InceptionStep("branch3x3dbl_3b", 384, (3, 1)))
    return (
        Branch((InceptionStep("branch1x1", 320),)),
        Branch(once, ends),
        Branch(twice, twice_ends),
        Branch((InceptionStep("branch_pool", 192),), pool=pool),
    )


HALVE_FINE = (
    Branch((InceptionStep("branch3x3", 384, 3, stride=2, padded=False),)),
    Branch(
        (
            InceptionStep("branch3x3dbl_1", 64),
            InceptionStep("branch3x3dbl_2", 96, 3),
            InceptionStep("branch3x3dbl_3", 96, 3, stride=2, padded=False),
        )
    ),
    Branch(pool="halve"),
)
HALVE_MIDDLE = (
    Branch((InceptionStep("branch3x3_1", 192), InceptionStep("branch3x3_2", 320, 3, stride=2, padded=False))),
    Branch(
        (
            InceptionStep("branch7x7x3_1", 192),
            InceptionStep("branch7x7x3_2", 192, (1, 7)),
            InceptionStep("branch7x7x3_3", 192, (7, 1)),
            InceptionStep("branch7x7x3_4", 192, 3, stride=2, padded=False),
        )
    ),
    Branch(pool="halve"),
)


def blocks(fid: bool) -> dict[str, tuple[Branch, ...]]:
    """Return the mixed blocks in their order. ``fid``: as in the graph that FID uses."""
    return {
        "Mixed_5b": _fine(32),
        "Mixed_5c": _fine(64),
        "Mixed_5d": _fine(64),
        "Mixed_6a": HALVE_FINE,
        "Mixed_6b": _middle(128),
        "Mixed_6c": _middle(160),
        "Mixed_6d": _middle(160),
        "Mixed_6e": _middle(192),
        "Mixed_7a": HALVE_MIDDLE,
        "Mixed_7b": _coarse("average"),
        "Mixed_7c": _coarse("max" if fid else "average"),
    }


class Convolution(nn.Module):
    """An `InceptionStep` on ``inputs`` channels."""

    def __init__(self, inputs: int, step: InceptionStep, divisor: int):
        super().__init__()
        height, width = step.kernel if isinstance(step.kernel, tuple) else (step.kernel, step.kernel)
        padding = (height // 2, width // 2) if step.padded else 0
        channels = step.channels // divisor
        self.conv = nn.Conv2d(inputs, channels, (height, width), step.stride, padding, bias=False)
        self.bn = nn.BatchNorm2d(channels, eps=0.001)

    def forward(
        self, x: Float[Tensor, "batch inputs rows columns"]
    ) -> Float[Tensor, "batch channels rows_out columns_out"]:
        """Return activations, never negative."""
        return functional.relu(self.bn(self.conv(x)), inplace=True)


class Block(nn.Module):
    """Branches side by side, joined along channels."""

    def __init__(self, inputs: int, branches: tuple[Branch, ...], divisor: int, count_padding: bool):
        super().__init__()
        self.branches, self.count_padding, self.channels = branches, count_padding, 0
        for branch in branches:
            size = inputs
            for step in branch.steps:
                self.add_module(step.name, Convolution(size, step, divisor))
                size = step.channels // divisor
            for step in branch.fork:
                self.add_module(step.name, Convolution(size, step, divisor))
            self.channels += sum(step.channels // divisor for step in branch.fork) or size

    def forward(
        self, x: Float[Tensor, "batch inputs rows columns"]
    ) -> Float[Tensor, "batch channels rows_out columns_out"]:
        """Return as many channels as all branches have together."""
        return torch.cat([part for branch in self.branches for part in self._parts(branch, x)], dim=1)

    def _parts(self, branch: Branch, x: Tensor) -> Iterator[Tensor]:
        x = self._pool(branch.pool, x)
        for step in branch.steps:
            x = getattr(self, step.name)(x)
        if not branch.fork:
            yield x
        for step in branch.fork:
            yield getattr(self, step.name)(x)

    def _pool(self, kind: str, x: Tensor) -> Tensor:
        if kind == "average":
            return functional.avg_pool2d(x, 3, stride=1, padding=1, count_include_pad=self.count_padding)
        if kind == "max":
            return functional.max_pool2d(x, 3, stride=1, padding=1)
        return functional.max_pool2d(x, 3, stride=2) if kind == "halve" else x


class Inception(nn.Module):
    """Inception-v3 up to its last average, and its classifier ``fc``.

    ``classes`` 1008 means FID's graph, any other number the network of torchvision and timm. For tests, all channels
    can be divided by ``divisor`` (a power of two up to 16).
    """

    def __init__(self, classes: int = FID_CLASSES, divisor: int = 1):
        super().__init__()
        fid, channels = classes == FID_CLASSES, 3
        for step in STEM:
            self.add_module(step.name, Convolution(channels, step, divisor))
            channels = step.channels // divisor
        self.names = list(blocks(fid))
        for name, branches in blocks(fid).items():
            self.add_module(name, Block(channels, branches, divisor, count_padding=not fid))
            channels = getattr(self, name).channels
        self.fc = nn.Linear(channels, classes)

    def forward(self, x: Float[Tensor, "batch 3 rows columns"]) -> Float[Tensor, "batch dim"]:
        """Return features of images of at least 75 x 75, scaled as the network expects."""
        for step in STEM:
            x = getattr(self, step.name)(x)
            if step.name in POOLED_AFTER:
                x = functional.max_pool2d(x, 3, stride=2)
        for name in self.names:
            x = getattr(self, name)(x)
        return x.mean(dim=(2, 3))


class InceptionNetwork:
    """A loaded `Inception` as a `FeatureNetwork`."""

    reads_text = False

    def __init__(self, network: Inception, config: NetworkConfig, device: torch.device):
        self.classes, self.dim = network.fc.weight.shape
        self.is_fid_inception = (self.classes, self.dim) == (FID_CLASSES, FEATURES)
        self.resize = config.resize
        kind = "FID's Inception-v3" if self.is_fid_inception else "Inception-v3, not FID's"
        what = f"{kind} ({self.classes} classes, {self.dim} features, {config.resize} resize)"
        weights = digest([network])
        self.name = named(what, config.model, weights)
        self.fingerprint = fingerprint(weights, f"inception 1 {config.resize}")
        # The layout that convolutions are fastest in, on processors too.
        self.network = to_memory_format(network.to(device), torch.channels_last)

    @classmethod
    def load(cls, config: NetworkConfig, device: torch.device) -> "InceptionNetwork":
        """Load it from safetensors with torchvision's keys. The auxiliary classifier of a training is left out.

        :raises UserError: naming the file and the keys that are missing, unknown or of another shape.
        """
        path = weights_file(config.model, config.revision)
        tensors = {
            key: value
            for key, value in read_tensors(path).items()
            if not key.startswith("AuxLogits.") and not key.endswith(".num_batches_tracked")
        }
        divisor = width_divisor(tensors, FIRST, STEM[0].channels, NARROWEST, path)
        if "fc.weight" not in tensors or tensors["fc.weight"].ndim != 2:
            raise UserError(f"{path}: 'fc.weight', [classes, features], is not in it")
        with torch.device("meta"):
            network = Inception(len(tensors["fc.weight"]), divisor)
        return cls(fill(network, tensors, path).to(DTYPES[config.dtype]), config, device)

    @torch.no_grad()
    def features(self, images: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch dim"]:
        """Return what enters the classifier, for images in [-1, 1] of any size."""
        weight = self.network.fc.weight
        images = _resized(images.to(weight.device), self.resize)
        if self.classes == FID_CLASSES:
            # The graph takes bytes and computes (byte - 128) / 128.
            images = (127.5 * images - 0.5) / 128
        return self.network(images.to(weight.dtype, memory_format=torch.channels_last)).float()

    @torch.no_grad()
    def logits(self, features: Float[Tensor, "batch dim"]) -> Float[Tensor, "batch classes"]:
        """Return class scores.

        For FID's network they have no bias, as the Inception Score has always been computed (Salimans et al. 2016
        multiply by the matrix of the graph's last layer alone).
        """
        fc = self.network.fc
        bias = None if self.classes == FID_CLASSES else fc.bias.float()
        return functional.linear(features.to(fc.weight.device), fc.weight.float(), bias)

    def texts(self, prompts: Sequence[str]) -> Float[Tensor, "batch dim"]:
        """Raise an error: this network reads no texts."""
        raise UserError(f"{self.name}: reads no texts")


def _resized(images: Float[Tensor, "batch 3 height width"], how: str) -> Float[Tensor, "batch 3 299 299"]:
    """Return images in [-1, 1] at the network's size (clean-fid: Parmar et al., CVPR 2022, arXiv 2104.11222)."""
    if images.shape[-2:] == (SIZE, SIZE):
        return images
    if how == "antialiased":
        return functional.interpolate(images, size=(SIZE, SIZE), mode="bicubic", antialias=True).clamp(-1, 1)
    for dim in (2, 3):
        images = _tensorflow_bilinear(images, dim)
    return images


def _tensorflow_bilinear(images: Tensor, dim: int) -> Tensor:
    """Resize along one axis as TensorFlow 1's bilinear: pixel i of the result lies at i * size / 299, not at
    centres.
    """
    size = images.shape[dim]
    at = torch.arange(SIZE, device=images.device, dtype=torch.float32) * torch.tensor(size / SIZE)
    first = at.long()
    shape = [1] * 4
    shape[dim] = SIZE
    share = (at - first).view(shape)
    before = images.index_select(dim, first)
    return before + (images.index_select(dim, (first + 1).clamp(max=size - 1)) - before) * share
