"""What the service counts, in the form that Prometheus reads."""

import re
import time
from collections.abc import Iterable
from typing import Any

import sqlalchemy as sa
from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from aognet.studio.database import JOBS, PANORAMAS, UPLOADS, WORKERS, Database

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Metrics:
    """The numbers of a web process, and those that the tables tell of all processes."""

    def __init__(self, database: Database, lease_seconds: float):
        self.registry = CollectorRegistry()
        labels = ("method", "route", "status")
        self.requests = Counter("studio_requests", "Answered requests", labels, registry=self.registry)
        self.seconds = Histogram("studio_request_seconds", "Time to an answer", ("route",), registry=self.registry)
        self.registry.register(_Tables(database, lease_seconds))  # pyrefly: ignore[bad-argument-type]

    def text(self) -> bytes:
        """Return all numbers."""
        return generate_latest(self.registry)


class _Tables:
    """Numbers of rows, counted when they are asked for."""

    def __init__(self, database: Database, lease_seconds: float):
        self.database, self.lease_seconds = database, lease_seconds

    def describe(self) -> list[Any]:
        """Return nothing: the registry must not ask for the tables before they are there."""
        return []

    def collect(self) -> Iterable[GaugeMetricFamily]:
        """Yield the numbers."""
        jobs = GaugeMetricFamily("studio_jobs", "Jobs by state", labels=["state"])
        rows = GaugeMetricFamily("studio_rows", "Rows by table", labels=["table"])
        painted = GaugeMetricFamily("studio_painting_seconds", "Seconds of painting in all jobs")
        workers = GaugeMetricFamily("studio_workers", "Workers that were heard of lately")
        with self.database.read() as connection:
            for state, count in connection.execute(sa.select(JOBS.c.state, sa.func.count()).group_by(JOBS.c.state)):
                jobs.add_metric([state], count)
            for table in (PANORAMAS, UPLOADS):
                name = table.name.removeprefix("studio_")
                rows.add_metric([name], connection.execute(sa.select(sa.func.count()).select_from(table)).scalar_one())
            painted.add_metric([], connection.execute(sa.select(sa.func.sum(JOBS.c.seconds))).scalar() or 0.0)
            recent = WORKERS.c.seen > self.database.now() - 3 * self.lease_seconds
            workers.add_metric([], connection.execute(sa.select(sa.func.count()).where(recent)).scalar_one())
        return [jobs, rows, painted, workers]


class Counting:
    """Middleware that counts requests by their route, and how long they take."""

    def __init__(self, app: ASGIApp):
        self.app = app
        self._routes: list[tuple[re.Pattern, str]] = []

    def _route(self, scope: Scope) -> str:
        """Return the path of a route, never what a stranger wrote."""
        if not self._routes:
            paths = scope["app"].openapi()["paths"]
            self._routes = [(re.compile(re.sub(r"\\{\w+\\}", "[^/]+", re.escape(path))), path) for path in paths]
        return next((path for pattern, path in self._routes if pattern.fullmatch(scope["path"])), "other")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        begun, status = time.perf_counter(), 500

        async def heard(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self.app(scope, receive, heard)
        finally:
            metrics: Metrics = scope["app"].state.service.metrics
            path = self._route(scope)
            metrics.requests.labels(scope["method"] if path != "other" else "other", path, status).inc()
            metrics.seconds.labels(path).observe(time.perf_counter() - begun)
