"""Ordinary photographs with a missing part: an inpainting prior learns from them before it meets a panorama."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from aognet.data.captioned_panorama import CaptionedPanorama
from aognet.data.random_views import PerspectiveSamples, ViewSample
from aognet.system.transfer import to_device

MASK = 1  # stream of random numbers beside the view's own


@dataclass(frozen=True)
class PhotographBatch:
    """Views in [-1, 1], the mask of their known pixels, and a prompt and a seed for each."""

    view: Float[Tensor, "batch 3 size size"]
    known: Bool[Tensor, "batch 1 size size"]
    prompts: list[str]
    seeds: Int[Tensor, "batch"]

    def to(self, device: torch.device) -> "PhotographBatch":
        """Return the batch with its tensors on a device. The seeds stay on the CPU, where random numbers are drawn."""
        return replace(self, view=to_device(self.view, device), known=to_device(self.known, device))


@dataclass(frozen=True)
class PhotographSample:
    """A view and the mask of its known pixels."""

    shown: ViewSample
    known: Bool[Tensor, "1 size size"]


class PhotographSamples(PerspectiveSamples[PhotographSample]):
    """Infinite samples: nearly level views of panoramas, as people photograph, with random masks."""

    @dataclass(frozen=True, kw_only=True)
    class Config(PerspectiveSamples.Config):
        """The same settings as `aognet.data.random_views.ViewSamples`, which has no masks."""

        fov_degrees: tuple[float, float] = (45.0, 75.0)
        pitch_degrees: tuple[float, float] = (-15.0, 15.0)

    def draw(self, panorama: CaptionedPanorama, number: int) -> PhotographSample:
        rng = np.random.default_rng([self.config.seed, number, MASK])
        return PhotographSample(self.draw_view(panorama, number), random_mask(rng, self.config.size))

    def collate(self, samples: Sequence[PhotographSample]) -> PhotographBatch:
        """Return samples as a batch."""
        shown = [sample.shown for sample in samples]
        return PhotographBatch(
            torch.stack([view.image for view in shown]),
            torch.stack([sample.known for sample in samples]),
            [view.prompt for view in shown],
            torch.tensor([view.seed for view in shown]),
        )


def random_mask(rng: np.random.Generator, size: int) -> Bool[Tensor, "1 size size"]:
    """Return a mask of what is known of an image: one side of a line, or of two; all around a rectangle; or a rectangle
    alone.
    """
    y, x = np.mgrid[0:size, 0:size] / size - 0.5
    kind = rng.random()
    if kind < 0.5:
        sides = []
        for _ in range(1 + (rng.random() < 0.4)):
            angle, offset = rng.uniform(0, 2 * math.pi), rng.uniform(-0.3, 0.35)
            sides.append(x * math.cos(angle) + y * math.sin(angle) > offset)
        known = np.logical_or.reduce(sides) if rng.random() < 0.4 else np.logical_and.reduce(sides)
    else:
        (width, height), (across, down) = rng.uniform(0.3, 0.9, 2), rng.uniform(-0.3, 0.3, 2)
        inside = (abs(x - across) < width / 2) & (abs(y - down) < height / 2)
        known = ~inside if kind < 0.75 else inside
    return torch.from_numpy(known)[None]
