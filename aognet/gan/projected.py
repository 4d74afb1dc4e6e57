"""The discriminator of Projected GANs (Sauer et al. 2021, arXiv 2111.01007), conditioned on classes.

It sees no images but features of a frozen network at several scales, mixed by random projections that are frozen too
(section 3.2): across channels, then across scales, from coarse to fine. A small discriminator judges each scale.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from aognet.errors import UserError

MOST_CHANNELS, MOST_SIZE, LEAST_SIZE, STEP = 1024, 1024, 64, 32
PLACES = 4  # along each side, where scores are


@dataclass(frozen=True)
class ProjectedDiscriminatorConfig:
    """The features that are judged, and how.

    ``features``: the weights of EfficientNet-Lite0 (safetensors). ``size``: the pixels that images are resized to for
    it, a multiple of 32. ``channels``: of the finest projected features; each coarser scale has twice as many, and what
    judges a scale has up to ``widest``. ``class_dim``: dimensions in which classes are compared with what is seen.
    ``seed``: of the random projections.
    """

    features: str
    size: int = 128
    channels: int = 32
    widest: int = 256
    class_dim: int = 64
    seed: int = 0

    def __post_init__(self) -> None:
        if not self.features.strip():
            raise UserError("must name the weights of EfficientNet-Lite0", key="features", value=self.features)
        if self.size % STEP or not LEAST_SIZE <= self.size <= MOST_SIZE:
            raise UserError(f"must be a multiple of {STEP} in [{LEAST_SIZE}, {MOST_SIZE}]", key="size", value=self.size)
        for name in ("channels", "widest", "class_dim"):
            if not 1 <= getattr(self, name) <= MOST_CHANNELS:
                raise UserError(f"must lie in [1, {MOST_CHANNELS}]", key=name, value=getattr(self, name))


class RandomProjection(nn.Module):
    """A frozen random 1x1 convolution (He initialisation, He et al. 2015). It is a buffer, which no optimizer sees."""

    weight: Tensor

    def __init__(self, channels: int, out_channels: int, generator: torch.Generator):
        super().__init__()
        weight = torch.randn(out_channels, channels, 1, 1, generator=generator) * math.sqrt(2 / channels)
        self.register_buffer("weight", weight)

    def forward(self, features: Float[Tensor, "batch channels rows columns"]) -> Float[Tensor, "batch out _ _"]:
        return functional.conv2d(features, self.weight)


class RandomMixing(nn.Module):
    """Features mixed across channels, then across scales: each scale also has what the coarser ones have."""

    def __init__(self, channels: Sequence[int], out_channels: Sequence[int], seed: int):
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        pairs = zip(channels, out_channels, strict=True)
        self.across_channels = nn.ModuleList(RandomProjection(*pair, generator) for pair in pairs)
        finer = pairwise(out_channels)
        self.across_scales = nn.ModuleList(RandomProjection(coarse, fine, generator) for fine, coarse in finer)

    def forward(self, features: Sequence[Float[Tensor, "batch _ _ _"]]) -> list[Tensor]:
        """Return mixed features of the same scales, from fine to coarse."""
        mixed = [project(one) for project, one in zip(self.across_channels, features, strict=True)]
        for scale in reversed(range(len(self.across_scales))):
            # Projected before it is enlarged, which is the same and less to compute.
            coarser = self.across_scales[scale](mixed[scale + 1])
            enlarged = functional.interpolate(coarser, size=mixed[scale].shape[-2:], mode="bilinear")
            mixed[scale] = mixed[scale] + enlarged
        return mixed


class ScaleDiscriminator(nn.Module):
    """Judges the features of one scale: halved down to 4x4, a score at each place (section 3.2, table 6).

    A score has a part for the classes, a projection (Miyato and Koyama 2018, equation 4).
    """

    def __init__(self, channels: int, size: int, classes: int, config: ProjectedDiscriminatorConfig):
        super().__init__()
        halvings = max(1, round(math.log2(max(size / PLACES, 1))))
        widths = [min(channels * 2**number, max(config.widest, channels)) for number in range(halvings + 1)]
        halves = size > PLACES
        self.convolutions = nn.ModuleList(
            nn.Conv2d(before, after, 4, stride=2, padding=1) if halves else nn.Conv2d(before, after, 3, padding=1)
            for before, after in pairwise(widths)
        )
        # Real and generated features come in batches of their own, and each is normed by itself in evaluation too.
        self.norms = nn.ModuleList(nn.BatchNorm2d(width, track_running_stats=False) for width in widths[1:])
        self.score = nn.Conv2d(widths[-1], 1, 3, padding=1)
        self.seen = nn.Conv2d(widths[-1], config.class_dim, 3, padding=1)
        self.embeddings = nn.Linear(classes, config.class_dim, bias=False)

    def forward(
        self, features: Float[Tensor, "batch channels rows columns"], classes: Float[Tensor, "batch classes"]
    ) -> Float[Tensor, "batch places"]:
        for convolution, norm in zip(self.convolutions, self.norms, strict=True):
            features = functional.leaky_relu(norm(convolution(features)), 0.2)
        fitting = self.seen(features) * self.embeddings(classes)[..., None, None]
        return (self.score(features)[:, 0] + fitting.sum(1)).flatten(1)


class ProjectedDiscriminator(nn.Module):
    """Scores of frozen features of images, at several scales and places.

    ``channels``: those of the features' scales, from fine (1/4 of the image) to coarse. ``digest``: the hex SHA-256 of
    the network that computes them, which is kept beside the weights: they mean nothing for features of another one.
    """

    digest: Tensor

    def __init__(self, config: ProjectedDiscriminatorConfig, channels: Sequence[int], classes: int, digest: str):
        super().__init__()
        widths = [config.channels * 2**scale for scale in range(len(channels))]
        self.mixing = RandomMixing(channels, widths, config.seed)
        self.scales = nn.ModuleList(
            ScaleDiscriminator(width, config.size // 2 ** (scale + 2), classes, config)
            for scale, width in enumerate(widths)
        )
        self.register_buffer("digest", torch.tensor(list(bytes.fromhex(digest)), dtype=torch.uint8))

    def check_features(self, digest: str) -> None:
        """Refuse features of another network than those that this discriminator was trained with.

        :raises UserError: if so.
        """
        known = bytes(self.digest.tolist()).hex()
        if known != digest:
            raise UserError(
                f"has weights of SHA-256 {digest[:12]}..., the checkpoint was trained with those of {known[:12]}...",
                key="projected.features",
            )

    def forward(
        self, features: Sequence[Float[Tensor, "batch _ _ _"]], classes: Float[Tensor, "batch classes"]
    ) -> Float[Tensor, "batch scores"]:
        """Return the scores of all scales and places; more is more real."""
        scales = zip(self.scales, self.mixing(features), strict=True)
        return torch.cat([judge(one, classes) for judge, one in scales], dim=1)
