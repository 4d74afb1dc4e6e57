"""A painter in place of a model: quick, and what it paints depends on everything it should depend on."""

import zlib
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from aognet.canvas import MaskedView
from aognet.diffusion.inpaint import ViewToPaint
from aognet.diffusion.sampling.noise import generators
from aognet.diffusion.sampling.sampler import SamplerConfig
from aognet.generate.outpaint import Generator, GeneratorConfig, Listener
from aognet.geometry.camera import positions_of
from aognet.geometry.plans import PlanConfig

CONFIG = GeneratorConfig(
    height=64, plan=PlanConfig(size=32), sampler=SamplerConfig(steps=2), face_size=16, views_per_batch=1
)
QUIET = Listener()


class Painter:
    """Waves over the sphere in colours drawn from seed, prompt and what is known; stops before view ``stop_at``."""

    joint_waves = False

    def __init__(self, stop_at: int | None = None):
        self.stop_at, self.painted = stop_at, 0
        self.prompts: list[str] = []

    def joined(self, words: str, prompt: str, sampler: SamplerConfig) -> str:
        return f"{words}, {prompt}"

    def check(self, plan: PlanConfig, sampler: SamplerConfig) -> None:
        """Paints with any."""

    def outpaint(
        self, views: Sequence[ViewToPaint], seen: MaskedView, sampler: SamplerConfig, face_size: int,
        progress: Callable[[int, int], None] | None = None,
    ) -> Tensor:  # fmt: skip
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


def generator(stop_at: int | None = None, config: GeneratorConfig = CONFIG) -> Generator:
    return Generator(Painter(stop_at), config, torch.device("cpu"))


def smooth_photo(rows: int = 60, columns: int = 80) -> Tensor:
    """A photograph in [-1, 1] whose values change slowly: a sky, a ground and round things."""
    y, x = torch.meshgrid(torch.linspace(-1, 1, rows), torch.linspace(-1, 1, columns), indexing="ij")
    sky = torch.stack([0.2 - 0.3 * y, 0.4 - 0.4 * y, 0.8 - 0.5 * y])
    ground = torch.stack([0.1 + 0.3 * x, 0.3 * y, -0.5 + 0.2 * x * y])
    things = 0.4 * torch.exp(-12 * ((x - 0.3) ** 2 + (y + 0.2) ** 2)) - 0.3 * torch.exp(-9 * (x**2 + (y - 0.5) ** 2))
    horizon = torch.sigmoid(12 * (y - 0.1 * x))
    return (sky * (1 - horizon) + ground * horizon + things).clamp(-1, 1)
