"""What the routes of a web process share: tables, queue, files and models."""

import asyncio
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Annotated, Any

import sqlalchemy as sa
from fastapi import Depends, Request

from aognet.errors import UserError
from aognet.studio.config import StudioConfig
from aognet.studio.database import WORKERS, Database
from aognet.studio.events import last_events
from aognet.studio.job_records import JobRecords
from aognet.studio.metrics import Metrics
from aognet.studio.models import Models
from aognet.studio.queue import Submitter, prepare
from aognet.studio.records import Records
from aognet.studio.shared_storage import make_storage

WATCH_SECONDS = 0.2


class Service:
    """The parts of a running web process."""

    def __init__(self, config: StudioConfig):
        """Make what is missing of the tables. The folder is there. Raises UserError as `make_storage`."""
        self.config, self.storage = config, make_storage(config)
        prepare(config)
        self.database = Database(config.database_url)
        self.database.create()
        self.jobs, self.records = JobRecords(self.database), Records(self.database)
        self.models = Models(config.models)
        self.submitter = Submitter(config)
        self.listeners = Listeners(self.database)
        self.metrics = Metrics(self.database, config.workers.lease_seconds)

    def without_paths(self, error: UserError) -> UserError:
        """Return an error that tells no path of this machine."""
        for path in filter(None, (f"{self.config.root}/", f"{Path.cwd()}/", self.config.storage)):
            error.args = tuple(part.replace(path, "") if isinstance(part, str) else part for part in error.args)
        error.where = ""
        return error

    def workers(self) -> list[dict[str, Any]]:
        """Return the workers that were heard of lately."""
        recent = self.database.now() - 3 * self.config.workers.lease_seconds
        with self.database.read() as connection:
            rows = connection.execute(sa.select(WORKERS).where(WORKERS.c.seen > recent)).mappings()
            return [{"name": row["name"], "device": row["device"]} for row in rows]

    def close(self) -> None:
        """Close the connections."""
        self.submitter.close()
        self.database.dispose()


class Listeners:
    """Wakes who waits for events of a job. One query for all of them looks for new ones."""

    def __init__(self, database: Database):
        self.database = database
        self._waiting: dict[str, int] = {}
        self._last: dict[str, int] = {}
        self._news = asyncio.Condition()

    async def watch(self) -> None:
        """Look for new events, as long as anyone waits, until cancelled."""
        while True:
            await asyncio.sleep(WATCH_SECONDS)
            if not self._waiting:
                continue
            found = await asyncio.to_thread(last_events, self.database, list(self._waiting))
            if found != self._last:
                async with self._news:
                    self._last = found
                    self._news.notify_all()

    async def after(self, job: str, seq: int) -> AsyncGenerator[int, None]:
        """Yield the number of a job's last event, each time that it is higher than before. ``seq``: known already."""
        self._waiting[job] = self._waiting.get(job, 0) + 1
        try:
            while True:
                async with self._news:
                    while self._last.get(job, 0) <= seq:
                        await self._news.wait()
                    seq = self._last[job]
                yield seq
        finally:
            self._waiting[job] -= 1
            if not self._waiting[job]:
                del self._waiting[job]


def service_of(request: Request) -> Service:
    """Return the service of the application that a request came to."""
    return request.app.state.service


def owner_of(request: Request) -> str:
    """Return the name of the token that a request came with; empty where none is needed."""
    return getattr(request.state, "owner", "")


Serving = Annotated[Service, Depends(service_of)]
Owner = Annotated[str, Depends(owner_of)]
Json = dict[str, Any]
