"""The jobs that a worker process holds. A thread renews its hold, and learns what is to be cancelled.

A process that slept longer than a lease (it was stopped, or its machine was) may find that another has its jobs. It
ends at once then, before it writes anything.
"""

import logging
import os
import time
from collections.abc import Callable
from threading import Event, Lock, Thread

from aognet.studio.job_records import Claim, JobRecords

log = logging.getLogger(__name__)
LOST = 75  # the exit code


def leave(reason: str) -> None:
    """End the process now, without anything that is done at an end."""
    log.error("%s; this worker ends", reason)
    os._exit(LOST)


class Leases:
    """Which jobs are held, by which fence, and until when."""

    def __init__(self, records: JobRecords, worker: str, seconds: float, lost: Callable[[str], None] = leave):
        """``seconds``: how long a job is held without news. ``lost``: is called when another may hold a job."""
        self.records, self.worker, self.seconds, self.lost = records, worker, seconds, lost
        self._lock, self._stop = Lock(), Event()
        self._held: dict[str, int] = {}
        self._until: dict[str, float] = {}
        self._cancelled: set[str] = set()
        self._thread = Thread(target=self._run, name="leases", daemon=True)

    def start(self) -> None:
        """Renew from now on."""
        self._thread.start()

    def stop(self) -> None:
        """Renew no more."""
        self._stop.set()

    def take(self, job: str) -> Claim | None:
        """Hold a job if it can be had."""
        asked = time.monotonic()
        claim = self.records.claim(job, self.worker, self.seconds)
        if claim is not None:
            with self._lock:
                self._held[job], self._until[job] = claim.fence, asked + self.seconds
                self._cancelled.discard(job)
                if claim.row["cancel"]:
                    self._cancelled.add(job)
        return claim

    def drop(self, job: str) -> None:
        """Forget a job that has ended, or was given back."""
        with self._lock:
            self._held.pop(job, None)
            self._until.pop(job, None)

    @property
    def busy(self) -> bool:
        """Whether any job is held."""
        with self._lock:
            return bool(self._held)

    def check(self) -> None:
        """End the process if a lease is over."""
        with self._lock:
            late = [job for job, until in self._until.items() if time.monotonic() > until]
        if late:
            self.lost(f"the lease of job {late[0]} is over")

    def cancelled(self, job: str) -> bool:
        """Return whether a held job is to be cancelled."""
        with self._lock:
            return job in self._cancelled

    def renew(self) -> None:
        """Hold all held jobs for longer. End the process if another has one of them."""
        with self._lock:
            claims = dict(self._held)
        asked = time.monotonic()
        held = self.records.renew(claims, self.worker, self.seconds)
        with self._lock:
            gone = [job for job in claims if job not in held and self._held.get(job) == claims[job]]
            for job, cancel in held.items():
                if job in self._until:
                    self._until[job] = asked + self.seconds
                if cancel:
                    self._cancelled.add(job)
        if gone:
            self.lost(f"job {gone[0]} is another worker's now")

    def _run(self) -> None:
        pause = min(self.seconds / 5, 0.5)
        while not self._stop.wait(pause):
            self.check()
            try:
                self.renew()
            except Exception:  # noqa: BLE001 - the database may be away for a while; `check` ends the process in time
                log.exception("the leases could not be renewed")
