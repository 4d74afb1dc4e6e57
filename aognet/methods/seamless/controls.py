"""The images of a request for ControlNets: a depth for the first, and others."""

import logging
from collections.abc import Sequence
from dataclasses import replace

from aognet.diffusion.condition import ControlImage
from aognet.errors import Setting, UserError
from aognet.methods.seamless.settings import SeamlessSettings
from aognet.request import Request

log = logging.getLogger(__name__)


def check_controls(request: Request, controlnets: int) -> None:
    """Raise UserError unless a request has an image for each of so many ControlNets, or none at all."""
    images = (request.depth is not None) + len(request.controls)
    if images == controlnets:
        return
    key = "controls" if request.controls else "depth"
    value = [one.image for one in request.controls] or request.depth
    if images > controlnets:
        said = f"needs {_count(images)}, and the model has {controlnets or 'none'}: "
        raise UserError(said, Setting("controlnets"), " names each (a hub id or folder)", key=key, value=value)
    if images:
        parts = ("shows something to ", f"{images} of {_count(controlnets)}: ", Setting("depth"), " is for the first, ")
        raise UserError(*parts, Setting("controls"), " for the others, in their order", key=key, value=value)
    log.info(
        "%s: neither %s nor %s is given: the model's %d ControlNet(s) are not used",
        *(request.name, Setting("depth"), Setting("controls"), controlnets),
    )


def _count(controlnets: int) -> str:
    return "a ControlNet" if controlnets == 1 else f"{controlnets} ControlNets"


def control_images(
    request: Request, settings: SeamlessSettings, images: Sequence[ControlImage]
) -> tuple[ControlImage, ...]:
    """Return the request's images, the depth with its weight."""
    if request.depth is None:
        return tuple(images)
    return (replace(images[0], scale=settings.depth_scale), *images[1:])
