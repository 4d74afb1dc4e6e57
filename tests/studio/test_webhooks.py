"""The end of a job is told to its address: signed, tried again, and through no redirection."""

import hashlib
import hmac
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from aognet.config import load_config
from aognet.studio import webhooks
from tests.studio.running import Studio

SECRET = "0123456789abcdef"
URL = "http://studio.example/told?by=us"


class Listening(ThreadingHTTPServer):
    """A server that keeps what it is told, and answers with ``statuses`` one after the other, then with 200."""

    statuses: list[int]
    told: list[tuple[str, dict[str, str], bytes]]


class Answer(BaseHTTPRequestHandler):
    server: Listening

    def do_POST(self) -> None:  # noqa: N802 - the name that http.server calls
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.told.append((self.path, dict(self.headers), body))
        self.send_response(self.server.statuses.pop(0) if self.server.statuses else 200)
        self.send_header("Location", "http://127.0.0.1/elsewhere")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *given: object) -> None:
        """Say nothing."""


@pytest.fixture
def listening(monkeypatch: pytest.MonkeyPatch) -> Iterator[Listening]:
    """A server on this machine, to which all connections of webhooks go, and a name whose address is public."""
    server = Listening(("127.0.0.1", 0), Answer)
    server.statuses, server.told = [], []
    connect, lookup = webhooks.socket.create_connection, webhooks.socket.getaddrinfo

    def public(host: str, port: int, *given: int, **named: int) -> list:
        if host != "studio.example":
            return lookup(host, port, *given, **named)
        return [(webhooks.socket.AF_INET, webhooks.socket.SOCK_STREAM, 6, "", ("8.8.8.8", port))]

    def here(address: tuple[str, int], timeout: float) -> object:
        assert address == ("8.8.8.8", 80)
        return connect(server.server_address[:2], timeout=timeout)

    monkeypatch.setattr(webhooks.socket, "create_connection", here)
    monkeypatch.setattr(webhooks.socket, "getaddrinfo", public)
    monkeypatch.setattr(webhooks.time, "sleep", lambda seconds: None)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


def told(secret: str = SECRET) -> bool:
    return webhooks.tell(URL, {"state": "done"}, secret.encode())


def test_what_arrives_is_signed(listening: Listening):
    assert told()
    ((path, headers, body),) = listening.told
    assert path == "/told?by=us" and headers["Host"] == "studio.example" and json.loads(body) == {"state": "done"}
    moment, _, digest = headers["X-Studio-Signature"].partition(",v1=")
    made = hmac.new(SECRET.encode(), moment.removeprefix("t=").encode() + b"." + body, hashlib.sha256)
    assert hmac.compare_digest(digest, made.hexdigest())


def test_a_server_that_fails_is_told_again(listening: Listening):
    listening.statuses += [500, 503]
    assert told() and len(listening.told) == 3


def test_no_redirection_is_followed(listening: Listening):
    listening.statuses += [302, 302, 302]
    assert not told() and {path for path, _, _ in listening.told} == {"/told?by=us"}


def test_the_end_of_a_job_is_told(tiny_studio_yaml: Path, tmp_path: Path, listening: Listening):
    given = [f"folder={tmp_path}", f"webhook_secret={SECRET}"]
    with Studio(load_config([tiny_studio_yaml], given)) as studio:
        job = studio.painted(prompt="a lake", webhook=URL)
        studio.worker.notify(job["id"])
    ((_, _, body),) = listening.told
    content = json.loads(body)
    assert (content["job_id"], content["state"], content["version"]) == (job["id"], "done", job["version_id"])
