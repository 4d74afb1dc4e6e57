"""What views are told: what each sees of the photograph, and the words of its direction."""

from collections.abc import Sequence

import torch
from torch import Tensor

from aognet.canvas import Canvas
from aognet.diffusion.backbone import Backbone
from aognet.diffusion.condition import InpaintCondition
from aognet.diffusion.inpaint import TextContext
from aognet.diffusion.sampling.noise import generators
from aognet.diffusion.sampling.sampler import LongPrompts
from aognet.geometry.camera import Camera
from aognet.methods.view_prompts import prompt_for
from aognet.request import Request

ENCODED = 4  # stream of the request's seed

Encoded = tuple[Tensor, Tensor]
"""The mask and the image of an `InpaintCondition`, of one view."""


class ViewsSeen:
    """What views of ``size`` pixels know of a canvas, in latents. Each camera looks once, however often it is asked."""

    def __init__(self, backbone: Backbone, canvas: Canvas, size: int, seed: int) -> None:
        self._backbone, self._canvas, self._size, self._seed = backbone, canvas, size, seed
        self._nothing_known = not bool(canvas.known.any())
        self._blank: Encoded | None = None
        self._kept: dict[Camera, Encoded] = {}

    def __call__(self, cameras: Sequence[Camera], noise: Tensor) -> InpaintCondition:
        """Return the condition of views, which start from ``noise``."""
        masks, images = zip(*(self._of(camera.sized(self._size, self._size)) for camera in cameras), strict=True)
        return InpaintCondition(torch.cat(masks), torch.cat(images), noise)

    def _of(self, camera: Camera) -> Encoded:
        if self._nothing_known:
            return self._nothing()
        if camera not in self._kept:
            view = self._canvas.look(camera)
            self._kept[camera] = self._encoded(view.image, view.known) if view.known.any() else self._nothing()
        return self._kept[camera]

    def _nothing(self) -> Encoded:
        if self._blank is None:
            blank = torch.zeros(1, 3, self._size, self._size)
            self._blank = self._encoded(blank, torch.zeros_like(blank[:, :1], dtype=torch.bool))
        return self._blank

    def _encoded(self, image: Tensor, known: Tensor) -> Encoded:
        condition = self._backbone.prepare_condition(image, known, generators([self._seed], ENCODED))
        return condition.mask, condition.image


class Words:
    """The encoded prompts of a request. A view has that of the nearest direction within reach, as in AOG-Net."""

    def __init__(self, backbone: Backbone, request: Request, how: LongPrompts | None) -> None:
        self._request, self._join = request, lambda words, prompt: backbone.conditioner.joined(words, prompt, how)
        cameras = (Camera(at.yaw, at.pitch) for at in request.prompts_at)
        self._prompts = list(dict.fromkeys([request.prompt, *map(self._prompt, cameras)]))
        self._context = TextContext.of_prompts(backbone, self._prompts, request.negative, how)

    def __call__(self, cameras: Sequence[Camera]) -> TextContext:
        """Return the texts of views, one row each."""
        rows = [self._prompts.index(self._prompt(camera)) for camera in cameras]
        return TextContext(self._context.positive[rows], self._context.negative[rows])

    def _prompt(self, camera: Camera) -> str:
        return prompt_for(camera, self._request.prompt, self._request.prompts_at, self._join)
