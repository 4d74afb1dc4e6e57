"""CubeDiff (Kalischek et al., arXiv 2501.17162): six faces of a cube, painted at once by a latent diffusion model.

There are two variants: ``published`` is the paper's, ``revised`` takes photographs of any field of view and pose and
blends faces. docs/deviations.md lists the differences.
"""

import logging
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import groupby
from typing import Any, Literal

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from aognet.canvas import Canvas, MaskedView, filled
from aognet.data.cubes import CubeBatch
from aognet.diffusion.backbone import Backbone, BackboneConfig
from aognet.diffusion.condition import InpaintCondition, TextCondition
from aognet.diffusion.inpaint import TextContext, ViewToPaint, check_image_guidance, check_settings, inpaint, look
from aognet.diffusion.lora.trained import Layers, Trained, check_rank, merge_lora, open_parts
from aognet.diffusion.objective import Denoising, check_draws, denoising_of, drawn, noised_loss
from aognet.diffusion.sampling.noise import generators, uniform
from aognet.diffusion.sampling.sampler import SamplerConfig
from aognet.errors import UserError
from aognet.geometry.camera import Camera
from aognet.geometry.cubemap import FACES, blend_faces, crop_faces, face_cameras, shown_alone
from aognet.methods.cubediff.wider_input import ADDED, WiderInput
from aognet.methods.outpainter import OutpaintSettings
from aognet.methods.trained_method import TrainedMethod
from aognet.nn.component import Component
from aognet.nn.faces import Texts, see_all_faces

# Streams of a sample's seed, beside those of `aognet.diffusion.objective`.
HIDE, SILENCE, PREVIEW = 11, 12, 20
COUNT = len(FACES)
Variant = Literal["revised", "published"]
Overlap = Literal["blend", "crop"]
log = logging.getLogger(__name__)


class CubeDiff(TrainedMethod):
    """Any Stable Diffusion backbone, made to see six faces. The configuration says which of its weights are trained.

    An inpainting UNet gets the known pixels through its usual channels. A text-to-image UNet gets their clean latents
    in place of noisy ones, and a channel that says where (sec. 3.2). Without ``clean_known`` they are put back after
    each step instead, which suits a UNet that was never trained for faces.
    """

    method = "cubediff"
    joint_waves = True

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """The faces, the changes of the UNet, and what is trained.

        ``variant``: ``published`` uses positions (u, v), synchronises the encoder's norms too, knows whole faces alone
        and crops faces. ``fov_degrees``: that of the faces, more than 90 so that neighbours overlap. ``overlap``: how
        faces are joined where two show the same (null: as the variant has it). ``train``: what learns. ``positions``:
        whether the UNet gets the place of each latent pixel on the cube. ``clean_known``: whether a text-to-image UNet
        gets clean latents where something is known. ``synchronise_norms`` and ``synchronise_padding``: whether group
        norms take all faces together, and whether convolutions are padded with what neighbours show. ``texts``: whose
        text a face attends to. ``drop_text`` and ``drop_known``: how often training leaves out the texts and what is
        known. ``noise_offset``, ``known_weight``, ``draws``: see AOG-Net's.
        """

        backbone: BackboneConfig
        variant: Variant = "revised"
        fov_degrees: float = 95.0
        overlap: Overlap | None = None
        train: Trained = "attention"
        lora_rank: int = 16
        lora_layers: Layers = "attention"
        positions: bool = True
        clean_known: bool = True
        synchronise_norms: bool = True
        synchronise_padding: bool = False
        texts: Texts = "own"
        drop_text: float = 0.1
        drop_known: float = 0.1
        noise_offset: float = 0.0
        known_weight: float = 1.0
        draws: int = 1

        def __post_init__(self) -> None:
            if not 90 <= self.fov_degrees <= 120:
                raise UserError("must lie in [90, 120]", key="fov_degrees", value=self.fov_degrees)
            check_rank(self.lora_rank)
            for name in ("drop_text", "drop_known"):
                if not 0 <= getattr(self, name) < 1:
                    raise UserError("must lie in [0, 1)", key=name, value=getattr(self, name))
            check_draws(self.draws)

    def __init__(self, config: Config, backbone: Backbone | None = None):
        """Load the backbone that ``config`` names, unless it is given, and change it in place."""
        super().__init__()
        self.config = config
        self.backbone = backbone or Backbone.load(config.backbone)
        unet, vae, fov = self.backbone.denoiser.unet, self.backbone.latents.vae, config.fov_degrees
        norms, padding = config.synchronise_norms, config.synchronise_padding
        told = (2 if self.is_published else 3) * config.positions + self._replaces
        if told:
            unet.conv_in = WiderInput(unet.conv_in, told)
        # First, so that low-rank additions are changed like the layers they are added to.
        self._parts = open_parts(unet, config.train, config.lora_rank, config.lora_layers, [ADDED] if told else [])
        see_all_faces(unet, COUNT, fov, texts=config.texts, norms=norms, padding=padding)
        # Faces are encoded one by one: what is known of one must not depend on how little is known of the others. As
        # published the whole VAE sees all of them.
        see_all_faces(vae.decoder, COUNT, fov, attention=False, norms=norms, padding=padding)
        if self.is_published and norms:
            see_all_faces(vae.encoder, COUNT, fov, attention=False)
            self.backbone.latents.together = COUNT

    def trainable_parts(self) -> dict[str, nn.Module]:
        return self._parts

    def components(self) -> dict[str, Component]:
        """Return its networks, for placement. The decoder sees all faces of a cube."""
        return self.backbone.components(COUNT)

    @property
    def is_published(self) -> bool:
        """Whether it is the paper's variant."""
        return self.config.variant == "published"

    @property
    def _crops(self) -> bool:
        return (self.config.overlap or ("crop" if self.is_published else "blend")) == "crop"

    @property
    def _replaces(self) -> bool:
        """Whether the UNet gets clean latents in place of noisy ones where something is known."""
        return self.config.clean_known and not self.backbone.is_inpainting

    def predict(
        self, latents: Tensor, timesteps: Tensor, text: TextCondition, condition: InpaintCondition
    ) -> Float[Tensor, "rows channels size size"]:
        """Return what the UNet predicts for the six faces of each panorama, which lie one after the other."""
        backbone, condition = self.backbone, condition.repeated(len(latents))
        inputs = [latents]
        if backbone.is_inpainting:
            inputs = [latents, condition.mask, condition.image]
        elif self._replaces:
            inputs = [torch.where(condition.mask > 0.5, latents, condition.image), 1 - condition.mask]
        if self.config.positions:
            places = cube_positions(latents.shape[-1], self.config.fov_degrees, self.is_published).to(latents)
            inputs.append(places.repeat(len(latents) // COUNT, 1, 1, 1))
        joined = torch.cat([part.to(latents) for part in inputs], dim=1).to(backbone.dtype)
        return backbone.run_unet(joined, timesteps, text).to(latents.dtype)

    def forward(self, batch: CubeBatch) -> dict[str, Tensor]:
        """Return the diffusion loss of all faces, which share a timestep."""
        known_weight = 0.0 if self._replaces else self.config.known_weight
        return {"loss": noised_loss(self.backbone, self.denoising(batch), self.config.noise_offset, known_weight)}

    def denoising(self, batch: CubeBatch) -> Denoising:
        """Return what it learns from in one step: faces, six of which belong together."""
        config, backbone = self.config, self.backbone
        known = batch.known & ~self._chosen(batch.seeds, config.drop_known, HIDE, batch.known)
        text, nothing = backbone.conditioner.with_unconditional(batch.prompts)
        like = text.tokens
        silent = drawn(config.draws, lambda stream: self._chosen(batch.seeds, config.drop_text, stream, like), SILENCE)
        text = text.repeated(config.draws).replaced(silent.flatten(), nothing)
        return denoising_of(backbone, batch.faces, known, face_seeds(batch.seeds), text, self.predict, COUNT)

    @staticmethod
    def _chosen(seeds: Int[Tensor, "batch"], rate: float, stream: int, like: Tensor) -> Bool[Tensor, "rows 1 1 1"]:
        """Return to which panoramas something happens, for each of their faces."""
        chosen = uniform(seeds, stream) < rate
        return chosen.repeat_interleave(COUNT)[:, None, None, None].to(like.device)

    def joined(self, words: str, prompt: str, settings: OutpaintSettings) -> str:
        """Return the words of a direction with the common prompt."""
        return self.backbone.conditioner.joined(words, prompt, settings.sampler.long_prompts)

    def check(self, settings: OutpaintSettings) -> None:
        """Raise UserError for settings that `outpaint` cannot paint with."""
        self._check_fov(settings.plan.fov_degrees)
        told = self.backbone.is_inpainting or self._replaces
        check_settings(self.backbone, settings.plan.size, settings.sampler, told)

    def _check_fov(self, fov_degrees: float) -> None:
        if fov_degrees != self.config.fov_degrees:
            wanted = f"{self.config.fov_degrees:g}, what the faces of this checkpoint show"
            raise UserError(f"plan.fov_degrees must be {wanted}; got {fov_degrees:g}")

    @torch.no_grad()
    def outpaint(
        self,
        views: Sequence[ViewToPaint],
        seen: MaskedView,
        settings: OutpaintSettings,
        progress: Callable[[int, int], None] | None = None,
    ) -> Float[Tensor, "views 3 size size"]:
        """Return the faces of level cubes, ``seen`` so far, continued from what is known of them, six after six.

        Views that are no faces are cut out of a cube that faces the first of their canvas, painted with its prompt.
        """
        sampler = settings.sampler
        self._check_fov(views[0].camera.fov_degrees)
        check_image_guidance(sampler, self.backbone.is_inpainting or self._replaces)
        if not self._are_cubes(views):
            each = groupby(views, key=lambda view: id(view.canvas))
            return torch.cat([self._through_a_cube(list(of), settings, progress) for _, of in each])
        prompts = [view.prompt for view in views]
        context = TextContext.of_prompts(self.backbone, prompts, sampler.negative, sampler.long_prompts)
        return self._paint(seen, context, sampler, generators([view.seed for view in views]), progress)

    def _cube(self, towards: Camera) -> list[Camera]:
        return [camera.turned(towards.yaw_degrees) for camera in face_cameras(towards.width, self.config.fov_degrees)]

    def _are_cubes(self, views: Sequence[ViewToPaint]) -> bool:
        cubes = [views[first : first + COUNT] for first in range(0, len(views), COUNT)]
        return all(
            len(cube) == COUNT and all(map(_alike, (view.camera for view in cube), self._cube(cube[0].camera)))
            for cube in cubes
        )

    def _through_a_cube(self, views: Sequence[ViewToPaint], *options: Any) -> Float[Tensor, "views 3 size size"]:
        first, seeds = views[0], face_seeds(torch.tensor([views[0].seed])).tolist()
        cube = [
            ViewToPaint(first.canvas, camera, first.prompt, seed)
            for camera, seed in zip(self._cube(first.camera), seeds, strict=True)
        ]
        painted = first.canvas.copy()
        for face, view in zip(self.outpaint(cube, look(cube), *options), cube, strict=True):
            painted.paint_(face[None], view.camera)
        return torch.cat([painted.look(view.camera).image for view in views])

    def _paint(
        self,
        masked_view: MaskedView,
        context: TextContext,
        sampler: SamplerConfig,
        source: Sequence[torch.Generator],
        progress: Callable[[int, int], None] | None = None,
    ) -> Float[Tensor, "rows 3 size size"]:
        fov = self.config.fov_degrees
        if self.is_published:
            masked_view = whole_faces(masked_view, fov)
        condition = self.backbone.prepare_condition(masked_view.image, masked_view.known, source)
        painted = inpaint(self.backbone, condition, context, sampler, source, progress, self.predict)
        agree = crop_faces if self._crops else blend_faces
        return agree(painted.unflatten(0, (-1, COUNT)), fov).flatten(0, 1)

    @torch.no_grad()
    def preview(self, batch: CubeBatch) -> dict[str, Tensor]:
        """Return what is known, the target, and the output in 20 steps, as panoramas."""
        masked_view = MaskedView(batch.faces * batch.known, batch.known)
        context = TextContext.of_prompts(self.backbone, batch.prompts)
        source = generators(face_seeds(batch.seeds), PREVIEW)
        output = self._paint(masked_view, context, SamplerConfig(steps=20), source)
        shown = {"input": masked_view.image, "target": batch.faces, "output": output}
        return {name: self._panorama(faces) for name, faces in shown.items()}

    def _panorama(self, faces: Float[Tensor, "rows 3 size size"]) -> Float[Tensor, "batch 3 _ _"]:
        size = faces.shape[-1]
        rows = faces.unflatten(0, (-1, COUNT))
        canvas = Canvas.empty(2 * size, len(rows), faces.device)
        for number, camera in enumerate(face_cameras(size, self.config.fov_degrees)):
            canvas.paint_(rows[:, number], camera)
        return canvas.image

    def finish_loading(self) -> None:
        """Merge low-rank additions into the layers they are added to."""
        if self.config.train == "lora":
            merge_lora(self.backbone.denoiser.unet)


def _alike(camera: Camera, other: Camera) -> bool:
    """Return whether two cameras are the same except for rounding of their yaws."""
    apart = (camera.yaw_degrees - other.yaw_degrees + 180) % 360 - 180
    return abs(apart) < 1e-6 and replace(camera, yaw_degrees=other.yaw_degrees) == other


def face_seeds(seeds: Int[Tensor, "batch"]) -> Int[Tensor, "rows"]:
    """Return a seed for every face of every panorama."""
    return (seeds[:, None] + torch.arange(COUNT)).flatten()


def whole_faces(masked_view: MaskedView, fov_degrees: float) -> MaskedView:
    """Return faces of cubes that are known wholly or not at all, as in the paper: one clean face.

    A face is known if all of it that no neighbour shows is known; its edges are continued. If this leaves nothing of a
    cube that was partly known, that cube keeps its pixels and mask, with a warning: the model was not trained for this.
    """
    own = shown_alone(masked_view.known.shape[-1], fov_degrees).to(masked_view.known.device)
    whole = masked_view.known[..., own].all(-1)[..., None, None].expand_as(masked_view.known).unflatten(0, (-1, COUNT))
    some, any_whole = (part.flatten(1).any(1) for part in (masked_view.known.unflatten(0, (-1, COUNT)), whole))
    partial = some & ~any_whole
    if partial.any():
        log.warning("variant published was trained with whole faces; this photograph covers none, so it may be ignored")
    known = whole.where(~partial[:, None, None, None, None], masked_view.known.unflatten(0, (-1, COUNT))).flatten(0, 1)
    return MaskedView(filled(masked_view).where(known, 0.0), known)


@lru_cache(maxsize=16)
def cube_positions(size: int, fov_degrees: float, as_angles: bool = False) -> Float[Tensor, "6 axes size size"]:
    """Return the position of each pixel of the faces on the cube of half-width 1, in 3D.

    With ``as_angles``, return longitude and latitude instead, each from -1 to 1 (the paper's u and v, eq. 1).
    """
    places = torch.stack([camera.pixel_directions() for camera in face_cameras(size, fov_degrees)]).permute(0, 3, 1, 2)
    if not as_angles:
        return places
    x, y, z = places.unbind(1)
    return torch.stack([torch.atan2(x, z) / math.pi, torch.atan2(y, torch.hypot(x, z)) * 2 / math.pi], dim=1)
