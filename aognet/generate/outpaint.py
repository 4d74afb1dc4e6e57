"""The strategy of methods that paint views: it walks the plan wave by wave and records each view as it is painted."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from aognet.callbacks import Listener
from aognet.canvas import Canvas, join
from aognet.diffusion.inpaint import ViewToPaint, frame_yaw, look
from aognet.diffusion.sampling.noise import named_seed
from aognet.errors import Setting, UserError
from aognet.generate.entries import Edit, JournalEntry, repaint_command
from aognet.generate.pixels import packed
from aognet.generate.recorder import Recorder
from aognet.generate.run import Run
from aognet.generate.run_files import SUFFIX
from aognet.generate.view_journal import ViewJournal
from aognet.geometry.camera import Camera
from aognet.geometry.plans import PlanConfig, anchor_of, make_plan
from aognet.io.value_range import Encoding
from aognet.methods.outpainter import Outpainter, OutpaintSettings, paint_views, painted_settings
from aognet.methods.view_prompts import plainly, prompt_for
from aognet.request import DirectedPrompt, Request


@dataclass(frozen=True)
class Painting:
    """A run that is being painted: its canvas, all views of its plan, and its frame (`frame_yaw`).

    ``anchor``: the pixels that are forgotten before the first view without it; None: there are none.
    """

    journal: ViewJournal
    canvas: Canvas
    entries: list[JournalEntry]
    frame_yaw_degrees: float
    anchor: Bool[Tensor, "1 1 height width"] | None

    @classmethod
    def begun(cls, journal: ViewJournal, start: Canvas, yaw_degrees: float) -> "Painting":
        """Return the painting of a planned run, with nothing painted yet."""
        entries = journal.plan or []
        if not any(entry.anchored for entry in entries):
            return cls(journal, start, entries, yaw_degrees, None)
        return cls(journal, start.anchored(), entries, yaw_degrees, anchor_of(start.known))

    def wave(self, number: int) -> list[JournalEntry]:
        """Return the views of a wave."""
        return [entry for entry in self.entries if entry.wave == number]

    def lift_anchor(self, wave: int) -> None:
        """Forget the anchor if a wave is the first without it."""
        first = min((entry.wave for entry in self.entries if not entry.anchored), default=None)
        if self.anchor is not None and wave == first:
            self.canvas.forget_(self.anchor)


class Outpaint:
    """Paints panoramas with one model, in folders that can be continued, undone and repainted."""

    def __init__(self, model: Outpainter, settings: OutpaintSettings, device: torch.device):
        """Check the settings. Raises UserError for settings that the model cannot paint with."""
        model.check(painted_settings(model, settings))
        self.model, self.settings, self.device = model, settings, device

    def paint(self, runs: Sequence[Run[ViewJournal]], listener: Listener) -> list[Canvas]:
        """Paint what is left of the runs' plans, side by side. Return the finished canvases, on the CPU.

        :raises Cancelled: if the ``listener`` wants it; what is painted by then is recorded.
        """
        paintings = [self._begin(run) for run in runs]
        total = sum(len(painting.entries) for painting in paintings)
        done = sum(min(len(one.journal.entries), len(one.entries)) for one in paintings)
        listener.tell("views", done, total)
        with Recorder() as recorder:
            for wave in sorted({entry.wave for painting in paintings for entry in painting.entries}):
                for one in paintings:
                    one.lift_anchor(wave)
                for batch in self._batches(paintings, wave):
                    done += self._paint_batch(batch, recorder, listener)
                    listener.tell("views", done, total)
                for one in paintings:
                    recorder.paint(one.canvas, one.journal, one.wave(wave))
        return [self._with_repainted(painting) for painting in paintings]

    def _begin(self, run: Run[ViewJournal]) -> Painting:
        canvas, journal = run.journal.start() if run.start is None else run.start, run.journal
        yaw = frame_yaw(journal.photo_camera, canvas.height)
        if journal.plan is None:
            journal.begin_plan(self._planned(journal, canvas))
        return Painting.begun(journal, canvas.to(self.device), yaw)

    def _planned(self, journal: ViewJournal, canvas: Canvas) -> list[JournalEntry]:
        yaw, known = frame_yaw(journal.photo_camera, canvas.height), canvas.known[0, 0]
        return planned(self.settings.plan, journal.asked.request, known, yaw, self._joined, journal.encoding)

    def fork(self, run: Run[ViewJournal], source: ViewJournal, count: int) -> None:
        """Give a run that has no views yet the first ``count`` views of another, which began with the same canvas. What
        a killed process did of it is completed.

        :raises UserError: if the other has fewer views of its plan, or planned others.
        """
        journal = run.journal
        if len(journal.entries) >= count:
            return
        planned_there = source.plan or []
        if not 0 <= count <= len(planned_there) or len(source.entries) < count:
            said = f"must lie in [0, {min(len(planned_there), len(source.entries))}], the views painted there"
            raise UserError(said, key="view", value=count)
        if journal.plan is None:
            plan = self._planned(journal, journal.start() if run.start is None else run.start)
            alike = [(one.file, one.camera, one.wave) for one in plan] == [
                (one.file, one.camera, one.wave) for one in planned_there
            ]
            if not alike:
                raise UserError("cannot go on there: its views were planned in another way", key="view", value=count)
            journal.begin_plan([*planned_there[:count], *plan[count:]])
        kept = planned_there[:count]
        journal.add([packed(source.view(entry), source.encoding)[0] for entry in kept], kept)

    def _batches(self, paintings: Sequence[Painting], wave: int) -> Iterator[list[tuple[Painting, JournalEntry]]]:
        """Yield the views of a wave, as many together as allowed."""
        waves = [[(painting, entry) for entry in painting.wave(wave)] for painting in paintings]
        inseparable = waves if self.model.joint_waves else [[view] for views in waves for view in views]
        batch: list[tuple[Painting, JournalEntry]] = []
        for views in inseparable:
            if batch and len(batch) + len(views) > self.settings.views_per_batch:
                yield batch
                batch = []
            batch = [*batch, *views]
        if batch:
            yield batch

    def _paint_batch(
        self, batch: Sequence[tuple[Painting, JournalEntry]], recorder: Recorder, listener: Listener
    ) -> int:
        """Record what is left of a batch, and return how many views that is. Their canvases stay as they are."""
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

    def repaint(self, journal: ViewJournal, at: DirectedPrompt, listener: Listener) -> Canvas:
        """Clear the view in a direction (never the input's own pixels) and paint it again with another prompt."""
        if not journal.finished:
            said = f"{journal.folder}: a run must be finished; give the command that began it again, then "
            raise UserError(said, Setting("repaint"))
        plan, request = self.settings.plan, journal.asked.request
        camera = Camera(at.yaw, at.pitch, 0.0, plan.fov_degrees, plan.size, plan.size)
        number = len(journal.entries)
        wave = max((entry.wave for entry in journal.entries), default=-1) + 1
        text = self._joined(at.text, request.prompt) if request.prompt else at.text
        # A margin of what is there stays known inside the view: the new content has to continue it.
        erased = replace(camera, fov_degrees=camera.fov_degrees * 0.8)
        seed = named_seed(request.seed, request.name, number)
        entry = JournalEntry(step_file(number, journal.encoding), camera, wave, text, seed, erased)
        canvas = journal.canvas().erase(erased, keep=journal.start().known)
        if canvas.unknown_pixels == 0:
            said = f"{at.yaw:g},{at.pitch:g}: the input covers this direction wholly; nothing to paint"
            raise UserError(said, key="repaint")
        listener.tell("views", 0, 1)
        yaw = frame_yaw(journal.photo_camera, canvas.height)
        view = self._views([ViewToPaint(canvas.to(self.device), camera, text, entry.seed, yaw)], listener)[0]
        journal.begin_edit(Edit(repaint_command(at), view=entry))
        with Recorder() as recorder:
            recorder.add([(journal, entry, view)])
        listener.tell("views", 1, 1)
        return journal.canvas()

    def _joined(self, words: str, prompt: str) -> str:
        return self.model.joined(words, prompt, self.settings)

    def _views(self, views: Sequence[ViewToPaint], listener: Listener) -> Float[Tensor, "views 3 rows columns"]:
        """Return generated views joined with what is known."""
        seen = look(views)
        painted = paint_views(self.model, views, seen, self.settings, listener.counting("steps"))
        return join(painted, seen, self.settings.feather, views[0].canvas.encoding)


def planned(
    plan: PlanConfig,
    request: Request,
    known: Bool[Tensor, "height width"],
    yaw_degrees: float = 0.0,
    join: Callable[[str, str], str] | None = None,
    encoding: Encoding = "srgb",
) -> list[JournalEntry]:
    """Return the views that paint what is unknown, each with the prompt of its direction and a seed of its own.

    ``yaw_degrees``: that of the frame in which they are planned. ``join`` makes one prompt of the words of a direction
    and the common prompt.
    """
    steps = make_plan(plan, known, yaw_degrees).steps
    prompts = [prompt_for(step.camera, request.prompt, request.prompts_at, join or plainly) for step in steps]
    return [
        JournalEntry(
            step_file(number, encoding),
            step.camera,
            step.wave,
            text,
            named_seed(request.seed, request.name, number),
            anchored=step.anchored,
        )
        for number, (step, text) in enumerate(zip(steps, prompts, strict=True))
    ]


def step_file(number: int, encoding: Encoding) -> str:
    """Return the name of the file of a run's view."""
    return f"{number:03d}{SUFFIX[encoding]}"
