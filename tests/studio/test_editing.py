"""Versions are made of versions: a part painted anew, other words from a view on, undo and redo."""

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from aognet.geometry.strokes import BrushStroke, stroke_mask
from tests.studio.running import API, Studio

STROKES = [{"radius_degrees": 30, "points": [[100, 0], [140, 10]]}]


def pixels(studio: Studio, version: str) -> np.ndarray:
    files = studio.get(f"/versions/{version}")["files"]
    return np.asarray(Image.open(io.BytesIO(studio.get(files["result.png"]))))


def painted(studio: Studio, path: str, **body: Any) -> dict:
    job = studio.paint(studio.post(path, body, 201)["id"])
    assert job["state"] == "done", job["error"]
    return job


@pytest.fixture(scope="module")
def first(studio: Studio, photo_file: Path) -> dict:
    """A panorama's first job."""
    return studio.painted(prompt="a yard", photos=[{"upload": studio.upload(photo_file)}])


@pytest.fixture(scope="module")
def second(studio: Studio, first: dict) -> dict:
    """The job that painted a part of it anew."""
    return painted(studio, f"/panoramas/{first['panorama_id']}/repaint", prompt="a door", mask={"strokes": STROKES})


def test_a_part_is_painted_anew_and_the_rest_stays(studio: Studio, first: dict, second: dict):
    before, after = (pixels(studio, job["version_id"]) for job in (first, second))
    mask = stroke_mask([BrushStroke(30.0, [(100.0, 0.0), (140.0, 10.0)])], 32).numpy()
    assert (before == after)[~mask].all()
    assert (before != after)[mask].any(-1).mean() > 0.5
    version = studio.get(f"/versions/{second['version_id']}")
    assert version["parent_id"] == first["version_id"] and version["about"]["prompt"] == "a door"


def test_undo_and_redo_move_the_head(studio: Studio, first: dict, second: dict):
    path = f"/panoramas/{first['panorama_id']}"
    assert studio.post(f"{path}/undo")["head"]["id"] == first["version_id"]
    assert studio.post(f"{path}/undo", status=409)["detail"] == "there is nothing to undo"
    panorama = studio.post(f"{path}/redo")
    assert panorama["head"]["id"] == second["version_id"] and not panorama["can_redo"]
    assert studio.post(f"{path}/redo", status=409)["status"] == 409


def test_other_words_from_a_view_on(studio: Studio, first: dict):
    job = painted(
        studio, f"/panoramas/{first['panorama_id']}/fork", version_id=first["version_id"], view=3, prompt="snow"
    )
    runs = [studio.get(f"/versions/{one['version_id']}/files/run.json") for one in (first, job)]
    steps = [run["steps"] for run in runs]
    assert steps[0][:3] == steps[1][:3] and len(steps[0]) == len(steps[1])
    assert {one["prompt"] for one in steps[1][3:]} == {"snow"}
    views = [studio.get(f"/jobs/{one['id']}/views/2") for one in (first, job)]
    assert views[0] == views[1]
    assert studio.get(f"/versions/{job['version_id']}")["parent_id"] == first["version_id"]


def test_a_form_brings_its_images(studio: Studio, photo_file: Path, tmp_path: Path):
    mask = Image.new("L", (64, 32))
    mask.paste(255, (0, 0, 20, 32))
    mask.save(tmp_path / "mask.png")
    Image.fromarray(np.full((32, 64, 3), 90, np.uint8)).save(tmp_path / "grey.png")
    files = [(name, (tmp_path / f"{file}.png").open("rb")) for name, file in (("panorama", "grey"), ("mask", "mask"))]
    job = studio.post("/jobs", None, 201, data={"request": json.dumps({"prompt": "a hall"})}, files=files)
    assert studio.paint(job["id"])["state"] == "done"
    made = pixels(studio, studio.get(f"/jobs/{job['id']}")["version_id"])
    assert (made[:, 24:62] == 90).all() and (made[:, :20] != 90).any()


def test_what_it_would_take(studio: Studio, first: dict, photo_file: Path):
    body = {key: first["body"][key] for key in ("prompt", "photos")}
    told = studio.post("/plan", body)
    assert told["views"] == first["progress"]["total"] and told["seconds_estimate"] > 0
    whole = studio.post("/plan", {"prompt": "words alone"})
    assert whole["views"] > told["views"] // 2
    assert not [path for path in (studio.config.root / "inputs").glob("*/mask.png") if path.parent.name not in {
        job["id"] for job in studio.get("/jobs")["jobs"]
    }]  # fmt: skip


def test_a_mask_is_said_once(studio: Studio, first: dict):
    path = f"/panoramas/{first['panorama_id']}/repaint"
    assert studio.post(path, {"prompt": "x"}, 422)["key"] == "at"
    both = {"at": {"yaw": 0, "pitch": 0}, "mask": {"strokes": STROKES}}
    assert studio.post(path, both, 422)["key"] == "mask"
    assert studio.post("/jobs", {"mask": {"strokes": STROKES}}, 422)["key"] == "mask"
    fork = {"view": 999, "prompt": "x"}
    assert studio.post(f"/panoramas/{first['panorama_id']}/fork", fork, 422)["key"] == "view"


def test_what_is_deleted_is_gone(studio: Studio):
    job = studio.painted(prompt="soon gone")
    path, place = f"/panoramas/{job['panorama_id']}", studio.config.root / "runs" / job["id"]
    waiting = studio.post(f"{path}/repaint", {"at": {"yaw": 0, "pitch": 0}, "prompt": "x"}, 201)
    assert place.is_dir() and studio.answer("DELETE", path, 409)["status"] == 409
    studio.post(f"/jobs/{waiting['id']}/cancel")
    studio.answer("DELETE", path, 204)
    studio.get(path, 404)
    studio.get(f"/jobs/{job['id']}", 404)
    assert not place.exists()


def test_no_answer_tells_a_path(studio: Studio, first: dict):
    run = json.dumps(studio.get(f"/versions/{first['version_id']}/files/run.json"))
    assert str(studio.config.root) not in run and "/tmp/" not in run
    assert API in studio.get(f"/versions/{first['version_id']}")["files"]["run.json"]


def test_seams_are_found_and_drawn_anew(studio: Studio):
    """The steps are told and shown; what lies outside of the masked edges stays as the first model painted it."""
    job = studio.painted(kind="seams", prompt="a hall", seams=2, seam_degrees=20)
    told = [one["data"] for one in studio.events(job["id"]) if one["event"] == "preview"]
    assert [one["step"] for one in told] == ["base", "seams"] and len(told[1]["edges"]) == 2
    assert all(Image.open(io.BytesIO(studio.get(one["preview"]))).size == (64, 32) for one in told)
    folder = studio.config.root / "runs" / job["id"]
    (place,) = folder.glob("*/panorama")
    base, mask = (np.asarray(Image.open(place / name)) for name in ("base/result.png", "seams.png"))
    made, white = pixels(studio, job["version_id"]), mask[..., 0] > 127
    assert 0.02 < white.mean() < 0.6
    assert (made == base)[~white].all() and (made != base)[white].any()
    assert studio.post("/jobs", {"kind": "seams"}, 422)["key"] == "prompt"
