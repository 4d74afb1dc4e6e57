"""A version in the colours of a photograph: the studio's jobs do what the library does, and what follows works."""

import io
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from aognet.geometry.strokes import BrushStroke, stroke_mask
from aognet.io.images import load_image, save_image
from aognet.style.styling import StyleConfig, Styler
from tests.studio.running import Studio
from tests.studio.test_editing import painted, pixels

STROKES = [{"radius_degrees": 30, "points": [[100, 0]]}]


@pytest.fixture(scope="module")
def sunset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A photograph of warm colours."""
    rows, columns = torch.linspace(-1, 1, 30)[:, None], torch.linspace(-1, 1, 40)
    image = torch.stack([0.6 + 0.3 * rows + 0 * columns, 0.1 * columns + 0.2 * rows, -0.6 + 0.2 * rows * columns])
    path = tmp_path_factory.mktemp("sunset") / "sunset.png"
    save_image(image.clamp(-1, 1), path)
    return path


@pytest.fixture(scope="module")
def first(studio: Studio) -> dict:
    return studio.painted(prompt="a yard")


@pytest.fixture(scope="module")
def styled(studio: Studio, first: dict, sunset: Path) -> dict:
    style = {"photo": studio.upload(sunset), "strength": 0.8, "segments": 2}
    return painted(studio, f"/panoramas/{first['panorama_id']}/style", style=style)


def test_it_is_what_the_library_makes(studio: Studio, first: dict, styled: dict, sunset: Path, tmp_path: Path):
    Image.fromarray(pixels(studio, first["version_id"])).save(tmp_path / "first.png")
    styler = Styler(StyleConfig(photo=str(sunset), strength=0.8, segments=2))
    expected = styler(load_image(tmp_path / "first.png").add(1).div(2)).mul(255).round().permute(1, 2, 0).numpy()
    made = pixels(studio, styled["version_id"])
    assert np.abs(made - expected).max() <= 1 and np.abs(made - pixels(studio, first["version_id"]) * 1.0).mean() > 5


def test_it_is_a_version_like_others(studio: Studio, first: dict, styled: dict):
    version = studio.get(f"/versions/{styled['version_id']}")
    assert version["parent_id"] == first["version_id"]
    assert (version["about"]["kind"], version["about"]["prompt"], version["about"]["views"]) == (
        "style",
        "a yard",
        None,
    )
    assert {"result.png", "thumbnail.jpg", "viewer.html"} <= version["files"].keys()
    assert Image.open(io.BytesIO(studio.get(version["files"]["thumbnail.jpg"]))).width > 1
    events = studio.events(styled["id"])
    assert [one["data"]["state"] for one in events if one["event"] == "state"][-1] == "done"
    assert studio.post(f"/panoramas/{first['panorama_id']}/undo")["head"]["id"] == first["version_id"]
    assert studio.post(f"/panoramas/{first['panorama_id']}/redo")["head"]["id"] == styled["version_id"]
    fork = {"version_id": styled["version_id"], "view": 0, "prompt": "x"}
    assert studio.post(f"/panoramas/{first['panorama_id']}/fork", fork, 422)["key"] == "view"


def test_it_is_painted_on(studio: Studio, first: dict, styled: dict):
    path = f"/panoramas/{first['panorama_id']}/repaint"
    job = painted(studio, path, version_id=styled["version_id"], prompt="a door", mask={"strokes": STROKES})
    mask = stroke_mask([BrushStroke(30.0, [(100.0, 0.0)])], 32).numpy()
    assert (pixels(studio, job["version_id"]) == pixels(studio, styled["version_id"]))[~mask].all()


def test_what_it_would_take_is_not_views(studio: Studio, first: dict, styled: dict):
    body = {"kind": "style", "version_id": first["version_id"], "style": styled["body"]["style"]}
    assert studio.post("/plan", body)["views"] is None


def test_mistakes_are_named(studio: Studio, first: dict, styled: dict):
    style = styled["body"]["style"]
    path = f"/panoramas/{first['panorama_id']}/style"
    assert studio.post(path, {"style": {"photo": "nothing"}}, 422)["key"] == "upload"
    assert studio.post(path, {"style": style | {"strength": 2}}, 422)["status"] == 422
    assert studio.post(path, {"style": style | {"weights": "/etc/passwd"}}, 422)["status"] == 422
    assert studio.post("/jobs", {"kind": "style", "style": style}, 422)["key"] == "version_id"
    assert studio.post("/jobs", {"kind": "style", "version_id": first["version_id"]}, 422)["key"] == "style"
    assert studio.post("/jobs", {"prompt": "a lake", "style": style}, 422)["key"] == "style"
