"""Servers that are no studio: what they send is bounded, and the token goes nowhere else."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from tests.integrations.conftest import Client
from tests.slow import rest_slow

JOB = {"id": "ab", "state": "done", "version_id": "cd", "progress": {"stage": None, "done": 1, "total": 1}}


class Stranger(BaseHTTPRequestHandler):
    """Answers as its server was told."""

    def do_GET(self) -> None:
        self.server.asked.append((self.path, dict(self.headers)))  # pyrefly: ignore[missing-attribute]
        status, headers, body = self.server.answer  # pyrefly: ignore[missing-attribute]
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_GET

    def log_message(self, *args: Any) -> None:
        pass


@pytest.fixture
def stranger() -> Iterator[ThreadingHTTPServer]:
    server: Any = ThreadingHTTPServer(("127.0.0.1", 0), Stranger)
    server.asked = []
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def ask(client: Client, server: Any, *words: str, token: str = "secret") -> Any:
    return client.line("ask", f"http://127.0.0.1:{server.server_port}", token, *words)


@pytest.mark.parametrize(
    ("body", "said"),
    rest_slow(
        [
            (b"<html>", "does not answer as a studio does"),
            (b"[" * 10**6, "does not answer as a studio does"),
            (b"[]", "does not answer as a studio does"),
            (json.dumps({**JOB, "id": "../../x"}).encode(), "an id is missing"),
            (json.dumps({**JOB, "version_id": 5}).encode(), '"version_id" is of another type'),
            (b'"' + b"x" * 17 * 2**20 + b'"', "longer than"),
        ],
        2,
    ),
)
def test_answers_that_are_none_are_refused(client: Client, stranger: Any, body: bytes, said: str):
    stranger.answer = 200, {"Content-Length": str(len(body))}, body
    refused = ask(client, stranger, "job", "ab")
    assert said in refused["error"] and not refused["transient"]


def test_an_answer_without_an_end_is_bounded(client: Client, stranger: Any):
    stranger.answer = 200, {}, b"[" + b" " * 20 * 2**20
    assert "longer than" in ask(client, stranger, "job", "ab")["error"]


def test_a_cut_answer_may_be_asked_for_again(client: Client, stranger: Any):
    stranger.answer = 200, {"Content-Length": "1000"}, b"{"
    assert ask(client, stranger, "job", "ab")["transient"]


@pytest.mark.parametrize(("status", "transient"), rest_slow([(500, False), (503, True), (429, True), (403, False)], 2))
def test_errors_of_others_are_shown_in_one_line(client: Client, stranger: Any, status: int, transient: bool):
    stranger.answer = status, {}, b"<html><body>proxy"
    refused = ask(client, stranger, "job", "ab")
    assert refused["error"] == f"the server answered with status {status}" and refused["transient"] == transient


def test_no_redirection_takes_the_token_away(client: Client, stranger: Any):
    stranger.answer = 307, {"Location": f"http://127.0.0.1:{stranger.server_port}/elsewhere"}, b""
    assert "answers from another address" in ask(client, stranger, "models")["error"]
    assert [path for path, _ in stranger.asked] == ["/api/v1/models"]
    assert stranger.asked[0][1]["Authorization"] == "Bearer secret"


def test_without_a_token_none_is_sent(client: Client, stranger: Any):
    stranger.answer = 200, {}, b"[]"
    assert ask(client, stranger, "models", token="") == {"value": []}
    assert "Authorization" not in stranger.asked[0][1]


ADDRESSES = {
    **dict.fromkeys(
        ("", "127.0.0.1:7860", "ftp://a", "http://", "http://me:secret@a", "http://a/?q", "file:///a", "http://a/#b")
    ),
    **dict.fromkeys(("http://127.0.0.1:1", "http://localhost:1", "https://example.org/studio/"), False),
    "http://example.org": True,
}
"""Whether a token would travel to it in the clear; None for what is no address."""


def test_what_is_no_address_is_named_and_a_token_in_the_clear_warned_of(client: Client):
    found = client.lines("tells", *(word for address in ADDRESSES for word in (address, "secret")))
    for (address, tells), one in zip(ADDRESSES.items(), found, strict=True):
        wrong = f"the address of a studio is like http://127.0.0.1:7860, got '{address}'"
        assert one == ({"error": wrong} if tells is None else {"value": tells})


def test_what_is_no_token_is_refused(client: Client):
    words = [word for token in ("a b", "a\nX-Evil: 1", "é", "good", "") for word in ("http://example.org", token)]
    found = client.lines("tells", *words)
    assert ["a token has" in one.get("error", "") for one in found] == [True] * 3 + [False] * 2
    assert [one.get("value") for one in found] == [None, None, None, True, False]
