"""Paints jobs with one model at a time: those of like settings side by side."""

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path
from threading import Lock
from typing import Any

from aognet.callbacks import Cancelled, Listener
from aognet.errors import UserError, first_line
from aognet.generate.generator import Generator
from aognet.generate.run import Run
from aognet.generate.run_files import input_file
from aognet.generate.view_journal import ViewJournal, open_journal
from aognet.request import AUTO
from aognet.studio.config import StudioConfig
from aognet.studio.database import Row
from aognet.studio.ids import new_id
from aognet.studio.job_records import Claim, JobRecords, LeaseLost
from aognet.studio.jobs.asking import request_of, resolved
from aognet.studio.jobs.restyle import about_style, write_styled
from aognet.studio.jobs.seams import BASE, SEAMS, SeamPipeline
from aognet.studio.leases import Leases
from aognet.studio.models import Models
from aognet.studio.records import Records
from aognet.studio.reporting import PAUSE_SECONDS, Reporter
from aognet.studio.schemas import JobBody
from aognet.studio.storage import FILES, Desk, Storage, StorageError
from aognet.studio.thumbnails import write_thumbnail

log = logging.getLogger(__name__)
STORAGE_PAUSE_SECONDS = 2.0


class Stopped(Exception):
    """The worker is to end; its jobs wait for the next one."""


@dataclass(eq=False)
class HeldJob:
    """A job that a thread of the queue waits for."""

    claim: Claim
    body: JobBody
    reporter: Reporter | None = None
    told: int = 0
    place: str = ""
    ended: bool = False
    begun: float = field(default_factory=time.monotonic)

    @property
    def job(self) -> str:
        """The job's id."""
        return self.claim.job


class Painter:
    """Paints the jobs that the threads of a worker's queue bring."""

    def __init__(self, config: StudioConfig, storage: Storage, jobs: JobRecords, records: Records, leases: Leases):
        self.models, self.config = Models(config.models, config.workers.device), config
        self.storage, self.jobs, self.records = storage, jobs, records
        self.leases = leases
        self._turn, self._list = Lock(), Lock()
        self._waiting: list[HeldJob] = []
        self.stopping = False

    def paint(self, claim: Claim) -> None:
        """Paint a job until it has ended. Raises Stopped if the worker is to end before."""
        task = HeldJob(claim, JobBody.model_validate(claim.row["body"]))
        with self._list:
            self._waiting.append(task)
        try:
            while not task.ended:
                with self._turn:
                    if self.stopping:
                        raise Stopped
                    if not task.ended:
                        self._paint_some()
        finally:
            with self._list:
                self._waiting.remove(task)

    def _paint_some(self) -> None:
        """Paint the first waiting job, and those like it."""
        with self._list:
            open_ = sorted((one for one in self._waiting if not one.ended), key=_number)
            first = open_[0]
            like = [one for one in open_ if _likeness(one) == _likeness(first)]
        tasks = like[: self.config.workers.side_by_side]
        if first.body.kind == "style":
            self._tried(first, lambda: self._style(first))
            return
        if first.body.kind == "seams" and not self._tried(first, lambda: self._prepare(first)):
            return
        model = first.claim.row["model"]
        self.models.forget_others(model)
        for task in tasks:
            self.jobs.tell(task.claim, {}, [("progress", {"stage": "loading", "done": 0, "total": 1})])
        try:
            generator = self.models.generator(model)
            _ = generator.model  # before attempts are counted: a kill while it is read is no attempt
        except UserError as error:
            for task in tasks:
                self._end(task, "failed", str(error))
            return
        self._attempt(generator, tasks)

    def _prepare(self, task: HeldJob) -> None:
        """Make what a job of the kind ``seams`` redraws."""
        folder = self._count(task)
        pipeline = self._seams(task)
        there = (folder / SEAMS).is_file()
        steps = pipeline.prepare(task.body, folder, Listener(self._base_progress(task), self._to_stop([task])))
        preview = f"/api/v1/jobs/{task.job}/steps"
        self._keep(task)
        if not there:
            first = ("preview", {"step": BASE, "preview": f"{preview}/base"})
            second = ("preview", {"step": "seams", "preview": f"{preview}/seams", "edges": list(steps)})
            self.jobs.tell(task.claim, {}, [first, second])

    def _style(self, task: HeldJob) -> None:
        """Make the version of a job of the kind ``style``."""
        folder, desk = self._count(task), self.storage.job_desk(task.place)
        parent = self.records.version(task.claim.row["parent"])
        if parent is None:
            raise UserError("is gone", key="version_id", value=task.claim.row["parent"])
        self.jobs.tell(task.claim, {}, [("progress", {"stage": "style", "done": 0, "total": 1})])
        write_styled(task.body, parent, folder, desk, self.records, Listener(cancel=self._to_stop([task])))
        self._settle(task, folder, about_style(parent))

    def _tried(self, task: HeldJob, work: Callable[[], None]) -> bool:
        """Return whether work on one job came to its end; else the job has ended, or is to be tried again."""
        try:
            work()
            return True
        except Cancelled:
            if self.stopping:
                raise Stopped from None
            self._check_end(task)
        except UserError as error:
            self._end(task, "failed", self._without_paths(str(error)))
        except Exception as error:  # noqa: BLE001 - whatever it is, the job says it
            self._failed(task, error)
        return False

    def _base_progress(self, task: HeldJob) -> Any:
        said = 0.0

        def tell(stage: str, done: int, total: int) -> None:
            nonlocal said
            self.leases.check()
            if time.monotonic() - said > PAUSE_SECONDS or done == total:
                said = time.monotonic()
                shown = {"stage": BASE, "done": done, "total": total}
                if stage == "views":
                    self._keep(task)
                attempts = {"attempts": 0} if stage == "views" and done else {}
                self.jobs.tell(task.claim, {**shown, **attempts}, [("progress", {**shown, "seconds_left": None})])

        return tell

    def _count(self, task: HeldJob) -> Path:
        """Return the folder of a job, and count an attempt. Raises UserError after too many."""
        task.place, folder = self.storage.begin(task.job, task.claim.fence, task.claim.row["place"])
        task.told, attempt = self.jobs.begin(task.claim, task.place)
        if attempt > self.config.workers.attempts:
            raise UserError(f"the worker ended {attempt - 1} times at the same step")
        return folder

    def _attempt(self, generator: Generator, tasks: Sequence[HeldJob]) -> None:
        with ExitStack() as held:
            begun: list[tuple[HeldJob, Run]] = []
            for task in tasks:
                try:
                    begun.append((task, self._begin(generator, task, held)))
                except UserError as error:
                    self._end(task, "failed", self._without_paths(str(error)))
                except Exception as error:  # noqa: BLE001 - whatever it is, the job says it
                    self._failed(task, error)
            begun = [(task, run) for task, run in begun if not task.ended]
            if begun:
                self._make(generator, begun)

    def _begin(self, generator: Generator, task: HeldJob, held: ExitStack) -> Run:
        """Return the run of a job in a folder of this hold's own, new or continued."""
        claim, row = task.claim, task.claim.row
        if task.body.kind == "seams":  # counted before the first panorama
            folder = self.storage.begin(claim.job, claim.fence, row["place"])[1]
        else:
            folder = self._count(task)
        parent = None if row["parent"] is None else self.records.version(row["parent"])
        desk = self.storage.job_desk(task.place)
        if task.body.kind == "seams":
            request = self._seams(task).redraw(task.body, folder)
        else:
            request = request_of(task.body, claim.job, parent, desk, self.records)
        (prompted,) = generator.prompted([resolved(generator, request)], [folder])
        run = generator.begin(prompted, folder, held, captioned=request.prompt == AUTO)
        if task.body.kind == "fork" and parent is not None:
            count = task.body.view or 0
            generator.fork(run, _source(parent, count, desk), count)
        task.reporter = Reporter(claim, self.jobs, run, task.told, lambda: self._keep(task))
        return run

    def _make(self, generator: Generator, begun: Sequence[tuple[HeldJob, Run]]) -> None:
        tasks = [task for task, _ in begun]
        try:
            generator.make([run for _, run in begun], Listener(self._progress(tasks), self._to_stop(tasks)))
        except Cancelled:
            if self.stopping:
                raise Stopped from None
            for task in tasks:  # the others are gone on with
                self._check_end(task)
        except UserError as error:
            for task in tasks:
                self._end(task, "failed", self._without_paths(str(error)))
        except Exception as error:  # noqa: BLE001 - whatever it is, the job says it
            for task in tasks:
                self._failed(task, error)
        else:
            for task, run in begun:
                try:
                    self._finish(generator, task, run)
                except StorageError as error:
                    self._failed(task, error)

    def _progress(self, tasks: Sequence[HeldJob]) -> Any:
        def tell(stage: str, done: int, total: int) -> None:
            self.leases.check()
            for task in tasks:
                assert task.reporter is not None, "it has begun"
                task.reporter.tell(stage, done, total)

        return tell

    def _to_stop(self, tasks: Sequence[HeldJob]) -> Any:
        return lambda: self.stopping or any(self._reason_to_end(task) for task in tasks)

    def _reason_to_end(self, task: HeldJob) -> tuple[str, str | None] | None:
        if self.leases.cancelled(task.job):
            return "cancelled", None
        most = self.config.limits.job_seconds
        if task.claim.row["seconds"] + time.monotonic() - task.begun > most:
            return "failed", f"painted longer than the limit of {most:g} s"
        return None

    def _check_end(self, task: HeldJob) -> None:
        reason = self._reason_to_end(task)
        if reason is not None:
            self._end(task, *reason)

    def _failed(self, task: HeldJob, error: Exception) -> None:
        """End a job that failed as often as it may; else it is tried again."""
        if isinstance(error, LeaseLost):
            self.leases.lost(f"job {task.job} is another worker's now")
        if isinstance(error, StorageError):  # it is back some time, and no job is to blame
            log.warning("job %s waits: %s", task.job, error)
            self.jobs.tell(task.claim, {"attempts": 0}, [])
            self._check_end(task)
            time.sleep(0.0 if self.stopping else STORAGE_PAUSE_SECONDS)
            return
        log.exception("job %s failed", task.job, exc_info=error)
        row = self.jobs.find(task.job)
        if row is None or max(row["attempts"], 1) >= self.config.workers.attempts:
            said = self._without_paths(f"{type(error).__name__}: {first_line(error)}")
            self._end(task, "failed", said)

    def _keep(self, task: HeldJob) -> bool:
        """Return whether what was painted of a job is in the storage, where another machine can go on from it."""
        self.leases.check()
        try:
            self.storage.push(task.place)
            return True
        except StorageError as error:
            log.warning("what was painted of job %s is on this machine alone: %s", task.job, error)
            return False

    def _seams(self, task: HeldJob) -> SeamPipeline:
        return SeamPipeline(self.models, self.storage.job_desk(task.place), self.records)

    def _finish(self, generator: Generator, task: HeldJob, run: Run) -> None:
        request = run.journal.asked.request
        assert task.reporter is not None, "it has begun"
        about = {
            "kind": task.body.kind,
            "prompt": request.prompt,
            "negative": request.negative,
            "model": task.claim.row["model"],
            "method": generator.method.name,
            "encoding": run.journal.encoding,
            "seed": request.seed,
            "height": request.rows,
            "steps": request.settings.get("sampler", {}).get("steps"),
            "views": len(run.journal.entries) if task.reporter.is_views else None,
            "camera": None if run.journal.photo_camera is None else asdict(run.journal.photo_camera),
        }
        self._settle(task, run.journal.folder, about)

    def _settle(self, task: HeldJob, folder: Path, about: Mapping[str, Any]) -> None:
        """End a job with what lies in its folder, whole, as a version."""
        write_thumbnail(folder / "result.png", folder / "thumbnail.jpg")
        self.leases.check()
        self.storage.push(task.place, whole=True)
        if task.reporter is not None:
            task.reporter.tell("views", 1, 1, last=True)
        files = [name for name in FILES if (folder / name).is_file()]
        version = {"id": new_id(), "place": task.place, "files": files, "about": about}
        self.leases.check()
        self.leases.drop(task.job)
        self.jobs.finish(task.claim, version, time.monotonic() - task.begun)
        task.ended = True
        self.storage.settle(task.job, task.place)

    def _end(self, task: HeldJob, state: str, reason: str | None) -> None:
        self.leases.check()
        self.leases.drop(task.job)
        self.jobs.end(task.claim, state, reason, time.monotonic() - task.begun)
        task.ended = True
        self.storage.settle(task.job, None)

    def _without_paths(self, text: str) -> str:
        """Return a message without the studio's folder, which is nobody's business."""
        return text.replace(f"{self.storage.root}/", "").replace(f"{Path.cwd()}/", "")


def _source(parent: Row, count: int, desk: Desk) -> ViewJournal:
    """Return the journal of a version with its first views. Raises UserError if it was not painted view by view."""
    source = open_journal(desk.journal(parent["place"]))
    if not isinstance(source, ViewJournal):
        raise UserError("was not painted view by view", key="version_id", value=parent["id"])
    for name in (input_file(source.encoding), *(f"steps/{entry.file}" for entry in source.entries[:count])):
        desk.path(f"{parent['place']}/{name}")
    return source


def _number(task: HeldJob) -> int:
    return task.claim.row["number"]


def _likeness(task: HeldJob) -> tuple[str, ...]:
    """Return what jobs have in common that are painted side by side. Those with steps of their own are alone."""
    alone = task.job if task.body.kind in ("seams", "style") else ""
    return task.claim.row["model"], repr(sorted(task.body.settings.items())), task.body.negative, alone
