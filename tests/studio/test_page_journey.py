"""The whole way in a real browser, against a real server and worker: from a photograph to an export."""

import io
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from aognet.geometry.strokes import BrushStroke, stroke_mask
from tests.studio.test_page import ROOT

pytestmark = pytest.mark.slow
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


@pytest.fixture(scope="module")
def address(tiny_studio_yaml: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A studio that paints noise in a second or two."""
    process, where = started(tiny_studio_yaml, tmp_path_factory.mktemp("server") / "studio")
    yield where
    ended(process)


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


@pytest.fixture
def opened(browser) -> Iterator[Callable[..., Open]]:
    contexts: list[tuple[Any, Open]] = []

    def show(address: str, width: int = 1000, height: int = 700, ready: str = "#model option", **options: Any) -> Open:
        options = {"locale": "en-GB", "reduced_motion": "reduce", **options}
        context = browser.new_context(viewport={"width": width, "height": height}, **options)
        one = Open(context.new_page(), address)
        context.set_default_timeout(120_000)  # machines may be busy
        contexts.append((context, one))
        one.listen()
        one.page.goto(address)
        one.page.locator(ready).first.wait_for(state="attached")
        return one

    yield show
    for context, one in contexts:
        context.close()
        assert one.errors == []


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


def test_from_a_photograph_to_an_export(opened, address: str, tmp_path: Path):
    one = opened(address)
    page = one.page
    assert faults(page) == []

    dropped(page, PHOTO)
    width = page.get_by_label("Width of view")
    width.wait_for()
    one.drag((0.5, 0.5), (0.6, 0.45))  # takes the photograph along, to the right and up
    assert float(page.get_by_label("Left – right").input_value()) > 5
    assert float(page.get_by_label("Up – down").input_value()) > 2
    width.fill("80")
    page.get_by_label("Up – down").fill("0")
    page.get_by_role("textbox", name="What is around you?").fill("a snowy village")
    page.get_by_text("views to paint").wait_for()
    assert faults(page) == []

    with page.expect_request("**/views/0"):
        page.get_by_role("button", name="Paint the panorama").click()
    one.painted()
    photo = one.jobs[-1]["photos"][0]
    assert photo["fov"] == 80 and photo["yaw"] > 5 and photo["pitch"] == 0
    first = one.head()
    assert first["about"]["prompt"] == "a snowy village"
    assert faults(page) == []

    before = page.locator("#sphere").screenshot()
    one.drag((0.6, 0.5), (0.3, 0.5))
    page.wait_for_timeout(300)
    assert page.locator("#sphere").screenshot() != before
    page.get_by_text("Brush", exact=True).click()
    one.drag((0.4, 0.4), (0.6, 0.5), (0.5, 0.6))
    page.get_by_label("What should be there?").fill("a wooden cabin")
    assert faults(page) == []
    page.get_by_role("button", name="Repaint").click()
    page.locator("#painting").wait_for()
    one.painted()
    second = one.head()
    assert second["parent_id"] == first["id"] and second["about"]["prompt"] == "a wooden cabin"
    strokes = one.jobs[-1]["mask"]["strokes"]
    assert len(strokes) == 1 and len(strokes[0]["points"]) > 3
    old, new = one.result(first), one.result(second)
    points = [(float(yaw), float(pitch)) for yaw, pitch in strokes[0]["points"]]
    mask = stroke_mask([BrushStroke(float(strokes[0]["radius_degrees"]), points)], len(old)).numpy()
    assert (old == new)[~mask].all() and (old != new)[mask].any(-1).mean() > 0.5

    page.get_by_role("button", name="Undo").click()
    page.locator("#history [aria-current=true]", has_text="a snowy village").wait_for()
    assert one.head()["id"] == first["id"]
    page.get_by_role("button", name="Redo").click()
    page.locator("#history [aria-current=true]", has_text="a wooden cabin").wait_for()
    page.locator("#history button", has_text="a snowy village").click()
    page.locator("#history [aria-current=true]", has_text="a snowy village").wait_for()
    page.locator("#history button", has_text="a wooden cabin").click()
    page.locator("#history [aria-current=true]", has_text="a wooden cabin").wait_for()

    page.get_by_role("button", name="Compare").click()
    page.get_by_role("slider", name="Before and after").wait_for()
    assert faults(page) == []
    page.get_by_role("button", name="Compare").click()
    page.get_by_role("button", name="Favourite", exact=True).click()
    page.locator("#favourite[aria-pressed=true]").wait_for()
    page.get_by_label("Name", exact=True).fill("My village")
    page.get_by_role("button", name="My panoramas").click()
    page.get_by_label("Favourites only").check()
    page.locator("#panoramas .name", has_text="My village").wait_for()
    assert faults(page) == []
    page.keyboard.press("Escape")

    page.get_by_role("button", name="Export").click()
    page.locator("#presets label").first.wait_for()
    assert faults(page) == []
    with page.expect_download() as waiting:
        page.get_by_role("button", name="Download").click()
    waiting.value.save_as(tmp_path / "picture.png")
    assert (np.asarray(Image.open(tmp_path / "picture.png").convert("RGB")).astype(int) == new).all()
    page.locator("#presets label", has_text="Unity").click()
    page.get_by_label("Format").select_option("png")
    with page.expect_download() as waiting:
        page.get_by_role("button", name="Download").click()
    waiting.value.save_as(tmp_path / waiting.value.suggested_filename)
    with zipfile.ZipFile(tmp_path / waiting.value.suggested_filename) as archive:
        name = next(name for name in archive.namelist() if name.endswith(".png"))
        assert Image.open(io.BytesIO(archive.read(name))).size == (64, 32)


def test_a_sketch_whose_seams_are_drawn_anew(opened, address: str):
    one = opened(address)
    page = one.page
    page.get_by_role("textbox", name="What is around you?").fill("a lake")
    page.locator("#more summary").first.click()
    page.get_by_label("Sketch it as a whole first").check()
    shown = []
    page.on("response", lambda answer: shown.append(answer.url.rpartition("/")[2]) if "/steps/" in answer.url else None)
    page.get_by_role("button", name="Paint the panorama").click()
    one.painted()
    assert one.jobs[-1]["kind"] == "seams" and sorted(shown) == ["base", "seams"]
    assert one.head()["about"]["prompt"] == "a lake"


def test_a_private_studio_asks_for_its_token(opened, tiny_studio_yaml: Path, tmp_path: Path):
    secret = "tokens.me=0123456789abcdef"
    process, address = started(tiny_studio_yaml, tmp_path / "studio", "workers.count=0", secret)
    try:
        one = opened(address, ready="#token[open]")
        page = one.page
        assert faults(page) == []
        page.get_by_label("Token").fill("what is it?")
        page.keyboard.press("Enter")
        page.get_by_text("That is not the token.").wait_for()
        page.get_by_label("Token").fill("0123456789abcdef")
        page.get_by_role("button", name="Enter").click()
        page.locator("#model option").first.wait_for(state="attached")
        page.reload()
        page.locator("#model option").first.wait_for(state="attached")
        assert all("401" in error for error in one.errors), "a browser tells of each answer that refuses"
        one.errors.clear()
    finally:
        ended(process)


def test_a_job_is_found_again_and_cancelled(opened, tiny_studio_yaml: Path, tmp_path: Path):
    """With no worker a job waits: the page finds it again when it is loaded anew."""
    process, address = started(tiny_studio_yaml, tmp_path / "studio", "workers.count=0")
    try:
        one = opened(address)
        one.page.get_by_role("textbox", name="What is around you?").fill("a lake")
        one.page.get_by_role("button", name="Paint the panorama").click()
        one.page.get_by_role("heading", name="Waiting").wait_for()
        one.page.reload()
        one.page.get_by_role("heading", name="Waiting").wait_for()
        assert faults(one.page) == []
        one.page.get_by_role("button", name="Cancel").click()
        one.page.get_by_role("heading", name="Make a panorama").wait_for()
        (job,) = one.get("/api/v1/jobs")["jobs"]
        assert job["state"] == "cancelled"
    finally:
        ended(process)


def test_it_can_be_used_by_keys_alone(opened, address: str):
    one = opened(address)
    page = one.page
    page.get_by_role("textbox", name="What is around you?").focus()
    page.keyboard.type("a quiet lake")
    page.keyboard.press("Tab")
    for _ in range(6):
        if page.evaluate("document.activeElement.id") == "paint":
            break
        page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    one.painted()
    page.locator("input[name=tool][value=look]").focus()
    page.keyboard.press("ArrowRight")
    page.get_by_label("What should be there?").fill("a boat")
    page.locator("#sphere").focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    page.locator("#repaint:enabled").focus()
    page.keyboard.press("Enter")
    page.locator("#painting").wait_for()
    one.painted()
    (point,) = one.jobs[-1]["mask"]["strokes"][0]["points"]
    assert 5 < point[0] < 15 and point[1] == 0


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("language", ["en-GB", "zh-CN"])
def test_nothing_serious_on_a_phone_in_any_colours(opened, address: str, scheme: str, language: str):
    one = opened(address, 390, 844, color_scheme=scheme, locale=language, has_touch=True, is_mobile=True)
    assert faults(one.page) == []
    one.page.set_input_files("#files", PHOTO)
    one.page.locator("#photos .pose:not([hidden])").wait_for()
    one.page.locator("#more summary").first.click()
    assert faults(one.page) == []
    assert one.page.evaluate("document.documentElement.scrollWidth") <= 390
    for control in one.page.locator("button:visible, summary:visible").all():
        assert control.bounding_box()["height"] >= 24  # WCAG 2.5.8
