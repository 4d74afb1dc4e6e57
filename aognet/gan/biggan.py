"""BigGAN-deep (Brock et al. 2019, arXiv 1809.11096, appendix B, figure 16): a generator of images of classes.

The layers, their order and their sizes are those of the public PyTorch weights of 128, 256 and 512 pixels. Spectral
norms are folded into the weights (`aognet.gan.public_biggan`).
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from aognet.errors import UserError
from aognet.gan.truncation import check_truncation
from aognet.nn.in_parts import in_parts

Between = Callable[[int, Tensor], Tensor]
"""``between(number, features)``: what takes the place of the features [batch, channels, rows, columns]
after a layer.
"""
SMALLEST = 4  # pixels of the first feature map
COMMON = ((False, 16, 16), (True, 16, 16), (False, 16, 16), (True, 16, 8), (False, 8, 8))
PUBLISHED: dict[int, tuple[tuple[bool, int, int], ...]] = {
    128: (*COMMON, (True, 8, 4), (False, 4, 4), (True, 4, 2), (False, 2, 2), (True, 2, 1)),
    256: (
        *(*COMMON, (True, 8, 8), (False, 8, 8), (True, 8, 4), (False, 4, 4), (True, 4, 2), (False, 2, 2)),
        (True, 2, 1),
    ),
}
PUBLISHED[512] = (*PUBLISHED[256], (False, 1, 1), (True, 1, 1))
"""Of each published size: whether a layer doubles the resolution, and its channels in and out, in widths."""


MOST = {"classes": 100_000, "z_dim": 4096, "class_dim": 4096, "width": 1024, "statistics": 1001, "squeeze": 64}
MOST_LAYERS, MOST_CHANNELS = 64, 2**14
Interpolation = Literal["linear", "published"]
"""How statistics between two truncations are found; ``published`` takes each one's share for the other."""


@dataclass(frozen=True)
class BigGanConfig:
    """The sizes of a generator; the defaults are those of the public models but for ``layers``.

    ``layers``: [doubles, channels in, channels out] of each layer, channels in multiples of ``width``.
    ``attention_at``: before which layer the features attend to themselves (null: nowhere). ``statistics``: how many
    truncations, evenly from 0 to 1, the norms have statistics for; ``interpolation``: how those between are found.
    ``squeeze``: how many times fewer channels a layer has inside. ``class_names``: one for each class, synonyms with
    commas between them; empty: classes have numbers alone.
    """

    layers: list[list[int]]
    classes: int = 1000
    z_dim: int = 128
    class_dim: int = 128
    width: int = 128
    attention_at: int | None = 8
    statistics: int = 51
    interpolation: Interpolation = "linear"
    squeeze: int = 4
    eps: float = 1e-4
    class_names: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        for name, most in MOST.items():
            if not 1 <= getattr(self, name) <= most:
                raise UserError(f"must lie in [1, {most}]", key=name, value=getattr(self, name))
        if not 0 < self.eps <= 1:
            raise UserError("must lie in (0, 1]", key="eps", value=self.eps)
        self._check_layers()
        if self.class_names and len(self.class_names) != self.classes:
            raise UserError(
                f"must name all {self.classes} classes or none, these are {len(self.class_names)}", key="class_names"
            )

    def _check_layers(self) -> None:
        if not 1 <= len(self.layers) <= MOST_LAYERS:
            raise UserError(f"must be 1 to {MOST_LAYERS} layers, got {len(self.layers)}", key="layers")
        for layer in self.layers:
            if (
                len(layer) != 3
                or layer[0] not in (0, 1)
                or not 1 <= layer[2] <= layer[1] <= MOST_CHANNELS // self.width
            ):
                said = "must be [doubles, channels in, channels out], no more of them out than in"
                raise UserError(f"{said}, at most {MOST_CHANNELS // self.width}", key="layers", value=layer)
        for before, after in pairwise(self.layers):
            if before[2] != after[1]:
                raise UserError(f"must go on where the layer before ends; {after} follows {before}", key="layers")
        if min(layer[1] for layer in self.layers) * self.width < self.squeeze or self.channels[-1] < 3:
            raise UserError("leaves a layer without channels", key="width", value=self.width)
        if self.attention_at is None:
            return
        if not 0 <= self.attention_at <= len(self.layers):
            raise UserError(f"must lie in [0, {len(self.layers)}]", key="attention_at", value=self.attention_at)
        if self.channels[self.attention_at] < 8:
            raise UserError("is a place with fewer than 8 channels", key="attention_at", value=self.attention_at)

    @classmethod
    def published(cls, size: int) -> "BigGanConfig":
        """Return the config of the public model of 128, 256 or 512 pixels. Raises UserError for another size."""
        if size not in PUBLISHED:
            raise UserError(f"must be one of {', '.join(map(str, PUBLISHED))}", key="size", value=size)
        return cls([[int(doubles), before, after] for doubles, before, after in PUBLISHED[size]])

    @property
    def channels(self) -> list[int]:
        """The channels of the first features and after each layer."""
        return [self.width * count for count in (self.layers[0][1], *(after for *_, after in self.layers))]

    @property
    def size(self) -> int:
        """The pixels of a side of the images."""
        return SMALLEST * 2 ** sum(layer[0] for layer in self.layers)


class ConditionalNorm(nn.Module):
    """Batch norm whose scale and offset depend on a condition, with statistics for several truncations of z.

    Without a ``condition_dim`` scale and offset are learned numbers. In training it normalises by the batch, and the
    statistics of all truncations follow it.
    """

    means: Tensor
    variances: Tensor

    def __init__(self, channels: int, condition_dim: int | None, config: BigGanConfig):
        super().__init__()
        self.eps, self.momentum, self.interpolation = config.eps, 0.1, config.interpolation
        self.register_buffer("means", torch.zeros(config.statistics, channels))
        self.register_buffer("variances", torch.ones(config.statistics, channels))
        if condition_dim is None:
            self.weight, self.bias = nn.Parameter(torch.ones(channels)), nn.Parameter(torch.zeros(channels))
        else:
            self.scale = nn.Linear(condition_dim, channels, bias=False)
            self.offset = nn.Linear(condition_dim, channels, bias=False)
        self.is_conditional = condition_dim is not None

    def forward(
        self, features: Float[Tensor, "batch channels rows columns"], condition: Tensor, truncation: float
    ) -> Float[Tensor, "batch channels rows columns"]:
        if self.is_conditional:
            factor, summand = 1 + self.scale(condition), self.offset(condition)
        else:
            factor, summand = self.weight[None], self.bias[None]
        if self.training:
            features = self._by_the_batch(features)
            factor, summand = factor.to(features.dtype), summand.to(features.dtype)
            return torch.addcmul(summand[..., None, None], features, factor[..., None, None])
        mean, variance = self.statistics_at(truncation)
        factor = factor / (variance + self.eps).sqrt()
        summand = summand - mean * factor
        return features * factor[..., None, None] + summand[..., None, None]

    def statistics_at(self, truncation: float) -> tuple[Float[Tensor, "channels"], Float[Tensor, "channels"]]:
        """Return the mean and variance for a truncation in [0, 1], from those of the truncations beside it."""
        # As the public code divides, so that the same truncations count as having statistics of their own.
        share, first = math.modf(truncation / (1 / (len(self.means) - 1)) if len(self.means) > 1 else 0.0)
        if share == 0:
            return self.means[int(first)], self.variances[int(first)]
        share = 1 - share if self.interpolation == "published" else share
        beside = ((values[int(first)], values[int(first) + 1]) for values in (self.means, self.variances))
        mean, variance = (torch.lerp(below, above, share) for below, above in beside)
        return mean, variance

    def _by_the_batch(self, features: Tensor) -> Tensor:
        """Return features of mean 0 and variance 1 over the batch; the statistics follow those that they had."""
        mean, variance = torch.zeros_like(self.means[0]), torch.zeros_like(self.means[0])
        # PyTorch's own norm is one pass forwards and one back; spelt out, it took most of a training step on a CPU.
        normed = functional.batch_norm(features, mean, variance, training=True, momentum=1.0, eps=self.eps)
        count = features.numel() // features.shape[1]
        with torch.no_grad():
            self.means.lerp_(mean, self.momentum)
            self.variances.lerp_(variance * ((count - 1) / count), self.momentum)  # it keeps the unbiased variance
        return normed


class GeneratorBlock(nn.Module):
    """A layer of the generator: four normed convolutions, the inner two of 3x3 with fewer channels, beside a skip."""

    def __init__(self, channels: int, out_channels: int, doubles: bool, condition_dim: int, config: BigGanConfig):
        super().__init__()
        inner = channels // config.squeeze
        self.doubles, self.out_channels = doubles, out_channels
        widths = [channels, inner, inner, inner, out_channels]
        self.norms = nn.ModuleList(ConditionalNorm(width, condition_dim, config) for width in widths[:-1])
        self.convolutions = nn.ModuleList(
            nn.Conv2d(before, after, size, padding=size // 2)
            for (before, after), size in zip(pairwise(widths), (1, 3, 3, 1), strict=True)
        )

    def forward(self, features: Tensor, condition: Tensor, truncation: float) -> Tensor:
        inside = features
        for number, (norm, convolution) in enumerate(zip(self.norms, self.convolutions, strict=True)):
            inside = functional.relu(norm(inside, condition, truncation))
            if self.doubles and number == 1:
                inside = functional.interpolate(inside, scale_factor=2.0, mode="nearest")
            inside = convolution(inside)
        skipped = features[:, : self.out_channels]
        if self.doubles:
            skipped = functional.interpolate(skipped, scale_factor=2.0, mode="nearest")
        return inside + skipped


class SelfAttention(nn.Module):
    """Non-local block of SAGAN (Zhang et al. 2019): keys and values at half the resolution, unscaled dot products."""

    def __init__(self, channels: int):
        super().__init__()
        self.theta = nn.Conv2d(channels, channels // 8, 1, bias=False)
        self.phi = nn.Conv2d(channels, channels // 8, 1, bias=False)
        self.g = nn.Conv2d(channels, channels // 2, 1, bias=False)
        self.out = nn.Conv2d(channels // 2, channels, 1, bias=False)
        self.gamma = nn.Parameter(torch.zeros(1))

    def forward(self, features: Float[Tensor, "batch channels rows columns"]) -> Tensor:
        query = self.theta(features).flatten(2).transpose(1, 2)
        key = functional.max_pool2d(self.phi(features), 2).flatten(2)
        value = functional.max_pool2d(self.g(features), 2).flatten(2).transpose(1, 2)
        seen = functional.scaled_dot_product_attention(query, key.transpose(1, 2), value, scale=1.0)
        return features + self.gamma * self.out(seen.transpose(1, 2).unflatten(2, features.shape[2:]))


class BigGan(nn.Module):
    """The generator: z and a class vector to images in [-1, 1]."""

    def __init__(self, config: BigGanConfig):
        super().__init__()
        self.config = config
        condition, width = config.z_dim + config.class_dim, config.width
        channels = config.channels
        self.embeddings = nn.Linear(config.classes, config.class_dim, bias=False)
        self.start = nn.Linear(condition, SMALLEST**2 * channels[0])
        self.layers = nn.ModuleList(
            GeneratorBlock(before * width, after * width, bool(doubles), condition, config)
            for doubles, before, after in config.layers
        )
        at = config.attention_at
        self.attention = None if at is None else SelfAttention(channels[at])
        self.norm = ConditionalNorm(channels[-1], None, config)
        # The public models have as many channels as the last layer here, and use three of them.
        self.to_rgb = nn.Conv2d(channels[-1], channels[-1], 3, padding=1)

    def forward(
        self,
        z: Float[Tensor, "batch z_dim"],
        classes: Float[Tensor, "batch classes"],
        truncation: float = 1.0,
        between: Between | None = None,
    ) -> Float[Tensor, "batch 3 size size"]:
        """Return images in [-1, 1].

        ``classes`` has the weight of each class, one-hot for one class. ``truncation``: that of ``z``, which chooses
        the norms' statistics. ``between`` is called after each layer; the attention counts as one, as in the public
        numbering.

        :raises UserError: for a truncation outside of [0, 1].
        """
        return self.of_vectors(z, self.embeddings(classes), truncation, between)

    def of_vectors(
        self,
        z: Float[Tensor, "batch z_dim"],
        vectors: Float[Tensor, "batch class_dim"],
        truncation: float = 1.0,
        between: Between | None = None,
        at_once: int | None = None,
    ) -> Float[Tensor, "batch 3 size size"]:
        """Return images in [-1, 1] of z and class vectors, as `forward`.

        ``at_once``: so many images go through a layer at once (`aognet.nn.in_parts.in_parts`).
        """
        check_truncation(truncation)
        condition = torch.cat([z, vectors], dim=1)
        features = self.start(condition).view(len(z), SMALLEST, SMALLEST, -1).permute(0, 3, 1, 2)
        for number, layer in enumerate(self._numbered()):
            if isinstance(layer, SelfAttention):
                features = in_parts(layer, at_once, features)
            else:
                features = in_parts(partial(layer, truncation=truncation), at_once, features, condition)
            if between is not None:
                features = between(number, features)
        return in_parts(partial(self._colours, truncation=truncation), at_once, features, condition)

    def _colours(self, features: Tensor, condition: Tensor, truncation: float) -> Tensor:
        features = functional.relu(self.norm(features, condition, truncation))
        return self.to_rgb(features)[:, :3].tanh()

    def _numbered(self) -> Sequence[nn.Module]:
        """Return the layers with the attention among them, in the order of the public numbering."""
        layers: list[nn.Module] = list(self.layers)
        if self.attention is not None and self.config.attention_at is not None:
            layers.insert(self.config.attention_at, self.attention)
        return layers
