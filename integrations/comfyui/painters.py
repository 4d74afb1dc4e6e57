"""Who paints for the nodes: a model in ComfyUI's process, or a studio. It imports nothing of ComfyUI.

Panoramas, photographs and masks are as ComfyUI has them: images [batch, height, width, channels] with display values in
[0, 1], masks [batch, height, width] that are 1 where something is to be painted.
"""

import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol
from uuid import uuid4

import torch
from torch import Tensor
from torch.nn import functional

from aognet.callbacks import Listener
from aognet.errors import UserError
from aognet.geometry.strokes import BrushStroke, stroke_mask
from aognet.io.panorama_files import encoded, read_panorama, write_image

TOKEN = "AOGNET_STUDIO_TOKEN"


@dataclass(frozen=True)
class Order:
    """One panorama to paint.

    ``photo``: [rows, columns, 3], at a pose in degrees. ``panorama``: [height, 2 height, 3], which is painted where
    ``mask`` [height, 2 height] is 1. ``height`` 0, ``steps`` 0, ``guidance`` below 0: as the model is used otherwise.
    """

    prompt: str = ""
    negative: str = ""
    seed: int = 0
    photo: Tensor | None = None
    yaw: float = 0.0
    pitch: float = 0.0
    roll: float = 0.0
    fov: float = 90.0
    panorama: Tensor | None = None
    mask: Tensor | None = None
    height: int = 0
    steps: int = 0
    guidance: float = -1.0

    @property
    def pose(self) -> dict[str, float]:
        """Where the photograph looks."""
        return {"yaw": self.yaw, "pitch": self.pitch, "roll": self.roll, "fov": self.fov}

    def files(self, folder: Path) -> tuple[Path | None, Path | None]:
        """Write what it starts from, a photograph or a panorama, and the mask; return their files."""
        start = self.photo if self.panorama is None else self.panorama
        return _written(start, folder / "panorama.png"), _written(self.mask, folder / "mask.png")


class Painter(Protocol):
    """What paints orders."""

    def paint(self, order: Order, listener: Listener) -> Tensor:
        """Return a panorama [height, 2 height, 3] in [0, 1]. Raises UserError for what cannot be painted."""
        ...


@dataclass(frozen=True)
class ModelHere:
    """A model in this process; arguments are those of `aognet.load`. Empty texts stand for its defaults."""

    checkpoint: str = ""
    config: str = ""
    device: str = "auto"

    @cached_property
    def pipe(self) -> Any:
        """The pipeline, loaded when something is first painted."""
        from aognet import PanoramaPipeline

        settings = [f"device={self.device}"]
        return PanoramaPipeline.from_pretrained(self.checkpoint or None, self.config or None, settings)

    def paint(self, order: Order, listener: Listener) -> Tensor:
        """Paint with the pipeline."""
        # What is loaded in ComfyUI's inference mode computes in another order, and other pixels.
        with tempfile.TemporaryDirectory(prefix="panorama-") as folder, torch.inference_mode(False):
            image, mask = order.files(Path(folder))
            made = self.pipe(
                order.prompt,
                image,
                mask,
                negative_prompt=order.negative,
                **order.pose,
                height=order.height or None,
                num_inference_steps=order.steps or None,
                guidance_scale=order.guidance if order.guidance >= 0 else None,
                generator=order.seed,
                name="panorama",
                progress=listener.progress,
                cancel=listener.cancel,
            ).panoramas[0]
        return encoded(made.panorama, made.encoding, "srgb").permute(1, 2, 0)


@dataclass(frozen=True)
class StudioThere:
    """A studio (``docs/studio.md``).

    ``model``: its name there; empty: the first. ``client``: another HTTP client than the studio's own. The token is in
    the environment (`TOKEN`), because workflows are saved and shared with all that their nodes were told.
    """

    address: str = "http://127.0.0.1:7860"
    model: str = ""
    client: Any = None

    @cached_property
    def studio(self) -> Any:
        """The studio's client."""
        from aognet.studio.client import StudioClient

        return StudioClient(self.address, os.environ.get(TOKEN, ""), client=self.client)

    def paint(self, order: Order, listener: Listener) -> Tensor:
        """Let the studio paint. A cancelled order is cancelled there, too."""
        sampler = {"steps": order.steps or None, "guidance": order.guidance if order.guidance >= 0 else None}
        sampler = {key: value for key, value in sampler.items() if value is not None}
        body: dict[str, Any] = {"prompt": order.prompt, "negative": order.negative, "seed": order.seed}
        body |= {"settings": {"sampler": sampler}} if sampler else {}
        body |= {"height": order.height} if order.height else {}
        body |= {"model": self.model} if self.model else {}
        with tempfile.TemporaryDirectory(prefix="panorama-") as folder:
            image, mask = order.files(Path(folder))
            if order.panorama is not None and image is not None:
                body["panorama"] = {"upload": self.studio.upload(image)}
            elif image is not None:
                body["photos"] = [{"upload": self.studio.upload(image), **order.pose}]
            if mask is not None:
                body["mask"] = {"upload": self.studio.upload(mask)}
            found = Path(folder) / "result.png"
            found.write_bytes(self.studio.painted(uuid4().hex, listener, **body))
            return read_panorama(found)[0].permute(1, 2, 0)


def painted(painter: Painter, orders: list[Order], listener: Listener) -> Tensor:
    """Return a batch of panoramas [batch, height, 2 height, 3], one for each order."""
    return torch.stack([painter.paint(order, listener) for order in orders])


def cap_mask(yaw: float, pitch: float, radius: float, height: int) -> Tensor:
    """Return a mask [1, height, 2 height] of the directions within ``radius`` degrees of one."""
    return stroke_mask([BrushStroke(radius, [(yaw, pitch)])], height).float()[None]


def fitting(mask: Tensor, panoramas: Tensor) -> Tensor:
    """Return a mask for each panorama of a batch, in their size. Raises UserError for another number of masks."""
    count, height, width, _ = panoramas.shape
    mask = mask if mask.ndim == 3 else mask[None]
    if len(mask) not in (1, count):
        raise UserError(f"must be one, or one for each of {count} panoramas", key="mask", value=len(mask))
    if mask.shape[-2:] != (height, width):
        mask = functional.interpolate(mask[:, None], size=(height, width), mode="nearest-exact")[:, 0]
    return mask.expand(count, -1, -1)


def each(images: Tensor, change: Callable[[Tensor], Tensor]) -> Tensor:
    """Return what ``change`` makes of images [batch, channels, height, width], in ComfyUI's layout."""
    return change(images[..., :3].movedim(-1, 1).float().cpu()).movedim(1, -1).contiguous()


def check_panoramas(images: Tensor) -> None:
    """Raise UserError for images that are not twice as wide as high."""
    height, width = images.shape[1:3]
    if width != 2 * height:
        raise UserError("must be twice as wide as high", key="panorama", value=f"{width}x{height}")


def _written(image: Tensor | None, path: Path) -> Path | None:
    if image is None:
        return None
    colours = image[..., None].expand(-1, -1, 3) if image.ndim == 2 else image[..., :3]
    write_image(colours.permute(2, 0, 1).float().cpu(), path)
    return path
