"""Strangers are refused: by name, by page, by token; too much of anything is refused."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from aognet.config import load_config
from aognet.errors import UserError
from aognet.studio.guards import owner_of_token
from aognet.studio.webhooks import SIGNATURE, check_webhook, is_public, signature, tell
from tests.studio.running import API, Studio

TOKEN = "a-secret-of-many-letters"


@pytest.fixture(scope="module")
def guarded(tiny_studio_yaml: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Studio]:
    folder = tmp_path_factory.mktemp("guarded")
    settings = [f"tokens.me={TOKEN}", "hosts=[studio.example]", "limits.upload_bytes=20000", "limits.queued=2"]
    with Studio(load_config([tiny_studio_yaml], [f"folder={folder}", *settings])) as running:
        yield running


def test_a_token_is_needed(guarded: Studio):
    assert guarded.get("/jobs", 401)["title"] == "A token is needed"
    for wrong in ("Bearer nope", f"Basic {TOKEN}", TOKEN, "Bearer "):
        guarded.get("/jobs", 401, headers={"Authorization": wrong})
    guarded.get("/jobs", headers={"Authorization": f"Bearer {TOKEN}"})
    guarded.get("/health")
    assert owner_of_token([("me", b"x"), ("you", b"y")], "y") == "you"


def test_a_page_keeps_its_token_as_a_cookie(guarded: Studio):
    assert guarded.post("/session", {"token": "wrong"}, 401)["key"] == "token"
    got = guarded.client.post(f"{API}/session", json={"token": TOKEN})
    assert got.json() == {"needed": True, "owner": "me"}
    assert {"HttpOnly", "SameSite=strict"} <= set(got.headers["set-cookie"].split("; "))
    guarded.get("/jobs", headers={"Cookie": f"studio_token={TOKEN}"})
    guarded.client.cookies.clear()


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "", "[::1", "127.0.0.1@evil.example:80"])
def test_other_names_are_not_answered(guarded: Studio, host: str):
    guarded.get("/health", 421, headers={"Host": host})


@pytest.mark.parametrize("host", ["127.0.0.1:7860", "localhost:1", "[::1]:80", "studio.example", "STUDIO.example"])
def test_own_names_are_answered(guarded: Studio, host: str):
    guarded.get("/health", headers={"Host": host})


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://127.0.0.1:1", "file://", "http://[::1"])
def test_pages_of_other_sites_change_nothing(guarded: Studio, origin: str):
    headers = {"Authorization": f"Bearer {TOKEN}", "Origin": origin}
    guarded.post("/jobs", {"prompt": "x"}, 403, headers=headers)


def test_limits(guarded: Studio):
    headers = {"Authorization": f"Bearer {TOKEN}", "Origin": "http://127.0.0.1"}
    large = {"file": ("x.png", b"x" * 30000)}
    assert guarded.post("/uploads", None, 413, files=large, headers=headers)["status"] == 413
    huge = {"file": ("x.png", b"x" * 2**21)}
    assert guarded.post("/uploads", None, 413, files=huge, headers=headers)["status"] == 413
    assert guarded.post("/jobs", {"height": 8192}, 422, headers=headers)["key"] == "height"
    for _ in range(2):
        guarded.post("/jobs", {"prompt": "one of two"}, 201, headers=headers)
    assert guarded.post("/jobs", {"prompt": "a third"}, 429, headers=headers)["status"] == 429


def test_numbers_for_prometheus_name_no_strangers_path(guarded: Studio):
    headers = {"Authorization": f"Bearer {TOKEN}"}
    guarded.get("/nothing-of-this-name", 404, headers=headers)
    text = guarded.get("/metrics", headers=headers).decode()
    assert "nothing-of-this-name" not in text
    assert 'studio_requests_total{method="GET",route="/api/v1/jobs",status="200"}' in text
    assert "studio_jobs{state=" in text


PRIVATE = ["127.0.0.1", "10.0.0.1", "192.168.1.1", "169.254.169.254", "0.0.0.0", "::1", "fe80::1%eth0", "fc00::1"]
PRIVATE += ["::ffff:10.0.0.1", "::ffff:8.8.8.8", "2002:a00:1::", "64:ff9b::a00:1", "224.0.0.1", "255.255.255.255"]


@pytest.mark.parametrize("address", PRIVATE)
def test_private_addresses_are_told(address: str):
    assert not is_public(address)


def test_public_addresses_are_told():
    assert is_public("8.8.8.8") and is_public("2606:4700::1111")


@pytest.mark.parametrize(
    "url",
    [
        *(
            "ftp://a.example",
            "http://",
            "http://localhost/x",
            "http://127.0.0.1/",
            "http://[::1]/",
            "file:///etc/passwd",
        ),
        *(
            "http://me:word@a.example/",
            "http://a.example:22/",
            "http://a.example:x/",
            "http://[::1",
            "http://ä.example/",
        ),
    ],
)
def test_webhooks_to_wrong_places_are_refused(url: str):
    with pytest.raises(UserError, match="webhook"):
        check_webhook(url)


def test_a_name_that_means_a_private_address_is_not_told():
    asked = []
    assert not tell("http://a.example/x", {}, b"s", lambda host, port: asked.append(host) or ["8.8.8.8", "10.0.0.1"])
    assert asked == ["a.example"]


def test_a_signature_is_that_of_its_time_and_body():
    assert SIGNATURE == "X-Studio-Signature"
    signed = signature(b"key", 5, b"{}")
    assert signed.startswith("t=5,v1=") and signed == signature(b"key", 5, b"{}")
    assert len({signed, signature(b"key", 6, b"{}"), signature(b"kez", 5, b"{}"), signature(b"key", 5, b"{ }")}) == 4
