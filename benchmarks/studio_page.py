"""How fast the studio's page appears, and how many frames a second it draws while one drags.

python benchmarks/studio_page.py [--gpu]

Starts the web process alone, opens the page in Chromium and prints a Markdown table: milliseconds until the first paint
and until the page can be used, and frames a second while a hand looks around and while it brushes on a panorama of
4096x2048. Without ``--gpu`` Chromium draws with the processor (SwiftShader), far slower than any graphics card.
"""

import argparse
import io
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from aognet.system import threads  # noqa: E402

threads.settle()

from benchmarks.tables import table  # noqa: E402

SCREENS = {"desktop": (1280, 800), "phone": (390, 844)}
COMMON = "--headless --no-sandbox --no-first-run --disable-background-networking"
SOFTWARE = "--use-gl=angle --use-angle=swiftshader"
SECONDS = 4.0
COUNT = """
  window.frames_drawn = 0;
  const draw = WebGL2RenderingContext.prototype.drawArrays;
  WebGL2RenderingContext.prototype.drawArrays = function (mode, ...rest) {
    if (mode === this.TRIANGLES) window.frames_drawn++;
    return draw.call(this, mode, ...rest);
  };
"""
COLUMNS = ("screen", "first paint, ms", "usable, ms", "kB", "look around, frames/s", "brush, frames/s")


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--gpu", action="store_true", help="draw with the graphics card")
    options = parser.parse_args(argv)
    from playwright.sync_api import sync_playwright

    program = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    flags = f"{COMMON} {'' if options.gpu else SOFTWARE}".split()
    with web_process() as address, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=flags)
        rows = [(name, *measured(browser, address, size)) for name, size in SCREENS.items()]
        browser.close()
    sys.stdout.write(table(COLUMNS, rows))


@contextmanager
def web_process() -> Iterator[str]:
    """The address of a web process, which ends with the context."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "aognet", "studio", "web", f"folder={folder}/studio", "port=0"]
        process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.DEVNULL)
        address = Path(folder) / "studio" / "address"
        try:
            while not address.exists() or not address.read_text().strip():
                if process.poll() is not None:
                    raise RuntimeError(f"the web process ended with {process.returncode}")
                time.sleep(0.1)
            yield address.read_text().strip()
        finally:
            process.terminate()
            process.wait(30)


def measured(browser: Any, address: str, size: tuple[int, int]) -> tuple[float, ...]:
    """First paint, usable, kilobytes, frames a second while looking around and while brushing."""
    context = browser.new_context(viewport={"width": size[0], "height": size[1]})
    page = context.new_page()
    page.add_init_script(COUNT)
    page.goto(address)
    page.locator("#model option").first.wait_for(state="attached")
    usable = page.evaluate("performance.now()")
    paint = page.evaluate("performance.getEntriesByName('first-contentful-paint')[0].startTime")
    loaded = page.evaluate(
        "performance.getEntriesByType('resource').reduce((sum, one) => sum + one.encodedBodySize, 0)"
    )
    page.set_input_files("#files", ROOT / "assets" / "demo" / "village.jpg")
    page.locator("#photos .pose:not([hidden])").wait_for()
    looking = frames(page, lambda share: (0.3 + 0.4 * share, 0.93))  # below the photograph
    page.locator("#photos button[title]").first.click()
    page.set_input_files("#files", {"name": "a.png", "mimeType": "image/png", "buffer": panorama()})
    page.locator("#base:visible").wait_for(timeout=60_000)
    brushing = frames(page, lambda share: (0.2 + 0.6 * share, 0.3 + 0.4 * share))
    context.close()
    return paint, usable, loaded / 1000, looking, brushing


def frames(page: Any, place: Callable[[float], tuple[float, float]]) -> float:
    """Frames a second while the mouse drags along a path of shares of the sphere's width and height, to and fro."""
    box = page.locator("#sphere").bounding_box()

    def move(share: float) -> None:
        across, down = place(share)
        page.mouse.move(box["x"] + across * box["width"], box["y"] + down * box["height"])

    move(0)
    page.mouse.down()
    begun, before = time.perf_counter(), page.evaluate("frames_drawn")
    while (seconds := time.perf_counter() - begun) < SECONDS:
        move(abs((seconds / 1.5) % 2 - 1))
    count = page.evaluate("frames_drawn") - before
    page.mouse.up()
    return count / seconds


def panorama() -> bytes:
    """A PNG file of 4096x2048 pixels."""
    from PIL import Image

    buffer = io.BytesIO()
    Image.linear_gradient("L").resize((4096, 2048)).convert("RGB").save(buffer, "PNG")
    return buffer.getvalue()


if __name__ == "__main__":
    main()
