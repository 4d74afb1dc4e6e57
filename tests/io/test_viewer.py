"""The viewer page: safe and self-contained as text, and true to the geometry in a real browser."""

import base64
import io
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from pytest import approx

from aognet.errors import UserError
from aognet.geometry.camera import Camera
from aognet.geometry.sphere import pixel_directions, pixel_positions, sample
from aognet.io.viewer import write_viewer

WIDTH, HEIGHT = 480, 300
COLORS = {
    "front": (220, 40, 40),
    "right": (40, 200, 60),
    "back": (40, 80, 220),
    "left": (230, 210, 40),
    "up": (230, 230, 230),
    "down": (90, 40, 110),
}


def coloured(height: int = 256) -> Image.Image:
    """Six colours, one around each axis."""
    vectors = pixel_directions(height, 2 * height).numpy()
    axis, positive = np.abs(vectors).argmax(-1), np.take_along_axis(vectors, np.abs(vectors).argmax(-1)[..., None], -1)
    names = np.array([["left", "down", "back"], ["right", "up", "front"]])[(positive[..., 0] > 0).astype(int), axis]
    palette, index = np.unique(names, return_inverse=True)
    return Image.fromarray(np.array([COLORS[name] for name in palette], np.uint8)[index.reshape(names.shape)])


def smooth(height: int) -> Image.Image:
    """Every channel follows one world axis: no edge anywhere on the sphere."""
    return Image.fromarray((pixel_directions(height, 2 * height).numpy() * 100 + 128).round().astype(np.uint8))


def embedded(page: Path) -> Image.Image:
    """The panorama inside a page, after JPEG."""
    content = re.search(r'base64,([^"]+)', page.read_text(encoding="utf-8"))[1]
    return Image.open(io.BytesIO(base64.b64decode(content)))


# ---------------------------------------------------------------------------------------------------------- as text


def test_page_refers_to_nothing_outside(tmp_path: Path):
    write_viewer(coloured(16), tmp_path / "viewer.html", title="barn")
    page = (tmp_path / "viewer.html").read_text(encoding="utf-8")
    assert not re.search(r"https?:|\{\{|//[a-z]+\.|@import|\bimport\b", page)
    assert set(re.findall(r'\bsrc="(.{22})', page)) == {"data:image/jpeg;base64"}
    assert "default-src 'none'; img-src data:;" in page and "unsafe" not in page


def test_title_is_escaped_and_bounded(tmp_path: Path):
    title = "</title><script>alert(1)</script>\"' onload=x & {{image}} \x00\x1b" + "y" * 5000
    write_viewer(coloured(16), tmp_path / "viewer.html", title=title)
    page = (tmp_path / "viewer.html").read_text(encoding="utf-8")
    assert page.count("<script>") == 1 and page.count("<title>") == 1
    assert "&lt;/title&gt;&lt;script&gt;alert(1)&lt;/script&gt;&quot;&#x27; onload=x &amp; {{image}}" in page
    assert "\x00" not in page and "\x1b" not in page and "y" * 1000 not in page


def test_bad_input(tmp_path: Path):
    with pytest.raises(UserError, match="twice as wide as high, got 30x20"):
        write_viewer(Image.new("RGB", (30, 20)), tmp_path / "viewer.html", title="")
    (tmp_path / "broken.png").write_bytes(b"no image")
    with pytest.raises(UserError, match=r"broken\.png"):
        write_viewer(tmp_path / "broken.png", tmp_path / "viewer.html", title="")
    assert not (tmp_path / "viewer.html").exists()
    with pytest.raises(UserError, match="missing"):
        write_viewer(coloured(16), tmp_path / "missing" / "viewer.html", title="")


def test_wide_panoramas_shrink_to_a_texture(tmp_path: Path):
    write_viewer(Image.new("RGB", (8200, 4100)), tmp_path / "viewer.html", title="")
    assert embedded(tmp_path / "viewer.html").size == (8192, 4096)


# ------------------------------------------------------------------------------------------------------- in a browser


@dataclass
class Viewer:
    """One open page, and what it complained about or asked the network for."""

    page: object
    path: Path
    errors: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)

    def show(self, fragment: str = "") -> None:
        self.page.goto("about:blank")
        self.page.goto(self.path.as_uri() + fragment)
        self.page.wait_for_selector("html.ready, html.flat")

    def picture(self) -> np.ndarray:
        """What the canvas shows, without what lies over it."""
        self.page.evaluate(
            "for (const x of document.querySelectorAll('footer, #message')) x.style.visibility = 'hidden'"
        )
        return np.asarray(Image.open(io.BytesIO(self.page.screenshot())).convert("RGB")).astype(int)

    def middle(self) -> str:
        """Name of the region in the middle of the picture."""
        pixel = self.picture()[HEIGHT // 2, WIDTH // 2]
        return min(COLORS, key=lambda name: np.abs(pixel - COLORS[name]).max())

    def middle_pixel(self) -> tuple[int, ...]:
        return tuple(map(int, self.picture()[HEIGHT // 2, WIDTH // 2]))

    def settles(self, **expected: object) -> None:
        """The page comes to rest at ``expected`` (numbers or ``approx``), as its address says soon after."""
        deadline = time.monotonic() + 5
        while True:
            found = re.findall(r"(\w+)=([-\d.]+)", self.page.evaluate("location.hash"))
            view = {key: float(value) for key, value in found if key in expected}
            if view == expected or time.monotonic() > deadline:
                break
            time.sleep(0.02)
        assert view == expected


@pytest.fixture
def viewer(browser, tmp_path: Path) -> Iterator[Callable[..., Viewer]]:
    """Opens a panorama; at the end the page must have been silent and alone."""
    opened: list[tuple[object, Viewer]] = []

    def show(panorama: Image.Image, fragment: str = "", motion: str = "reduce", init: str = "", **options) -> Viewer:
        write_viewer(panorama, tmp_path / "viewer.html", title="six <colours>", **options)
        size = {"width": WIDTH, "height": HEIGHT}
        context = browser.new_context(viewport=size, reduced_motion=motion, has_touch=True)
        viewer = Viewer(context.new_page(), tmp_path / "viewer.html")
        opened.append((context, viewer))
        viewer.page.on("console", lambda line: viewer.errors.append(line.text) if line.type == "error" else None)
        viewer.page.on("pageerror", lambda error: viewer.errors.append(str(error)))
        viewer.page.on("request", lambda request: viewer.requests.append(request.url))
        viewer.page.add_init_script(init)
        viewer.show(fragment)
        return viewer

    yield show
    for context, viewer in opened:
        assert viewer.errors == []
        assert [url for url in viewer.requests if not url.startswith(("file:", "data:", "about:"))] == []
        context.close()


def test_address_sets_the_view(viewer):
    opened = viewer(coloured(), "#yaw=180")
    assert opened.middle() == "back"
    expected = {
        "#yaw=90": "right",
        "#yaw=-90&pitch=20": "left",
        "#pitch=90": "up",
        "#yaw=30&pitch=-80&fov=40": "down",
        "#yaw=nonsense&pitch=1e999": "front",
    }
    seen = {}
    for fragment in expected:
        opened.page.evaluate(f"location.hash = '{fragment}'")
        opened.page.wait_for_timeout(50)
        seen[fragment] = opened.middle()
    assert seen == expected


def test_keys(viewer):
    opened = viewer(coloured())
    for _ in range(9):
        opened.page.keyboard.press("ArrowRight")
    opened.settles(yaw=90, pitch=0, fov=90)
    assert opened.middle() == "right"
    for key in ("ArrowLeft", "ArrowUp", "+"):
        opened.page.keyboard.press(key)
    opened.settles(yaw=80, pitch=10, fov=approx(90 / 1.15, abs=0.1))
    for key in ("ArrowDown", "-", "ArrowLeft"):
        opened.page.keyboard.press(key)
    opened.settles(yaw=70, pitch=approx(0, abs=2), fov=90)
    opened.page.keyboard.press("r")
    opened.settles(yaw=0, pitch=0, fov=90)


def test_drag_holds_the_scene(viewer):
    opened = viewer(coloured())
    mouse = opened.page.mouse
    mouse.move(WIDTH / 2, HEIGHT / 2)
    mouse.down()
    mouse.move(WIDTH / 2 - 100, HEIGHT / 2 + 50, steps=4)
    mouse.up()
    # Pulled left and down, the scene shows what was to the right and above. 480 pixels show 90 degrees.
    opened.settles(yaw=approx(23.9, abs=1), pitch=approx(11.9, abs=0.5), fov=90)


def test_wheel_zooms_and_stays_in_bounds(viewer):
    opened = viewer(coloured())
    opened.page.mouse.move(WIDTH / 2, HEIGHT / 2)
    opened.page.mouse.wheel(0, -200)
    opened.settles(fov=approx(66.7, abs=0.1))
    for _ in range(9):
        opened.page.mouse.wheel(0, 300)
    opened.settles(fov=120)


def test_touch_drags_and_pinches(viewer):
    opened = viewer(coloured())
    touch = opened.page.context.new_cdp_session(opened.page)

    def send(kind: str, *points: tuple[int, int]) -> None:
        fingers = [{"x": x, "y": y, "id": number} for number, (x, y) in enumerate(points)]
        touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": fingers})

    send("touchStart", (240, 150))
    send("touchMove", (140, 150))
    send("touchEnd")
    opened.settles(yaw=approx(23.9, abs=1))
    send("touchStart", (220, 150), (260, 150))
    send("touchMove", (200, 150), (280, 150))
    send("touchEnd")
    opened.settles(fov=approx(45, abs=1))


@pytest.mark.slow
def test_glides_after_a_throw_and_stops(viewer):
    opened = viewer(coloured(), motion="no-preference")
    mouse = opened.page.mouse
    mouse.move(300, 150)
    mouse.down()
    mouse.move(200, 150, steps=5)
    mouse.up()
    opened.settles(yaw=approx(75, abs=53))  # at least the 23.9 degrees of the hand
    opened.page.keyboard.press("r")
    opened.settles(yaw=0, pitch=0, fov=90)


@pytest.mark.parametrize(
    ("height", "yaw", "pitch", "fov"),
    [
        (256, 25.0, 10.0, 90.0),  # enlarged: the cubic filter
        (25, 180.0, 0.0, 60.0),  # across the wrap, no power of two, texels so large that half of one would show
        (250, 180.0, 0.0, 15.0),
        (1024, 179.65, 0.0, 110.0),  # reduced: the mipmaps, the wrap between two pixels that are shaded together
        (256, 40.0, 90.0, 80.0),  # the poles
        (256, 0.0, -88.0, 110.0),
    ],
)
def test_shows_what_the_geometry_says(viewer, height: int, yaw: float, pitch: float, fov: float):
    opened = viewer(smooth(height), f"#yaw={yaw}&pitch={pitch}&fov={fov}")
    camera = Camera(yaw_degrees=yaw, pitch_degrees=pitch, fov_degrees=fov, width=WIDTH, height=HEIGHT)
    pixels = torch.from_numpy(np.array(embedded(opened.path))).permute(2, 0, 1)[None].float()
    expected = (
        sample(pixels, pixel_positions(camera.pixel_directions(), height, 2 * height))[0].permute(1, 2, 0).numpy()
    )
    picture = opened.picture()
    assert np.abs(picture - expected).max() <= 3
    # A seam would stand in the middle column, or in the columns of a pole's spokes.
    assert np.abs(np.diff(picture, axis=1)).max() <= 5


def test_photo_frame(viewer):
    photo = Camera(yaw_degrees=90.0, pitch_degrees=10.0, roll_degrees=5.0, fov_degrees=50.0, width=400, height=300)
    opened = viewer(smooth(128), "#yaw=90&pitch=10&fov=90", photo_camera=photo)
    before = opened.picture()
    opened.page.keyboard.press("p")
    opened.page.wait_for_timeout(100)
    after = opened.picture()
    _, inside = photo.image_positions(Camera(90.0, 10.0, 0.0, 90.0, WIDTH, HEIGHT).pixel_directions())
    brighter, darker = (after - before).mean(-1) > 10, (after - before).mean(-1) < -10
    edge = torch.nn.functional.max_pool2d(inside[None].float(), 7, 1, 3)[0].bool().numpy()
    core = ~torch.nn.functional.max_pool2d((~inside)[None].float(), 7, 1, 3)[0].bool().numpy()
    assert darker[~edge].all()
    assert (after == before)[core].all()
    assert brighter[edge & ~core].any() and not brighter[core | ~edge].any()


def test_no_webgl_shows_the_flat_panorama(viewer):
    opened = viewer(coloured(), init="HTMLCanvasElement.prototype.getContext = () => null")
    assert opened.page.locator("html.flat").count() == 1
    assert "WebGL" in opened.page.locator("#message").inner_text()
    picture = opened.picture()
    assert np.abs(picture[HEIGHT // 2, 5] - COLORS["back"]).max() < 12
    opened.page.keyboard.press("ArrowRight")


def test_is_named_for_screen_readers(viewer):
    opened = viewer(coloured())
    canvas = opened.page.get_by_role("application")
    assert canvas.get_attribute("aria-label").startswith("six <colours>. Arrow keys")
    opened.page.keyboard.press("Tab")
    assert opened.page.evaluate("document.activeElement.id") == "view"
    assert opened.page.get_by_role("button", name="Reset the view").is_visible()
    assert opened.page.get_by_role("heading").inner_text() == "six <colours>"


def halves(left: int, right: int, height: int = 64) -> Image.Image:
    """Grey levels left and right of what lies ahead."""
    pixels = np.full((height, 2 * height, 3), right, np.uint8)
    pixels[:, :height] = left
    return Image.fromarray(pixels)


def test_the_exposure_of_light_is_chosen(viewer):
    """White that has three stops more light than another white outlasts it; what is not white follows the curve."""
    pixels = np.asarray(halves(255, 128)).copy()
    pixels[:, 16:32] = 255
    light = torch.full((3, 64, 128), 0.2158)
    light[..., :64], light[..., 16:32] = 1.0, 8.0
    opened = viewer(Image.fromarray(pixels), "#yaw=-112&fov=20", light=light)
    assert opened.page.is_visible("#exposure") and opened.middle_pixel() == approx((255, 255, 255), abs=1)
    for _ in range(8):
        opened.page.keyboard.press("[")
    opened.page.wait_for_timeout(100)
    assert opened.page.text_content("#stops") == "-4.0"
    assert opened.middle_pixel() == approx((188, 188, 188), abs=4), "half of white"
    for yaw, level in ((-30, 71), (90, 31)):  # 1/16 of white, and of grey
        opened.page.evaluate(f"location.hash = 'yaw={yaw}&fov=20'")
        opened.page.wait_for_timeout(100)
        assert opened.middle_pixel() == approx((level, level, level), abs=4)
    for _ in range(8):
        opened.page.keyboard.press("]")
    opened.page.wait_for_timeout(100)
    assert opened.page.text_content("#stops") == "0.0" and opened.middle_pixel() == approx((128, 128, 128), abs=2)


def test_without_light_there_is_no_exposure(viewer):
    opened = viewer(halves(200, 200))
    opened.page.keyboard.press("[")
    opened.page.wait_for_timeout(50)
    assert not opened.page.is_visible("#exposure") and opened.middle_pixel() == approx((200, 200, 200), abs=2)


def test_light_that_is_nowhere_white_has_an_exposure_too(viewer):
    opened = viewer(halves(128, 128), light=torch.full((3, 64, 128), 0.2158))
    for _ in range(4):
        opened.page.keyboard.press("[")
    opened.page.wait_for_timeout(100)
    assert opened.middle_pixel() == approx((63, 63, 63), abs=4)
