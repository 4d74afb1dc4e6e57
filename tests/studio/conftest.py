"""A studio with a tiny model: the web process's application, and a worker in this process."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from aognet.config import load_config
from aognet.io.images import save_image
from tests.generate.painter import smooth_photo
from tests.studio.page_running import Open, Opened, StartStudio, ended, started
from tests.studio.running import Studio

HEIGHT = 32


@pytest.fixture(scope="session")
def tiny_studio_yaml(streams_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The configuration of a studio with a tiny model. Do not write in its folder."""
    folder = tmp_path_factory.mktemp("studio_config")
    generator = {
        "height": HEIGHT, "plan": {"kind": "published", "size": 32}, "face_size": 32,
        "sampler": {"steps": 2, "scheduler": "ddim"}, "views_per_batch": 2,
    }  # fmt: skip
    model = {"checkpoint": str(streams_folder), "device": "cpu", "generator": generator}
    (folder / "tiny.yaml").write_text(json.dumps(model))
    studio = {"port": 0, "models": {"tiny": {"config": str(folder / "tiny.yaml"), "title": "Tiny"}}}
    (folder / "studio.yaml").write_text(json.dumps({**studio, "workers": {"device": "cpu", "lease_seconds": 5}}))
    return folder / "studio.yaml"


@pytest.fixture(scope="session")
def photo_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A photograph of 40x30 pixels."""
    path = tmp_path_factory.mktemp("photo") / "yard.png"
    save_image(smooth_photo(30, 40), path)
    return path


@pytest.fixture(scope="module")
def studio(tiny_studio_yaml: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Studio]:
    """A studio of which the worker paints when a test says so."""
    folder = tmp_path_factory.mktemp("studio")
    with Studio(load_config([tiny_studio_yaml], [f"folder={folder}"])) as running:
        yield running


@pytest.fixture(scope="module")
def address(tiny_studio_yaml: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A studio that paints noise in a second or two."""
    process, where = started(tiny_studio_yaml, tmp_path_factory.mktemp("server") / "studio")
    yield where
    ended(process)


@pytest.fixture
def start_studio(tiny_studio_yaml: Path, tmp_path: Path) -> Iterator[StartStudio]:
    """Starts a studio of the test's own, with changes to its configuration, and returns its address."""
    processes: list[subprocess.Popen] = []

    def start(*changes: str) -> str:
        process, where = started(tiny_studio_yaml, tmp_path / "studio", *changes)
        processes.append(process)
        return where

    yield start
    for process in processes:
        ended(process)


@pytest.fixture
def opened(browser, start_studio: StartStudio) -> Iterator[Opened]:
    """Opens pages. They are closed before a studio of the test's own ends, which they would complain about."""
    contexts: list[tuple[Any, Open]] = []

    def show(address: str, width: int = 1000, height: int = 700, ready: str = "#model option", **options: Any) -> Open:
        options = {"locale": "en-GB", "reduced_motion": "reduce", **options}
        context = browser.new_context(viewport={"width": width, "height": height}, **options)
        one = Open(context.new_page(), address)
        context.set_default_timeout(90_000)  # machines may be busy
        contexts.append((context, one))
        one.listen()
        one.page.goto(address)
        one.page.locator(ready).first.wait_for(state="attached")
        return one

    yield show
    for context, one in contexts:
        context.close()
        assert one.errors == []
