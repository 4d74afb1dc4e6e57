"""A whole inference run: configuration, model, one folder for each panorama."""

import logging
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field, fields
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import torch

from aognet.canvas import Canvas
from aognet.captioning.captioner import SMALL_MODEL, CaptionerConfig
from aognet.config import LoadedConfig, build_config
from aognet.diffusion.execution import ExecutionConfig, place
from aognet.diffusion.loading import check_dtype
from aognet.errors import UserError
from aognet.generate.auto_prompt import with_prompts
from aognet.generate.entries import repaint_command, undo_command
from aognet.generate.inputs import DirectedPrompt, InputsConfig, Job, Start, list_jobs, read_start
from aognet.generate.journal import Journal, check_free
from aognet.generate.outpaint import Generator, GeneratorConfig, Listener, Run
from aognet.generate.request import MODEL, contents, request_of
from aognet.generate.results import write_results, write_truth
from aognet.generate.run_files import JOURNAL, TRUTH, check_inputs, outputs_of
from aognet.installed import installed
from aognet.io.files import made_folder
from aognet.locking import exclusive
from aognet.methods.identity import model_identity
from aognet.methods.method import find_method
from aognet.methods.pretrained import load_method
from aognet.processes import Processes
from aognet.provenance import provenance
from aognet.terminal import visible

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class InferenceConfig:
    """Everything ``inference.py`` reads from YAML. ``variant`` and ``dtype``: which of the frozen backbone's weights
    are read (``fp16``: the files of that name), and in which precision they are held.

    ``method``: how a checkpoint paints that is a backbone alone (null: as AOG-Net). ``save_faces``: write each
    panorama's cubemap, too. ``panoramas_per_batch``: how many are painted side by side; their views share batches of
    ``generator.views_per_batch``.

    ``captioner``: what finds the words where ``inputs.prompt`` is ``auto``.
    """

    checkpoint: str = field(default_factory=lambda: installed("assets/embedded/aognet"))
    revision: str | None = None
    variant: str | None = None
    method: str | None = None
    device: Literal["auto", "cpu", "cuda"] = "auto"
    dtype: str | None = None
    out_dir: str = "outputs"
    save_faces: bool = False
    panoramas_per_batch: int = 1
    inputs: InputsConfig = field(default_factory=InputsConfig)
    generator: GeneratorConfig = field(default_factory=GeneratorConfig)
    execution: ExecutionConfig = field(default_factory=ExecutionConfig)
    captioner: CaptionerConfig = field(default_factory=lambda: CaptionerConfig(model=SMALL_MODEL))

    def __post_init__(self) -> None:
        if self.dtype is not None:
            check_dtype(self.dtype)
        if self.method is not None:
            find_method(self.method, "method")
        if self.panoramas_per_batch < 1:
            raise UserError("must be at least 1", key="panoramas_per_batch", value=self.panoramas_per_batch)


def paint_all(loaded: LoadedConfig, overwrite: bool = False, read: Sequence[Path] = ()) -> int:
    """Paints every panorama the configuration asks for; returns the exit code (1 if an input had to be skipped).

    ``read``: files that the command line was read from, besides those of the configuration.

    :raises UserError: before anything is written, where a run would write over an input or over what no run wrote.
    """
    loaded.check_keys(["SHARE", *(one.name for one in fields(InferenceConfig))])
    values = {key: value for key, value in loaded.values.items() if key != "SHARE"}
    config = build_config(LoadedConfig(values, loaded.sources), InferenceConfig)
    jobs, out_dir = list_jobs(config.inputs), Path(config.out_dir)
    settings = [*read, *map(Path, {*loaded.sources.values(), *config.inputs.captions})]
    check_inputs([out_dir / job.name for job in jobs], [*settings, *(path for job in jobs for path in job.files)])
    for job in jobs:
        check_free(out_dir / job.name)
    with made_folder(out_dir, "out_dir"):
        check_writable(out_dir)
        with Processes.start(config.device) as processes:
            # Waits for the others too: the launcher ends them all when one leaves with an error.
            skipped = processes.total(_paint_ours(config, jobs, out_dir, overwrite, processes))
    if skipped and processes.first:
        log.error("%d of %d inputs could not be read and were left out", skipped, len(jobs))
    return 1 if skipped else 0


def _paint_ours(
    config: InferenceConfig, jobs: Sequence[Job], out_dir: Path, overwrite: bool, processes: Processes
) -> int:
    """Paints this process's part of the jobs; returns how many had to be skipped."""
    painter = Painter(config, processes.device)
    skipped = 0
    ours = painter.prompted(jobs[processes.number :: processes.count], out_dir, overwrite)
    for first in range(0, len(ours), config.panoramas_per_batch):
        with ExitStack() as held:
            runs = []
            for job in ours[first : first + config.panoramas_per_batch]:
                try:
                    runs += painter.begin(job, out_dir / job.name, overwrite, held)
                except UnreadableInput as error:
                    if len(jobs) == 1:
                        raise
                    log.error("%s; left out", error)
                    skipped += 1
            painter.paint(runs)
    return skipped


class UnreadableInput(UserError):
    """An input file that cannot be used; the others of a dataset still can."""


class Painter:
    """Paints jobs; loads the model when the first of them needs it."""

    def __init__(self, config: InferenceConfig, device: torch.device):
        self.config, self.device = config, device

    @cached_property
    def weights(self) -> str:
        """Which model it is, by its contents."""
        return model_identity(self.config.checkpoint, self.config.revision, self.config.variant)

    @cached_property
    def generator(self) -> Generator:
        """The generator with its model on the device, loaded when first asked for."""
        config, expected = self.config, self.weights
        model = load_method(config.checkpoint, config.revision, config.dtype, config.method, config.variant)
        if model_identity(config.checkpoint, config.revision, config.variant) != expected:
            raise UserError(f"{config.checkpoint}: changed while it was read; give the command again")
        return Generator(place(model, config.execution, self.device), config.generator, self.device)

    def prompted(self, jobs: Sequence[Job], out_dir: Path, overwrite: bool) -> list[Job]:
        """The jobs with captions for prompts where these are ``auto``; a run goes on with the one it began with."""

        def earlier(job: Job) -> str | None:
            folder = out_dir / job.name
            if overwrite or not (folder / JOURNAL).is_file():
                return None
            request = Journal.open(folder).request
            same = request.get("captioner") and contents(request) == contents(request_of(self.config, job, ""))
            return str(request.get("prompt", "")) if same else None

        return with_prompts(jobs, self.config.captioner, self.device, self.config.generator.height, earlier)

    def begin(self, job: Job, folder: Path, overwrite: bool, held: ExitStack) -> list[Run]:
        """The run of a job in its folder, new or gone on with; none where all is painted. ``held``: holds the folder.

        What a killed process left undone or half done is completed.
        """
        held.enter_context(made_folder(folder))
        held.enter_context(exclusive(folder))
        request = request_of(self.config, job, self.weights)
        journal = None if overwrite else _matching_run(folder, request)
        if journal is None or not journal.begun:
            start = _read(job, self.config.generator.height)
            _ = self.generator  # what cannot be loaded leaves no folder behind
            request["camera"] = asdict(start.camera) if start.camera else None
            provenance, faces = self._provenance(), self.config.save_faces
            journal = Journal.create(folder, request, start.canvas, provenance, start.truth, faces)
            return [Run(journal, job.prompt, job.directed, start.canvas)]
        journal.clear()
        journal.claim(outputs_of(job.truth is not None, self.config.save_faces))
        if job.truth is not None and not (folder / TRUTH).is_file():
            write_truth(folder, _read(job, self.config.generator.height).truth)
        if not journal.finished:
            log.info("%s: going on after %d views", folder, len(journal.entries))
            return [Run(journal, job.prompt, job.directed)]
        if journal.shown:
            log.info("%s: painted already with these settings (--overwrite paints it again)", folder / "result.png")
        else:
            show(journal, journal.canvas())
        return []

    def paint(self, runs: Sequence[Run]) -> None:
        """Paints what is left of runs, side by side, and writes their results."""
        if not runs:
            return
        name = runs[0].journal.folder.name if len(runs) == 1 else f"{len(runs)} panoramas"
        with progress_bars(name) as listener:
            canvases = self.generator.paint(runs, listener)
        for run, canvas in zip(runs, canvases, strict=True):
            show(run.journal, canvas)

    def _provenance(self) -> dict[str, Any]:
        """What the pixels may depend on besides the request.

        No time, and not whether files of the program are changed: a repeated run writes the same bytes.
        """
        told = {key: value for key, value in provenance(self.device.type).items() if key not in ("time", "command")}
        return told | {"git": {"commit": told["git"]["commit"]}}


def show(journal: Journal, canvas: Canvas) -> None:
    """Writes the results of a run, and notes that they are those of its recorded views."""
    prompt = str(journal.request.get("prompt", ""))
    write_results(journal.folder, canvas, prompt, journal.photo_camera(), journal.has_faces)
    journal.finished = canvas.unknown_pixels == 0
    journal.settle()
    log.info("wrote %s (look around in %s)", journal.folder / "result.png", journal.folder / "viewer.html")


def edit_run(folder: Path, undo: int | None, repaint: str | None) -> int:
    """Takes views of a run back, or paints a direction anew, with the settings in its journal.

    What a killed process began with the same words is completed, not done twice.
    """
    at = None if repaint is None else DirectedPrompt.parse(repaint, "--repaint")
    folder = find_run(folder)
    with exclusive(folder):
        journal = Journal.open(folder)
        if not journal.begun:
            raise UserError(f"{folder}: this run has not begun yet; give the command that paints it again")
        journal.clear()
        if _under_way(journal, undo_command(undo) if at is None else repaint_command(at)):
            canvas = journal.canvas()
        elif at is None:
            canvas = journal.undo(undo)
        else:
            canvas = _repainted(journal, at)
        if canvas.unknown_pixels:
            log.info("%s: %d views left, %d pixels unknown", folder, len(journal.entries), canvas.unknown_pixels)
        show(journal, canvas)
    return 0


def _under_way(journal: Journal, command: str) -> bool:
    """Whether a change by the same command is recorded, and its results may not be written yet."""
    edit = journal.edit
    return edit is not None and edit.command == command and (edit.view is None or journal.has(edit.view))


def _repainted(journal: Journal, at: DirectedPrompt) -> Canvas:
    request, path = journal.request, journal.folder / JOURNAL
    settings = {key: request[key] for key in (*MODEL, "generator") if key in request}
    painter = Painter(
        build_config(LoadedConfig(settings, {"": str(path)}), InferenceConfig), Processes.start("auto").device
    )
    if request.get("weights") not in (None, painter.weights):
        raise UserError(
            f"{path}: {painter.config.checkpoint} has other weights or settings than when this run was painted; "
            "--repaint needs the same model"
        )
    with progress_bars(journal.folder.name) as listener:
        return painter.generator.repaint(journal, at, str(request.get("prompt", "")), listener)


def find_run(folder: Path) -> Path:
    """The folder itself if it holds a run, or the only run in it."""
    if (folder / JOURNAL).is_file():
        return folder
    runs = sorted(path.parent for path in folder.glob(f"*/{JOURNAL}"))
    if len(runs) != 1:
        found = (
            f"has {len(runs)} runs ({', '.join(run.name for run in runs)}): name one of them"
            if runs
            else "holds no run"
        )
        raise UserError(f"--inference_out_dir {folder}: {found}")
    return runs[0]


def check_writable(folder: Path) -> None:
    """Raises UserError where nothing can be written."""
    try:
        with tempfile.TemporaryFile(dir=folder):
            return
    except OSError as error:
        raise UserError(f"out_dir: cannot write to {folder} ({error.strerror})") from error


def _read(job: Job, height: int) -> Start:
    try:
        return read_start(job, height)
    except UserError as error:
        raise UnreadableInput(str(error)) from error


def _matching_run(folder: Path, request: dict[str, Any]) -> Journal | None:
    """The run in a folder, if there is one. Raises UserError if it was asked for something else."""
    journal = check_free(folder)
    if journal is None or (journal.version == 1 and not journal.entries):  # nothing to lose, much to note
        return None
    different = journal.differences(request)
    if different:
        raise UserError(
            f"{folder}: holds a run with other settings ({different[0]}); choose another --inference_out_dir or "
            "--name, or add --overwrite"
        )
    return journal


@contextmanager
def progress_bars(name: str) -> Iterator[Listener]:
    """One bar for the views of a panorama and one for the steps of the view being painted."""
    from rich import get_console
    from rich.markup import escape
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    text, bar, count = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn()
    columns = (text, bar, count, TimeElapsedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=get_console()) as progress:
        views = progress.add_task(f"{escape(visible(name))}: views", total=None)
        steps = progress.add_task("steps", total=None)
        yield Listener(
            lambda done, total: progress.update(views, completed=done, total=total),
            lambda done, total: progress.update(steps, completed=done, total=total),
        )
