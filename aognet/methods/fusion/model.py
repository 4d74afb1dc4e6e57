"""Fusion: any Stable Diffusion paints the whole sphere, all views of which are denoised together. Nothing is trained.

Its sources: MultiDiffusion (Bar-Tal et al. 2023), SpotDiffusion (Frolov et al. 2024) and Linear Fusion (arXiv
2609.01997), see `aognet.methods.fusion.ways`.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from aognet.callbacks import Cancelled, Listener
from aognet.canvas import Canvas, MaskedView, join
from aognet.diffusion.backbone import Backbone, BackboneConfig
from aognet.diffusion.inpaint import check_settings
from aognet.diffusion.sampling.noise import generators, named_seed, normal
from aognet.errors import UserError
from aognet.geometry.camera import Camera
from aognet.geometry.surface import SPHERE
from aognet.methods.fusion.cameras import camera_set
from aognet.methods.fusion.merging import merged
from aognet.methods.fusion.seen import ViewsSeen, Words
from aognet.methods.fusion.settings import FUSIBLE, FusionSettings
from aognet.methods.fusion.sphere_denoising import SphereToDenoise, apart, fused, noise_shape
from aognet.methods.fusion.ways import make_way
from aognet.methods.generative import Steps
from aognet.methods.recording import Recording
from aognet.methods.trained_method import TrainedMethod
from aognet.nn.component import Component
from aognet.request import Request
from aognet.result import Result

log = logging.getLogger(__name__)
FIELD, PANORAMA = "field", "panorama"


class Fusion(TrainedMethod):
    """Any Stable Diffusion backbone, for views of 90 degrees or so. It has nothing to train."""

    method = "fusion"

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """The backbone."""

        backbone: BackboneConfig

    def __init__(self, config: Config, backbone: Backbone | None = None):
        """Load the backbone that ``config`` names, unless it is given."""
        super().__init__()
        self.config = config
        self.backbone = backbone or Backbone.load(config.backbone)

    def trainable_parts(self) -> dict[str, nn.Module]:
        return {}

    def components(self) -> dict[str, Component]:
        """Return its networks, for placement."""
        return self.backbone.components()

    def check(self, request: Request, settings: FusionSettings) -> None:
        """Raise UserError for views, or a sampler, that the backbone or the way cannot work with."""
        sampler = settings.noiseless
        if sampler != settings.sampler:
            log.info("fusion adds no noise: %s in place of %s", sampler.scheduler, settings.sampler.scheduler)
        if sampler.scheduler not in FUSIBLE:
            said = f"must be one of {', '.join(FUSIBLE)} for fusion (it adds no noise, and takes each step once)"
            raise UserError(said, key="sampler.scheduler", value=sampler.scheduler)
        if sampler.steps < 2:
            raise UserError("must be at least 2 for fusion", key="sampler.steps", value=sampler.steps)
        cameras = self._cameras(settings)
        scale = self.backbone.latents.scale
        if cameras[0].width % scale:
            raise UserError(f"must be a multiple of {scale}", key="views.size", value=cameras[0].width)
        check_settings(self.backbone, cameras[0].width, sampler, self.backbone.is_inpainting)

    @torch.no_grad()
    def generate(self, request: Request, settings: FusionSettings, steps: Steps, listener: Listener) -> Result:
        """Denoise all views together, then apart; merge them, and keep what the request's inputs show."""
        start, recorded = steps.start(), len(steps.recorded())
        panorama = steps.step(recorded - 1).get(PANORAMA) if recorded else None
        if panorama is None:
            cameras = self._cameras(settings)
            asked = self._to_denoise(request, settings, cameras, start)
            latents = self._painted(asked, steps, listener)
            views = self.backbone.latents.decode(latents).cpu()
            panorama = merged(views, cameras, request.rows, settings.tau)
            steps.record({PANORAMA: panorama})
        if start.known.any():
            panorama = join(panorama, MaskedView(start.image, start.known), settings.feather, surface=SPHERE)
        return Result(panorama[0].add(1).div(2).clamp(0, 1))

    def _painted(self, asked: SphereToDenoise, steps: Steps, listener: Listener) -> Tensor:
        """Return the latents of the views. What they agree on is a recorded step."""
        total = asked.sampler.steps
        field = steps.step(0).get(FIELD) if steps.recorded() else None
        if field is None:
            recording = Recording(steps)
            field = _recorded(
                recording,
                lambda: fused(self.backbone, asked, lambda done, _: listener.tell("steps", done, total), recording),
            )
            steps.record({FIELD: field}, {"done": asked.fused_steps})
        recording = Recording(steps, behind=1)
        field, behind = field.to(self.backbone.device), asked.fused_steps
        return _recorded(
            recording,
            lambda: apart(
                self.backbone, asked, field, lambda done, _: listener.tell("steps", behind + done, total), recording
            ),
        )

    def _cameras(self, settings: FusionSettings) -> tuple[Camera, ...]:
        sample = self.backbone.denoiser.unet.config.sample_size
        own = (sample if isinstance(sample, int) else min(sample)) * self.backbone.latents.scale
        return camera_set(settings.views, settings.way, settings.views.size or own)

    def _to_denoise(
        self, request: Request, settings: FusionSettings, cameras: tuple[Camera, ...], start: Canvas
    ) -> SphereToDenoise:
        """Return what is to be denoised; all random numbers come from the request's seed and name."""
        backbone, sampler, size = self.backbone, settings.noiseless, cameras[0].width
        seed = named_seed(request.seed, request.name)
        cells = size // backbone.latents.scale
        small = tuple(camera.sized(cells, cells) for camera in cameras)
        way = make_way(settings.way, small, settings.turn_degrees, sampler.steps, seed)
        noise = normal(noise_shape(way, backbone.latents.channels), generators([seed]))
        seen, words = ViewsSeen(backbone, start, size, seed), Words(backbone, request, sampler.long_prompts)
        return SphereToDenoise(way, seen, words, sampler, noise, settings.fused_steps, settings.views_per_batch)


def _recorded(recording: Recording, work: Callable[[], Tensor]) -> Tensor:
    """Do what is recorded as it goes on. Where it is cancelled, its last step is recorded, too."""
    try:
        return work()
    except Cancelled:
        recording.record()
        raise
