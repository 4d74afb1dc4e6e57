"""The events of jobs: written by whoever holds a job, read again from any of them on."""

import time
from collections.abc import Iterable, Mapping
from typing import Any

import sqlalchemy as sa

from aognet.studio.database import EVENTS, Database


def add_event(connection: sa.Connection, job: str, kind: str, data: Mapping[str, Any]) -> None:
    """Write the next event of a job, within the caller's transaction, which holds the job's row."""
    last = connection.execute(sa.select(sa.func.max(EVENTS.c.seq)).where(EVENTS.c.job == job)).scalar()
    values = {"job": job, "seq": (last or 0) + 1, "time": time.time(), "kind": kind, "data": dict(data)}
    connection.execute(sa.insert(EVENTS).values(values))


def events_after(database: Database, job: str, seq: int, limit: int = 1000) -> list[dict[str, Any]]:
    """Return the events of a job with higher numbers than ``seq``, in order."""
    wanted = sa.select(EVENTS).where(EVENTS.c.job == job, EVENTS.c.seq > seq).order_by(EVENTS.c.seq).limit(limit)
    with database.read() as connection:
        return [dict(row) for row in connection.execute(wanted).mappings()]


def last_events(database: Database, jobs: Iterable[str]) -> dict[str, int]:
    """Return the number of the last event of each job that has any."""
    wanted = sa.select(EVENTS.c.job, sa.func.max(EVENTS.c.seq)).where(EVENTS.c.job.in_(list(jobs)))
    with database.read() as connection:
        return {job: seq for job, seq in connection.execute(wanted.group_by(EVENTS.c.job))}
