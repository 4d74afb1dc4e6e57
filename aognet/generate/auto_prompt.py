"""``--prompt auto``: what an image shows becomes the words for what surrounds it."""

import gc
import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from aognet.captioning.captioner import Captioner, CaptionerConfig, build_captioner
from aognet.captioning.folder_captions import shrunk
from aognet.errors import UserError
from aognet.generate.inputs import AUTO, Job, read_start
from aognet.geometry.perspective import look
from aognet.io.captions import fold
from aognet.io.images import Loaded, load

log = logging.getLogger(__name__)


def with_prompts(
    jobs: Sequence[Job],
    config: CaptionerConfig,
    device: torch.device,
    height: int,
    earlier: Callable[[Job], str | None],
) -> list[Job]:
    """The jobs, each with a caption of its images where its prompt is ``auto``.

    ``height``: rows of the panorama. ``earlier``: the caption that a run of the job was begun with, if there is one.
    A job whose files cannot be read stays as it is. The captioner is loaded if need be, and freed at the end.
    """
    captioner: Captioner | None = None
    prompted: list[Job] = []
    for job in jobs:
        text = earlier(job) if job.prompt == AUTO else job.prompt
        if text is None:
            try:
                images = shown(job, height)
            except UserError:  # who paints reads the files again, and reports it
                prompted.append(job)
                continue
            captioner = captioner or build_captioner(config, device)
            text = ", ".join(fold(captioner.caption(images), [0.0] * len(images))[0])
            log.info("%s: prompt from the image: %s", job.name, text or "(no words found)")
        prompted.append(replace(job, prompt=text, captioned=job.prompt == AUTO))
    if captioner is not None:
        del captioner
        gc.collect()  # a network refers to itself, and both models may not fit beside each other
        if device.type == "cuda":
            torch.cuda.empty_cache()
    return prompted


def shown(job: Job, height: int) -> list[Float[Tensor, "3 _ _"]]:
    """What a job may be told from, in [-1, 1]: its photographs, the view it begins with, or what is known."""
    if job.photos:
        return [shrunk(_opaque(load(Path(photo.image)))) for photo in job.photos]
    start = read_start(job, height)
    image = start.canvas.image if start.truth is None else look(start.truth.image, start.camera)
    return [shrunk(image[0])]


def _opaque(loaded: Loaded) -> Float[Tensor, "3 _ _"]:
    """A photograph, grey where it is transparent: what lies hidden there is not part of it."""
    return loaded.image if loaded.opacity is None else loaded.image * loaded.opacity
