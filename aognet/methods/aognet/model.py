"""AOG-Net (Lu et al., AAAI 2024, sec. 3): its parts, how they condition the backbone, and how they are trained.

There are two variants: ``published`` follows the paper's code, ``revised`` has changes that this project found better.
docs/deviations.md lists the differences.
"""

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from functools import lru_cache, partial
from typing import Any, Literal

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from aognet.canvas import Canvas, MaskedView, join
from aognet.data.outpainting import OutpaintingBatch
from aognet.diffusion.backbone import Backbone, BackboneConfig
from aognet.diffusion.clip_encoders import ClipConfig, ClipImageEncoder, ClipTextEncoder
from aognet.diffusion.condition import TextCondition
from aognet.diffusion.inpaint import TextContext, ViewToPaint, check_image_guidance, check_settings, inpaint
from aognet.diffusion.objective import Denoising, check_draws, denoising_of, drawn, noised_loss
from aognet.diffusion.sampling.noise import generators, uniform
from aognet.diffusion.sampling.sampler import LongPrompts, SamplerConfig
from aognet.diffusion.texts import same_length, side_by_side
from aognet.errors import UserError
from aognet.geometry.camera import positions_of
from aognet.geometry.cubemap import face_cameras, panorama_of
from aognet.methods.aognet.global_stream import GlobalStream, GlobalStreamConfig
from aognet.methods.aognet.local_stream import LocalStream, LocalStreamConfig
from aognet.methods.aognet.published import UNKNOWN, PublishedGlobalStream, PublishedLocalStream
from aognet.methods.aognet.settings import Settings
from aognet.methods.trained_method import TrainedMethod
from aognet.nn.component import Component

DROP = 10
Variant = Literal["revised", "published"]


@dataclass(frozen=True)
class StreamInputs:
    """The input of the streams besides the prompts: the views, and the faces of the unfinished panoramas.

    Images are in [-1, 1], unknown pixels are 0, positions are unit vectors. ``panorama`` says to which panorama each
    view belongs.
    """

    view: Float[Tensor, "batch 3 size size"]
    known: Bool[Tensor, "batch 1 size size"]
    positions: Float[Tensor, "batch 3 size size"]
    faces: Float[Tensor, "panoramas 6 3 face face"]
    faces_known: Bool[Tensor, "panoramas 6 1 face face"]
    panorama: Int[Tensor, "batch"]


@dataclass(frozen=True)
class Conditioning:
    """The output of the streams for the UNet: cross-attention tokens, and maps for its encoder."""

    context: TextContext
    residuals: list[Tensor] | None


class AOGNet(TrainedMethod):
    """A frozen backbone and two trained streams. With both switched off it is the backbone's own inpainting."""

    method = "aognet"
    joint_waves = False
    # What the configuration leaves out is None; the streams have two variants.
    clip: Any
    clip_text: Any
    global_stream: Any
    unconditional: Any
    local_stream: Any

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """``backbone`` and ``clip`` are referenced and stay frozen; the rest is trained. ``variant``: whose streams.

        ``drop_condition``: how often training replaces the context by the learned unconditional embedding.
        ``noise_offset``: strength of the noise shared by a whole channel. ``draws``: how many times an encoded view is
        noised and learned from; this costs less than as many views.
        """

        backbone: BackboneConfig
        clip: ClipConfig | None = None
        variant: Variant = "revised"
        global_stream: GlobalStreamConfig = field(default_factory=GlobalStreamConfig)
        local_stream: LocalStreamConfig = field(default_factory=LocalStreamConfig)
        drop_condition: float = 0.2
        noise_offset: float = 0.1
        draws: int = 1

        def __post_init__(self) -> None:
            if self.global_stream.enabled and self.clip is None:
                raise UserError(
                    "must name an image encoder, since global_stream.enabled is true", key="clip", value=None
                )
            if self.variant == "published" and (self.clip is None or not self.clip.text):
                raise UserError(
                    "must be true: the variant published reads prompts with CLIP's text tower", key="clip.text"
                )
            if not 0 <= self.drop_condition < 1:
                raise UserError("must lie in [0, 1)", key="drop_condition", value=self.drop_condition)
            check_draws(self.draws)

    def __init__(
        self,
        config: Config,
        backbone: Backbone | None = None,
        clip: ClipImageEncoder | None = None,
        clip_text: ClipTextEncoder | None = None,
    ):
        """Load the frozen parts that ``config`` names, unless they are given."""
        super().__init__()
        self.config = config
        self.backbone = backbone or Backbone.load(config.backbone)
        self.clip = self.clip_text = self.global_stream = self.unconditional = self.local_stream = None
        if self.is_published and self.backbone.denoiser.has_added_conditions:
            raise UserError(
                "must be revised on SDXL, whose UNet needs more words than CLIP's text tower gives",
                key="variant",
                value=config.variant,
            )
        if config.clip is not None and (self.is_published or config.global_stream.enabled):
            words = config.backbone.words
            self.clip_text = (clip_text or ClipTextEncoder.load(config.clip, words)) if config.clip.text else None
            self.unconditional = self._unconditional()
        if config.clip is not None and config.global_stream.enabled:
            self.clip = clip or ClipImageEncoder.load(config.clip)
            context_dim, length = self.backbone.denoiser.context_dim, self.backbone.conditioner.length
            words = (self.clip_text.dim, self.clip_text.length) if self.clip_text else (context_dim, length)
            stream = PublishedGlobalStream if self.is_published else GlobalStream
            self.global_stream = stream(config.global_stream, context_dim, self.clip.dim, *words)
        if config.local_stream.enabled:
            denoiser, scale = self.backbone.denoiser, self.backbone.latents.scale
            stream = PublishedLocalStream if self.is_published else LocalStream
            self.local_stream = stream(config.local_stream, denoiser.down_channels, scale, denoiser.halves_first)

    @property
    def is_published(self) -> bool:
        """Whether the streams are those of the published code."""
        return self.config.variant == "published"

    def _unconditional(self) -> nn.Module:
        """Return the learned tokens of the negative branch."""
        part, count, dim = nn.Module(), self.config.global_stream.tokens, self.backbone.denoiser.context_dim
        if self.is_published:  # alone: no words come after them
            part.embedding = nn.Parameter(torch.randn(count, dim))
        else:
            # Starts as the empty prompt behind silent tokens: what the backbone already takes for "unconditional".
            empty = self.backbone.conditioner.with_unconditional([])[1].tokens[0]
            part.embedding = nn.Parameter(torch.cat([empty.new_zeros(count, dim), empty]))
        return part

    def trainable_parts(self) -> dict[str, nn.Module]:
        parts = {name: getattr(self, name) for name in ("global_stream", "unconditional", "local_stream")}
        return {name: part for name, part in parts.items() if part is not None}

    def components(self) -> dict[str, Component]:
        """Return its networks, for placement."""
        towers = {name: part.tower for name in ("clip", "clip_text") if (part := getattr(self, name)) is not None}
        found = self.backbone.components()
        found |= {name: Component(tower, waits=True, half=True) for name, tower in towers.items()}
        return found | {name: Component(part) for name, part in self.trainable_parts().items()}

    def conditioning(
        self,
        stream_inputs: StreamInputs,
        prompts: Sequence[str],
        negative: str = "",
        long_prompts: LongPrompts | None = None,
    ) -> Conditioning:
        """Return the conditions of the UNet for one step. ``negative`` counts only without learned unconditional
        tokens.

        Each chunk of a long prompt has its own tokens of the global stream before it, as a prompt has.
        """
        residuals, seen = None, stream_inputs
        if self.local_stream is not None:
            places = face_positions(seen.faces.shape[-1], seen.faces.device)
            residuals = self.local_stream(
                seen.view, seen.known, seen.positions, seen.faces, seen.faces_known, places, seen.panorama
            )
        if self.global_stream is None and not self.is_published:
            return Conditioning(TextContext.of_prompts(self.backbone, prompts, negative, long_prompts), residuals)
        rows = self._chunks(prompts, long_prompts)
        counts, texts = [len(row) for row in rows], [text for row in rows for text in row]
        conditioner = self.backbone.conditioner
        words = self.clip_text(texts) if self.clip_text else None
        read = conditioner if self.training else conditioner.known
        text = words if self.is_published and words is not None else read(texts, "cut")
        if self.global_stream is not None:
            owners = torch.tensor([number for number, row in enumerate(rows) for _ in row], device=seen.view.device)
            first = self._global_tokens(seen, (text if words is None else words).tokens, owners)
            text = TextCondition(torch.cat([first.to(text.tokens.dtype), text.tokens], dim=1), text.pooled)
        positive = side_by_side(text, counts)
        return Conditioning(TextContext(*same_length(positive, self._without(positive))), residuals)

    def _without(self, positive: TextCondition) -> TextCondition:
        """Return the learned tokens of the negative branch. A pooled vector, if there is one, is that of no words."""
        pools = positive.pooled is not None
        tokens = self.unconditional.embedding.to(positive.tokens.dtype).expand(len(positive), -1, -1)
        return TextCondition(tokens, self.backbone.conditioner.negative("", len(positive)).pooled if pools else None)

    def _global_tokens(
        self, seen: StreamInputs, words: Tensor, owners: Int[Tensor, "texts"]
    ) -> Float[Tensor, "texts tokens context_dim"]:
        """Return the global stream's tokens for texts. ``owners`` says to which view each text belongs."""
        faces, view = seen.faces, seen.view * seen.known
        if self.is_published:
            faces, view = faces.where(seen.faces_known, UNKNOWN), view.where(seen.known, UNKNOWN)
        faces, view = self.clip(faces.flatten(0, 1)).unflatten(0, (-1, 6))[seen.panorama], self.clip(view)
        return self.global_stream(faces[owners], view[owners], words)

    def _chunks(self, prompts: Sequence[str], how: LongPrompts | None) -> list[list[str]]:
        """Return each prompt as texts for the encoder that reads it for the UNet."""
        if not self.is_published:
            return self.backbone.conditioner.chunks(prompts, how)
        how = how or self.backbone.conditioner.long_prompts
        return [self.clip_text.chunks(prompt, how) for prompt in prompts]

    def forward(self, batch: OutpaintingBatch) -> dict[str, Tensor]:
        """Return the diffusion loss of the view with the streams' conditioning (eq. 2 of Ho et al. with offset
        noise).
        """
        return {"loss": noised_loss(self.backbone, self.denoising(batch), self.config.noise_offset)}

    def denoising(self, batch: OutpaintingBatch) -> Denoising:
        """Return what the streams learn from in one step."""
        given = self.conditioning(stream_inputs_of(batch), batch.prompts)
        draws = self.config.draws
        dropped = drawn(draws, lambda stream: uniform(batch.seeds, stream) < self.config.drop_condition, DROP)
        positive, negative = (text.repeated(draws) for text in (given.context.positive, given.context.negative))
        text = positive.replaced(dropped.to(positive.tokens.device), negative)
        predict = partial(self.backbone.predict, residuals=given.residuals)
        return denoising_of(
            self.backbone, batch.view, batch.known, batch.seeds, text, predict, sampled=self.is_published
        )

    def joined(self, words: str, prompt: str, settings: Settings) -> str:
        """Return the words of a direction with the common prompt."""
        if not self.is_published:
            return self.backbone.conditioner.joined(words, prompt, settings.sampler.long_prompts)
        how = settings.sampler.long_prompts or self.backbone.conditioner.long_prompts
        return self.clip_text.joined(words, prompt, how)

    def check(self, settings: Settings) -> None:
        """Raise UserError for settings that `outpaint` cannot paint with."""
        check_settings(self.backbone, settings.plan.size, settings.sampler, self.backbone.is_inpainting)

    @torch.no_grad()
    def outpaint(
        self,
        views: Sequence[ViewToPaint],
        seen: MaskedView,
        settings: Settings,
        progress: Callable[[int, int], None] | None = None,
    ) -> Float[Tensor, "views 3 size size"]:
        """Return the views, ``seen`` so far, continued from what is known. Each depends only on its own canvas and
        seed.
        """
        sampler = settings.sampler
        check_image_guidance(sampler, self.backbone.is_inpainting)
        # One of the views of each canvas; what is told of the sphere is told in the frame of its photograph.
        first = {id(view.canvas): view for view in reversed(views)}
        numbers = {canvas: number for number, canvas in enumerate(first)}
        faces = [view.canvas.faces(settings.face_size, view.frame_yaw_degrees) for view in first.values()]
        cameras = [view.camera.turned(-view.frame_yaw_degrees) for view in views]
        stream_inputs = StreamInputs(
            seen.image,
            seen.known,
            torch.stack([positions_of(camera) for camera in cameras]).to(seen.image),
            torch.cat([each.image for each in faces]),
            torch.cat([each.known for each in faces]),
            torch.tensor([numbers[id(view.canvas)] for view in views], device=seen.image.device),
        )
        source, dtype = generators([view.seed for view in views]), self.backbone.dtype
        # With a backbone in half precision the streams compute in it too, as they do in training.
        kind, full = seen.image.device.type, dtype == torch.float32
        with nullcontext() if full else torch.autocast(kind, dtype, cache_enabled=False):
            prompts = [view.prompt for view in views]
            given = self.conditioning(stream_inputs, prompts, sampler.negative, sampler.long_prompts)
        return self._inpaint(seen.image, seen.known, given, sampler, source, progress)

    def _inpaint(
        self,
        view: Tensor,
        known: Tensor,
        given: Conditioning,
        sampler: SamplerConfig,
        source: Sequence[torch.Generator],
        progress: Callable[[int, int], None] | None = None,
    ) -> Float[Tensor, "batch 3 size size"]:
        condition = self.backbone.prepare_condition(view, known, source)
        predict = partial(self.backbone.predict, residuals=given.residuals)
        return inpaint(self.backbone, condition, given.context, sampler, source, progress, predict)

    @torch.no_grad()
    def preview(self, batch: OutpaintingBatch) -> dict[str, Tensor]:
        """Return input, mask, target and output of the batch's painting steps, and the panorama with the output painted
        in.
        """
        source = generators(batch.seeds, DROP + 1)
        given = self.conditioning(stream_inputs_of(batch), batch.prompts)
        output = self._inpaint(batch.view * batch.known, batch.known, given, SamplerConfig(steps=20), source)
        mask = batch.known.float().expand(-1, 3, -1, -1) * 2 - 1
        panorama = _painted(batch, output)
        return {
            "input": batch.view * batch.known,
            "mask": mask,
            "target": batch.view,
            "output": output,
            "panorama": panorama,
        }


def stream_inputs_of(batch: OutpaintingBatch) -> StreamInputs:
    """Return what the streams may see of a training batch: the known pixels only."""
    positions = torch.stack([positions_of(camera) for camera in batch.cameras]).to(batch.view)
    every = torch.arange(len(batch.view), device=batch.view.device)
    return StreamInputs(batch.view * batch.known, batch.known, positions, batch.faces, batch.faces_known, every)


def _painted(batch: OutpaintingBatch, output: Float[Tensor, "batch 3 size size"]) -> Float[Tensor, "batch 3 _ _"]:
    """Return the unfinished panoramas of a batch, as their faces show them, with the output in its place."""
    height = 2 * batch.faces.shape[-1]
    known = panorama_of(batch.faces_known.float(), height) > 0.999
    images = panorama_of(batch.faces, height) * known
    views = join(output, MaskedView(batch.view * batch.known, batch.known))
    painted = [
        Canvas.of(images[i : i + 1], known[i : i + 1]).paint_(views[i : i + 1], camera).image
        for i, camera in enumerate(batch.cameras)
    ]
    return torch.cat(painted)


@lru_cache(maxsize=4)
def face_positions(size: int, device: torch.device) -> Float[Tensor, "6 3 size size"]:
    """Return `positions_of` the faces of the cubemap."""
    return torch.stack([positions_of(camera) for camera in face_cameras(size)]).to(device)
