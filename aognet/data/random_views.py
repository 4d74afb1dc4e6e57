"""Random perspective views of captioned panoramas: image encoders, autoencoders and plain priors train on them."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from aognet.data.augment import check_share, draw_prompt, light_curves
from aognet.data.captioned_panorama import CaptionedPanorama
from aognet.data.panoramas import PanoramaConfig, PanoramaSamples, Sample
from aognet.data.viewing import view_all
from aognet.errors import UserError
from aognet.geometry.camera import Camera
from aognet.geometry.plans import MAX_SIZE
from aognet.system.transfer import to_device


@dataclass(frozen=True)
class ViewBatch:
    """``images`` in [-1, 1], with a prompt, a seed and the camera's pitch for each."""

    images: Float[Tensor, "batch 3 size size"]
    prompts: list[str]
    seeds: Int[Tensor, "batch"]
    pitch_degrees: Float[Tensor, "batch"]

    def to(self, device: torch.device) -> "ViewBatch":
        """Return the batch with its images on a device; the seeds stay on the CPU, where random numbers are drawn."""
        return replace(self, images=to_device(self.images, device))


@dataclass(frozen=True)
class ViewSample:
    """One view, its prompt, its seed and the camera's pitch."""

    image: Float[Tensor, "3 size size"]
    prompt: str
    seed: int
    pitch_degrees: float


class PerspectiveSamples(PanoramaSamples[Sample]):
    """The base of samples that are one view of a panorama. It draws the view."""

    @dataclass(frozen=True, kw_only=True)
    class Config(PanoramaConfig):
        """How views are drawn.

        ``size`` is the size of the square views in pixels. ``fov_degrees`` and ``pitch_degrees`` are [least, most],
        drawn evenly. ``directed``: how often the prompt is the augmented caption of the direction nearest to the
        view's, if there is one.
        """

        size: int = 128
        fov_degrees: tuple[float, float] = (60.0, 100.0)
        pitch_degrees: tuple[float, float] = (-45.0, 45.0)
        directed: float = 0.0

        def __post_init__(self) -> None:
            super().__post_init__()
            if not 8 <= self.size <= MAX_SIZE:
                raise UserError(f"must lie in [8, {MAX_SIZE}]", key="size", value=self.size)
            check_share("directed", self.directed)
            for name, limits in (("fov_degrees", (1, 170)), ("pitch_degrees", (-90, 90))):
                least, most = getattr(self, name)
                if not limits[0] <= least <= most <= limits[1]:
                    raise UserError(f"must be [least, most] within {list(limits)}", key=name, value=[least, most])

    config: Config

    def draw_view(self, panorama: CaptionedPanorama, number: int) -> ViewSample:
        """Return view ``number`` of that panorama."""
        config, rng = self.config, np.random.default_rng([self.config.seed, number])
        pitch, fov = rng.uniform(*config.pitch_degrees), rng.uniform(*config.fov_degrees)
        camera = Camera(pitch_degrees=pitch, fov_degrees=fov, width=config.size, height=config.size)
        columns = self.draw_turn(rng)
        mirror = config.augment.mirror and rng.random() < 0.5
        captions = panorama.captions
        if config.directed and rng.random() < config.directed:
            captions = directed_captions(panorama, columns / config.height * 180, mirror) or captions
        prompt = draw_prompt(config.augment, captions, panorama.augmented, mirror, rng)
        image = view_all(panorama.pixels, [camera], columns, mirror, light_curves(config.augment, rng))[0]
        return ViewSample(image, prompt, int(rng.integers(2**62)), float(pitch))


class ViewSamples(PerspectiveSamples[ViewSample]):
    """Infinite samples: ``self[n]`` depends only on the configuration and ``n``."""

    def draw(self, panorama: CaptionedPanorama, number: int) -> ViewSample:
        return self.draw_view(panorama, number)

    def collate(self, samples: Sequence[ViewSample]) -> ViewBatch:
        """Return samples as a batch."""
        return ViewBatch(
            torch.stack([sample.image for sample in samples]),
            [sample.prompt for sample in samples],
            torch.tensor([sample.seed for sample in samples]),
            torch.tensor([sample.pitch_degrees for sample in samples]),
        )


def directed_captions(panorama: CaptionedPanorama, yaw_degrees: float, mirror: bool) -> tuple[str, ...]:
    """Return the augmented captions of the direction nearest to a yaw; none if no caption has a direction."""
    if mirror:  # a mirrored panorama shows at +yaw what it has at -yaw
        yaw_degrees = -yaw_degrees
    gaps = [
        min((abs((yaw_degrees - yaw + 180) % 360 - 180) for yaw in yaws), default=math.inf) for yaws in panorama.yaws
    ]
    nearest = min(gaps, default=math.inf)
    pairs = zip(panorama.augmented, gaps, strict=False)
    return tuple(text for text, gap in pairs if gap < math.inf and gap < nearest + 1e-6)
