"""The Gradio page is started as users start it, and asked for a panorama as its button asks."""

import importlib.util
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx2
import numpy as np
import pytest
from PIL import Image

from aognet import PanoramaPipeline
from benchmarks.studio_processes import free_port

ROOT = Path(__file__).resolve().parents[2]
APP = ROOT / "integrations" / "gradio" / "app.py"
pytestmark = pytest.mark.slow


def python() -> str:
    """A Python that has Gradio, which wants another Pillow than the tests: `.ci/run` makes one."""
    named = os.environ.get("GRADIO_PYTHON", "")
    if named and subprocess.run([named, "-c", "import gradio"], capture_output=True).returncode == 0:
        return named
    if importlib.util.find_spec("gradio") is None:
        pytest.skip("needs gradio: `pip install gradio`, or GRADIO_PYTHON of an environment that has it (.ci/run)")
    return sys.executable


@pytest.fixture(scope="module")
def config(streams_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("config") / "tiny.yaml"
    plan = {"kind": "cube", "size": 16}
    settings = {"height": 32, "plan": plan, "face_size": 16, "sampler": {"steps": 1, "scheduler": "ddim"}}
    path.write_text(json.dumps({"checkpoint": str(streams_folder), "device": "cpu", "generator": settings}))
    return path


@pytest.fixture(scope="module")
def page(config: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx2.Client]:
    """A client of a page that is served."""
    port, place = free_port(), tmp_path_factory.mktemp("gradio")
    environment = os.environ | {"GRADIO_TEMP_DIR": str(place), "TMPDIR": str(place)}
    command = [python(), str(APP), "--port", str(port), "--model", f"Tiny={config}"]
    with (place / "log").open("wb") as log:
        served = subprocess.Popen(command, cwd=place, env=environment, stdout=log, stderr=log)
    try:
        with httpx2.Client(base_url=f"http://127.0.0.1:{port}", timeout=120) as client:
            for _ in range(1500):
                try:
                    if client.get("/config").status_code == 200:
                        break
                except httpx2.TransportError:
                    pass
                assert served.poll() is None, (place / "log").read_text()
                time.sleep(0.2)
            yield client
    finally:
        served.terminate()
        served.wait(30)


def called(page: httpx2.Client, *values: object) -> list:
    """What the button's function returns; raises AssertionError with what it says of a mistake."""
    event = page.post("/gradio_api/call/paint", json={"data": values}).json()["event_id"]
    lines = page.get(f"/gradio_api/call/paint/{event}").text.split("\n")
    kinds = [line.removeprefix("event: ") for line in lines if line.startswith("event: ")]
    data = [line.removeprefix("data: ") for line in lines if line.startswith("data: ")]
    assert kinds[-1] == "complete", data[-1]
    return json.loads(data[-1])


def test_it_paints_what_the_pipeline_paints(page: httpx2.Client, config: Path, photo_file: Path, tmp_path: Path):
    sent = page.post("/gradio_api/upload", files={"files": ("yard.png", photo_file.read_bytes())}).json()[0]
    photo = {"path": sent, "meta": {"_type": "gradio.FileData"}}
    shown, file = called(page, photo, 70, "a yard", "Tiny", 3)
    (tmp_path / "got.png").write_bytes(page.get(f"/gradio_api/file={file['path']}").content)
    expected = PanoramaPipeline.from_pretrained(config=config)(
        "a yard", photo_file, fov=70.0, generator=3, name="panorama"
    )
    assert np.array_equal(np.asarray(Image.open(tmp_path / "got.png")), np.asarray(expected.images[0]))
    assert shown.startswith("<iframe srcdoc=") and 'sandbox="allow-scripts"' in shown
    shown, _ = called(page, None, 70, "a lake", "Tiny", 3)
    assert "<iframe" in shown


def test_a_mistake_is_told(page: httpx2.Client):
    with pytest.raises(AssertionError, match="nothing to paint from|null"):
        called(page, None, 70, "", "Tiny", 3)
    assert page.get("/config").status_code == 200


def test_a_model_that_is_not_there_is_named(tmp_path: Path):
    command = [python(), str(APP), "--model", f"Tiny={tmp_path / 'no.yaml'}"]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert ran.returncode == 2 and "no.yaml: no such file; give NAME=YAML" in ran.stderr


@pytest.mark.skipif(importlib.util.find_spec("gradio") is not None, reason="this environment has Gradio")
def test_without_gradio_it_says_what_is_missing():
    ended = subprocess.run([sys.executable, APP], capture_output=True, text=True)
    assert ended.returncode == 2 and ended.stderr.startswith("error: gradio is missing") and not ended.stdout
    assert ended.stderr.count("\n") == 1
