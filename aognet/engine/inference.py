"""A whole inference run: configuration, model, one folder for each panorama."""

import hashlib
import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Literal

import torch

from aognet.captioning.captioner import SMALL_MODEL, CaptionerConfig
from aognet.config import LoadedConfig, build_config
from aognet.engine.auto_prompt import with_prompts
from aognet.engine.generator import Generator, GeneratorConfig, Listener, Run
from aognet.engine.inputs import DirectedPrompt, InputsConfig, Job, list_jobs, read_start
from aognet.engine.journal import Journal
from aognet.engine.results import has_faces, write_faces, write_results, write_truth
from aognet.errors import UserError
from aognet.installed import installed
from aognet.models.execution import ExecutionConfig, place
from aognet.models.loading import check_dtype
from aognet.models.pretrained import Method, load_method
from aognet.processes import Processes
from aognet.provenance import provenance

# What says which model paints.
MODEL = ("checkpoint", "revision", "variant", "method", "dtype")
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class InferenceConfig:
    """Everything ``inference.py`` reads from YAML. ``variant`` and ``dtype``: which of the frozen backbone's weights
    are read (``fp16``: the files of that name), and in which precision they are held.

    ``method``: how a checkpoint paints that is a backbone alone. ``save_faces``: write each panorama's cubemap, too.
    ``panoramas_per_batch``: how many are painted side by side; their views share batches of
    ``generator.views_per_batch``.

    ``captioner``: what finds the words where ``inputs.prompt`` is ``auto``.
    """

    checkpoint: str = field(default_factory=lambda: installed("assets/embedded/aognet"))
    revision: str | None = None
    variant: str | None = None
    method: Method = "aognet"
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
        if self.panoramas_per_batch < 1:
            raise UserError(f"panoramas_per_batch must be at least 1, got {self.panoramas_per_batch}")


def paint_all(loaded: LoadedConfig, overwrite: bool = False) -> int:
    """Paints every panorama the configuration asks for; returns the exit code (1 if an input had to be skipped)."""
    loaded.check_keys(["SHARE", *(one.name for one in fields(InferenceConfig))])
    values = {key: value for key, value in loaded.values.items() if key != "SHARE"}
    config = build_config(LoadedConfig(values, loaded.sources), InferenceConfig)
    jobs = list_jobs(config.inputs)
    out_dir = writable(Path(config.out_dir))
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
        runs = []
        for job in ours[first : first + config.panoramas_per_batch]:
            try:
                runs += painter.begin(job, out_dir / job.name, overwrite)
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
        self._generator: Generator | None = None

    @property
    def generator(self) -> Generator:
        """The generator with its model on the device, loaded when first asked for."""
        if self._generator is None:
            config = self.config
            model = load_method(config.checkpoint, config.revision, config.dtype, config.method, config.variant)
            placed = place(model, self.config.execution, self.device)
            self._generator = Generator(placed, self.config.generator, self.device)
        return self._generator

    def prompted(self, jobs: Sequence[Job], out_dir: Path, overwrite: bool) -> list[Job]:
        """The jobs with captions for prompts where these are ``auto``; a run goes on with the one it began with."""

        def earlier(job: Job) -> str | None:
            folder = out_dir / job.name
            if overwrite or not (folder / "run.json").is_file():
                return None
            request = Journal.open(folder).request
            same = request.get("captioner") and request.get("files") == _digests(job)
            return str(request.get("prompt", "")) if same else None

        return with_prompts(jobs, self.config.captioner, self.device, self.config.generator.height, earlier)

    def begin(self, job: Job, folder: Path, overwrite: bool) -> list[Run]:
        """The run of a job in its folder, new or gone on with; none where all is painted."""
        request = self._request(job)
        journal, canvas = None if overwrite else _matching_run(folder, request), None
        if journal is None:
            start = _read(job, self.config.generator.height)
            _ = self.generator  # what cannot be loaded leaves no folder behind
            request["camera"] = asdict(start.camera) if start.camera else None
            canvas = start.canvas
            journal = Journal.create(folder, request, canvas, self._provenance())
            write_truth(folder, start)
        elif (folder / "result.png").is_file() and journal.finished:
            if self.config.save_faces and not has_faces(folder):
                write_faces(folder, journal.canvas())
            log.info("%s: painted already with these settings (--overwrite paints it again)", folder / "result.png")
            return []
        else:
            log.info("%s: going on after %d views", folder, len(journal.entries))
        return [Run(journal, job.prompt, job.directed, canvas)]

    def paint(self, runs: Sequence[Run]) -> None:
        """Paints what is left of runs, side by side, and writes their results."""
        if not runs:
            return
        name = runs[0].journal.folder.name if len(runs) == 1 else f"{len(runs)} panoramas"
        with progress_bars(name) as listener:
            canvases = self.generator.paint(runs, listener)
        for run, canvas in zip(runs, canvases, strict=True):
            journal = run.journal
            write_results(journal.folder, canvas, run.prompt, journal.photo_camera(), self.config.save_faces)
            journal.finish()
            log.info("wrote %s (look around in %s)", journal.folder / "result.png", journal.folder / "viewer.html")

    def _provenance(self) -> dict[str, Any]:
        """What the pixels may depend on besides the request; no time, so that a repeated run writes the same bytes."""
        return {key: value for key, value in provenance(self.device.type).items() if key not in ("time", "command")}

    def _request(self, job: Job) -> dict[str, Any]:
        """Everything needed to paint the job again."""
        config, roles = self.config, {"truth": job.truth, "partial": job.partial, "mask": job.mask}
        described = {
            "prompt": job.prompt,
            "prompts_at": [asdict(at) for at in job.directed],
            "photos": [asdict(photo) for photo in job.photos],
            "pose": asdict(job.pose),
            **{role: str(path) if path else None for role, path in roles.items()},
            "files": _digests(job),
            "captioner": asdict(config.captioner) if job.captioned else None,
        }
        model, generator = {key: getattr(config, key) for key in MODEL}, asdict(config.generator)
        # Runs from before there was a choice do not name it.
        if config.method == "aognet":
            del model["method"]
        if config.variant is None:
            del model["variant"]
        if config.generator.sampler.long_prompts is None:
            del generator["sampler"]["long_prompts"]
        return {**model, "generator": generator, **described}


def edit_run(folder: Path, undo: int | None, repaint: str | None) -> int:
    """Takes views of a run back, or paints a direction anew, with the settings in its journal."""
    folder = find_run(folder)
    journal = Journal.open(folder)
    prompt = str(journal.request.get("prompt", ""))
    if undo is not None:
        journal.undo(undo)
        canvas = journal.canvas()
        log.info("%s: %d views left, %d pixels unknown", folder, len(journal.entries), canvas.unknown_pixels)
    else:
        at = DirectedPrompt.parse(repaint, "--repaint")
        settings = {key: journal.request[key] for key in (*MODEL, "generator") if key in journal.request}
        config = build_config(LoadedConfig(settings, {"": str(folder / "run.json")}), InferenceConfig)
        painter = Painter(config, Processes.start("auto").device)
        with progress_bars(folder.name) as listener:
            canvas = painter.generator.repaint(journal, at, prompt, listener)
    write_results(folder, canvas, prompt, journal.photo_camera())
    if canvas.unknown_pixels == 0:
        journal.finish()
    log.info("wrote %s", folder / "result.png")
    return 0


def find_run(folder: Path) -> Path:
    """The folder itself if it holds a run, or the only run in it."""
    if (folder / "run.json").is_file():
        return folder
    runs = sorted(path.parent for path in folder.glob("*/run.json"))
    if len(runs) != 1:
        found = (
            f"has {len(runs)} runs ({', '.join(run.name for run in runs)}): name one of them"
            if runs
            else "holds no run"
        )
        raise UserError(f"--inference_out_dir {folder}: {found}")
    return runs[0]


def writable(folder: Path) -> Path:
    """The folder, made if need be. Raises UserError where nothing can be written."""
    import tempfile

    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return folder
    except OSError as error:
        raise UserError(f"out_dir: cannot write to {folder} ({error.strerror})") from error


def _read(job: Job, height: int):
    try:
        return read_start(job, height)
    except UserError as error:
        raise UnreadableInput(str(error)) from error


def _digests(job: Job) -> dict[str, str | None]:
    return {str(path): _digest(path) for path in job.files}


def _digest(path: Path) -> str | None:
    """Hash of a file's bytes; None where it cannot be read (the reader says why)."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return None


def _matching_run(folder: Path, request: dict[str, Any]) -> Journal | None:
    """The run in a folder, if there is one. Raises UserError if it was asked for something else."""
    if not (folder / "run.json").is_file():
        return None
    journal = Journal.open(folder)
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
        views = progress.add_task(f"{name}: views", total=None)
        steps = progress.add_task("steps", total=None)
        yield Listener(
            lambda done, total: progress.update(views, completed=done, total=total),
            lambda done, total: progress.update(steps, completed=done, total=total),
        )
