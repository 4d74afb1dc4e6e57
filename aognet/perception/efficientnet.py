"""EfficientNet-Lite0, a small classifier of ImageNet, as a feature network where FID's network is not available.

Tan and Le 2019 (arXiv 1905.11946), without squeeze-and-excitation and with ReLU6 ("Lite", TensorFlow's TPU repository,
2020). Keys of the weights are those of the package efficientnet-lite-pytorch. A distance in these features is no FID.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

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

SIZE, CLASSES, FEATURES, STEM = 224, 1000, 1280, 32
FIRST = "_conv_stem.weight"
NARROWEST = 8
EPSILON = 1e-3


@dataclass(frozen=True)
class Stage:
    """``repeats`` inverted bottlenecks. The first has the ``stride``."""

    channels: int
    kernel: int
    stride: int
    repeats: int
    expansion: int = 6


# Table 1 of the paper, rows 2 to 8; the first and the last are not repeated more in "Lite".
STAGES = (
    Stage(16, 3, 1, 1, expansion=1),
    Stage(24, 3, 2, 2),
    Stage(40, 5, 2, 2),
    Stage(80, 3, 2, 3),
    Stage(112, 5, 1, 3),
    Stage(192, 5, 2, 4),
    Stage(320, 3, 1, 1),
)


class SameConv2d(nn.Conv2d):
    """A convolution padded as TensorFlow does it ("same"): if the padding is odd, there is more below and right."""

    def forward(self, input: Float[Tensor, "batch inputs rows columns"]) -> Float[Tensor, "batch outputs _ _"]:
        """Return an output as large as the input divided by the stride, rounded up."""
        padding: list[int] = []
        for size, kernel, stride in zip(input.shape[:1:-1], self.kernel_size[::-1], self.stride[::-1], strict=True):
            total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
            padding += [total // 2, total - total // 2]
        return super().forward(functional.pad(input, padding))


class Bottleneck(nn.Module):
    """An inverted bottleneck (Sandler et al. 2018)."""

    def __init__(self, inputs: int, outputs: int, stage: Stage, stride: int):
        super().__init__()
        width = inputs * stage.expansion
        if stage.expansion > 1:
            self._expand_conv = SameConv2d(inputs, width, 1, bias=False)
            self._bn0 = nn.BatchNorm2d(width, EPSILON)
        self._depthwise_conv = SameConv2d(width, width, stage.kernel, stride, groups=width, bias=False)
        self._bn1 = nn.BatchNorm2d(width, EPSILON)
        self._project_conv = SameConv2d(width, outputs, 1, bias=False)
        self._bn2 = nn.BatchNorm2d(outputs, EPSILON)
        self.expands, self.adds = stage.expansion > 1, stride == 1 and inputs == outputs

    def forward(self, x: Float[Tensor, "batch inputs rows columns"]) -> Float[Tensor, "batch outputs _ _"]:
        """Return the output, with the input added if sizes are the same."""
        inner = functional.relu6(self._bn0(self._expand_conv(x))) if self.expands else x
        inner = functional.relu6(self._bn1(self._depthwise_conv(inner)))
        inner = self._bn2(self._project_conv(inner))
        return x + inner if self.adds else inner


class EfficientNetLite0(nn.Module):
    """The network. For tests, channels can be divided by ``divisor``."""

    def __init__(self, divisor: int = 1):
        super().__init__()
        self._conv_stem = SameConv2d(3, STEM // divisor, 3, 2, bias=False)
        self._bn0 = nn.BatchNorm2d(STEM // divisor, EPSILON)
        strides = [(stage, stage.stride if turn == 0 else 1) for stage in STAGES for turn in range(stage.repeats)]
        widths = [STEM // divisor, *(stage.channels // divisor for stage, _ in strides)]
        self._blocks = nn.ModuleList(
            Bottleneck(inputs, outputs, stage, stride)
            for (inputs, outputs), (stage, stride) in zip(pairwise(widths), strides, strict=True)
        )
        self._conv_head = SameConv2d(widths[-1], FEATURES // divisor, 1, bias=False)
        self._bn1 = nn.BatchNorm2d(FEATURES // divisor, EPSILON)
        self._fc = nn.Linear(FEATURES // divisor, CLASSES)

    def forward(self, x: Float[Tensor, "batch 3 rows columns"]) -> Float[Tensor, "batch dim"]:
        """Return what enters the classifier: the last activations, averaged over the image."""
        x = functional.relu6(self._bn0(self._conv_stem(x)))
        for block in self._blocks:
            x = block(x)
        return functional.relu6(self._bn1(self._conv_head(x))).mean((2, 3))


def normalised(images: Float[Tensor, "batch 3 rows columns"]) -> Float[Tensor, "batch 3 rows columns"]:
    """Return images in [-1, 1] as the network was trained on them: (byte - 127) / 128."""
    return (127.5 * images + 0.5) / 128


def load_efficientnet(model: str, revision: str | None = None) -> EfficientNetLite0:
    """Load the network from safetensors, a file or a folder. It is frozen, on the CPU, in float32.

    :raises UserError: naming the keys that do not fit.
    """
    path = weights_file(model, revision)
    tensors = {key: value for key, value in read_tensors(path).items() if not key.endswith("num_batches_tracked")}
    divisor = width_divisor(tensors, FIRST, STEM, NARROWEST, path)
    with torch.device("meta"):
        network = EfficientNetLite0(divisor)
    return fill(network, tensors, path)


class EfficientNetNetwork:
    """A loaded `EfficientNetLite0` as a `FeatureNetwork`."""

    is_fid_inception = False
    reads_text = False
    classes = CLASSES

    def __init__(self, network: EfficientNetLite0, config: NetworkConfig, device: torch.device):
        self.dim = network._fc.in_features
        weights = digest([network])
        self.name = named(f"EfficientNet-Lite0 (ImageNet, {self.dim} features)", config.model, weights)
        self.fingerprint = fingerprint(weights, "efficientnet-lite0 1")
        # The layout that convolutions are fastest in, on processors too.
        self.network = to_memory_format(network.to(device), torch.channels_last)

    @classmethod
    def load(cls, config: NetworkConfig, device: torch.device) -> "EfficientNetNetwork":
        """Load it from safetensors, a file or a folder.

        :raises UserError: naming the keys that do not fit.
        """
        network = load_efficientnet(config.model, config.revision)
        return cls(network.to(DTYPES[config.dtype]), config, device)

    @torch.no_grad()
    def features(self, images: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch dim"]:
        """Return features of images in [-1, 1] of any size. They are resized to 224 pixels, antialiased."""
        weight = self.network._fc.weight
        images = images.to(weight.device)
        if images.shape[-2:] != (SIZE, SIZE):
            images = functional.interpolate(images, size=(SIZE, SIZE), mode="bicubic", antialias=True).clamp(-1, 1)
        return self.network(normalised(images).to(weight.dtype, memory_format=torch.channels_last)).float()

    @torch.no_grad()
    def logits(self, features: Float[Tensor, "batch dim"]) -> Float[Tensor, "batch classes"]:
        """Return class scores for the result of ``features``."""
        classifier = self.network._fc
        return functional.linear(
            features.to(classifier.weight.device), classifier.weight.float(), classifier.bias.float()
        )

    def texts(self, prompts: Sequence[str]) -> Float[Tensor, "batch dim"]:
        """Raise an error: this network reads no texts."""
        raise UserError(f"{self.name}: reads no texts")
