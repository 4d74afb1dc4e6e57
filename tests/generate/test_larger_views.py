"""Models with an upscaler paint small views and make them larger; the photograph stays as it was given."""

import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.testing import assert_close

from aognet.canvas import Canvas, MaskedView
from aognet.diffusion.backbone import Backbone, BackboneConfig
from aognet.diffusion.inpaint import ViewToPaint, look
from aognet.errors import UserError
from aognet.generate.outpaint import Outpaint
from aognet.generate.run import Run
from aognet.geometry.camera import Camera
from aognet.methods.identity import model_identity
from aognet.methods.outpainter import OutpaintSettings, paint_views, painted_settings
from aognet.nn.srvgg import SrvggCompact, larger_views
from tests.generate.painter import QUIET, SETTINGS, Painter, begin, smooth_photo

CPU = torch.device("cpu")


def nearest(scale: int = 2) -> SrvggCompact:
    """An upscaler that repeats pixels."""
    network = SrvggCompact(4, 1, scale)
    nn.init.zeros_(network.body[-1].weight)
    nn.init.zeros_(network.body[-1].bias)
    return network.requires_grad_(False).eval()


class SmallPainter(Painter):
    """Paints views of half the size, and remembers what it saw."""

    upscaler = nearest()

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[MaskedView] = []
        self.sizes: list[int] = []

    def outpaint(
        self, views: Sequence[ViewToPaint], seen: MaskedView, settings: OutpaintSettings,
        progress: Callable[[int, int], None] | None = None,
    ) -> Tensor:  # fmt: skip
        self.seen.append(seen)
        self.sizes.append(settings.plan.size)
        return super().outpaint(views, seen, settings, progress)


def half_known() -> Canvas:
    canvas = Canvas.of(torch.rand(1, 3, 64, 128, generator=torch.Generator().manual_seed(0)) * 2 - 1)
    known = torch.zeros(1, 1, 64, 128, dtype=torch.bool)
    known[..., 40:70] = True
    return Canvas.of(canvas.image, known)


def test_it_sees_and_paints_small_views_and_returns_large_ones():
    painter, canvas = SmallPainter(), half_known()
    camera = Camera(yaw_degrees=-20.0, width=32, height=32)
    view = ViewToPaint(canvas, camera, "a field", 3)
    settings = replace(SETTINGS, plan=replace(SETTINGS.plan, size=32), enlarge_views=True)
    painted = paint_views(painter, [view], look([view]), settings, lambda *_: None)
    small = replace(view, camera=camera.sized(16, 16))
    assert painter.sizes == [16]
    assert torch.equal(painter.seen[0].image, look([small]).image) and painter.seen[0].known.any()
    expected = Painter().outpaint([small], look([small]), settings, lambda *_: None)
    assert_close(painted, expected.repeat_interleave(2, -1).repeat_interleave(2, -2), atol=1e-6, rtol=0)


def test_the_photograph_stays_and_everything_is_painted(tmp_path: Path):
    photo = Camera(fov_degrees=80.0, width=80, height=60)
    start = Canvas.empty(64).paint(smooth_photo()[None], photo)
    settings = replace(SETTINGS, plan=replace(SETTINGS.plan, size=32), enlarge_views=True)
    painter = Outpaint(SmallPainter(), settings, CPU)
    canvas = painter.paint([Run(begin(tmp_path / "run", start))], QUIET)[0]
    known = start.known.expand_as(start.image)
    assert canvas.unknown_pixels == 0
    assert_close(canvas.image[known], start.image[known], atol=1 / 255, rtol=0)  # of which its file keeps 8 bits


def test_a_size_that_the_scale_does_not_divide_is_refused_before_anything_is_painted():
    settings, painter = replace(SETTINGS, plan=replace(SETTINGS.plan, size=32), enlarge_views=True), SmallPainter()
    painter.upscaler = nearest(3)
    with pytest.raises(UserError, match=r"plan.size must be a multiple of 3.*32"):
        Outpaint(painter, settings, CPU)
    with pytest.raises(UserError, match="enlarge_views needs a model with an upscaler"):
        Outpaint(Painter(), settings, CPU)
    as_large = replace(settings, enlarge_views=False)
    assert painted_settings(painter, as_large) == as_large


def test_views_do_not_wrap_around():
    torch.manual_seed(1)
    network = SrvggCompact(4, 2, 2).requires_grad_(False)
    views = torch.rand(1, 3, 8, 8) * 2 - 1
    other = views.clone()
    other[..., -1] = -views[..., -1]
    changed = (larger_views(network, views) != larger_views(network, other)).any(1)[0].any(0)
    assert changed[-1] and not changed[:2].any()


def test_a_folder_with_an_upscaler_is_another_model_that_has_it(sd2_folder: Path, tmp_path: Path):
    folder = tmp_path / "model"
    shutil.copytree(sd2_folder, folder)
    without = model_identity(str(folder))
    assert without == model_identity(str(sd2_folder)) and Backbone.load(BackboneConfig(str(folder))).upscaler is None
    network = SrvggCompact(4, 1, 2)
    (folder / "upscaler").mkdir()
    save_file({key: value.half() for key, value in network.state_dict().items()}, folder / "upscaler/model.safetensors")
    backbone = Backbone.load(BackboneConfig(str(folder)))
    assert backbone.upscaler is not None and backbone.upscaler.scale == 2 and "upscaler" in backbone.components()
    theirs = backbone.upscaler.state_dict()
    assert all(torch.equal(value.half().float(), theirs[key]) for key, value in network.state_dict().items())
    assert not any(parameter.requires_grad for parameter in backbone.upscaler.parameters())
    assert model_identity(str(folder)) != without
    (folder / "upscaler/model.safetensors").write_bytes(b"no weights")
    with pytest.raises(UserError, match="upscaler"):
        Backbone.load(BackboneConfig(str(folder)))
