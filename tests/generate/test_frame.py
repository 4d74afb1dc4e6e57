"""A photograph may lie anywhere round about: what is painted turns with it, as the panorama it belongs to does."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from aognet.canvas import Canvas
from aognet.diffusion.backbone import BackboneConfig
from aognet.diffusion.inpaint import frame_yaw
from aognet.diffusion.sampling.sampler import SamplerConfig
from aognet.generate import outpaint
from aognet.generate.outpaint import Outpaint, planned
from aognet.generate.run import Run
from aognet.generate.view_journal import ViewJournal, open_views
from aognet.geometry.camera import Camera
from aognet.geometry.plans import PlanConfig
from aognet.methods.aognet.settings import Settings
from aognet.methods.cubediff.model import CubeDiff
from aognet.methods.outpainter import OutpaintSettings
from aognet.methods.pretrained import load_method
from aognet.request import DirectedPrompt, Request
from tests.generate.painter import QUIET, begin, smooth_photo
from tests.slow import rest_slow

HEIGHT, COLUMNS = 64, 27
TURN = COLUMNS * 180 / HEIGHT
PHOTO = Camera(pitch_degrees=8.0, fov_degrees=80.0, width=80, height=60)
CONFIGS = {
    "aognet": Settings(PlanConfig(size=32), SamplerConfig(steps=1), face_size=16),
    "cubediff": OutpaintSettings(PlanConfig(kind="cube", fov_degrees=95.0, size=32), SamplerConfig(steps=1)),
}


@pytest.fixture(scope="module", params=rest_slow(CONFIGS))
def painter(request: pytest.FixtureRequest, streams_folder: Path, sd2_folder: Path) -> Outpaint:
    if request.param == "aognet":
        model = load_method(str(streams_folder)).eval()
    else:
        model = CubeDiff(CubeDiff.Config(backbone=BackboneConfig(str(sd2_folder)))).eval()
        torch.nn.init.normal_(model.backbone.denoiser.unet.conv_in.added.weight, std=0.1)
    return Outpaint(model, CONFIGS[request.param], torch.device("cpu"))


def painted(painter: Outpaint, folder: Path, start: Canvas, yaw: float, camera: Camera | None = PHOTO) -> Canvas:
    directed = [DirectedPrompt(90.0 + yaw, 0.0, "a barn")]
    turned = camera and replace(camera, yaw_degrees=yaw)
    return painter.paint([Run(begin(folder, start, camera=turned, prompts_at=directed, name=""))], QUIET)[0]


def apart(canvas: Canvas, turned: Canvas) -> Tensor:
    """Levels of 255 between what was painted and what was painted elsewhere, turned back."""
    assert canvas.unknown_pixels == turned.unknown_pixels == 0
    return (canvas.image - turned.image.roll(-COLUMNS, -1)).abs() * 127.5


def test_what_is_painted_turns_with_the_photograph(painter: Outpaint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    start = Canvas.empty(HEIGHT).paint(smooth_photo()[None], PHOTO)
    turned = Canvas(start.pixels.roll(COLUMNS, -1))
    ahead = painted(painter, tmp_path / "ahead", start, 0.0)
    there = painted(painter, tmp_path / "turned", turned, TURN)
    off = apart(ahead, there)
    # Where rounding moves a pixel by one of its file's 256 levels, what is painted after it moves along.
    assert off.mean() < 0.1 and torch.quantile(off.flatten(), 0.999) <= 2
    at = DirectedPrompt(70.0, 10.0, "a door")
    again = [
        painter.repaint(finished(tmp_path / name), replace(at, yaw=at.yaw + yaw), QUIET)
        for name, yaw in (("ahead", 0.0), ("turned", TURN))
    ]
    off = apart(*again)
    assert off.mean() < 0.2 and torch.quantile(off.flatten(), 0.999) <= 3
    if not painter.model.joint_waves:  # a cube faces its photograph by itself
        monkeypatch.setattr(outpaint, "frame_yaw", lambda photo, height: 0.0)
        assert apart(ahead, painted(painter, tmp_path / "frameless", turned, TURN)).mean() > 1


def finished(folder: Path) -> ViewJournal:
    journal = open_views(folder)
    journal.finished = True
    journal.settle()
    return journal


def test_a_frame_is_a_whole_number_of_columns():
    assert frame_yaw(None, 64) == 0.0
    assert frame_yaw(Camera(), 64) == 0.0
    for yaw in (-180.0, -33.3, 0.4, 90.0, 179.9, 500.0):
        frame = frame_yaw(Camera(yaw), 64)
        assert -180 <= frame < 180 and (frame / 360 * 128) % 1 == 0
        assert abs((frame - yaw + 180) % 360 - 180) <= 180 / 128


def test_without_a_photograph_the_frame_is_the_canvas():
    known = torch.zeros(HEIGHT, 2 * HEIGHT, dtype=torch.bool)
    plan, frame = CONFIGS["aognet"].plan, frame_yaw(None, HEIGHT)
    assert planned(plan, Request(), known) == planned(plan, Request(), known, frame)
