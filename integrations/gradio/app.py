"""A page for showing the models: a photograph, words, a method and a seed become a panorama to look around in.

``python integrations/gradio/app.py`` serves it on http://127.0.0.1:7861. It needs ``pip install gradio``.
"""

import argparse
import html
import logging
import shutil
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

try:
    import gradio as gr
except ModuleNotFoundError as error:
    if error.name != "gradio":
        raise
    sys.stderr.write("error: gradio is missing: pip install 'gradio>=6.31'\n")
    sys.exit(2)

from aognet import PanoramaPipeline  # noqa: E402
from aognet.errors import UserError  # noqa: E402
from aognet.installed import CONFIGS  # noqa: E402

METHODS = {
    "AOG-Net": CONFIGS / "inference_config.yaml",
    "CubeDiff": CONFIGS / "inference_embedded_cubediff.yaml",
    "Seamless": CONFIGS / "inference_seamless.yaml",
}
MAX_SEED = 2**31 - 1
MAX_PHOTO_BYTES = 2**26
KEPT_SECONDS = 3600  # of what visitors uploaded and painted
LOOK = '<iframe srcdoc="{page}" sandbox="allow-scripts" style="width: 100%; height: 60vh; border: 0"></iframe>'


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], allow_abbrev=False)
    add = parser.add_argument
    add("--model", action="append", default=[], metavar="NAME=YAML", help="a method on offer, as inference.py reads it")
    add("--host", default="127.0.0.1", help="where the page is served (default: this machine alone)")
    add("--port", type=int, default=7861)
    add("--share", action="store_true", help="ask Gradio for a public address")
    return parser.parse_args(arguments)


@cache
def pipeline(config: Path) -> PanoramaPipeline:
    """Return a method's pipeline, loaded once."""
    return PanoramaPipeline.from_pretrained(config=config)


def forget_old(place: Path) -> None:
    """Remove what was painted long ago; Gradio has copies of what is still shown."""
    for folder in place.iterdir():
        if folder.stat().st_mtime < time.time() - KEPT_SECONDS:
            shutil.rmtree(folder, ignore_errors=True)


def make_page(methods: Mapping[str, Path], place: Path) -> gr.Blocks:
    """Return the page. What it paints is kept in ``place`` for a while."""

    def paint(
        photo: str | None,
        fov: float,
        prompt: str,
        method: str,
        seed: float,
        progress: gr.Progress = gr.Progress(),  # noqa: B008 - this is how Gradio is told to pass it
    ) -> tuple[str, str]:
        """Return the panorama as HTML to look around in, and as a file."""
        try:
            output: Any = pipeline(methods[method])(
                prompt,
                photo,
                fov=float(fov),
                generator=int(seed),
                name="panorama",
                progress=lambda stage, done, total: progress((done, total), unit=stage),
            )
            forget_old(place)
            folder = Path(tempfile.mkdtemp(dir=place))
            for suffix in ("png", "html"):
                output.panoramas[0].save(folder / f"panorama.{suffix}")
        except UserError as error:
            raise gr.Error(str(error)) from error
        page = (folder / "panorama.html").read_text(encoding="utf-8")
        return LOOK.format(page=html.escape(page)), str(folder / "panorama.png")

    with gr.Blocks(title="360° panoramas", analytics_enabled=False, delete_cache=(KEPT_SECONDS, KEPT_SECONDS)) as page:
        gr.Markdown("# 360° panoramas\nA photograph, words, or both become a panorama of the whole sphere.")
        with gr.Row():
            with gr.Column(scale=1):
                photo = gr.Image(type="filepath", label="Photograph (may be left out)", sources=["upload", "clipboard"])
                fov = gr.Slider(10, 170, 75, step=1, label="Its horizontal field of view in degrees")
                prompt = gr.Textbox(label="Words", lines=2, max_length=1000)
                method = gr.Dropdown(list(methods), label="Method")
                seed = gr.Number(0, label="Seed", precision=0, minimum=0, maximum=MAX_SEED)
                button = gr.Button("Paint", variant="primary")
            with gr.Column(scale=2):
                shown, file = gr.HTML(label="Panorama"), gr.File(label="Panorama as a file")
        button.click(paint, [photo, fov, prompt, method, seed], [shown, file], api_name="paint", concurrency_limit=1)
    return page


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve the page until it is stopped."""
    options = parse(arguments)
    methods = dict(METHODS)
    if options.model:
        pairs: list[Any] = [text.partition("=") for text in options.model]
        methods = {name: Path(path) for name, _, path in pairs}
        for path in methods.values():
            if not path.is_file():
                logging.error("--model %s: no such file; give NAME=YAML", path)
                return 2
    with tempfile.TemporaryDirectory(prefix="panoramas-") as place:
        make_page(methods, Path(place)).queue(max_size=20).launch(
            server_name=options.host,
            server_port=options.port,
            share=options.share,
            max_file_size=MAX_PHOTO_BYTES,
            ssr_mode=False,
            quiet=True,
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
