"""How well Ganorama follows words and photographs: classes that are picked, similarity, PSNR where a photograph looks.

python benchmarks/found_views.py [generator.finding.rate=0.2] [--model logs/gan/final] [--count 4] [--steps 0 10 30 100]

Prints a Markdown table. Without a ``--model``: how often the class whose name is nearest to a scene's caption is the
scene's kind, and how often it is among the four nearest, by the names of config/embedded/ganorama.yaml. With one, for
each number of steps: the objective, the similarity to captions and the PSNR of a view of 90 degrees,
at the start (of the best candidate) and after the steps, as means over ``--count`` scenes that no training has, and
over views that the generator itself makes of other seeds. It measures what the generator makes, before a photograph's
own pixels take their place.
"""

import argparse
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from aognet.system import threads  # noqa: E402

threads.settle()

from benchmarks.tables import table  # noqa: E402

CONFIG = ROOT / "config" / "embedded" / "ganorama.yaml"
FIRST_SCENE = 5_000_000
CAPTIONS = 8  # of each kind
ROWS = 256
PICKED = ("captions", "nearest", "among four")
FOLLOWED = ("what is followed", "steps", "objective", "after", "similarity", "after", "PSNR dB", "after", "s each")


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--model", type=Path, help="a generator's folder; without one only classes are picked")
    add("--count", type=int, default=4, help="of captions, scenes and own views (default: %(default)s)")
    add("--steps", type=int, nargs="+", default=[0, 10, 30, 100], help="numbers of steps (default: 0 10 30 100)")
    add("overrides", nargs="*", metavar="key=value", help="settings of config/inference_ganorama.yaml")
    options = parser.parse_intermixed_args(argv)
    from aognet import cli

    with cli.flags(options):
        sys.stdout.write(table(FOLLOWED, followed(options)) if options.model else table(PICKED, [picked()]))


def picked() -> list[object]:
    """How many captions there are, and the shares of them whose kind is nearest, and among the four nearest."""
    import torch

    from aognet.config import load_config
    from aognet.methods.ganorama.judging import load_networks
    from aognet.methods.ganorama.picking import nearest_classes, unit_texts
    from aognet.methods.ganorama.settings import FindingConfig

    names = load_config([CONFIG]).section("model").section("generator").values["class_names"][:-2]
    clip = load_networks(FindingConfig(), torch.device("cpu")).clip
    kinds = [number for number in range(len(names)) for _ in range(CAPTIONS)]
    captions = [caption_of(names[kind], place) for place, kind in enumerate(kinds)]
    ranks = (nearest_classes(clip, names, unit_texts(clip, captions)) == torch.tensor(kinds)[:, None]).int().argmax(1)
    return [len(captions), *(f"{float((ranks < most).float().mean()):.0%}" for most in (1, 4))]


def caption_of(kind: str, number: int) -> str:
    """The caption of a scene of a kind that no training has seen."""
    from aognet.scenes import describe_scene

    return describe_scene(FIRST_SCENE + number, kind).whole


def followed(options: argparse.Namespace) -> list[list[object]]:
    """The rows of the second table."""
    from aognet.config import load_config
    from aognet.errors import UserError
    from aognet.generate.inference import read_defaults
    from aognet.methods.ganorama.model import Ganorama
    from aognet.methods.method import find_method

    if options.count < 1:
        raise UserError("must be at least 1", key="count", value=options.count)
    model = Ganorama.from_pretrained(options.model).eval()
    loaded = load_config([ROOT / "config" / "inference_ganorama.yaml"], options.overrides)
    settings = read_defaults(loaded, find_method("ganorama")).settings
    rows = []
    for what, asked in wishes(model, settings, options.count).items():
        for steps in options.steps:
            chosen, began = replace(settings, finding=replace(settings.finding, steps=steps)), time.perf_counter()
            reports = [found(model, chosen, request, canvas) for request, canvas in asked]
            seconds = (time.perf_counter() - began) / len(asked)
            rows.append([what, steps, *means(reports), seconds])
    return rows


def wishes(model: Any, settings: Any, count: int) -> dict[str, list[tuple[Any, Any]]]:
    """Requests and canvases: captions, views of scenes, and views that the generator makes of other seeds."""
    import torch

    from aognet.canvas import Canvas
    from aognet.geometry.camera import Camera
    from aognet.geometry.perspective import look
    from aognet.geometry.view_sets import make_views
    from aognet.request import Request
    from aognet.scenes import make_scene

    camera = Camera(fov_degrees=90.0, width=ROWS // 2, height=ROWS // 2)

    def seen(panorama: Any) -> Canvas:
        return Canvas.empty(ROWS).paint(look(panorama[None] * 2 - 1, camera), camera)

    def own(number: int) -> Canvas:
        views = make_views(settings.view_set(model.config.generator.size))
        z, classes = model.drawn(Request(seed=1000 + number), replace(settings, share_class=True), views)
        with torch.no_grad():
            return seen(model.panorama(z, classes, ROWS, settings))

    scenes = [make_scene(FIRST_SCENE + number, ROWS) for number in range(count)]
    images = [torch.from_numpy(scene.image).permute(2, 0, 1) for scene in scenes]
    texts = [Request(scene.caption, seed=number) for number, scene in enumerate(scenes)]
    plain = [Request(seed=number) for number in range(count)]
    return {
        "captions of scenes": [(text, None) for text in texts],
        "views of scenes": [(one, seen(image)) for one, image in zip(plain, images, strict=True)],
        "both": [(text, seen(image)) for text, image in zip(texts, images, strict=True)],
        "views of its own": [(one, own(number)) for number, one in enumerate(plain)],
    }


def found(model: Any, settings: Any, request: Any, canvas: Any) -> dict[str, Any]:
    """What a search reports."""
    from aognet.geometry.view_sets import make_views
    from aognet.methods.ganorama.finding import find

    views = make_views(settings.view_set(model.config.generator.size))
    return find(model.space(request, settings, views, canvas), model.names).report


def means(reports: Sequence[dict[str, Any]]) -> Iterator[object]:
    """The means of what reports say, at the start and in the end."""
    for key in ("objective", "similarity", "psnr"):
        for end in ("start", "found"):
            told = [one[key][end] for one in reports if key in one]
            yield sum(told) / len(told) if told else "-"


if __name__ == "__main__":
    main()
