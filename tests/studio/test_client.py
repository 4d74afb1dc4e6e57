"""The client of a studio: what it paints, what it says of mistakes, and that it waits."""

from pathlib import Path

import pytest
from starlette.testclient import TestClient

from aognet.callbacks import Cancelled, Listener
from aognet.errors import UserError
from aognet.studio.client import API, StudioClient
from tests.studio.running import Studio


@pytest.fixture
def client(studio: Studio) -> StudioClient:
    """A client of the studio in this process."""
    http = TestClient(studio.app, base_url=f"http://127.0.0.1{API}", raise_server_exceptions=False)
    return StudioClient("http://127.0.0.1", client=http)


def painting(studio: Studio, told: list[tuple], stop: bool = False) -> Listener:
    """A listener that lets the worker paint when it hears that a job waits."""

    def progress(*heard: object) -> None:
        told.append(heard)
        if not stop:
            studio.worker.paint(studio.get("/jobs")["jobs"][0]["id"])

    return Listener(progress, lambda: stop)


def test_a_job_goes_there_and_its_panorama_comes_back(client: StudioClient, studio: Studio, photo_file: Path):
    photo, told = client.upload(photo_file), []
    body = {"prompt": "a yard", "photos": [{"upload": photo, "fov": 70.0}], "seed": 5}
    found = client.painted("one key", painting(studio, told), **body)
    assert found.startswith(b"\x89PNG") and told[0] == ("waiting", 0, 1)
    jobs = studio.get("/jobs")["jobs"]
    assert client.painted("one key", **body) == found and studio.get("/jobs")["jobs"] == jobs
    assert client.events(jobs[0]["id"])[-1][1]["state"] == "done"
    with pytest.raises(UserError, match="there is no such file"):
        client.file(jobs[0]["version_id"], "none.png")


def test_it_is_cancelled(client: StudioClient, studio: Studio):
    with pytest.raises(Cancelled):
        client.painted("stopped", painting(studio, [], stop=True), prompt="a yard", seed=6)
    job = studio.get("/jobs")["jobs"][0]
    assert job["state"] == "cancelled"
    with pytest.raises(UserError, match=f"job {job['id']} is cancelled: nothing is painted"):
        client.result(job)


def test_mistakes_are_told(client: StudioClient, tmp_path: Path):
    with pytest.raises(UserError, match=r"^http://127.0.0.1: upload names no upload") as caught:
        client.submit("wrong", prompt="a yard", photos=[{"upload": "0"}])
    assert caught.value.key == "upload"
    (tmp_path / "no.png").write_text("no image")
    with pytest.raises(UserError, match="http://127.0.0.1: "):
        client.upload(tmp_path / "no.png")
    with pytest.raises(UserError, match="away.png: cannot be read"):
        client.upload(tmp_path / "away.png")
    with pytest.raises(UserError, match=r"http://127.0.0.1:9: cannot be reached .*; is the studio started\?"):
        StudioClient("http://127.0.0.1:9", patience_seconds=0.0).job("1")
    with pytest.raises(UserError, match="address must be the address of a studio, got 'ftp://x'"):
        StudioClient("ftp://x").job("1")
