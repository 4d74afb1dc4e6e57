"""What views are to show: words by the cosine of CLIP's embeddings, and a photograph where it looks."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional

from aognet.canvas import Canvas
from aognet.geometry.agreement import View
from aognet.geometry.camera import Camera
from aognet.nn.in_parts import in_parts
from aognet.perception.clip import ClipNetwork
from aognet.perception.lpips import PerceptualDistance

SCALES = (1, 2, 4, 8)
"""Pixels across the squares whose mean colours are compared with a photograph's."""


@dataclass(frozen=True, eq=False)
class Measured:
    """How near views are to what they are to show.

    ``objective`` is 0 where nothing is left to wish for. ``similarity``: the mean cosine between views and their words.
    ``psnr``: in decibels, of the views where a photograph looks. NaN without words, and without a photograph.
    """

    objective: Tensor
    similarity: float
    psnr: float


class Networks:
    """The networks that look at views: a CLIP, and LPIPS if there is one. They take ``at_once`` views at once."""

    def __init__(self, clip: ClipNetwork, lpips: PerceptualDistance | None = None, at_once: int | None = None):
        self.clip, self._lpips, self._at_once = clip, lpips, at_once

    def embedded(self, images: Float[Tensor, "views 3 rows columns"]) -> Float[Tensor, "views dim"]:
        """Return CLIP's embeddings of images in [-1, 1], of length 1."""
        return functional.normalize(in_parts(self.clip.image_encoder.embed, self._at_once, images), dim=-1)

    def distances(
        self, images: Float[Tensor, "views 3 rows columns"], others: Float[Tensor, "views 3 rows columns"]
    ) -> Float[Tensor, "views"]:
        """Return how different images in [-1, 1] look: by LPIPS, or 1 less the cosine of CLIP's embeddings."""
        if self._lpips is None:
            return 1 - (self.embedded(images) * self.embedded(others)).sum(-1)
        return in_parts(self._by_lpips, self._at_once, images, others)

    def _by_lpips(self, images: Tensor, others: Tensor) -> Tensor:
        assert self._lpips is not None
        means = [part.mean((1, 2, 3)) for part in self._lpips.network(images, others)]
        return sum(means[1:], means[0])


@dataclass(frozen=True, eq=False)
class ViewWords:
    """The ``texts`` of views, embedded with length 1, and how much each view counts (0: it has none)."""

    texts: Float[Tensor, "views dim"]
    counts: Float[Tensor, "views"]

    def similarity(self, seen: Float[Tensor, "views dim"]) -> Tensor:
        """Return the mean cosine of views, embedded with length 1, with their words."""
        return ((seen * self.texts).sum(-1) * self.counts).sum() / self.counts.sum()


@dataclass(frozen=True, eq=False)
class Picture:
    """What views see of a photograph: its colours in [-1, 1], 0 where it is not, the mask, and which views see it."""

    image: Float[Tensor, "views 3 rows columns"]
    known: Float[Tensor, "views 1 rows columns"]
    seeing: Bool[Tensor, "views"]

    @classmethod
    def of(cls, canvas: Canvas, views: Sequence[Camera], device: torch.device) -> "Picture | None":
        """Return what views see of a canvas; None if there is nothing of the size of a pixel."""
        seen = canvas.look_all(views)
        image, known = seen.image[0].to(device), seen.known[0].to(device)
        return cls(image, known.float(), known.flatten(1).any(1)) if known.any() else None

    @property
    def shares(self) -> Float[Tensor, "seeing"]:
        """How much of what is seen in all is seen by each view that sees any of it."""
        return self.known[self.seeing].sum((1, 2, 3)) / self.known.sum()

    def distance(self, images: Float[Tensor, "views 3 rows columns"], networks: Networks) -> Tensor:
        """Return how different views look where the photograph is: by mean colours of squares, and by networks."""
        shown, target, known = (one[self.seeing] for one in (images, self.image, self.known))
        shown = shown * known
        looks = (networks.distances(shown, target) * self.shares).sum()
        sizes = [size for size in SCALES if size <= shown.shape[-1]]
        return looks + sum(_difference(shown - target, known, size) for size in sizes) / len(sizes)

    def psnr(self, images: Float[Tensor, "views 3 rows columns"]) -> float:
        """Return the PSNR in decibels of all pixels at which views see the photograph."""
        squared = ((images - self.image) * self.known).square().sum() / (3 * self.known.sum())
        return float(10 * torch.log10(4 / squared))


@dataclass(frozen=True, eq=False)
class Aims:
    """What views are to show, and the networks that tell how far they do."""

    networks: Networks
    words: ViewWords | None
    picture: Picture | None

    def measured(self, images: Float[Tensor, "views 3 rows columns"]) -> Measured:
        """Return how near views in [-1, 1] are; the objective has gradients."""
        objective, similarity, psnr = images.new_zeros(()), math.nan, math.nan
        if self.words is not None:
            mean = self.words.similarity(self.networks.embedded(images))
            objective, similarity = objective + 1 - mean, float(mean.detach())
        if self.picture is not None:
            objective = objective + self.picture.distance(images, self.networks)
            psnr = self.picture.psnr(images.detach())
        return Measured(objective, similarity, psnr)


def level(view: View) -> float:
    """Return how much common words count for a view: 1 level, 0 at a pole, which they do not describe."""
    return math.cos(math.radians(view.pitch_degrees)) if isinstance(view, Camera) else 1.0


def _difference(masked: Tensor, known: Tensor, size: int) -> Tensor:
    """Return the mean difference of the colours of squares, as far as these are known."""
    parts, weight = functional.avg_pool2d(masked, size), functional.avg_pool2d(known, size)
    return parts.abs().sum() / (3 * weight.sum())
