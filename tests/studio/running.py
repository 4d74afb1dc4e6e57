"""A studio in this process: requests go to its application, and jobs are painted when a test says so."""

import json
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

from starlette.testclient import TestClient

from aognet.config import LoadedConfig
from aognet.studio.app import make_app
from aognet.studio.config import read_studio
from aognet.studio.worker import Worker

API = "/api/v1"


class Studio:
    """The application and a worker of a configuration."""

    def __init__(self, loaded: LoadedConfig):
        self.config = read_studio(loaded)
        self.app = make_app(self.config)
        self.client = TestClient(self.app, base_url="http://127.0.0.1", raise_server_exceptions=False)

    def __enter__(self) -> "Studio":
        self.client.__enter__()
        self.worker = Worker(self.config, "here-0")
        self.worker.leases.start()
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.worker.leases.stop()
        self.worker.database.dispose()
        self.client.__exit__(kind, error, trace)

    def get(self, path: str, status: int = 200, **options: Any) -> Any:
        """The JSON answer to a path below the API's."""
        return self.answer("GET", path, status, **options)

    def post(self, path: str, body: Any = None, status: int = 200, **options: Any) -> Any:
        """The JSON answer to a body."""
        return self.answer("POST", path, status, **({} if body is None else {"json": body}), **options)

    def answer(self, method: str, path: str, status: int, **options: Any) -> Any:
        """The JSON answer, whose status is as expected."""
        got = self.client.request(method, path if path.startswith(API) else f"{API}{path}", **options)
        assert got.status_code == status, got.text
        return got.json() if got.content and "json" in got.headers.get("content-type", "") else got.content

    def upload(self, path: Path) -> str:
        """The id of an upload of a file."""
        with path.open("rb") as file:
            return self.post("/uploads", status=201, files={"file": (path.name, file)})["id"]

    def paint(self, job: str) -> dict[str, Any]:
        """The job, painted to its end."""
        self.worker.paint(job)
        return self.get(f"/jobs/{job}")

    def painted(self, **body: Any) -> dict[str, Any]:
        """A job of this body, painted to its end, which is expected to be good."""
        job = self.paint(self.post("/jobs", body, 201)["id"])
        assert job["state"] == "done", job["error"]
        return job

    def events(self, job: str, after: int = 0) -> list[dict[str, Any]]:
        """The events of an ended job: kind, number and data."""
        with self.client.stream("GET", f"{API}/jobs/{job}/events", headers={"Last-Event-ID": str(after)}) as stream:
            assert stream.status_code == 200
            return list(read_events(stream.iter_lines()))


def read_events(lines: Iterator[str]) -> Iterator[dict[str, Any]]:
    """Events of a stream as the HTML standard has them (section 9.2.6), in the part that is used."""
    found: dict[str, Any] = {}
    for line in lines:
        name, _, value = line.partition(": ")
        if not line and found:
            yield found
            found = {}
        elif name in ("event", "id"):
            found[name] = value if name == "event" else int(value)
        elif name == "data":
            found["data"] = json.loads(value)
