"""Random perspective views of captioned panoramas: what image encoders, autoencoders and plain priors train on."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from aognet.data.panorama import PanoramaConfig, Panoramas, shuffled
from aognet.errors import UserError
from aognet.geometry.camera import Camera
from aognet.geometry.perspective import look


@dataclass(frozen=True)
class ViewBatch:
    """``images`` in [-1, 1], a prompt and a seed for each."""

    images: Float[Tensor, "batch 3 size size"]
    prompts: list[str]
    seeds: Int[Tensor, "batch"]

    def to(self, device: torch.device) -> "ViewBatch":
        return replace(self, images=self.images.to(device, non_blocking=True))


@dataclass(frozen=True)
class ViewSample:
    """One view, its prompt and its seed."""

    image: Float[Tensor, "3 size size"]
    prompt: str
    seed: int


class ViewSamples:
    """Infinite samples: ``self[n]`` depends on nothing but the configuration and ``n``."""

    @dataclass(frozen=True, kw_only=True)
    class Config(PanoramaConfig):
        """``size``: pixels of the square views; ``fov_degrees`` and ``pitch_degrees``: [least, most], drawn evenly."""

        size: int = 128
        fov_degrees: tuple[float, float] = (60.0, 100.0)
        pitch_degrees: tuple[float, float] = (-45.0, 45.0)
        mirror: bool = True

        def __post_init__(self) -> None:
            super().__post_init__()
            if self.size < 8:
                raise UserError(f"size must be at least 8, got {self.size}")
            for name, limits in (("fov_degrees", (1, 170)), ("pitch_degrees", (-90, 90))):
                least, most = getattr(self, name)
                if not limits[0] <= least <= most <= limits[1]:
                    raise UserError(f"{name} must be [least, most] within {list(limits)}, got {[least, most]}")

    def __init__(self, config: Config):
        self.config = config
        self.panoramas = Panoramas(config)

    def __len__(self) -> int:
        return len(self.panoramas)

    def __getitem__(self, number: int) -> ViewSample:
        config, random = self.config, np.random.default_rng([self.config.seed, number])
        index = self.panoramas.sound(shuffled(len(self), config.seed, number))
        captions = self.panoramas.captions_of(index)
        camera = Camera(
            yaw_degrees=random.uniform(-180, 180),
            pitch_degrees=random.uniform(*config.pitch_degrees),
            fov_degrees=random.uniform(*config.fov_degrees),
            width=config.size,
            height=config.size,
        )
        image = look(self.panoramas.image(index)[None], camera)[0]
        if config.mirror and random.random() < 0.5:
            image = image.flip(-1)
        prompt = captions[random.integers(len(captions))]
        return ViewSample(image, prompt, int(random.integers(2**62)))

    def collate(self, samples: Sequence[ViewSample]) -> ViewBatch:
        """Samples as a batch."""
        images = torch.stack([sample.image for sample in samples])
        return ViewBatch(images, [sample.prompt for sample in samples], torch.tensor([s.seed for s in samples]))
