"""The page: self-contained as text, in two languages, and true to the geometry in a real browser."""

import io
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pytest
import torch
from PIL import Image

from aognet.geometry.camera import Camera
from aognet.geometry.sphere import pixel_directions, pixel_positions, rotation, sample
from aognet.geometry.strokes import BrushStroke, stroke_mask
from aognet.io.hdr import read_radiance
from aognet.io.panorama_files import write_image

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "aognet" / "studio" / "page"
LOOK = ROOT / "aognet" / "io" / "look.js"
SCRIPTS = sorted(PAGE.glob("*.js"))
LANGUAGES = ("en", "zh")
ORIGIN = "http://studio.test"
TYPES = {".js": "text/javascript", ".css": "text/css", ".html": "text/html", ".svg": "image/svg+xml"}
MODEL = {
    "name": "small", "title": "Small", "method": "aognet", "height": 256, "takes": ["prompts_at"], "paints_views": True,
    "settings": {
        "properties": {"sampler": {"$ref": "#/$defs/Sampler"}, "feather": {"type": "number", "default": 0.2}},
        "$defs": {"Sampler": {"properties": {
            "steps": {"type": "integer", "default": 32, "minimum": 1},
            "scheduler": {"enum": ["pndm", "ddim"], "default": "ddim", "type": "string"},
            "eta": {"anyOf": [{"type": "number"}, {"type": "null"}], "default": None},
            "timesteps": {"type": "array", "default": []},
        }}},
    },
}  # fmt: skip


def text_of(path: Path) -> str:
    return path.read_text(encoding="utf-8")


# ---------------------------------------------------------------------------------------------------------- as text


def test_the_page_refers_to_nothing_outside_and_runs_no_text():
    for path in [*SCRIPTS, LOOK, *PAGE.glob("*.css"), *PAGE.glob("*.html")]:
        foreign = set(re.findall(r"https?://[\w./-]+", text_of(path))) - {"http://www.w3.org/2000/svg"}
        assert not foreign, path.name
        assert not re.search(r"innerHTML|outerHTML|insertAdjacent|\beval\b|new Function|document\.write", text_of(path))
    assert "default-src 'none'; script-src 'self'; style-src 'self'" in text_of(PAGE / "index.html")
    assert not re.search(r"\son\w+=|\sstyle=|<script>", text_of(PAGE / "index.html")), "the policy would block these"


def test_scripts_have_about_350_lines_at_most():
    assert {path.name: len(text_of(path).split("\n")) for path in SCRIPTS if len(text_of(path).split("\n")) > 350} == {}


def named_texts() -> set[str]:
    """The keys of texts that the page names as such."""
    found = set(re.findall(r'data-t(?:-[\w-]+)?="([^"]+)"', text_of(PAGE / "index.html")))
    scripts = "\n".join(map(text_of, SCRIPTS))
    for call in re.findall(r"\bt\(([^`]*?)[,)]", scripts):  # t("key", and t(condition ? "one" : "other",
        found |= set(re.findall(r'"([^"]+)"', call.rpartition("===")[2]))
    return found


# Keys that are put together from a name, and what is there for names that the service gives.
COMPOSED = re.compile(r"(pose|state|key|preset|setting)\.")


def test_both_languages_say_everything():
    english, chinese = (json.loads(text_of(PAGE / "locales" / f"{name}.json")) for name in LANGUAGES)
    assert english.keys() == chinese.keys()
    for key in english:
        assert set(re.findall(r"\{\w+\}", english[key])) == set(re.findall(r"\{\w+\}", chinese[key])), key
        assert chinese[key].strip() and english[key].strip()
    said = {key if key == "language.other" else re.sub(r"\.(one|other)$", "", key) for key in english}
    assert named_texts() <= said
    quoted = "\n".join(map(text_of, [PAGE / "index.html", *SCRIPTS]))
    assert not {key for key in said if not COMPOSED.match(key) and f'"{key}"' not in quoted} - {
        *("ahead", "right", "behind"),  # directions, named as properties
    }


# ------------------------------------------------------------------------------------------------------- in a browser


def answer(route) -> None:
    """What the service would say, as far as these tests ask: files, the models, and one photograph."""
    path = urlsplit(route.request.url).path
    if path == "/api/v1/models":
        return route.fulfill(json=[MODEL])
    if path == "/api/v1/plan":
        return route.fulfill(json={"views": 3, "seconds_estimate": None})
    if path == "/bare.html":  # the elements of the page, without what brings them to life
        content = text_of(PAGE / "index.html").replace('<script type="module" src="main.js"></script>', "")
        return route.fulfill(body=content, content_type="text/html")
    file = LOOK if path == "/look.js" else PAGE / (path.lstrip("/") or "index.html")
    if not file.is_file():
        return route.fulfill(status=404, json={"title": "Not found", "status": 404, "detail": "not found"})
    return route.fulfill(body=file.read_bytes(), content_type=TYPES.get(file.suffix, "application/json"))


@pytest.fixture
def opened(browser) -> Iterator[Callable]:
    """Opens the page; at the end it must have been silent."""
    contexts, errors = [], []

    def show(width: int = 860, height: int = 320, bare: bool = False, **options):
        options = {"reduced_motion": "reduce", "locale": "en-GB", **options}
        context = browser.new_context(viewport={"width": width, "height": height}, **options)
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda line: errors.append(line.text) if line.type == "error" else None)
        page.on("pageerror", lambda error: errors.append(f"{error}\n{error.stack}"))
        page.route("**/*", answer)
        page.goto(f"{ORIGIN}/bare.html" if bare else f"{ORIGIN}/")
        page.wait_for_selector("html" if bare else "html.ready")
        return page

    yield show
    for context in contexts:
        context.close()
    assert errors == []


def run(page, script: str, *given):
    """Run a module's code in the page. `load` imports the page's modules."""
    return page.evaluate(f"async (given) => {{ const load = (name) => import(`/${{name}}.js`); {script} }}", given)


def picture(page) -> np.ndarray:
    """What the sphere's canvas shows, without what lies over it."""
    page.evaluate("""
      for (const x of document.querySelectorAll("#stage > :not(canvas)")) x.style.visibility = "hidden";
      document.getElementById("stage").style.borderRadius = "0";
    """)
    return np.asarray(Image.open(io.BytesIO(page.locator("#sphere").screenshot())).convert("RGB")).astype(int)


def smooth(height: int, width: int) -> Image.Image:
    rows, columns = np.mgrid[:height, :width]
    return Image.fromarray(np.stack([columns * 255 // width, rows * 255 // height, 0 * rows + 60], -1).astype(np.uint8))


SCENE = """
  const [{ Stage }] = await Promise.all([load("stage")]);
  const canvas = document.getElementById("sphere");
  const stage = new Stage();
"""


def test_a_photograph_lies_where_its_camera_looked(opened):
    """The sphere shows at each pixel what our geometry finds in the photograph."""
    page = opened(bare=True)
    camera = Camera(yaw_degrees=20.0, pitch_degrees=10.0, roll_degrees=15.0, fov_degrees=70.0, width=300, height=200)
    photo = smooth(200, 300)
    data = list(np.dstack([np.asarray(photo), np.full((200, 300), 255, np.uint8)]).flatten().tolist())
    box = run(page, SCENE + """
      const [data] = given;
      const image = await createImageBitmap(new ImageData(new Uint8ClampedArray(data), 300, 200));
      stage.gaze.view = { ...stage.gaze.view, yaw: 5, pitch: 5, fov: 80 };
      stage.gaze.goal = { ...stage.gaze.view };
      stage.lay({ image, yaw: 20, pitch: 10, roll: 15, fov: 70, width: 300, height: 200 });
      await new Promise((go) => setTimeout(go, 300));
      return [canvas.clientWidth, canvas.clientHeight];
    """, data)  # fmt: skip
    seen = picture(page)
    assert list(seen.shape[1::-1]) == box
    screen = Camera(yaw_degrees=5.0, pitch_degrees=5.0, fov_degrees=80.0, width=box[0], height=box[1])
    places, inside = camera.image_positions(screen.pixel_directions())
    core = ~torch.nn.functional.max_pool2d((~inside)[None].float(), 7, 1, 3)[0].bool().numpy()
    columns, rows = places.numpy()[core].T
    expected = np.stack([(columns + 0.5) * 255 / 300 - 0.5, (rows + 0.5) * 255 / 200 - 0.5], -1)
    assert core.sum() > 10_000 and np.abs(seen[core][:, :2] - expected).max() <= 3
    outside = torch.nn.functional.max_pool2d(inside[None].float(), 7, 1, 3)[0].bool().numpy()
    assert (np.ptp(seen[~outside], axis=-1) < 12).all(), "elsewhere is the empty sphere, which is grey"


def test_masks_are_the_services_masks(opened):
    """The page and the service draw the same masks of the same strokes."""
    random = np.random.default_rng(0)

    def path(count: int) -> list[list[float]]:
        start = [random.uniform(-180, 180), np.degrees(np.arcsin(random.uniform(-1, 1)))]
        steps = random.normal(0, 15, (count, 2))
        points = (np.cumsum(steps, 0) + start).tolist()
        return [[round(yaw, 2), round(float(np.clip(pitch, -90, 90)), 2)] for yaw, pitch in points]

    strokes = [
        {
            "radius_degrees": float(random.uniform(1, 40)),
            "points": path(random.integers(1, 8)),
            "erase": bool(k % 4 == 3),
        }
        for k in range(40)
    ]
    odd = [
        [[180, 0], [-180, 0]], [[0, 90], [50, 90]], [[0, 0], [180, 0]], [[10, 80], [-170, 80]], [[5, 5], [5, 5]],
        [[179, -3], [-179, 4], [-170, -89.99]],
    ]  # fmt: skip
    cases = [strokes[k : k + 8] for k in range(0, 40, 8)]
    cases += [
        [{"radius_degrees": radius, "points": points, "erase": False}] for points in odd for radius in (9, 95, 180)
    ]
    page = opened(bare=True)
    script = """
      const { rasterise } = await load("strokes");
      return given[0].map((strokes) => [...rasterise(strokes, 64).pixels].map((x) => x ? "1" : "0").join(""));
    """
    for case, pixels in zip(cases, run(page, script, cases), strict=True):
        ours = stroke_mask(
            [
                BrushStroke(float(s["radius_degrees"]), [(float(a), float(b)) for a, b in s["points"]], s["erase"])
                for s in case
            ],
            64,
        ).numpy()
        theirs = np.array([pixel == "1" for pixel in pixels]).reshape(64, 128)
        # A pixel's centre may lie on an edge but for rounding.
        assert (ours != theirs).sum() <= 1, json.dumps(case)
        assert ours.any() or any(s["erase"] for s in case)


@pytest.mark.slow
def test_what_moves_is_coarser_on_a_slow_computer_and_what_rests_is_sharp(opened):
    page = opened()
    page.evaluate("let time = performance.now(); performance.now = () => time += 500")  # every picture comes late

    def width_of() -> int:
        return page.evaluate("document.getElementById('sphere').width")

    width, box = width_of(), page.locator("#sphere").bounding_box()
    page.mouse.move(box["x"] + 200, box["y"] + 100)
    page.mouse.down()
    for step in range(100):
        page.mouse.move(box["x"] + 200 + step, box["y"] + 120)
        if width_of() < 0.6 * width:
            break
    assert width / 4 <= width_of() < 0.6 * width
    page.mouse.up()
    page.wait_for_timeout(300)
    assert width_of() == width


@pytest.mark.slow
def test_a_panorama_and_what_it_was_before_are_shown_side_by_side(opened):
    page = opened(bare=True)
    vectors = pixel_directions(128, 256).numpy()
    after = (vectors * 100 + 128).round().astype(np.uint8)
    data = np.dstack([after, np.full((128, 256), 255, np.uint8)]).flatten().tolist()
    run(page, SCENE + """
      const make = (change) => createImageBitmap(new ImageData(new Uint8ClampedArray(given[0].map(change)), 256, 128));
      stage.show(await make((x) => x));
      stage.compare(await make((x, i) => i % 4 < 3 ? 255 - x : x));
      stage.gaze.view = { ...stage.gaze.view, yaw: 170, fov: 90, split: 0.25 };
      stage.gaze.goal = { ...stage.gaze.view };
      stage.redraw();
      await new Promise((go) => setTimeout(go, 300));
    """, data)  # fmt: skip
    seen = picture(page)
    height, width = seen.shape[:2]
    camera = Camera(yaw_degrees=170.0, fov_degrees=90.0, width=width, height=height)
    pixels = torch.from_numpy(after.copy()).permute(2, 0, 1)[None].float()
    expected = sample(pixels, pixel_positions(camera.pixel_directions(), 128, 256))[0].permute(1, 2, 0).numpy()
    edge = width // 4
    assert np.abs(seen[:, edge + 2 :] - expected[:, edge + 2 :]).max() <= 3
    assert np.abs(seen[:, : edge - 2] - (255 - expected[:, : edge - 2])).max() <= 3


@pytest.mark.slow
def test_a_phone_looks_where_its_back_points(opened):
    """Our camera's rotation, from what the phone's axes are by the standard: Z-X'-Y'' from earth (east, north, up)."""
    angles = [(0, 90, 0, 0), (30, 80, 10, 0), (200, 60, -40, 90), (310, 100, 20, 270), (120, 45, 70, 180)]
    page = opened(bare=True)
    found = run(
        page, "const { gazeOf } = await load('gyroscope'); return given[0].map((one) => gazeOf(...one));", angles
    )
    for (alpha, beta, gamma, turn), gaze in zip(angles, found, strict=True):
        a, b, g, s = np.radians([alpha, beta, gamma, turn])
        z = np.array([[np.cos(a), -np.sin(a), 0], [np.sin(a), np.cos(a), 0], [0, 0, 1]])
        x = np.array([[1, 0, 0], [0, np.cos(b), -np.sin(b)], [0, np.sin(b), np.cos(b)]])
        y = np.array([[np.cos(g), 0, np.sin(g)], [0, 1, 0], [-np.sin(g), 0, np.cos(g)]])
        shown = np.array([[np.cos(s), np.sin(s), 0], [-np.sin(s), np.cos(s), 0], [0, 0, 1]])
        right, up, out = (z @ x @ y @ shown).T
        # Earth (east, north, up) is ours (x, z, y); the camera looks out of the phone's back.
        axes = np.stack([v[[0, 2, 1]] for v in (right, up, -out)], axis=1)
        ours = rotation(float(gaze["yaw"]), float(gaze["pitch"]), float(gaze["roll"])).numpy()
        assert np.abs(axes - ours).max() < 1e-6


@pytest.mark.slow
def test_an_eye_of_a_headset_sees_what_its_matrices_say(opened):
    """A point that the sphere draws at a place of the screen is projected there by the headset's own matrices."""
    left, right, top, bottom = -1.1, 0.9, 1.0, -0.8  # tangents, as headsets have them: not symmetric
    projection = np.array([
        [2 / (right - left), 0, (right + left) / (right - left), 0],
        [0, 2 / (top - bottom), (top + bottom) / (top - bottom), 0],
        [0, 0, -1.0, -0.2],
        [0, 0, -1, 0],
    ])  # fmt: skip
    turn = rotation(40.0, 20.0, 10.0).numpy()
    flip = np.diag([1.0, 1.0, -1.0])
    transform = np.eye(4)
    transform[:3, :3] = flip @ turn @ flip
    page = opened(bare=True)
    given = [projection.T.flatten().tolist(), transform.T.flatten().tolist()]
    eye = run(page, "const { eyeOf } = await load('headset'); return eyeOf(...given);", *given)
    place = np.array([[0.3, -0.6], [-1, 1], [0, 0]])
    rays = np.concatenate([place * eye["tangents"] + eye["shift"], np.ones((3, 1))], axis=1)
    world = rays @ np.array(eye["matrix"]).reshape(3, 3).T @ flip  # in axes of WebXR
    camera = np.concatenate([world, np.zeros((3, 1))], axis=1) @ transform  # its inverse is its transpose
    clip = np.concatenate([camera[:, :3], np.ones((3, 1))], axis=1) @ projection.T
    assert np.abs(clip[:, :2] / clip[:, 3:] - place).max() < 1e-9


@pytest.mark.slow
def test_light_is_read_as_the_program_reads_it(opened, tmp_path: Path):
    light = torch.rand(3, 16, 32, generator=torch.Generator().manual_seed(0)) * torch.logspace(-5, 4, 32)
    write_image(light, tmp_path / "light.hdr")
    page = opened(bare=True)
    data = list((tmp_path / "light.hdr").read_bytes())
    read = run(page, """
      const { halfFloats } = await load("radiance");
      const { width, height, data } = halfFloats(new Uint8Array(given[0]).buffer);
      return { width, height, data: [...data] };
    """, data)  # fmt: skip
    assert (read["width"], read["height"]) == (32, 16)
    found = np.array(read["data"], np.uint16).view(np.float16).astype(np.float32).reshape(16, 32, 4)
    expected = read_radiance(tmp_path / "light.hdr", 1000)
    assert (found[..., 3] == 1).all() and expected.max() > 1000
    assert (np.abs(found[..., :3] - expected) <= expected / 2048 + 2**-25).all(), "the nearest half floats"


@pytest.mark.slow
@pytest.mark.parametrize("stops", [0, -3, 2])
def test_light_is_shown_with_an_exposure(opened, stops: int):
    """By Narkowicz's fit of ACES, then sRGB; light beyond white keeps its colour."""
    light = np.array([0.5, 4.0, 0.05])
    page = opened(bare=True)
    run(page, SCENE + """
      const { toHalf } = await load("radiance");
      const data = Uint16Array.from({ length: 4 * 32 }, (_, i) => toHalf([...given[0], 1][i % 4]));
      stage.show({ width: 8, height: 4, data });
      stage.gaze.move({ exposure: given[1] });
      await new Promise((go) => setTimeout(go, 300));
    """, light.tolist(), stops)  # fmt: skip
    x = light * 2.0**stops * 0.8
    mapped = np.clip(x * (2.51 * x + 0.03) / (x * (2.43 * x + 0.59) + 0.14), 0, 1)
    display = np.where(mapped > 0.0031308, 1.055 * mapped ** (1 / 2.4) - 0.055, 12.92 * mapped)
    assert np.abs(picture(page) - 255 * display).max() <= 2


def test_settings_ask_only_for_what_was_changed(opened):
    page = opened(height=900)
    page.locator("#more summary").first.click()
    page.locator("#method-settings summary").click()
    page.get_by_label("Steps").fill("8")
    page.get_by_label("Scheduler").select_option(label="pndm")
    page.get_by_label("Eta").fill("0.5")
    bodies = []
    page.on("request", lambda request: bodies.append(request.post_data_json) if "plan" in request.url else None)
    with page.expect_response("**/plan"):
        page.get_by_label("What is around you?").fill("a lake")
    assert bodies[-1]["settings"] == {"sampler": {"steps": 8, "scheduler": "pndm", "eta": 0.5}}
    assert bodies[-1]["prompt"] == "a lake" and bodies[-1]["height"] == 256 and bodies[-1]["photos"] == []
    page.get_by_label("Scheduler").select_option(label="ddim")
    page.get_by_label("Eta").fill("")
    with page.expect_response("**/plan"):
        page.get_by_label("Steps").fill("32")
    assert bodies[-1]["settings"] == {}
    page.get_by_text("3 views to paint").wait_for()


@pytest.mark.slow
def test_words_are_pinned_to_directions_by_hand_and_by_key(opened):
    page = opened(width=1000, height=800)
    page.get_by_role("button", name="Words for one direction").click()
    box = page.locator("#sphere").bounding_box()
    page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.keyboard.type("a red barn")
    page.get_by_role("button", name="Words for one direction").click()
    for _ in range(9):
        page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    bodies = []
    page.on("request", lambda request: bodies.append(request.post_data_json) if "plan" in request.url else None)
    page.keyboard.type("a lake")
    with page.expect_response("**/plan"):
        page.get_by_label("What is around you?").fill("a meadow")
    first, second = bodies[-1]["prompts_at"]
    assert first["text"] == "a red barn" and second["text"] == "a lake"
    assert abs(first["yaw"]) < 0.5 and abs(first["pitch"]) < 0.5 and 85 < second["yaw"] <= 90


@pytest.mark.slow
def test_the_language_is_the_readers_and_can_be_changed(opened):
    page = opened(locale="zh-CN")
    assert page.get_by_role("heading", level=1).inner_text() == "制作全景图"
    page.locator("#language").click()
    page.get_by_role("heading", name="Make a panorama").wait_for()
    assert page.evaluate("document.documentElement.lang") == "en"
    page.reload()
    page.get_by_role("heading", name="Make a panorama").wait_for()
