"""The whole way in a real browser, against a real server and worker: from a photograph to an export."""

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from aognet.geometry.strokes import BrushStroke, stroke_mask
from tests.studio.page_running import PHOTO, Opened, StartStudio, dropped, faults

pytestmark = pytest.mark.slow


def test_from_a_photograph_to_an_export(opened: Opened, address: str, tmp_path: Path):
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


def test_a_sketch_whose_seams_are_drawn_anew(opened: Opened, address: str):
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


def test_a_private_studio_asks_for_its_token(opened: Opened, start_studio: StartStudio):
    secret = "tokens.me=0123456789abcdef"
    address = start_studio("workers.count=0", secret)
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


def test_a_job_is_found_again_and_cancelled(opened: Opened, start_studio: StartStudio):
    """With no worker a job waits: the page finds it again when it is loaded anew."""
    address = start_studio("workers.count=0")
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


def test_it_can_be_used_by_keys_alone(opened: Opened, address: str):
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
def test_nothing_serious_on_a_phone_in_any_colours(opened: Opened, address: str, scheme: str, language: str):
    one = opened(address, 390, 844, color_scheme=scheme, locale=language, has_touch=True, is_mobile=True)
    assert faults(one.page) == []
    one.page.set_input_files("#files", PHOTO)
    one.page.locator("#photos .pose:not([hidden])").wait_for()
    one.page.locator("#more summary").first.click()
    assert faults(one.page) == []
    assert one.page.evaluate("document.documentElement.scrollWidth") <= 390
    for control in one.page.locator("button:visible, summary:visible").all():
        assert control.bounding_box()["height"] >= 24  # WCAG 2.5.8
