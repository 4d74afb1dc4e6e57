"""A painter in place of a model: quick, and what it paints depends on everything it should depend on."""

import zlib
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from aognet.callbacks import Listener
from aognet.canvas import Canvas, MaskedView
from aognet.diffusion.inpaint import ViewToPaint
from aognet.diffusion.sampling.noise import generators
from aognet.diffusion.sampling.sampler import SamplerConfig
from aognet.generate.asked import Asked, ModelConfig
from aognet.generate.outpaint import Outpaint
from aognet.generate.view_journal import ViewJournal, check_free
from aognet.geometry.camera import Camera, positions_of
from aognet.geometry.plans import PlanConfig
from aognet.methods.outpainter import OutpaintSettings
from aognet.request import Request

HEIGHT = 64
SETTINGS = OutpaintSettings(plan=PlanConfig(size=32), sampler=SamplerConfig(steps=2), views_per_batch=1)
QUIET = Listener()


def begin(folder: Path, start: Canvas, camera: Camera | None = None, faces: bool = False, **asked: Any) -> ViewJournal:
    """The journal of a new run. ``asked``: what its request says."""
    request = Request(
        **{"prompt": "a room", "name": "room", "height": start.height, "settings": asdict(SETTINGS), **asked}
    )
    journal = ViewJournal(folder, Asked(request, ModelConfig("painter"), "weights", {}, camera=camera), start.encoding)
    journal.begin(start, check_free(folder), faces=faces)
    return journal


class Painter:
    """Waves over the sphere in colours drawn from seed, prompt and what is known; stops before view ``stop_at``."""

    joint_waves = False
    upscaler = None

    def __init__(self, stop_at: int | None = None):
        self.stop_at, self.painted = stop_at, 0
        self.prompts: list[str] = []

    def joined(self, words: str, prompt: str, settings: OutpaintSettings) -> str:
        return f"{words}, {prompt}"

    def check(self, settings: OutpaintSettings) -> None:
        """Paints with any."""

    def outpaint(
        self, views: Sequence[ViewToPaint], seen: MaskedView, settings: OutpaintSettings,
        progress: Callable[[int, int], None] | None = None,
    ) -> Tensor:  # fmt: skip
        sampler = settings.sampler
        if self.painted == self.stop_at:
            raise KeyboardInterrupt
        self.painted += len(views)
        self.prompts += [view.prompt for view in views]
        painted = []
        for view, image, source in zip(views, seen.image, generators([view.seed for view in views]), strict=True):
            phase = torch.rand(3, 1, 1, generator=source) * 6 + zlib.crc32(view.prompt.encode()) % 7
            mean = image.mean((-2, -1)).view(3, 1, 1)
            painted.append((positions_of(view.camera) * (2 + sampler.guidance) + phase + mean).sin())
            progress(sampler.steps, sampler.steps)
        return torch.stack(painted)


def outpaint(stop_at: int | None = None, settings: OutpaintSettings = SETTINGS) -> Outpaint:
    """The strategy with the painter as its model."""
    return Outpaint(Painter(stop_at), settings, torch.device("cpu"))


def smooth_photo(rows: int = 60, columns: int = 80) -> Tensor:
    """A photograph in [-1, 1] whose values change slowly: a sky, a ground and round things."""
    y, x = torch.meshgrid(torch.linspace(-1, 1, rows), torch.linspace(-1, 1, columns), indexing="ij")
    sky = torch.stack([0.2 - 0.3 * y, 0.4 - 0.4 * y, 0.8 - 0.5 * y])
    ground = torch.stack([0.1 + 0.3 * x, 0.3 * y, -0.5 + 0.2 * x * y])
    things = 0.4 * torch.exp(-12 * ((x - 0.3) ** 2 + (y + 0.2) ** 2)) - 0.3 * torch.exp(-9 * (x**2 + (y - 0.5) ** 2))
    horizon = torch.sigmoid(12 * (y - 0.1 * x))
    return (sky * (1 - horizon) + ground * horizon + things).clamp(-1, 1)
