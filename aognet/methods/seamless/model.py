"""Seamless panoramas: a latent diffusion model whose convolutions wrap around in x denoises the whole panorama at once.

Its public form is Coherent_Panorama_SD (2024), which wraps the UNet and the VAE's decoder. Here the VAE's encoder wraps
too, so that what is known of a panorama is continued over its edge.
"""

from dataclasses import dataclass

import torch
from torch import nn

from aognet.callbacks import Listener
from aognet.canvas import Canvas
from aognet.diffusion.backbone import Backbone, BackboneConfig
from aognet.diffusion.inpaint import TextContext, check_settings
from aognet.diffusion.sampling.noise import generators, named_seed
from aognet.errors import UserError
from aognet.methods.generative import Steps
from aognet.methods.seamless.denoising import PanoramaToDenoise, denoised
from aognet.methods.seamless.settings import SeamlessSettings
from aognet.methods.trained_method import TrainedMethod
from aognet.nn.circular import Poles, wrap_around
from aognet.nn.component import Component
from aognet.request import Request
from aognet.result import Result

PANORAMA = "panorama"


class Seamless(TrainedMethod):
    """Any Stable Diffusion backbone, made to wrap around.

    A text-to-image UNet gets what is known put back after each step; an inpainting UNet sees it. Nothing of it is
    trained yet.
    """

    method = "seamless"

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """``poles``: what convolutions see beyond the poles: nothing, or the same rows half a turn away (``flip``)."""

        backbone: BackboneConfig
        poles: Poles = "none"

    def __init__(self, config: Config, backbone: Backbone | None = None):
        """Load the backbone that ``config`` names, unless it is given, and change it in place."""
        super().__init__()
        self.config = config
        self.backbone = backbone or Backbone.load(config.backbone)
        for network in (self.backbone.denoiser, self.backbone.latents.vae):
            wrap_around(network, config.poles)

    def trainable_parts(self) -> dict[str, nn.Module]:
        return {}

    def components(self) -> dict[str, Component]:
        """Return its networks, for placement. The VAE's own tiles would tear the seam open: it is never tiled."""
        return self.backbone.components(inseparable=2)

    @property
    def stride(self) -> int:
        """The pixels by which a panorama must be wider for the UNet to halve it without a rest."""
        return self.backbone.latents.scale * 2 ** (len(self.backbone.denoiser.down_channels) - 1)

    def check(self, request: Request, settings: SeamlessSettings) -> None:
        """Raise UserError for a size that does not wrap, or a sampler that does not fit the backbone."""
        stride = self.stride // 2  # of the rows: a panorama is twice as wide as high
        if request.rows % stride:
            least = request.rows // stride * stride
            fits = f"must be a multiple of {stride} to wrap around with this model, such as {least or stride}"
            raise UserError(f"{fits} or {least + stride}", key="height", value=request.rows)
        check_settings(self.backbone, request.rows, settings.sampler, self.backbone.is_inpainting)

    @torch.no_grad()
    def generate(self, request: Request, settings: SeamlessSettings, steps: Steps, listener: Listener) -> Result:
        """Denoise the panorama in one piece, and keep what the request's inputs show."""
        start = steps.start()
        if steps.recorded():
            panorama = steps.step(0)[PANORAMA]
        else:
            panorama = self._painted(request, settings, start, listener)
            steps.record({PANORAMA: panorama})
        panorama = torch.where(start.known, start.image, panorama)
        return Result(panorama[0].add(1).div(2).clamp(0, 1))

    def _painted(self, request: Request, settings: SeamlessSettings, start: Canvas, listener: Listener) -> torch.Tensor:
        """Return what is painted, before what is known is kept: [1, 3, height, width] in [-1, 1], on the CPU."""
        latents = denoised(self.backbone, self._to_denoise(request, settings, start), listener.counting("steps"))
        return self.backbone.latents.decode(latents).cpu()

    def _to_denoise(self, request: Request, settings: SeamlessSettings, start: Canvas) -> PanoramaToDenoise:
        """Return what is to be denoised; all random numbers come from the request's seed and name."""
        backbone, sampler = self.backbone, settings.sampler
        source = generators([named_seed(request.seed, request.name)])
        condition = backbone.prepare_condition(start.image, start.known, source)
        context = TextContext.of_prompts(backbone, [request.prompt], request.negative, sampler.long_prompts)
        return PanoramaToDenoise(condition, context, sampler, source)
