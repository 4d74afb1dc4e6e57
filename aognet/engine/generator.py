"""Painting panoramas: the plan walked wave by wave, each view recorded; shared by command line and server."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from aognet.canvas import Canvas, Glimpse, join
from aognet.data.images import from_uint8, to_uint8
from aognet.engine.inputs import DirectedPrompt, prompt_for
from aognet.engine.journal import Entry, Journal
from aognet.errors import UserError
from aognet.geometry.camera import Camera
from aognet.geometry.views import PlanConfig, make_plan
from aognet.sampling.sampler import SamplerConfig


@runtime_checkable
class Outpainter(Protocol):
    """A method that continues views of a canvas (`aognet.models.aognet.AOGNet` is one).

    ``whole_waves``: the views of a wave belong together, whatever ``views_per_batch`` says.
    """

    whole_waves: bool

    def outpaint(
        self,
        canvas: Canvas,
        cameras: Sequence[Camera],
        prompts: Sequence[str],
        seeds: Sequence[int],
        sampler: SamplerConfig,
        face_size: int,
        progress: Callable[[int, int], None] | None = None,
    ) -> Tensor:
        """Views [views, 3, size, size] in [-1, 1]; row i depends on ``seeds[i]`` and not on its batch."""


@dataclass(frozen=True)
class GeneratorConfig:
    """``height``: rows of the panorama. ``views_per_batch``: how many views of a wave are denoised together.

    ``feather``: how far generated pixels are drawn towards the known ones they meet, as a share of the view's height.
    """

    height: int = 2048
    plan: PlanConfig = field(default_factory=PlanConfig)
    sampler: SamplerConfig = field(default_factory=SamplerConfig)
    face_size: int = 512
    feather: float = 0.1
    views_per_batch: int = 1
    seed: int = 0

    def __post_init__(self) -> None:
        if self.height < 32 or self.height > 8192:
            raise UserError(f"height must lie in [32, 8192], got {self.height}")
        if self.face_size < 8 or self.face_size % 8:
            raise UserError(f"face_size must be a multiple of 8, got {self.face_size}")
        if not 0 <= self.feather <= 1:
            raise UserError(f"feather must lie in [0, 1], got {self.feather}")
        if self.views_per_batch < 1:
            raise UserError(f"views_per_batch must be at least 1, got {self.views_per_batch}")


@dataclass(frozen=True)
class Listener:
    """What is told about progress: ``views(done, total)`` and, within a view, ``steps(done, total)``."""

    views: Callable[[int, int], None] = lambda done, total: None
    steps: Callable[[int, int], None] = lambda done, total: None


class Generator:
    """Paints panoramas with one model, in folders that can be continued, undone and repainted."""

    def __init__(self, model: Outpainter, config: GeneratorConfig, device: torch.device):
        self.model, self.config, self.device = model, config, device

    def paint(self, journal: Journal, prompt: str, directed: tuple[DirectedPrompt, ...], listener: Listener) -> Canvas:
        """Paints what the journal's plan has left; returns the finished canvas."""
        canvas = journal.start()
        steps = make_plan(self.config.plan, canvas.known[0, 0]).steps
        seeds = [view_seed(self.config.seed, number) for number in range(len(steps))]
        entries = [
            Entry(f"{i:03d}.png", step.camera, step.wave, prompt_for(step.camera, prompt, directed), seeds[i])
            for i, step in enumerate(steps)
        ]
        listener.views(min(len(journal.entries), len(steps)), len(steps))
        for _, wave in groupby(entries, key=lambda entry: entry.wave):
            wave = list(wave)
            self._paint_wave(journal, canvas, wave, lambda done: listener.views(done, len(steps)), listener)
            for entry in wave:
                canvas = canvas.paint(journal.view(entry), entry.camera)
        for entry in journal.entries[len(steps) :]:
            canvas = journal.repeated(canvas, entry)
        return canvas

    def _paint_wave(
        self, journal: Journal, canvas: Canvas, wave: list[Entry], tell: Callable[[int], None], listener: Listener
    ) -> None:
        """Records what is left of a wave; all its views see the canvas as it is before the first of them."""
        recorded = {entry.file for entry in journal.entries}
        for batch in batched(wave, len(wave) if self.model.whole_waves else self.config.views_per_batch):
            new = [i for i, entry in enumerate(batch) if entry.file not in recorded]
            if new:
                # Views of a batch that are recorded already are painted again with it: the others come out as before.
                views = self._views(self._on_device(canvas), batch, listener)
                journal.add(views[new], [batch[i] for i in new])
                tell(len(journal.entries))

    def repaint(self, journal: Journal, at: DirectedPrompt, prompt: str, listener: Listener) -> Canvas:
        """Clears the view in a direction (never the input's own pixels) and paints it anew with another prompt."""
        if not journal.finished:
            raise UserError(f"{journal.folder}: --repaint needs a finished run; give the command that began it again")
        camera = Camera(
            at.yaw, at.pitch, 0.0, self.config.plan.fov_degrees, self.config.plan.size, self.config.plan.size
        )
        number = len(journal.entries)
        wave = max((entry.wave for entry in journal.entries), default=-1) + 1
        text = f"{at.text}, {prompt}" if prompt else at.text
        # A margin of what is there stays known inside the view: the new content has to continue it.
        erased = replace(camera, fov_degrees=camera.fov_degrees * 0.8)
        entry = Entry(f"{number:03d}.png", camera, wave, text, view_seed(self.config.seed, number), erased)
        canvas = journal.canvas().erase(erased, keep=journal.start().known)
        if canvas.unknown_pixels == 0:
            raise UserError(
                f"--repaint {at.yaw:g},{at.pitch:g}: the input covers this direction wholly; nothing to paint"
            )
        listener.views(0, 1)
        journal.add(self._views(self._on_device(canvas), [entry], listener), [entry])
        listener.views(1, 1)
        return journal.canvas()

    def _on_device(self, canvas: Canvas) -> Canvas:
        return canvas.to(self.device)

    def _views(self, canvas: Canvas, entries: list[Entry], listener: Listener) -> Float[Tensor, "views 3 rows columns"]:
        """Generated views joined with what is known, in the 256 levels their files keep."""
        cameras = [entry.camera for entry in entries]
        prompts, seeds = [entry.prompt for entry in entries], [entry.seed for entry in entries]
        config = self.config
        views = self.model.outpaint(
            canvas, cameras, prompts, seeds, config.sampler, config.face_size, progress=listener.steps
        )
        glimpses = [canvas.look(camera) for camera in cameras]
        known = Glimpse(torch.cat([seen.image for seen in glimpses]), torch.cat([seen.known for seen in glimpses]))
        return from_uint8(to_uint8(join(views, known, config.feather))).cpu()


def batched(entries: Sequence[Entry], size: int) -> Iterator[list[Entry]]:
    """The entries in order, ``size`` at a time."""
    for first in range(0, len(entries), size):
        yield list(entries[first : first + size])


def view_seed(seed: int, number: int) -> int:
    """The seed of a run's view: its own for every view, whatever is painted together with it."""
    return seed * 100_003 + number
