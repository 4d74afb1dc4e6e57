"""Painting view by view in linear light: nothing is rounded to 256 levels or cut at white on its way."""

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from aognet.canvas import Canvas, MaskedView, join
from aognet.diffusion.inpaint import ViewToPaint
from aognet.errors import UserError
from aognet.generate.outpaint import Outpaint
from aognet.generate.pixels import read_canvas, write_canvas
from aognet.generate.run import Run
from aognet.generate.showing import show_canvas
from aognet.generate.start import read_start
from aognet.generate.view_journal import open_views
from aognet.geometry.camera import Camera
from aognet.io.hdr import read_radiance
from aognet.io.images import save_image
from aognet.io.panorama_files import write_panorama
from aognet.methods.outpainter import OutpaintSettings
from aognet.request import DirectedPrompt, Photo, Pose, Request
from tests.generate.painter import QUIET, SETTINGS, Painter, begin, smooth_photo

SUN = 5000.0
PHOTO = Camera(fov_degrees=80.0, width=80, height=60)


class LightPainter(Painter):
    """Paints light, with suns."""

    def outpaint(
        self, views: Sequence[ViewToPaint], seen: MaskedView, settings: OutpaintSettings,
        progress: Callable[[int, int], None] | None = None,
    ) -> Tensor:  # fmt: skip
        assert seen.image.min() >= 0 and all(view.canvas.encoding == "linear" for view in views)
        return super().outpaint(views, seen, settings, progress).add(2).pow(7).where(seen.image < 1e9, 0.0)


def outpaint(stop_at: int | None = None) -> Outpaint:
    return Outpaint(LightPainter(stop_at), SETTINGS, torch.device("cpu"))


def light_photo() -> Tensor:
    photo = (smooth_photo() + 1) / 2
    photo[:, 5:9, 5:9] = SUN
    return photo


@pytest.fixture
def start() -> Canvas:
    return Canvas.empty(64, encoding="linear").paint(light_photo()[None], PHOTO)


def test_what_is_painted_is_what_its_files_keep(tmp_path: Path, start: Canvas) -> None:
    journal = begin(tmp_path / "run", start.copy())
    canvas = outpaint().paint([Run(journal, start.copy())], QUIET)[0]
    assert canvas.encoding == "linear" and canvas.unknown_pixels == 0
    assert torch.equal(canvas.image * start.known, start.image) and canvas.image.max() > 0.5 * SUN
    again = open_views(tmp_path / "run")
    assert again.encoding == "linear" and torch.equal(again.canvas().pixels, canvas.pixels)
    assert {path.suffix for path in (tmp_path / "run" / "steps").iterdir()} == {".exr"}
    assert len(canvas.image.unique()) > 3 * 256
    show_canvas(again, canvas)
    assert np.array_equal(read_radiance(tmp_path / "run" / "result.exr", 10**6), canvas.image[0].permute(1, 2, 0))


def test_stopped_undone_and_repainted_it_comes_to_the_same_light(tmp_path: Path, start: Canvas) -> None:
    whole = outpaint().paint([Run(begin(tmp_path / "whole", start.copy()))], QUIET)[0]
    journal = begin(tmp_path / "run", start.copy())
    with pytest.raises(KeyboardInterrupt):
        outpaint(3).paint([Run(journal)], QUIET)
    journal = open_views(tmp_path / "run")
    assert len(journal.entries) == 3
    assert torch.equal(outpaint().paint([Run(journal)], QUIET)[0].pixels, whole.pixels)
    journal.finished = True
    repainted = outpaint().repaint(journal, DirectedPrompt(150.0, 10.0, "a door"), QUIET)
    assert not torch.equal(repainted.pixels, whole.pixels) and repainted.unknown_pixels == 0
    assert torch.equal(open_views(tmp_path / "run").undo(1).pixels, whole.pixels)


@pytest.mark.parametrize("known", [0.0, 0.4, 1.0])
def test_a_canvas_of_light_comes_back_from_its_file(tmp_path: Path, known: float) -> None:
    source = torch.Generator().manual_seed(1)
    light = torch.rand(1, 3, 16, 32, generator=source) ** 8 * SUN
    canvas = Canvas.of(light, torch.rand(1, 1, 16, 32, generator=source) < known, "linear")
    write_canvas(canvas, tmp_path / "a.exr")
    again = read_canvas(tmp_path / "a.exr", "linear")
    assert torch.equal(again.known, canvas.known) and torch.equal(again.image, canvas.image)


def test_a_truncated_file_is_named(tmp_path: Path, start: Canvas) -> None:
    journal = begin(tmp_path / "run", start)
    path = tmp_path / "run" / "input.exr"
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(UserError, match="input.exr"):
        journal.start()


def test_inputs_are_read_as_light(tmp_path: Path) -> None:
    """Files of light keep theirs; pictures become light by the curve of sRGB, grey 0.5 is 0.2140 of white."""
    light = torch.full((3, 32, 64), 0.5)
    light[:, 10:14, 30:34] = SUN
    write_panorama(light, tmp_path / "sun.exr", "linear")
    given = read_start(Request(truth=str(tmp_path / "sun.exr"), pose=Pose(fov=120.0)), 32, "linear")
    assert given.truth.image.max() == SUN and given.canvas.image.max() == SUN
    assert torch.equal(given.canvas.image, given.truth.image * given.canvas.known)
    save_image(torch.zeros(3, 30, 40), tmp_path / "grey.png")
    grey = read_start(Request(photos=[Photo(image=str(tmp_path / "grey.png"), fov=80.0)]), 32, "linear").canvas
    values = grey.image[grey.known.expand(-1, 3, -1, -1)]
    assert torch.allclose(values, torch.tensor(0.2158), atol=2e-3)  # of level 128


def test_joining_cuts_nothing_at_white(start: Canvas) -> None:
    view = torch.full((1, 3, 32, 32), 300.0)
    seen = MaskedView(torch.zeros(1, 3, 32, 32), torch.zeros(1, 1, 32, 32, dtype=torch.bool))
    assert torch.equal(join(view, seen, 0.1, "linear"), view)
    half = replace(seen, known=(torch.arange(32) < 16).expand(1, 1, 32, 32))
    joined = join(view, replace(half, image=half.known.expand(-1, 3, -1, -1) * 0.01), 0.1, "linear")
    assert joined.min() >= 0 and joined[..., -1].min() > 200


def test_the_journal_says_which_encoding(tmp_path: Path, start: Canvas) -> None:
    begin(tmp_path / "run", start)
    content = json.loads((tmp_path / "run" / "run.json").read_text())
    assert content["encoding"] == "linear" and content["outputs"][-1].endswith(".exr")
