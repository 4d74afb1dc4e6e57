"""A photograph is uploaded, painted, watched and found again, as the API promises."""

import io
from pathlib import Path

import pytest
from PIL import Image

from tests.studio.running import Studio


@pytest.fixture(scope="module")
def job(studio: Studio, photo_file: Path) -> dict:
    photo = {"upload": studio.upload(photo_file), "yaw": 20.0, "fov": 80.0}
    return studio.painted(prompt="a yard", photos=[photo], seed=3)


def test_a_job_becomes_a_panorama_with_files(studio: Studio, job: dict):
    panorama = studio.get(f"/panoramas/{job['panorama_id']}")
    assert panorama["title"] == "a yard" and panorama["head"]["id"] == job["version_id"]
    files = panorama["head"]["files"]
    assert {"result.png", "thumbnail.jpg", "viewer.html", "run.json"} <= set(files)
    picture = Image.open(io.BytesIO(studio.get(files["result.png"])))
    assert picture.size == (64, 32)
    assert studio.get("/panoramas")["panoramas"][0]["id"] == panorama["id"]
    assert studio.get(f"/panoramas/{panorama['id']}/versions")["versions"] == [panorama["head"]]


def test_every_view_is_told_once_and_can_be_seen(studio: Studio, job: dict):
    events = studio.events(job["id"])
    assert [one["id"] for one in events] == sorted({one["id"] for one in events})
    states = [one["data"]["state"] for one in events if one["event"] == "state"]
    assert states == ["queued", "running", "done"]
    views = [one["data"] for one in events if one["event"] == "view"]
    assert [view["index"] for view in views] == list(range(views[0]["count"]))
    assert views[0]["camera"]["fov_degrees"] == 90
    assert Image.open(io.BytesIO(studio.get(views[0]["preview"]))).size == (32, 32)


def test_events_are_replayed_after_the_last_one_that_was_heard(studio: Studio, job: dict):
    events = studio.events(job["id"])
    middle = events[len(events) // 2]["id"]
    assert studio.events(job["id"], after=middle) == [one for one in events if one["id"] > middle]
    assert studio.events(job["id"], after=events[-1]["id"]) == []


def test_equal_jobs_paint_equal_pixels(studio: Studio, job: dict):
    again = studio.painted(**{key: job["body"][key] for key in ("prompt", "photos", "seed")})
    files = [studio.get(f"/versions/{one['version_id']}")["files"]["result.png"] for one in (job, again)]
    assert studio.get(files[0]) == studio.get(files[1])


def test_an_idempotency_key_makes_one_job(studio: Studio):
    body, headers = {"prompt": "once"}, {"Idempotency-Key": "k1"}
    first = studio.post("/jobs", body, 201, headers=headers)
    assert studio.post("/jobs", body, 201, headers=headers)["id"] == first["id"]
    refused = studio.post("/jobs", {"prompt": "twice"}, 422, headers=headers)
    assert refused["key"] == "Idempotency-Key"
    assert len(studio.get("/jobs?q=once")["jobs"]) == 1


def test_a_waiting_job_is_cancelled_at_once(studio: Studio):
    job = studio.post("/jobs", {"prompt": "never"}, 201)
    assert studio.post(f"/jobs/{job['id']}/cancel")["state"] == "cancelled"
    assert studio.paint(job["id"])["state"] == "cancelled"


def test_lists_come_in_pages(studio: Studio):
    made = [studio.post("/jobs", {"prompt": f"page {number}"}, 201)["id"] for number in range(5)]
    found, cursor = [], ""
    while cursor is not None:
        page = studio.get("/jobs", params={"q": "page", "limit": 2, **({"cursor": cursor} if cursor else {})})
        found, cursor = found + [one["id"] for one in page["jobs"]], page["cursor"]
    assert found == made[::-1]


def test_mistakes_name_their_key_and_no_path(studio: Studio):
    assert studio.post("/jobs", {"prmpt": "x"}, 422)["key"] == "prmpt"
    wrong = studio.post("/jobs", {"settings": {"sampler": {"stesp": 3}}}, 422)
    assert wrong["key"] == "settings.sampler.stesp" and "did you mean 'steps'" in wrong["detail"]
    assert "names no upload" in studio.post("/jobs", {"photos": [{"upload": "ab"}]}, 422)["detail"]
    assert studio.get("/jobs/none", 404)["title"] == "Not found"
    refused = studio.post("/uploads", status=415, files={"file": ("x.png", b"not an image")})
    assert str(studio.config.root) not in refused["detail"]


def test_what_there_is(studio: Studio):
    (model,) = studio.get("/models")
    assert model["name"] == "tiny" and model["settings"]["properties"]["face_size"]["default"] == 32
    assert studio.get("/methods")[0]["name"] == "aognet"
    assert studio.get("/health")["status"] == "ok"
