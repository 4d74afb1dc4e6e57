"""The Unity package's client against a real studio: its web process and a worker, with a tiny model."""

import base64
import io
import json
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image

from benchmarks.studio_processes import Processes, wait_for
from tests.integrations.conftest import FINISHED, Client

pytestmark = pytest.mark.slow
FOLDER, SECRET = Path("Assets") / "Panoramas", "a-token-of-the-tests"


@pytest.fixture(scope="module")
def studio(tiny_studio_yaml: Path, client: Client, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Processes]:
    """A studio that wants a token."""
    settings = {**yaml.safe_load(tiny_studio_yaml.read_text()), "tokens": {"me": SECRET}}
    with Processes(tmp_path_factory.mktemp("studio"), settings) as running:
        running.client.headers["Authorization"] = f"Bearer {SECRET}"
        running.start("web")
        running.start("w-0")
        running.ask("GET", "/health")
        yield running


def address(studio: Processes) -> str:
    return f"http://127.0.0.1:{studio.port}"


def submit(client: Client, project: Path, server: str, **asked: Any) -> str:
    return client.line("submit", project, server, json.dumps(asked))


def run(client: Client, project: Path, cancel_after: str = "never", token: str = SECRET) -> list[dict[str, Any]]:
    return client.lines("run", project, token, cancel_after)


def ended(lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [one["end"] for one in lines if "end" in one]


def jobs(studio: Processes, words: str) -> list[dict[str, Any]]:
    return studio.ask("GET", "/jobs", params={"q": words})["jobs"]


def test_a_photograph_becomes_a_panorama_in_the_project(
    studio: Processes, client: Client, photo_file: Path, tmp_path: Path
):
    """Sent, submitted, followed view by view, and written: the pixels are the studio's."""
    shutil.copy(photo_file, tmp_path / "yard.png")
    photo = {"path": "yard.png", "yaw": 20.0, "fov": 80.0}
    asked = {"prompt": "a yard: é 日本", "photos": [photo], "seed": 3, "settings": {"sampler": {"steps": 3}}}
    key = submit(client, tmp_path, address(studio), **asked)
    lines = run(client, tmp_path)
    (end,) = ended(lines)
    assert end["key"] == key and end["state"] == "done" and end["error"] == ""
    assert end["file"] == (FOLDER / "a yard é 日本.png").as_posix()
    assert [path.name for path in (tmp_path / FOLDER).iterdir()] == ["a yard é 日本.png"], (
        "nothing half-written is left"
    )
    job = studio.job(end["job"])
    assert job["body"]["photos"][0]["yaw"] == 20 and job["body"]["photos"][0]["fov"] == 80
    assert job["body"]["settings"] == {"sampler": {"steps": 3}} and job["seed"] == 3
    painted = np.asarray(Image.open(io.BytesIO(studio.result(job))))
    assert (np.asarray(Image.open(tmp_path / end["file"])) == painted).all()
    views = [base64.b64decode(one["view"]) for one in lines if "view" in one]
    assert len(views) == sum(kind == "view" for kind, _ in studio.events(end["job"]))
    assert all(Image.open(io.BytesIO(view)).format == "JPEG" for view in views)
    states = list(dict.fromkeys(one["changed"]["state"] for one in lines if "changed" in one))
    assert states[-1] == "done" and set(states) <= {"queued", "running", "done"}
    # Asked again, all is there, and nothing is written twice.
    assert ended(run(client, tmp_path)) == [end]
    assert len(list((tmp_path / FOLDER).iterdir())) == 1
    # Nor after a kill between the file and the note that it is there; and one that is lost is fetched again.
    for is_lost in (False, True):
        ledger = json.loads((tmp_path / "jobs.json").read_text())
        ledger["jobs"][0]["state"] = "running"
        (tmp_path / "jobs.json").write_text(json.dumps(ledger))
        if is_lost:
            (tmp_path / end["file"]).unlink()
        assert ended(run(client, tmp_path)) == [end]
        assert [path.name for path in (tmp_path / FOLDER).iterdir()] == [Path(end["file"]).name]


def test_however_often_the_editor_is_killed_there_is_one_job_and_one_file(
    studio: Processes, client: Client, tmp_path: Path
):
    """As a domain reload ends all that runs: at any moment, even between the submission and its answer."""
    submit(client, tmp_path, address(studio), prompt="often killed", settings={"sampler": {"steps": 20}})
    for seconds in (0.15, 0.3, 0.5, 0.8, 1.2):
        running = client.started("run", tmp_path, SECRET, "never")
        try:
            running.wait(seconds)
        except subprocess.TimeoutExpired:
            running.send_signal(signal.SIGKILL)
            running.wait()
    (end,) = ended(run(client, tmp_path))
    assert end["state"] == "done"
    assert [job["id"] for job in jobs(studio, "often killed")] == [end["job"]]
    assert [path.name for path in (tmp_path / FOLDER).iterdir()] == ["often killed.png"]


@pytest.mark.parametrize("is_over", [False, True])
def test_a_lost_answer_makes_no_second_job(studio: Processes, client: Client, tmp_path: Path, is_over: bool):
    """The editor had sent its request, and did not live to hear the id. The job may have ended since."""
    prompt = f"lost answer {is_over}"
    submit(client, tmp_path, address(studio), prompt=prompt)
    ledger = json.loads((tmp_path / "jobs.json").read_text())
    (entry,) = ledger["jobs"]
    first = studio.submit(entry["key"], **entry["body"])
    if is_over:
        studio.ended(first)
    entry["asked"] = True
    (tmp_path / "jobs.json").write_text(json.dumps(ledger))
    (end,) = ended(run(client, tmp_path))
    assert (end["job"], end["state"], end["file"]) == (first, "done", (FOLDER / f"{prompt}.png").as_posix())
    assert (tmp_path / end["file"]).is_file() and len(jobs(studio, prompt)) == 1


def test_jobs_of_one_title_have_files_of_their_own(studio: Processes, client: Client, tmp_path: Path):
    for seed in range(3):
        submit(client, tmp_path, address(studio), prompt="same title", seed=seed)
    found = ended(run(client, tmp_path))
    assert {Path(one["file"]).name for one in found} == {"same title.png", "same title 2.png", "same title 3.png"}
    assert len({(tmp_path / one["file"]).read_bytes() for one in found}) == 3


def test_a_job_is_cancelled_while_it_is_painted(studio: Processes, client: Client, tmp_path: Path):
    submit(client, tmp_path, address(studio), prompt="cancelled later", settings={"sampler": {"steps": 30}})
    lines = run(client, tmp_path, "2")
    (end,) = ended(lines)
    assert end["state"] == "cancelled" and studio.job(end["job"])["state"] == "cancelled"
    assert 2 <= sum("view" in one for one in lines) < 12
    assert not (tmp_path / FOLDER).exists()


def test_a_job_that_was_not_sent_is_cancelled_without_the_studio(client: Client, tmp_path: Path):
    submit(client, tmp_path, "http://127.0.0.1:1", prompt="never sent")
    (end,) = ended(run(client, tmp_path, "0"))
    assert (end["state"], end["job"]) == ("cancelled", "")


def test_mistakes_are_shown_and_can_be_mended(studio: Processes, client: Client, tmp_path: Path):
    """With the studio's own words, which name the setting; then the same entry goes on."""
    submit(client, tmp_path, address(studio), prompt="mended", settings={"sampler": {"stesp": 3}})
    (end,) = ended(run(client, tmp_path))
    assert end["state"] == "failed" and "did you mean 'steps'" in end["error"]
    ledger = json.loads((tmp_path / "jobs.json").read_text())
    ledger["jobs"][0]["body"]["settings"] = {"sampler": {"steps": 2}}
    (tmp_path / "jobs.json").write_text(json.dumps(ledger))
    assert ended(run(client, tmp_path))[0]["state"] == "done"
    (tmp_path / "text.png").write_text("no image")
    for path, said in (("text.png", "not a readable image"), ("gone.png", "gone.png")):
        (tmp_path / path.removesuffix(".png")).mkdir()
        project = tmp_path / path.removesuffix(".png")
        submit(client, project, address(studio), prompt="wrong photo", photos=[{"path": str(tmp_path / path)}])
        (end,) = ended(run(client, project))
        assert end["state"] == "failed" and said in end["error"].lower(), end["error"]
    assert jobs(studio, "wrong photo") == []


def test_a_studio_that_is_away_is_waited_for(studio: Processes, client: Client, tmp_path: Path):
    studio.kill("web")
    submit(client, tmp_path, address(studio), prompt="patience")
    running = client.started("run", tmp_path, SECRET, "never")
    assert running.stdout is not None
    first = json.loads(running.stdout.readline())
    assert first["seconds"] == 1 and f"127.0.0.1:{studio.port} cannot be reached" in first["waits"]
    studio.start("web")
    wait_for(lambda: len(jobs(studio, "patience")) == 1, 60, "it does not ask again")
    studio.kill("web")
    studio.start("web")
    said, finished, _ = running.communicate(timeout=300)[0].partition(FINISHED)
    (end,) = ended([json.loads(line) for line in said.split("\n") if line])
    assert finished
    assert end["state"] == "done" and (tmp_path / end["file"]).is_file()


def test_what_there_is_can_be_listed_and_imported(studio: Processes, client: Client, tmp_path: Path):
    def ask(*words: Any) -> Any:
        return client.line("ask", address(studio), SECRET, *words)

    (model,) = ask("models")["value"]
    assert model == {"name": "tiny", "title": "Tiny", "method": "aognet", "height": 32}
    assert ask("plan", json.dumps({"prompt": "a yard"}))["value"] > 5
    for title in ("listed one", "listed two"):
        studio.ended(studio.submit(title, prompt=title))
    assert ask("panoramas", "listed")["value"] == ["listed two", "listed one"], "over pages of one"
    paths = [ask("import", "listed two", tmp_path)["value"] for _ in range(2)]
    assert [Path(path).name for path in paths] == ["listed two.png", "listed two 2.png"]
    refused = ask("job", "none")
    assert (refused["status"], refused["transient"]) == (404, False) and "no such job" in refused["error"]
    assert "error" in ask("job", "../models"), "what is no id never becomes an address"
    body = json.dumps({"prompt": "once"})
    assert ask("submit", body, "key-1") == ask("submit", body, "key-1")
    refused = ask("submit", json.dumps({"prompt": "twice"}), "key-1")
    assert (refused["status"], refused["key"]) == (422, "Idempotency-Key")


def test_a_token_is_needed(studio: Processes, client: Client, tmp_path: Path):
    """A job without one is not lost: with the right one it goes on. No token is kept with the jobs."""
    for token in ("", "another-token-that-is-wrong"):
        refused = client.line("ask", address(studio), token, "models")
        assert (refused["status"], refused["error"], refused["transient"]) == (401, "a token is needed", False)
    submit(client, tmp_path, address(studio), prompt="guarded")
    (end,) = ended(run(client, tmp_path, token=""))
    assert (end["state"], end["error"]) == ("failed", "a token is needed")
    (end,) = ended(run(client, tmp_path))
    assert end["state"] == "done" and (tmp_path / end["file"]).is_file()
    assert SECRET not in (tmp_path / "jobs.json").read_text()
