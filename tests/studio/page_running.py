"""The page in a real browser, against a studio in processes of its own."""

import io
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.studio.test_page import ROOT

PHOTO = ROOT / "assets" / "demo" / "village.jpg"


def started(yaml: Path, folder: Path, *changes: str) -> tuple[subprocess.Popen, str]:
    """A studio in processes of its own, and its address."""
    given = [f"folder={folder}", "port=0", *changes]
    log = (folder.parent / f"{folder.name}.log").open("w")
    process = subprocess.Popen(
        [sys.executable, "-m", "aognet", "studio", "-b", str(yaml), *given], cwd=ROOT, stdout=log, stderr=log
    )
    end = time.monotonic() + 120
    address = folder / "address"
    while not address.exists() or not address.read_text().strip():
        assert process.poll() is None and time.monotonic() < end, Path(log.name).read_text()
        time.sleep(0.1)
    return process, address.read_text().strip()


def ended(process: subprocess.Popen) -> None:
    process.terminate()
    try:
        process.wait(30)
    finally:
        process.kill()


@dataclass
class Open:
    """A page that is open, what it complained about, and the jobs that it asked for."""

    page: Any
    address: str
    errors: list[str] = field(default_factory=list)
    jobs: list[dict] = field(default_factory=list)

    def listen(self) -> None:
        self.page.on("console", lambda line: self.errors.append(line.text) if line.type == "error" else None)
        self.page.on("pageerror", lambda error: self.errors.append(f"{error}\n{error.stack}"))
        self.page.on("request", self._request)

    def _request(self, request: Any) -> None:
        if request.method == "POST" and request.url.rpartition("/")[2] in ("jobs", "repaint", "fork"):
            self.jobs.append(request.post_data_json)

    def get(self, path: str) -> Any:
        answer = self.page.request.get(f"{self.address}{path}")
        assert answer.ok, answer.text()
        return answer.json() if "json" in answer.headers["content-type"] else answer.body()

    def head(self) -> dict:
        return self.get(f"/api/v1/panoramas/{self.page.url.rpartition('=')[2]}")["head"]

    def result(self, version: dict) -> np.ndarray:
        return np.asarray(Image.open(io.BytesIO(self.get(version["files"]["result.png"]))).convert("RGB")).astype(int)

    def painted(self) -> None:
        """The page shows what was painted."""
        self.page.locator("#change").wait_for()

    def drag(self, *ways: tuple[float, float]) -> None:
        """Drag over the sphere, through shares of its width and height."""
        box = self.page.locator("#sphere").bounding_box()
        places = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in ways]
        self.page.mouse.move(*places[0])
        self.page.mouse.down()
        for place in places[1:]:
            self.page.mouse.move(*place, steps=6)
        self.page.mouse.up()


Opened = Callable[..., Open]
StartStudio = Callable[..., str]


def dropped(page: Any, path: Path) -> None:
    """Drop a file on the page as a hand would."""
    script = """async ([bytes, name]) => {
      const data = new DataTransfer();
      data.items.add(new File([new Uint8Array(bytes)], name, { type: "image/jpeg" }));
      const given = { dataTransfer: data, bubbles: true, cancelable: true };
      for (const kind of ["dragenter", "dragover", "drop"])
        document.getElementById("sphere").dispatchEvent(new DragEvent(kind, given));
    }"""
    page.evaluate(script, [list(path.read_bytes()), path.name])


def faults(page: Any) -> list[str]:
    """What axe finds serious on the page as it is."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    found = axe.run(page).response["violations"]
    return [
        f"{one['id']}: {node['html'][:120]} {node['failureSummary'][:300]}"
        for one in found
        if one["impact"] in ("serious", "critical")
        for node in one["nodes"]
    ]
