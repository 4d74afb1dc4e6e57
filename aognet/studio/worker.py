"""The worker process: it takes jobs from the queue and paints them with one model on one device."""

import logging
import os
import signal
import time
from threading import Event, Thread

import sqlalchemy as sa

from aognet.studio import queue
from aognet.studio.bringing_back import bring_back
from aognet.studio.config import StudioConfig
from aognet.studio.database import WORKERS, Database
from aognet.studio.job_records import OPEN, JobRecords
from aognet.studio.leases import Leases
from aognet.studio.painting import Painter, Stopped
from aognet.studio.records import Records
from aognet.studio.shared_storage import make_storage
from aognet.studio.webhooks import tell
from aognet.studio.worker_names import worker_name
from aognet.system.locking import exclusive

log = logging.getLogger(__name__)


class Worker:
    """A worker of a studio, with a name that no other worker has at the same time."""

    def __init__(self, config: StudioConfig, name: str = ""):
        self.config = config
        self.name = name or config.workers.name or worker_name(config)
        self.database = Database(config.database_url)
        self.jobs = JobRecords(self.database)
        self.leases = Leases(self.jobs, self.name, config.workers.lease_seconds)
        self.storage = make_storage(config)
        self.painter = Painter(config, self.storage, self.jobs, Records(self.database), self.leases)
        self._stop = Event()

    def run(self) -> None:
        """Paint jobs until the process is told to end."""
        queue.prepare(self.config)
        self.database.create()
        with exclusive(self.config.root, f"worker-{self.name}", patience=30.0):
            for number in (signal.SIGTERM, signal.SIGINT):
                signal.signal(number, lambda *_: self._stop.set())
            self.storage.sweep(self._is_open)
            self._tell()
            self.leases.start()
            Thread(target=self._watch, name="watch", daemon=True).start()
            queue.serve(self.config, self.name, self.paint, self.notify)
            log.info("worker %s waits for jobs", self.name)
            self._stop.wait()
            self._end()

    def paint(self, job: str) -> None:
        """Paint a job. It returns when the job has ended, by this worker or by another."""
        while True:
            claim = None if self._stop.is_set() else self.leases.take(job)
            if claim is not None:
                try:
                    self.painter.paint(claim)
                except Stopped:
                    self.leases.stop()
                    self.jobs.release(claim)
                    self.leases.drop(job)
                    Event().wait()  # the process ends; the queue brings the job to the next one
                finally:
                    self.leases.drop(job)  # whatever ended it: the lease runs out, and the job comes back
                return
            row = self.jobs.find(job)
            if row is None or row["state"] not in OPEN:
                return
            time.sleep(0.5)

    def notify(self, job: str) -> None:
        """Tell the end of a job to the address that it came with."""
        row = self.jobs.find(job)
        if row is None or not row["body"].get("webhook") or not self.config.webhook_secret:
            return
        content = {"job_id": job, **{key: row[key] for key in ("state", "error", "panorama", "version", "ended")}}
        tell(row["body"]["webhook"], content, self.config.webhook_secret.encode())

    def _end(self) -> None:
        """Give the jobs back, and end without waiting for threads that hang on the queue."""
        self.painter.stopping = True
        deadline = time.monotonic() + 20
        while self.leases.busy and time.monotonic() < deadline:
            time.sleep(0.05)
        self.database.dispose()
        logging.shutdown()
        os._exit(0)

    def _watch(self) -> None:
        """Tell that the worker is there, and bring back what other workers left behind."""
        submitter = queue.Submitter(self.config)
        while not self._stop.wait(min(self.config.workers.lease_seconds / 3, 5.0)):
            try:
                self._tell()
                bring_back(self.jobs, submitter, self.name, self._alive())
            except Exception:  # noqa: BLE001 - the database may be away for a while
                log.exception("other workers could not be looked after")

    def _is_open(self, job: str) -> bool:
        row = self.jobs.find(job)
        return row is not None and row["state"] in OPEN

    def _alive(self) -> set[str]:
        recent = self.database.now() - 3 * self.config.workers.lease_seconds
        with self.database.read() as connection:
            return set(connection.execute(sa.select(WORKERS.c.name).where(WORKERS.c.seen > recent)).scalars())

    def _tell(self) -> None:
        with self.database.write() as connection:
            values = {"seen": self.database.now(), "device": self.config.workers.device}
            there = connection.execute(sa.update(WORKERS).where(WORKERS.c.name == self.name).values(**values))
            if not there.rowcount:
                connection.execute(sa.insert(WORKERS).values(name=self.name, **values))
