"""The rows of jobs: submitting, claiming, telling of progress, ending. Each change happens whole or not at all."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from aognet.studio.database import EVENTS, JOBS, PANORAMAS, VERSIONS, Database, Row
from aognet.studio.events import add_event

OPEN = ("queued", "running")
SETTLING_SECONDS = 5.0  # between the row of a job and its place in the queue


class LeaseLost(Exception):
    """Another worker has the job now. Nothing may be written of it any more."""


@dataclass(frozen=True)
class Claim:
    """A job that a worker holds. ``fence``: the number of this hold. ``place``: where an earlier one was painting."""

    job: str
    fence: int
    place: str | None
    row: Row


class JobRecords:
    """Reads and changes the rows of jobs."""

    def __init__(self, database: Database):
        self.database = database

    def find(self, job: str) -> Row | None:
        """Return a job's row."""
        with self.database.read() as connection:
            return connection.execute(sa.select(JOBS).where(JOBS.c.id == job)).mappings().first()

    def with_key(self, owner: str, key: str) -> Row | None:
        """Return the job that an Idempotency-Key of an owner made."""
        wanted = sa.select(JOBS).where(JOBS.c.owner == owner, JOBS.c.key == key)
        with self.database.read() as connection:
            return connection.execute(wanted).mappings().first()

    def page(self, states: list[str], words: str, limit: int, before: int | None) -> list[Row]:
        """Return jobs, the newest first. ``before``: only those with lower numbers."""
        wanted = sa.select(JOBS).order_by(JOBS.c.number.desc()).limit(limit)
        if states:
            wanted = wanted.where(JOBS.c.state.in_(states))
        if words:
            wanted = wanted.where(JOBS.c.title.icontains(words, autoescape=True))
        if before is not None:
            wanted = wanted.where(JOBS.c.number < before)
        with self.database.read() as connection:
            return list(connection.execute(wanted).mappings())

    def waiting_before(self, number: int) -> int:
        """Return how many jobs wait or run before the one with this number."""
        wanted = sa.select(sa.func.count()).where(JOBS.c.state.in_(OPEN), JOBS.c.number < number)
        with self.database.read() as connection:
            return connection.execute(wanted).scalar_one()

    def open_of(self, owner: str) -> int:
        """Return how many jobs of an owner wait or run."""
        wanted = sa.select(sa.func.count()).where(JOBS.c.state.in_(OPEN), JOBS.c.owner == owner)
        with self.database.read() as connection:
            return connection.execute(wanted).scalar_one()

    def seconds_of(self, owner: str, since: float) -> float:
        """Return for how many seconds jobs of an owner that began since then were painted."""
        wanted = sa.select(sa.func.sum(JOBS.c.seconds)).where(JOBS.c.owner == owner, JOBS.c.started > since)
        with self.database.read() as connection:
            return connection.execute(wanted).scalar() or 0.0

    def add(self, values: Mapping[str, Any], new_panorama: Mapping[str, Any] | None) -> Row:
        """Write a queued job, and its panorama if that is a new one. Return the row."""
        now = time.time()
        with self.database.write() as connection:
            if new_panorama is not None:
                more = {"created": now, "updated": now, "favourite": False, "undone": []}
                connection.execute(sa.insert(PANORAMAS).values({**more, **new_panorama}))
            row = {"state": "queued", "created": now, "workflow": values["id"], **values}
            connection.execute(sa.insert(JOBS).values(row))
            add_event(connection, values["id"], "state", {"state": "queued"})
            return connection.execute(sa.select(JOBS).where(JOBS.c.id == values["id"])).mappings().one()

    # For workers

    def claim(self, job: str, worker: str, seconds: float) -> Claim | None:
        """Take a job for some seconds, if it has not ended and no other worker holds it."""
        with self.database.write() as connection:
            now = self.database.now()
            free = sa.or_(JOBS.c.worker.is_(None), JOBS.c.worker == worker, JOBS.c.lease < now)
            taken = connection.execute(
                sa.update(JOBS)
                .where(JOBS.c.id == job, JOBS.c.state.in_(OPEN), free)
                .values(
                    state="running",
                    worker=worker,
                    lease=now + seconds,
                    fence=JOBS.c.fence + 1,
                    started=sa.func.coalesce(JOBS.c.started, time.time()),
                )
            )
            if not taken.rowcount:
                return None
            row = connection.execute(sa.select(JOBS).where(JOBS.c.id == job)).mappings().one()
            if row["fence"] == 1:
                add_event(connection, job, "state", {"state": "running"})
            return Claim(job, row["fence"], row["place"], row)

    def renew(self, claims: Mapping[str, int], worker: str, seconds: float) -> dict[str, bool]:
        """Hold jobs (id: fence) for some seconds more. Return those that are held still: whether to cancel them."""
        if not claims:
            return {}
        with self.database.write() as connection:
            held = {}
            for job, fence in claims.items():
                mine = sa.and_(JOBS.c.id == job, JOBS.c.fence == fence, JOBS.c.worker == worker)
                values = {"lease": self.database.now() + seconds}
                if connection.execute(sa.update(JOBS).where(mine, JOBS.c.state == "running").values(values)).rowcount:
                    held[job] = connection.execute(sa.select(JOBS.c.cancel).where(JOBS.c.id == job)).scalar_one()
            return held

    def begin(self, claim: Claim, place: str) -> tuple[int, int]:
        """Note that painting begins in a folder. Return how many steps were told of, and which attempt it is since the
        last of them.
        """
        with self.database.write() as connection:
            row = self._held(connection, claim)
            values = {"place": place, "attempts": row["attempts"] + 1}
            connection.execute(sa.update(JOBS).where(JOBS.c.id == claim.job).values(values))
            return row["steps"], row["attempts"] + 1

    def tell(self, claim: Claim, values: Mapping[str, Any], events: list[tuple[str, Mapping[str, Any]]]) -> None:
        """Change a held job's row, and write events. Raises LeaseLost if it is not held any more."""
        with self.database.write() as connection:
            self._held(connection, claim)
            if values:
                connection.execute(sa.update(JOBS).where(JOBS.c.id == claim.job).values(**values))
            for kind, data in events:
                add_event(connection, claim.job, kind, data)

    def release(self, claim: Claim) -> None:
        """Give a held job back to the queue's next worker."""
        with self.database.write() as connection:
            self._held(connection, claim)
            values = {"worker": None, "lease": 0.0, "state": "queued"}
            connection.execute(sa.update(JOBS).where(JOBS.c.id == claim.job).values(values))

    def finish(self, claim: Claim, version: Mapping[str, Any], seconds: float) -> None:
        """End a held job with the version that it made, which becomes the head of its panorama."""
        with self.database.write() as connection:
            row = self._held(connection, claim)
            now = time.time()
            common = {"panorama": row["panorama"], "parent": row["parent"], "job": claim.job, "created": now}
            connection.execute(sa.insert(VERSIONS).values({**common, **version}))
            values = {"head": version["id"], "undone": [], "updated": now}
            connection.execute(sa.update(PANORAMAS).where(PANORAMAS.c.id == row["panorama"]).values(values))
            ended = {"state": "done", "version": version["id"], "ended": now, "worker": None}
            ended["seconds"] = row["seconds"] + seconds
            connection.execute(sa.update(JOBS).where(JOBS.c.id == claim.job).values(**ended))
            self._end_events(connection, claim.job, {"state": "done", "version_id": version["id"]})

    def end(self, claim: Claim, state: str, error: str | None, seconds: float) -> None:
        """End a held job without a version: ``failed`` or ``cancelled``."""
        with self.database.write() as connection:
            row = self._held(connection, claim)
            values = {"state": state, "error": error, "ended": time.time(), "worker": None}
            values["seconds"] = row["seconds"] + seconds
            connection.execute(sa.update(JOBS).where(JOBS.c.id == claim.job).values(**values))
            self._end_events(connection, claim.job, {"state": state, "error": error})

    def adrift(self, limit: int = 50) -> list[Row]:
        """Return the first jobs that nobody paints: those that wait, and those whose lease is over."""
        waits = sa.and_(JOBS.c.state == "queued", JOBS.c.created < time.time() - SETTLING_SECONDS)
        left = sa.and_(JOBS.c.state == "running", JOBS.c.lease < self.database.now())
        wanted = sa.select(JOBS).where(sa.or_(waits, left)).order_by(JOBS.c.number).limit(limit)
        with self.database.read() as connection:
            return list(connection.execute(wanted).mappings())

    def set_workflow(self, job: str, before: str, workflow: str) -> bool:
        """Give a job another workflow. Return False if somebody else did."""
        mine = sa.and_(JOBS.c.id == job, JOBS.c.workflow == before)
        with self.database.write() as connection:
            return bool(connection.execute(sa.update(JOBS).where(mine).values(workflow=workflow)).rowcount)

    # For the web process

    def cancel(self, job: str) -> Row | None:
        """End a queued job, or ask the worker of a running one to stop. Return the row; None: there is no such job."""
        with self.database.write() as connection:
            query = sa.select(JOBS).where(JOBS.c.id == job).with_for_update()
            row = connection.execute(query).mappings().first()
            if row is not None and row["state"] == "queued":
                ended = {"state": "cancelled", "ended": time.time(), "cancel": True}
                connection.execute(sa.update(JOBS).where(JOBS.c.id == job).values(**ended))
                self._end_events(connection, job, {"state": "cancelled", "error": None})
            elif row is not None and row["state"] == "running":
                connection.execute(sa.update(JOBS).where(JOBS.c.id == job).values(cancel=True))
            return connection.execute(query).mappings().first()

    def delete(self, job: str) -> bool:
        """Delete the row and the events of an ended job. Return False if it has not ended."""
        with self.database.write() as connection:
            gone = connection.execute(sa.delete(JOBS).where(JOBS.c.id == job, JOBS.c.state.not_in(OPEN)))
            if gone.rowcount:
                connection.execute(sa.delete(EVENTS).where(EVENTS.c.job == job))
            return bool(gone.rowcount)

    def paces(self, model: str) -> list[tuple[float, dict[str, Any]]]:
        """Return seconds, and what was painted, of the latest jobs of a model."""
        wanted = sa.select(JOBS.c.seconds, VERSIONS.c.about).join(VERSIONS, VERSIONS.c.id == JOBS.c.version)
        wanted = wanted.where(JOBS.c.model == model).order_by(JOBS.c.number.desc()).limit(20)
        with self.database.read() as connection:
            return [(seconds, about) for seconds, about in connection.execute(wanted)]

    def _held(self, connection: sa.Connection, claim: Claim) -> Row:
        query = sa.select(JOBS).where(JOBS.c.id == claim.job).with_for_update()
        row = connection.execute(query).mappings().first()
        if row is None or row["fence"] != claim.fence or row["state"] != "running":
            raise LeaseLost(claim.job)
        return row

    @staticmethod
    def _end_events(connection: sa.Connection, job: str, data: Mapping[str, Any]) -> None:
        """Write the last event of a job; who comes later needs no progress."""
        add_event(connection, job, "state", data)
        connection.execute(sa.delete(EVENTS).where(EVENTS.c.job == job, EVENTS.c.kind == "progress"))
