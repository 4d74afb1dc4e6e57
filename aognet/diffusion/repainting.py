"""Parts of a panorama that is there, painted again as perspective views.

A view is noised to a part of the schedule and denoised (SDEdit, Meng et al. 2022), with what stays around it known.
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
from aognet.diffusion.sampling.noise import generators
from aognet.diffusion.sampling.sampler import SamplerConfig
from aognet.geometry import perspective
from aognet.geometry.camera import Camera
from aognet.nn.circular import padded_as

FEATHER = 0.2  # how far colours are drawn towards those of what stays, in view heights


@dataclass(frozen=True)
class ViewsToRepaint:
    """Views of one size of a panorama, with a prompt and a seed for each.

    ``canvas``: knows what stays, and nothing of what is painted again. ``panorama``: what was there. ``strength``: the
    part of the schedule to which it is noised (1: nothing of it is left). ``controls`` has the panorama's image for
    each ControlNet of the backbone, or none at all.
    """

    canvas: Canvas
    panorama: Float[Tensor, "1 3 height width"]
    cameras: Sequence[Camera]
    prompts: Sequence[str]
    seeds: Sequence[int]
    sampler: SamplerConfig
    strength: float
    negative: str = ""
    controls: tuple[ControlImage, ...] = ()


@torch.no_grad()
def repainted(backbone: Backbone, asked: ViewsToRepaint, progress: Callable[[int, int], None] | None = None) -> Canvas:
    """Return the canvas with what the views show of the unknown, all painted at once. ``progress`` counts calls of the
    UNet.

    A backbone that wraps around pads these views as it was trained to.
    """
    canvas, cameras = asked.canvas, asked.cameras
    seen, before = canvas.look_all(cameras), perspective.look_all(asked.panorama, cameras)[0]
    # A latent pixel is known as a whole, or the edge of what is hidden would be painted as part of the picture.
    known = whole_cells(seen.known[0], backbone.latents.scale)
    source = generators(asked.seeds)
    with padded_as("view"):
        condition = backbone.prepare_condition(seen.image[0], known, source)
        image = backbone.latents.encode(before)
        if not backbone.is_inpainting:  # all of the view is there: what is known needs no filling
            condition = replace(condition, image=image)
        texts = TextContext.of_prompts(backbone, asked.prompts, asked.negative, asked.sampler.long_prompts)
        latents = inpaint_latents(
            backbone, condition, texts, asked.sampler, source, progress, _predict(backbone, asked),
            image=image, strength=asked.strength,
        )  # fmt: skip
        views = backbone.latents.decode(latents).cpu()
    for number, camera in enumerate(cameras):
        view = join(views[number : number + 1], canvas.look(camera), FEATHER)
        canvas = canvas.paint(view, camera)
    return canvas


def whole_cells(known: Bool[Tensor, "batch 1 rows columns"], scale: int) -> Bool[Tensor, "batch 1 rows columns"]:
    """Return what is known of an image without the pixels of cells of ``scale`` x ``scale`` that are partly unknown."""
    unknown = functional.max_pool2d((~known).float(), scale)
    return functional.interpolate(unknown, scale_factor=scale) == 0


def _predict(backbone: Backbone, asked: ViewsToRepaint) -> Predict:
    """Return the prediction of the UNet, and of ControlNets that see what the cameras do of their images."""
    controls = [_seen(control, asked.cameras) for control in asked.controls]

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
