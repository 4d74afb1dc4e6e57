"""Seamless panoramas: a latent diffusion model whose convolutions wrap around in x denoises the whole panorama at once.

Its public form is Coherent_Panorama_SD (2024), which wraps the UNet and the VAE's decoder. Here the VAE's encoder wraps
too, so that what is known of a panorama is continued over its edge.
"""

from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from aognet.callbacks import Cancelled, Listener
from aognet.canvas import Canvas, MaskedView, join
from aognet.data.equirectangular import EquirectangularBatch
from aognet.diffusion.backbone import Backbone, BackboneConfig
from aognet.diffusion.inpaint import TextContext, check_settings, inpaint, stride
from aognet.diffusion.lora.trained import merge_lora
from aognet.diffusion.objective import Denoising
from aognet.diffusion.sampling.noise import generators, named_seed
from aognet.diffusion.sampling.sampler import SamplerConfig
from aognet.geometry.surface import SPHERE
from aognet.methods.generative import Steps
from aognet.methods.recording import Recording
from aognet.methods.seamless.controls import check_controls, control_images
from aognet.methods.seamless.denoising import PanoramaToDenoise, denoised, drawn_turns
from aognet.methods.seamless.directed import prompt_weights
from aognet.methods.seamless.poles import poles_to_paint, polished
from aognet.methods.seamless.settings import SeamlessSettings
from aognet.methods.seamless.sizes import check_rows
from aognet.methods.seamless.training import PREVIEW, TrainingConfig, learning, training_loss, turned_denoising
from aognet.methods.trained_method import TrainedMethod
from aognet.nn.circular import Poles, padded_as, wrap_around
from aognet.nn.component import Component
from aognet.request import Request
from aognet.result import Result

PANORAMA = "panorama"
POLISHED = {"poles": "polished"}  # the note of a recorded step


class Seamless(TrainedMethod):
    """Any Stable Diffusion backbone, made to wrap around.

    A text-to-image UNet gets what is known put back after each step; an inpainting UNet sees it. It works untrained;
    the configuration says which of the UNet's weights learn panoramas.
    """

    method = "seamless"

    @dataclass(frozen=True, kw_only=True)
    class Config(TrainingConfig):
        """The backbone, how it wraps, and what of it is trained, on which loss (`TrainingConfig`).

        ``poles``: what convolutions see beyond the poles: nothing, or the same rows half a turn away (``flip``).
        """

        backbone: BackboneConfig
        poles: Poles = "none"

    def __init__(self, config: Config, backbone: Backbone | None = None):
        """Load the backbone that ``config`` names, unless it is given, and change it in place."""
        super().__init__()
        self.config = config
        self.backbone = backbone or Backbone.load(config.backbone)
        # First, so that low-rank additions wrap around like the layers they are added to.
        self._parts = learning(self.backbone, config)
        wrap_around(self.backbone.denoiser, config.poles)
        self.backbone.latents.wrap_around(config.poles)
        self.backbone.surface = SPHERE

    def trainable_parts(self) -> dict[str, nn.Module]:
        return self._parts

    def forward(self, batch: EquirectangularBatch) -> dict[str, Tensor]:
        """Return the diffusion loss of whole panoramas. Raises UserError for a size that does not wrap."""
        return {"loss": training_loss(self.backbone, self.config, self.denoising(batch))}

    def denoising(self, batch: EquirectangularBatch) -> Denoising:
        """Return what it learns from in one step. Raises UserError for a size that does not wrap."""
        check_rows(self.backbone, batch.images.shape[-2], "data.train.height")
        return turned_denoising(self.backbone, self.config, batch)

    @torch.no_grad()
    def preview(self, batch: EquirectangularBatch) -> dict[str, Tensor]:
        """Return what is known, the target, and the output in 20 steps, as panoramas."""
        target, source = batch.turned(), generators(batch.seeds, PREVIEW)
        condition = self.backbone.prepare_condition(target, batch.known, source)
        prompts = self.config.learn_words.prompts(self.backbone.conditioner, batch.prompts)
        context = TextContext.of_prompts(self.backbone, prompts)
        output = inpaint(self.backbone, condition, context, SamplerConfig(steps=20), source)
        return {"input": target * batch.known, "target": target, "output": output}

    def finish_loading(self) -> None:
        """Merge low-rank additions that were trained into the layers they are added to; words learn no more."""
        if "words" in self._parts:
            self._parts["words"].requires_grad_(False)
        if self.config.train == "lora":
            merge_lora(self.backbone.denoiser.unet)

    def components(self) -> dict[str, Component]:
        """Return its networks, for placement."""
        return self.backbone.components()

    @property
    def stride(self) -> int:
        """The pixels by which a panorama must be wider for the UNet to halve it without a rest."""
        return stride(self.backbone)

    def check(self, request: Request, settings: SeamlessSettings) -> None:
        """Raise UserError for a size that does not wrap, or what does not fit the backbone: sampler, control images."""
        check_rows(self.backbone, request.rows, "height")
        check_controls(request, len(self.backbone.denoiser.controlnets))
        check_settings(self.backbone, request.rows, settings.sampler, self.backbone.is_inpainting)

    @torch.no_grad()
    def generate(self, request: Request, settings: SeamlessSettings, steps: Steps, listener: Listener) -> Result:
        """Denoise the panorama in one piece, and keep what the request's inputs show."""
        start = steps.start()
        recorded = len(steps.recorded())
        panorama = steps.step(recorded - 1).get(PANORAMA) if recorded else None
        if panorama is None:
            asked = self._to_denoise(request, settings, start)
            asked = replace(asked, controls=control_images(request, settings, steps.controls()))
            with padded_as(settings.poles):
                panorama = self._painted(asked, steps, listener)
            steps.record({PANORAMA: panorama})
        panorama = self._joined(panorama, start, settings.feather)
        if settings.polish == "views":
            panorama = self._polished(request, settings, panorama, start.known, steps, listener)
        return Result(panorama[0].add(1).div(2).clamp(0, 1))

    @staticmethod
    def _joined(panorama: Tensor, start: Canvas, feather: float) -> Tensor:
        """Return what was painted with what is known in its place, and colours that meet at its border."""
        if not start.known.any():
            return panorama
        return join(panorama, MaskedView(start.image, start.known), feather, surface=SPHERE)

    def _polished(
        self,
        request: Request,
        settings: SeamlessSettings,
        panorama: Tensor,
        known: Tensor,
        steps: Steps,
        listener: Listener,
    ) -> Tensor:
        """Return the panorama with its poles painted again, as a recorded step; what is ``known`` stays."""
        recorded = steps.recorded()
        if recorded[-1].note == POLISHED:
            return steps.step(len(recorded) - 1)[PANORAMA]
        controls = control_images(request, settings, steps.controls())
        asked = poles_to_paint(self.backbone, request, settings, panorama, known, controls)
        found = polished(self.backbone, asked, listener.counting("steps at the poles"))
        steps.record({PANORAMA: found}, POLISHED)
        return found

    def _painted(self, asked: PanoramaToDenoise, steps: Steps, listener: Listener) -> Tensor:
        """Return what is painted, before what is known is kept: [1, 3, height, width] in [-1, 1], on the CPU."""
        recording = Recording(steps)
        try:
            latents = denoised(self.backbone, asked, listener.counting("steps"), recording)
        except Cancelled:
            recording.record()
            raise
        return self.backbone.latents.decode(latents).cpu()

    def _to_denoise(self, request: Request, settings: SeamlessSettings, start: Canvas) -> PanoramaToDenoise:
        """Return what is to be denoised; all random numbers come from the request's seed and name."""
        backbone, sampler = self.backbone, settings.sampler
        seed = named_seed(request.seed, request.name)
        source = generators([seed])
        condition = backbone.prepare_condition(start.image, start.known, source)
        context, weights = self._texts(request, settings, *condition.mask.shape[-2:])
        turns: list[int] = []
        if settings.rotate_each_step:
            stride, columns = self.stride // backbone.latents.scale, condition.mask.shape[-1]
            turns = drawn_turns(seed, columns, stride, backbone.training_steps)
        return PanoramaToDenoise(condition, context, sampler, source, weights=weights, turns=turns)

    def _texts(
        self, request: Request, settings: SeamlessSettings, rows: int, columns: int
    ) -> tuple[TextContext, torch.Tensor | None]:
        """Return the encoded prompts, the common one first, and where each counts if there are several.

        The words of a direction are joined with the common prompt, as in the methods that paint views.
        """
        how, common, directed = settings.sampler.long_prompts, request.prompt, request.prompts_at
        words = [self.backbone.conditioner.joined(at.text, common, how) if common else at.text for at in directed]
        context = TextContext.of_prompts(self.backbone, [common, *words], request.negative, how)
        if not directed:
            return context, None
        weights = prompt_weights(directed, settings.prompt_reach_degrees, rows, columns)
        return TextContext(context.positive, context.negative[:1]), weights
