"""A photograph and the panorama around it, joined by outpainting.

Text2Light does not know what a photograph shows. So a ring around it is painted again as perspective views
(`aognet.diffusion.repainting`), which see the photograph on its inner side and the panorama on its outer one.
"""

import math
from collections.abc import Callable
from functools import lru_cache

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional

from aognet.callbacks import Listener
from aognet.canvas import Canvas
from aognet.diffusion.backbone import Backbone, BackboneConfig
from aognet.diffusion.inpaint import check_settings, stride
from aognet.diffusion.repainting import ViewsToRepaint, repainted
from aognet.diffusion.sampling.noise import named_seed
from aognet.geometry.camera import Camera
from aognet.geometry.plans import PlanConfig, make_plan
from aognet.geometry.sphere import pixel_directions
from aognet.geometry.surface import SPHERE
from aognet.methods.text2light.settings import Text2LightSettings
from aognet.perception.network_weights import digest
from aognet.request import Request

FOV_DEGREES = 90.0
CELLS = 128
"""Rows of the grid on which distances are measured, at most."""
Record = Callable[[Canvas, int], None]


@lru_cache(maxsize=1)  # a request is checked before it is made
def load_backbone(model: str, device: torch.device) -> tuple[Backbone, str]:
    """Return a backbone and the digest of its weights. Raises UserError naming what cannot be loaded."""
    backbone = Backbone.load(BackboneConfig(model)).eval().to(device)
    return backbone, digest([backbone])


def check_join(settings: Text2LightSettings, rows: int, device: torch.device) -> None:
    """Raise UserError if the backbone cannot be loaded, or cannot paint views for a panorama of so many rows."""
    backbone, _ = load_backbone(settings.backbone or "", device)
    check_settings(backbone, view_size(backbone, rows), settings.sampler, backbone.is_inpainting)


def joined_by_views(
    request: Request,
    settings: Text2LightSettings,
    panorama: Float[Tensor, "1 3 height width"],
    start: Canvas,
    listener: Listener,
    device: torch.device,
    done: tuple[Canvas, int] | None = None,
    record: Record | None = None,
) -> Float[Tensor, "1 3 height width"]:
    """Return the panorama with what ``start`` knows in its place, and with the ring around it painted again.

    Nothing else changes. ``done``: the canvas and how many waves of views are painted in it, to go on from; ``record``
    is called with these after each wave.
    """
    backbone, _ = load_backbone(settings.backbone or "", device)
    share = ring(start.known, settings.ring_degrees)
    known = start.known | (share == 0)
    canvas, before = (Canvas.of(torch.where(start.known, start.image, panorama), known), 0) if done is None else done
    size = view_size(backbone, request.rows)
    waves = make_plan(PlanConfig(fov_degrees=FOV_DEGREES, size=size), known[0, 0]).waves
    for number, cameras in enumerate(waves[before:], before):
        seeds = _seeds(request, waves, number)
        views = ViewsToRepaint(
            canvas, panorama, cameras, [request.prompt] * len(cameras), seeds, settings.sampler, settings.join_strength
        )
        canvas = repainted(
            backbone, views, listener.counting(f"steps around the photograph, {number + 1} of {len(waves)}")
        )
        if record is not None:
            record(canvas, number + 1)
    return torch.lerp(panorama, canvas.image, share)


def view_size(backbone: Backbone, rows: int) -> int:
    """Return the pixels of a view's side for a panorama of so many rows: as many, or a few more."""
    least = math.lcm(stride(backbone), 8)
    return -(-rows // least) * least


def ring(known: Bool[Tensor, "1 1 height width"], degrees: float) -> Float[Tensor, "1 1 height width"]:
    """Return how much of each pixel is taken from what is painted again: 1 where it is known and near to that, less
    from half of ``degrees`` away on, 0 from ``degrees`` on.
    """
    share = (2 - 2 * degrees_from(known) / degrees).clamp(0, 1)
    share = share.square() * (3 - 2 * share)
    return torch.where(known, torch.ones_like(share), share)


def degrees_from(known: Bool[Tensor, "1 1 height width"]) -> Float[Tensor, "1 1 height width"]:
    """Return the angle from each pixel to the nearest known one, as cells of a grid tell it; 180 if none is known."""
    height, width = known.shape[-2:]
    rows, columns = SPHERE.cells(height, width, CELLS)
    cells = functional.adaptive_max_pool2d(known.float(), (rows, columns))
    beside = functional.max_pool2d(SPHERE.padded(1 - cells, 1), 3, stride=1) > 0
    towards = pixel_directions(rows, columns).float()
    border = towards[(cells[0, 0] > 0) & beside[0, 0]]
    if not len(border):
        return torch.full(known.shape, 0.0 if known.any() else 180.0)
    apart = (towards @ border.T).amax(-1).clamp(-1, 1).acos().rad2deg()[None, None]
    return SPHERE.enlarged(apart * (cells == 0), height, width)


def _seeds(request: Request, waves: list[list[Camera]], number: int) -> list[int]:
    first = sum(map(len, waves[:number]))
    return [named_seed(request.seed, request.name, 1 + first + view) for view in range(len(waves[number]))]
