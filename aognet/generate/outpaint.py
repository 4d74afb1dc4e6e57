"""Painting panoramas: the plan walked wave by wave, each view recorded; shared by command line and server."""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from aognet.canvas import Canvas, MaskedView, join
from aognet.diffusion.inpaint import ViewToPaint, frame_yaw, look
from aognet.diffusion.sampling.sampler import SamplerConfig
from aognet.errors import UserError
from aognet.generate.entries import Edit, JournalEntry, repaint_command
from aognet.generate.inputs import DirectedPrompt, plainly, prompt_for
from aognet.generate.journal import Journal
from aognet.generate.recorder import Recorder
from aognet.geometry.camera import Camera
from aognet.geometry.plans import MAX_SIZE, PlanConfig, make_plan


@runtime_checkable
class Outpainter(Protocol):
    """A method that continues views of canvases (`aognet.methods.aognet.model.AOGNet` is one).

    ``joint_waves``: the views of a panorama's wave belong together, whatever ``views_per_batch`` says.
    """

    joint_waves: bool

    def joined(self, words: str, prompt: str, sampler: SamplerConfig) -> str:
        """The words of a direction and the common prompt as one, which loses neither where both are long."""

    def check(self, plan: PlanConfig, sampler: SamplerConfig) -> None:
        """Raises UserError for settings that `outpaint` could not paint with."""

    def outpaint(
        self,
        views: Sequence[ViewToPaint],
        seen: MaskedView,
        sampler: SamplerConfig,
        face_size: int,
        progress: Callable[[int, int], None] | None = None,
    ) -> Tensor:
        """Views [views, 3, size, size] in [-1, 1]; row i depends on ``views[i]`` and not on its batch.

        ``seen``: what the views show before they are painted.
        """


@dataclass(frozen=True)
class GeneratorConfig:
    """``height``: rows of the panorama. ``views_per_batch``: how many views of a wave are denoised together.

    ``feather``: how far generated pixels are drawn towards the known ones they meet, as a share of the view's height
    (0: they are pasted as they are).
    """

    height: int = 2048
    plan: PlanConfig = field(default_factory=PlanConfig)
    sampler: SamplerConfig = field(default_factory=SamplerConfig)
    face_size: int = 512
    feather: float = 0.1
    views_per_batch: int = 4
    seed: int = 0

    def __post_init__(self) -> None:
        if self.height < 32 or self.height > 8192:
            raise UserError("must lie in [32, 8192]", key="height", value=self.height)
        if not 8 <= self.face_size <= MAX_SIZE or self.face_size % 8:
            raise UserError(f"must be a multiple of 8 in [8, {MAX_SIZE}]", key="face_size", value=self.face_size)
        if not 0 <= self.feather <= 1:
            raise UserError("must lie in [0, 1]", key="feather", value=self.feather)
        if self.views_per_batch < 1:
            raise UserError("must be at least 1", key="views_per_batch", value=self.views_per_batch)


@dataclass(frozen=True)
class Listener:
    """What is told about progress: ``views(done, total)`` and, within a view, ``steps(done, total)``."""

    views: Callable[[int, int], None] = lambda done, total: None
    steps: Callable[[int, int], None] = lambda done, total: None


@dataclass(frozen=True)
class Run:
    """A panorama to paint: where it is recorded, its prompt, and those of single directions.

    ``start``: what the journal was created with, to be painted into; without it the journal's file is read.
    """

    journal: Journal
    prompt: str
    directed: tuple[DirectedPrompt, ...] = ()
    start: Canvas | None = None


@dataclass(frozen=True)
class Painting:
    """A run being painted: its canvas, which is painted into, all views of its plan, and its frame (`frame_yaw`)."""

    journal: Journal
    canvas: Canvas
    entries: list[JournalEntry]
    frame_yaw_degrees: float

    def wave(self, number: int) -> list[JournalEntry]:
        """The views of a wave."""
        return [entry for entry in self.entries if entry.wave == number]


class Generator:
    """Paints panoramas with one model, in folders that can be continued, undone and repainted."""

    def __init__(self, model: Outpainter, config: GeneratorConfig, device: torch.device):
        """Raises UserError for settings that the model cannot paint with."""
        model.check(config.plan, config.sampler)
        self.model, self.config, self.device = model, config, device

    def paint(self, runs: Sequence[Run], listener: Listener) -> list[Canvas]:
        """Paints what the plans of the runs have left, side by side; returns the finished canvases, on the CPU."""
        paintings = [self._begin(run) for run in runs]
        total = sum(len(painting.entries) for painting in paintings)
        done = sum(min(len(one.journal.entries), len(one.entries)) for one in paintings)
        listener.views(done, total)
        with Recorder() as recorder:
            for wave in sorted({entry.wave for painting in paintings for entry in painting.entries}):
                for batch in self._batches(paintings, wave):
                    done += self._paint_batch(batch, recorder, listener)
                    listener.views(done, total)
                for one in paintings:
                    recorder.paint(one.canvas, one.journal, one.wave(wave))
        return [self._with_repainted(painting) for painting in paintings]

    def _begin(self, run: Run) -> Painting:
        canvas, journal = run.journal.start() if run.start is None else run.start, run.journal
        yaw = frame_yaw(journal.photo_camera(), canvas.height)
        if journal.plan is None:
            known, name = canvas.known[0, 0], name_of(journal)
            journal.begin_plan(planned(self.config, known, run.prompt, run.directed, yaw, self._joined, name))
        return Painting(journal, canvas.to(self.device), journal.plan, yaw)

    def _batches(self, paintings: Sequence[Painting], wave: int) -> Iterator[list[tuple[Painting, JournalEntry]]]:
        """The views of a wave, as many together as may be."""
        waves = [[(painting, entry) for entry in painting.wave(wave)] for painting in paintings]
        inseparable = waves if self.model.joint_waves else [[view] for views in waves for view in views]
        batch: list[tuple[Painting, JournalEntry]] = []
        for views in inseparable:
            if batch and len(batch) + len(views) > self.config.views_per_batch:
                yield batch
                batch = []
            batch = [*batch, *views]
        if batch:
            yield batch

    def _paint_batch(
        self, batch: Sequence[tuple[Painting, JournalEntry]], recorder: Recorder, listener: Listener
    ) -> int:
        """Records what is left of a batch; returns how many views that is. Their canvases stay as they are."""
        new = [i for i, (painting, entry) in enumerate(batch) if not painting.journal.has(entry)]
        if new:
            # Views of a batch that are recorded already are painted again with it: the others come out as before.
            views = [ViewToPaint(one.canvas, e.camera, e.prompt, e.seed, one.frame_yaw_degrees) for one, e in batch]
            views = self._views(views, listener)
            recorder.add([(batch[i][0].journal, batch[i][1], views[i]) for i in new])
        return len(new)

    def _with_repainted(self, painting: Painting) -> Canvas:
        canvas = painting.canvas.to("cpu")
        for entry in painting.journal.repainted:
            canvas = painting.journal.repeated(canvas, entry)
        return canvas

    def repaint(self, journal: Journal, at: DirectedPrompt, prompt: str, listener: Listener) -> Canvas:
        """Clears the view in a direction (never the input's own pixels) and paints it anew with another prompt."""
        if not journal.finished:
            raise UserError(f"{journal.folder}: --repaint needs a finished run; give the command that began it again")
        camera = Camera(
            at.yaw, at.pitch, 0.0, self.config.plan.fov_degrees, self.config.plan.size, self.config.plan.size
        )
        number = len(journal.entries)
        wave = max((entry.wave for entry in journal.entries), default=-1) + 1
        text = self._joined(at.text, prompt) if prompt else at.text
        # A margin of what is there stays known inside the view: the new content has to continue it.
        erased = replace(camera, fov_degrees=camera.fov_degrees * 0.8)
        seed = view_seed(self.config.seed, name_of(journal), number)
        entry = JournalEntry(f"{number:03d}.png", camera, wave, text, seed, erased)
        canvas = journal.canvas().erase(erased, keep=journal.start().known)
        if canvas.unknown_pixels == 0:
            raise UserError(
                f"--repaint {at.yaw:g},{at.pitch:g}: the input covers this direction wholly; nothing to paint"
            )
        listener.views(0, 1)
        yaw = frame_yaw(journal.photo_camera(), canvas.height)
        view = self._views([ViewToPaint(canvas.to(self.device), camera, text, entry.seed, yaw)], listener)[0]
        journal.begin_edit(Edit(repaint_command(at), view=entry))
        with Recorder() as recorder:
            recorder.add([(journal, entry, view)])
        listener.views(1, 1)
        return journal.canvas()

    def _joined(self, words: str, prompt: str) -> str:
        return self.model.joined(words, prompt, self.config.sampler)

    def _views(self, views: Sequence[ViewToPaint], listener: Listener) -> Float[Tensor, "views 3 rows columns"]:
        """Generated views joined with what is known."""
        seen, config = look(views), self.config
        painted = self.model.outpaint(views, seen, config.sampler, config.face_size, progress=listener.steps)
        return join(painted, seen, config.feather)


def planned(
    config: GeneratorConfig,
    known: Bool[Tensor, "height width"],
    prompt: str,
    directed: Sequence[DirectedPrompt],
    yaw_degrees: float = 0.0,
    join: Callable[[str, str], str] = plainly,
    name: str = "",
) -> list[JournalEntry]:
    """The views that paint what is not known, each with the prompt of its direction and a seed of its own.

    ``yaw_degrees``: of the frame they are planned in. ``name``: of the panorama, whose noise is its own.
    """
    steps = make_plan(config.plan, known, yaw_degrees).steps
    prompts = [prompt_for(step.camera, prompt, directed, join) for step in steps]
    return [
        JournalEntry(f"{number:03d}.png", step.camera, step.wave, text, view_seed(config.seed, name, number))
        for number, (step, text) in enumerate(zip(steps, prompts, strict=True))
    ]


def name_of(journal: Journal) -> str:
    """The name that a run's panorama was asked for by, wherever its folder is now."""
    return str(journal.request.get("name", ""))


def view_seed(seed: int, name: str, number: int) -> int:
    """The seed, of 63 bits, of a panorama's view: its own for every seed, name and number.

    What is painted together with a view, where and when does not change it.
    """
    words = f"{seed} {number} {name}".encode(errors="surrogatepass")
    return int.from_bytes(hashlib.blake2b(words, digest_size=8).digest()) >> 1
