"""The poles of a finished panorama, painted again as perspective views, where they are like any other place.

In a panorama the rows near a pole are stretched, and a network that was not trained on panoramas draws a star there. So
a cap around each pole is looked at from inside and painted again (`aognet.diffusion.repainting`).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from aognet.canvas import Canvas
from aognet.diffusion.backbone import Backbone
from aognet.diffusion.condition import ControlImage
from aognet.diffusion.inpaint import stride
from aognet.diffusion.repainting import ViewsToRepaint, repainted
from aognet.diffusion.sampling.noise import named_seed
from aognet.diffusion.sampling.sampler import SamplerConfig
from aognet.geometry.camera import Camera
from aognet.geometry.sphere import pixel_latitudes
from aognet.methods.seamless.settings import SeamlessSettings
from aognet.request import DirectedPrompt, Request

FOV_DEGREES = 100.0  # of a view up or down
CAP_DEGREES = 40.0  # from the pole to the edge of what is painted again
FADE_DEGREES = 15.0  # inside of that edge, over which it takes the place of what was there
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
    """Return the panorama with both caps painted again; nothing else changes. ``progress`` counts calls of the UNet."""
    share = caps(asked.panorama.shape[-2])
    canvas = Canvas.of(asked.panorama, asked.stays | (share == 0))
    cameras = [Camera(0.0, pitch, 0.0, FOV_DEGREES, asked.size, asked.size) for pitch in PITCHES]
    views = ViewsToRepaint(
        canvas, asked.panorama, cameras, asked.prompts, asked.seeds, asked.sampler, asked.strength, asked.negative,
        asked.controls,
    )  # fmt: skip
    return torch.lerp(asked.panorama, repainted(backbone, views, progress).image, share)


def caps(height: int) -> Float[Tensor, "1 1 height 1"]:
    """Return how much of each row of a panorama is painted again: 1 near a pole, 0 beyond the caps' edges."""
    inside = pixel_latitudes(height).abs().rad2deg() - (90 - CAP_DEGREES)
    share = (inside / FADE_DEGREES).clamp(0, 1)
    return (share.square() * (3 - 2 * share)).float()[None, None, :, None]


def words_at_pole(directed: Sequence[DirectedPrompt], pitch: float) -> str:
    """Return the words given for the direction nearest to a pole; none if that lies outside of its view."""
    near = [at for at in directed if abs(pitch - at.pitch) < FOV_DEGREES / 2]
    return min(near, key=lambda at: abs(pitch - at.pitch)).text if near else ""
