"""The page keeps what is being prepared, paints the rest of a panorama in another way, and asks for words."""

from pathlib import Path

import pytest

from tests.studio.page_running import PHOTO, Opened, StartStudio, dropped, faults
from tests.tiny_captioners import WORDS, tiny_captioner

pytestmark = pytest.mark.slow


def test_a_page_that_is_loaded_anew_goes_on_with_what_was_prepared(opened: Opened, address: str):
    one = opened(address)
    page = one.page
    dropped(page, PHOTO)
    page.get_by_label("Width of view").fill("80")
    page.get_by_label("Left – right").fill("30")
    page.get_by_role("textbox", name="What is around you?").fill("a snowy village")
    page.locator("#more summary").first.click()
    page.locator("#height").select_option("256")
    page.locator("#method-settings summary").click()
    page.locator("#settings").get_by_label("Steps").fill("3")
    page.locator("#add-pin").click()
    page.keyboard.press("Enter")
    page.locator("#pins input").fill("a red barn")
    page.get_by_text("views to paint").wait_for()
    page.wait_for_timeout(400)  # what is written is kept once the hand rests

    page.reload()
    page.get_by_label("Width of view").wait_for()
    page.get_by_text("views to paint").wait_for()
    page.get_by_role("button", name="Paint the panorama").click()
    one.painted()
    (job,) = one.jobs
    (photo,) = job["photos"]
    assert (photo["fov"], photo["yaw"]) == (80, 30)
    assert (job["prompt"], job["height"], job["settings"]) == ("a snowy village", 256, {"sampler": {"steps": 3}})
    assert [pin["text"] for pin in job["prompts_at"]] == ["a red barn"]

    page.locator("#new").click()
    page.wait_for_timeout(400)
    page.reload()
    page.locator("#model option").first.wait_for(state="attached")
    page.wait_for_timeout(400)
    assert page.get_by_role("textbox", name="What is around you?").input_value() == ""
    assert page.locator("#photos li").count() == 0


def test_an_upload_that_is_gone_is_left_out_of_what_was_prepared(opened: Opened, address: str):
    one = opened(address)
    page = one.page
    dropped(page, PHOTO)
    page.get_by_role("textbox", name="What is around you?").fill("a lake")
    page.get_by_text("views to paint").wait_for()
    page.wait_for_timeout(400)
    page.route("**/uploads/*/image*", lambda route: route.fulfill(status=404, json={"detail": "there is none"}))
    page.reload()
    page.get_by_text("there is none").wait_for()
    assert page.locator("#photos li").count() == 0
    assert page.get_by_role("textbox", name="What is around you?").input_value() == "a lake"
    assert all("404" in error for error in one.errors), "a browser tells of each answer that refuses"
    one.errors.clear()


def test_another_language_keeps_what_was_chosen(opened: Opened, address: str):
    page = opened(address).page
    page.locator("#more summary").first.click()
    page.locator("#height").select_option("256")
    page.locator("#method-settings summary").click()
    page.locator("#settings").get_by_label("Steps").fill("17")
    page.locator("#language").click()
    page.locator("html:lang(zh)").wait_for()
    assert page.locator("#height").input_value() == "256"
    values = [box.input_value() for box in page.locator("#settings input[type=number]").all()]
    assert "17" in values


def test_the_rest_is_painted_in_another_way_and_all_takes_a_photographs_colours(opened: Opened, address: str):
    one = opened(address)
    page = one.page
    page.get_by_role("textbox", name="What is around you?").fill("a lake")
    page.get_by_role("button", name="Paint the panorama").click()
    one.painted()
    first = one.head()
    page.locator("#fork summary").click()
    page.locator("#fork-view").fill("2")
    page.get_by_label("What is there instead?").fill("a desert")
    page.get_by_role("button", name="Paint the rest again").click()
    page.locator("#painting").wait_for()
    one.painted()
    second = one.head()
    assert one.jobs[-1]["view"] == 2 and second["about"]["prompt"] == "a desert" and second["parent_id"] == first["id"]
    same = (one.result(first) == one.result(second)).all(-1)
    assert 0 < same.mean() < 1, "the views that are kept are those of before, the others are not"

    page.locator("#restyle summary").click()
    page.get_by_label("Photo whose colours are taken").set_input_files(PHOTO)
    assert faults(page) == []
    page.get_by_role("button", name="Take over the colours").click()
    page.locator("#painting").wait_for()
    one.painted()
    third = one.head()
    assert third["about"]["kind"] == "style" and third["parent_id"] == second["id"]
    assert (one.result(third) != one.result(second)).any() and page.locator("#fork").is_hidden()


def test_a_photograph_is_put_into_words(
    opened: Opened, start_studio: StartStudio, tiny_studio_yaml: Path, tmp_path: Path
):
    model = tmp_path / "words.yaml"
    captioner = tiny_captioner(tmp_path / "blip")
    tiny = tiny_studio_yaml.with_name("tiny.yaml")
    model.write_text(f'{tiny.read_text()[:-1]}, "captioner": {{"model": "{captioner}"}}}}')
    address = start_studio(f"models.tiny.config={model}", "workers.count=0")
    one = opened(address)
    dropped(one.page, PHOTO)
    one.page.locator("#describe").click()
    pytest.importorskip("playwright.sync_api").expect(one.page.locator("#prompt")).not_to_have_value("", timeout=60_000)
    words = one.page.locator("#prompt").input_value().split()
    assert words and set(words) <= {*WORDS}
