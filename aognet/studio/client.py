"""A client of a studio: photographs and words go there, panoramas come back (``docs/studio.md``).

What is submitted under a key is painted once, however often the studio or the network breaks meanwhile.
"""

import json
import time
from pathlib import Path
from typing import Any

import httpx2

from aognet.callbacks import UNHEARD, Cancelled, Listener
from aognet.errors import UserError

API = "/api/v1"
ADDRESS = "http://127.0.0.1:7860"
ENDED = ("done", "failed", "cancelled")
PAUSE_SECONDS = 0.05
MAX_PAUSE_SECONDS = 1.0


class StudioClient:
    """A studio at an ``address``. ``patience_seconds``: how long it may be away before an answer is given up."""

    def __init__(
        self,
        address: str = ADDRESS,
        token: str = "",
        patience_seconds: float = 60.0,
        client: httpx2.Client | None = None,
    ):
        """``token``: where the studio wants one. ``client``: another HTTP client, whose address is the studio's."""
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        self.address, self.patience_seconds = address.rstrip("/"), patience_seconds
        self.client = client or httpx2.Client(base_url=self.address + API, headers=headers, timeout=30)

    def ask(self, method: str, path: str, seconds: float | None = None, **options: Any) -> Any:
        """Return the JSON of an answer, or its bytes; ask again for ``seconds`` while nobody answers.

        ``path``: below the API's. ``options``: of the HTTP client. Only repeat what may be done twice.

        :raises UserError: naming the key, where the studio refuses what was asked for, and where nobody answers.
        """
        deadline = time.monotonic() + (self.patience_seconds if seconds is None else seconds)
        said = "nobody answers"
        while True:
            try:
                answer = self.client.request(method, path, **options)
                if answer.status_code < 500:
                    return self._content(answer)
                said = f"answers with {answer.status_code}"
            except (httpx2.InvalidURL, httpx2.UnsupportedProtocol) as error:
                raise UserError("must be the address of a studio", key="address", value=self.address) from error
            except httpx2.TransportError as error:
                said = f"cannot be reached ({type(error).__name__})"
            if time.monotonic() > deadline:
                raise UserError(f"{self.address}: {said}; is the studio started?")
            time.sleep(PAUSE_SECONDS)

    def _content(self, answer: httpx2.Response) -> Any:
        is_json = "json" in answer.headers.get("content-type", "")
        if answer.status_code < 400:
            return answer.json() if is_json else answer.content
        problem = answer.json() if is_json else {}
        said, key = str(problem.get("detail") or f"was refused ({answer.status_code})"), str(problem.get("key") or "")
        raise UserError(said.removeprefix(f"{key} "), key=key, where=self.address)

    def upload(self, file: Path) -> str:
        """Send an image, and return the id of the upload. Raises UserError for what the studio does not take."""
        try:
            content = file.read_bytes()
        except OSError as error:
            raise UserError(f"{file}: cannot be read ({error.strerror})") from error
        return self.ask("POST", "/uploads", files={"file": (file.name, content)})["id"]

    def submit(self, key: str, **body: Any) -> str:
        """Submit a job once, however often it is asked for under this key. Return its id.

        ``body``: as `aognet.studio.schemas.JobBody` describes it.
        """
        return self.ask("POST", "/jobs", json=body, headers={"Idempotency-Key": key})["id"]

    def job(self, job: str) -> dict[str, Any]:
        """Return a job."""
        return self.ask("GET", f"/jobs/{job}")

    def ended(self, job: str, seconds: float = 86400.0, listener: Listener = UNHEARD) -> dict[str, Any]:
        """Wait until a job has ended, and return it. The ``listener`` hears of its progress.

        :raises Cancelled: if the listener wants it; the job is cancelled.
        :raises TimeoutError: if it has not ended after ``seconds``.
        """
        deadline, pause = time.monotonic() + seconds, PAUSE_SECONDS
        while (found := self.job(job))["state"] not in ENDED:
            if time.monotonic() > deadline:
                raise TimeoutError(f"{job} has not ended")
            done = found["progress"]
            try:
                listener.tell(done["stage"] or "waiting", done["done"], max(done["total"], done["done"] + 1))
            except Cancelled:
                self.ask("POST", f"/jobs/{job}/cancel")
                raise
            time.sleep(pause)
            pause = min(2 * pause, MAX_PAUSE_SECONDS)
        return found

    def file(self, version: str, name: str) -> bytes:
        """Return a file of a version. Raises UserError if it has none of that name."""
        return self.ask("GET", f"/versions/{version}/files/{name}")

    def result(self, job: dict[str, Any]) -> bytes:
        """Return the PNG file of what a job painted.

        :raises UserError: if it has not painted anything, saying why.
        """
        if job["version_id"] is None:
            raise UserError(
                f"{self.address}: job {job['id']} is {job['state']}: {job['error'] or 'nothing is painted'}"
            )
        return self.file(job["version_id"], "result.png")

    def painted(self, key: str, listener: Listener = UNHEARD, **body: Any) -> bytes:
        """Submit a job, wait for it, and return its panorama as a PNG file; errors are those of the parts."""
        return self.result(self.ended(self.submit(key, **body), listener=listener))

    def events(self, job: str) -> list[tuple[str, dict[str, Any]]]:
        """Return kind and data of each event of an ended job."""
        lines = self.ask("GET", f"/jobs/{job}/events").decode().split("\n")
        kinds, data = (
            [line.removeprefix(start) for line in lines if line.startswith(start)] for start in ("event: ", "data: ")
        )
        return [(kind, json.loads(text)) for kind, text in zip(kinds, data, strict=True)]
