"""The prompt ``auto``: a caption of the image becomes the prompt for its surroundings."""

import gc
import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from aognet.captioning.backends import build_captioner
from aognet.captioning.captioner import Captioner, CaptionerConfig
from aognet.captioning.folder_captions import shrunk
from aognet.errors import UserError
from aognet.generate.start import read_start
from aognet.geometry.perspective import look
from aognet.io.captions import fold
from aognet.io.images import Loaded, load
from aognet.request import AUTO, Request

log = logging.getLogger(__name__)


def with_prompts(
    requests: Sequence[Request],
    config: CaptionerConfig,
    device: torch.device,
    earlier: Callable[[Request], str | None],
) -> list[Request]:
    """Return the requests, each with a caption of its images if its prompt is ``auto``.

    ``earlier``: the caption that a run of the request was begun with, if there is one. A request whose files cannot be
    read stays as it is. The captioner is loaded only if it is needed, and freed at the end.
    """
    captioner: Captioner | None = None
    prompted: list[Request] = []
    for request in requests:
        text = earlier(request) if request.prompt == AUTO else request.prompt
        if text is None:
            try:
                images = shown(request)
            except UserError:  # who paints reads the files again, and reports it
                prompted.append(request)
                continue
            captioner = captioner or build_captioner(config, device)
            text = ", ".join(fold(captioner.caption(images), [0.0] * len(images))[0])
            log.info("%s: prompt from the image: %s", request.name, text or "(no words found)")
        prompted.append(replace(request, prompt=text))
    if captioner is not None:
        del captioner
        gc.collect()  # a network refers to itself, and both models may not fit beside each other
        if device.type == "cuda":
            torch.cuda.empty_cache()
    return prompted


def shown(request: Request) -> list[Float[Tensor, "3 _ _"]]:
    """Return the images that describe a request, in [-1, 1]: its photographs, the given view, or what is known."""
    if request.photos:
        return [shrunk(_opaque(load(Path(photo.image)))) for photo in request.photos]
    start = read_start(request, request.rows)
    image = start.canvas.image
    if start.truth is not None and start.camera is not None:
        image = look(start.truth.image, start.camera)
    return [shrunk(image[0])]


def _opaque(loaded: Loaded) -> Float[Tensor, "3 _ _"]:
    """Return a photograph that is grey where it is transparent: what lies hidden there is not part of it."""
    return loaded.image if loaded.opacity is None else loaded.image * loaded.opacity
