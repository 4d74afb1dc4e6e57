"""The poles of a finished panorama, painted again as perspective views, where they are like any other place.

In a panorama the rows near a pole are stretched, and a network that was not trained on panoramas draws a star there. So
a cap around each pole is looked at from inside, noised to a part of the schedule, and denoised as a view is
(SDEdit, Meng et al. 2022), with what lies around the cap known.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional

from aognet.canvas import Canvas, join
from aognet.diffusion.backbone import Backbone
from aognet.diffusion.condition import ControlImage, InpaintCondition, Predict, TextCondition
from aognet.diffusion.inpaint import TextContext, inpaint_latents
from aognet.diffusion.sampling.noise import generators, named_seed
from aognet.diffusion.sampling.sampler import SamplerConfig
from aognet.geometry import perspective
from aognet.geometry.camera import Camera
from aognet.geometry.sphere import pixel_latitudes
from aognet.methods.seamless.settings import SeamlessSettings
from aognet.methods.seamless.sizes import stride
from aognet.nn.circular import padded_as
from aognet.request import DirectedPrompt, Request

FOV_DEGREES = 100.0  # of a view up or down
CAP_DEGREES = 40.0  # from the pole to the edge of what is painted again
FADE_DEGREES = 15.0  # inside of that edge, over which it takes the place of what was there
FEATHER = 0.2  # how far colours are drawn towards those around the cap, in view heights
PITCHES = (90.0, -90.0)


@dataclass(frozen=True)
class PolesToPaint:
    """Poles to paint again: the panorama, which of its pixels stay, one prompt and one seed for each pole, above first.

    ``strength``: the part of the schedule to which they are noised. ``size``: pixels of a view's side. ``controls`` has
    the panorama's image for each ControlNet of the backbone, or none at all.
    """

    panorama: Float[Tensor, "1 3 height width"]
    stays: Bool[Tensor, "1 1 height width"]
    prompts: Sequence[str]
    seeds: Sequence[int]
    sampler: SamplerConfig
    strength: float
    size: int
    negative: str = ""
    controls: tuple[ControlImage, ...] = ()


def poles_to_paint(
    backbone: Backbone,
    request: Request,
    settings: SeamlessSettings,
    panorama: Float[Tensor, "1 3 height width"],
    stays: Bool[Tensor, "1 1 height width"],
    controls: tuple[ControlImage, ...] = (),
) -> PolesToPaint:
    """Return the poles that a request asks to have painted again.

    Each has the words of the nearest direction, if one lies near it, and random numbers of its own.
    """
    common, how = request.prompt, settings.sampler.long_prompts
    words = [words_at_pole(request.prompts_at, pitch) for pitch in PITCHES]
    prompts = [backbone.conditioner.joined(own, common, how) if own and common else own or common for own in words]
    seeds = [named_seed(request.seed, request.name, number) for number in (1, 2)]
    size = -(-request.rows // stride(backbone)) * stride(backbone)
    return PolesToPaint(
        panorama, stays, prompts, seeds, settings.sampler, settings.polish_strength, size, request.negative, controls
    )


@torch.no_grad()
def polished(
    backbone: Backbone, asked: PolesToPaint, progress: Callable[[int, int], None] | None = None
) -> Float[Tensor, "1 3 height width"]:
    """Return the panorama with both caps painted again; nothing else changes. ``progress`` counts calls of the UNet.

    A backbone that wraps around pads these views as it was trained to.
    """
    share = caps(asked.panorama.shape[-2])
    canvas = Canvas.of(asked.panorama, asked.stays | (share == 0))
    cameras = [Camera(0.0, pitch, 0.0, FOV_DEGREES, asked.size, asked.size) for pitch in PITCHES]
    seen, before = canvas.look_all(cameras), perspective.look_all(asked.panorama, cameras)[0]
    # A latent pixel is known as a whole, or the edge of what is hidden would be painted as part of the picture.
    known = whole_cells(seen.known[0], backbone.latents.scale)
    source = generators(asked.seeds)
    with padded_as("view"):
        condition = backbone.prepare_condition(seen.image[0], known, source)
        image = backbone.latents.encode(before)
        if not backbone.is_inpainting:  # all of the view is there: what is known needs no filling
            condition = replace(condition, image=image)
        latents = inpaint_latents(
            backbone, condition, _texts(backbone, asked), asked.sampler, source, progress,
            _predict(backbone, asked, cameras), image=image, strength=asked.strength,
        )  # fmt: skip
        views = backbone.latents.decode(latents).cpu()
    for number, camera in enumerate(cameras):
        view = join(views[number : number + 1], canvas.look(camera), FEATHER)
        canvas = canvas.paint(view, camera)
    return torch.lerp(asked.panorama, canvas.image, share)


def caps(height: int) -> Float[Tensor, "1 1 height 1"]:
    """Return how much of each row of a panorama is painted again: 1 near a pole, 0 beyond the caps' edges."""
    inside = pixel_latitudes(height).abs().rad2deg() - (90 - CAP_DEGREES)
    share = (inside / FADE_DEGREES).clamp(0, 1)
    return (share.square() * (3 - 2 * share)).float()[None, None, :, None]


def whole_cells(known: Bool[Tensor, "batch 1 rows columns"], scale: int) -> Bool[Tensor, "batch 1 rows columns"]:
    """Return what is known of an image without the pixels of cells of ``scale`` x ``scale`` that are partly unknown."""
    unknown = functional.max_pool2d((~known).float(), scale)
    return functional.interpolate(unknown, scale_factor=scale) == 0


def words_at_pole(directed: Sequence[DirectedPrompt], pitch: float) -> str:
    """Return the words given for the direction nearest to a pole; none if that lies outside of its view."""
    near = [at for at in directed if abs(pitch - at.pitch) < FOV_DEGREES / 2]
    return min(near, key=lambda at: abs(pitch - at.pitch)).text if near else ""


def _texts(backbone: Backbone, asked: PolesToPaint) -> TextContext:
    return TextContext.of_prompts(backbone, asked.prompts, asked.negative, asked.sampler.long_prompts)


def _predict(backbone: Backbone, asked: PolesToPaint, cameras: Sequence[Camera]) -> Predict:
    """Return the prediction of the UNet, and of ControlNets that see what the cameras do of their images."""
    controls = [_seen(control, cameras) for control in asked.controls]

    def predict(latents: Tensor, timestep: Tensor, text: TextCondition, condition: InpaintCondition) -> Tensor:
        return backbone.predict(latents, timestep, text, condition, controls=controls)

    return predict


def _seen(control: ControlImage, cameras: Sequence[Camera]) -> ControlImage:
    """Return what cameras see of a panorama's control image."""
    image, where = (
        None if part is None else perspective.look_all(part, cameras)[0] for part in (control.image, control.where)
    )
    assert image is not None
    return replace(control, image=image, where=where)
