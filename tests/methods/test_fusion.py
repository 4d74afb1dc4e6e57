"""Views of a sphere denoised together: noise stays noise, one view is denoised as ever, turns turn the panorama."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from aognet import DirectedPrompt, Generator, Photo, Request
from aognet.callbacks import Cancelled
from aognet.canvas import Canvas
from aognet.diffusion.backbone import Backbone
from aognet.diffusion.inpaint import inpaint_latents
from aognet.diffusion.sampling.noise import generators, normal
from aognet.diffusion.sampling.sampler import SamplerConfig
from aognet.errors import UserError
from aognet.generate.asked import ModelConfig
from aognet.generate.generator import Defaults
from aognet.geometry.camera import Camera
from aognet.geometry.sphere import pixel_directions
from aognet.io.images import load_image, save_image
from aognet.methods.fusion.cameras import camera_set
from aognet.methods.fusion.merging import merged
from aognet.methods.fusion.seen import ViewsSeen, Words
from aognet.methods.fusion.settings import FUSIBLE, FusionSettings, ViewsConfig
from aognet.methods.fusion.sphere_denoising import SphereToDenoise, apart, fused, noise_shape
from aognet.methods.fusion.sphere_noise import cells_across, views_of_noise
from aognet.methods.fusion.ways import Mean, Shift, Way, make_way
from tests.generate.painter import smooth_photo
from tests.slow import rest_slow
from tests.stub_model import contents
from tests.tiny import tiny_components

ROWS, SIZE, STEPS = 32, 16, 4
SAMPLER = SamplerConfig(scheduler="ddim", steps=STEPS, guidance=2.0)
SETTINGS = FusionSettings(views=ViewsConfig(size=SIZE), fused_until=0.5, sampler=SAMPLER)
WORDS = [DirectedPrompt(90.0, 0.0, "a red barn"), DirectedPrompt(0.0, -90.0, "wet grass")]
WAYS = ("mean", "linear", "shift")


def tiny_backbone(channels: int = 4, layout: Any = "sd15", prediction: str | None = None) -> Backbone:
    parts = tiny_components(layout, channels, prediction_type=prediction)
    del parts["image_encoder"]
    return Backbone.of(**parts)


def to_denoise(backbone: Backbone, way: Way, canvas: Canvas, sampler: SamplerConfig, **more: Any) -> SphereToDenoise:
    size = way.cameras[0].width * backbone.latents.scale
    given = {
        "seen": ViewsSeen(backbone, canvas, size, 3), "words": Words(backbone, Request("a yard", negative="fog"), None),
        "cells": normal(noise_shape(way, backbone.latents.channels), generators([5])),
    }  # fmt: skip
    return SphereToDenoise(way=way, sampler=sampler, fused_steps=2, together=3, **given | more)


def half_known() -> Canvas:
    known = (torch.arange(2 * ROWS) < ROWS).expand(1, 1, ROWS, -1)
    return Canvas.of(smooth_photo(ROWS, 2 * ROWS)[None], known)


@torch.no_grad()
@pytest.mark.parametrize("channels", rest_slow([9, 4]))
@pytest.mark.parametrize("scheduler", FUSIBLE)
def test_one_view_that_agrees_with_itself_is_denoised_as_ever(scheduler: str, channels: int) -> None:
    """For epsilon (4 channels here) and velocity (9), whose latents the schedulers see without their noise."""
    backbone = tiny_backbone(channels, prediction={4: "epsilon", 9: "v_prediction"}[channels])
    sampler, canvas = replace(SAMPLER, scheduler=scheduler), half_known() if channels == 9 else Canvas.empty(ROWS)
    asked = to_denoise(backbone, Mean((Camera(20.0, 10.0, 0.0, 90.0, 8, 8),)), canvas, sampler)
    asked = replace(asked, fused_steps=3)
    made = apart(backbone, asked, fused(backbone, asked))
    noise = asked.noise(None)
    condition = asked.seen(asked.cameras(None), noise)
    expected = inpaint_latents(backbone, condition, asked.words(asked.cameras(None)), sampler, generators([1]))
    # The last step begins anew, and so do those that remember earlier ones.
    assert_close(made, expected, atol=1e-3 if scheduler in ("ddim", "euler") else 0.15, rtol=0)


@pytest.mark.parametrize("kind", ["published", "cube", "cover"])
@pytest.mark.parametrize("fov", [None, 120.0])
def test_views_see_the_sphere_and_white_noise(kind: Any, fov: float | None) -> None:
    cameras = camera_set(ViewsConfig(kind, fov), "linear", 8)
    vectors = pixel_directions(61, 122)
    assert torch.stack([camera.image_positions(vectors)[1] for camera in cameras]).any(0).all()
    height = 13 * cells_across(cameras)
    cells = normal((1, 600, height // 2 * 2, 2 * (height // 2 * 2)), generators([1]))
    noise = views_of_noise(cells, cameras[-1:])[0]
    covariance = torch.cov(noise.flatten(1).T)
    assert abs(covariance.diag().mean() - 1) < 0.02
    assert (covariance - torch.eye(len(covariance))).abs().max() < 0.3


def test_views_that_see_the_same_see_the_same_noise() -> None:
    cameras = [
        Camera(0.0, 0.0, 0.0, 90.0, 8, 8),
        Camera(3.0, 1.0, 0.0, 90.0, 8, 8),
        Camera(180.0, 0.0, 0.0, 90.0, 8, 8),
    ]
    cells = normal((1, 200, 80, 160), generators([1]))
    noise = views_of_noise(cells, cameras)
    alike = [(noise[0] * other).mean() for other in noise[1:]]
    assert alike[0] > 0.4 and abs(alike[1]) < 0.02


def test_merged_views_of_a_sphere_are_that_sphere() -> None:
    cameras = camera_set(ViewsConfig("published"), "mean", 32)
    vectors = [camera.pixel_directions() for camera in cameras]
    views = torch.stack([(one / one.norm(dim=-1, keepdim=True)).movedim(-1, 0).float() for one in vectors])
    for tau in (1e-3, 0.1, 10.0):
        whole = merged(views, cameras, ROWS, tau)[0].movedim(0, -1)
        assert_close(whole, pixel_directions(ROWS, 2 * ROWS).float(), atol=0.02, rtol=0)


@torch.no_grad()
@pytest.mark.parametrize("name", WAYS)
def test_a_turn_by_the_symmetry_of_the_views_turns_the_panorama(name: str) -> None:
    backbone = tiny_backbone(9)
    # Without those at the poles, which would see the same rays turned in their plane.
    published = camera_set(ViewsConfig("published", 120.0), "mean", 8)
    cameras = tuple(one for one in published if abs(one.pitch_degrees) < 90)
    way = make_way(name, cameras, 10.0, STEPS, 1)
    canvas = half_known()

    def made(quarters: int) -> Tensor:
        turned = Canvas(canvas.pixels.roll(quarters * ROWS // 2, -1))
        asked = to_denoise(backbone, way, turned, SAMPLER)
        cells = asked.cells.roll(quarters * asked.cells.shape[-1] // 4, -1)
        asked = replace(asked, cells=cells)
        return merged(apart(backbone, asked, fused(backbone, asked)), way.cameras, ROWS, 0.1)

    plain = made(0)
    assert_close(made(1), plain.roll(ROWS // 2, -1), atol=5e-3, rtol=0)
    assert (plain - plain.roll(ROWS // 2, -1)).abs().max() > 0.1


def test_shift_turns_by_chance_and_linear_evenly() -> None:
    cameras = camera_set(ViewsConfig(), "linear", 8)
    linear = make_way("linear", cameras, 30.0, STEPS, 1)
    assert [linear.turn(step) * 180 / linear.rows for step in range(2)] == pytest.approx([0, 30], abs=180 / linear.rows)
    shift = make_way("shift", cameras, 30.0, 50, 1)
    assert isinstance(shift, Shift) and len({*shift.turns}) > 10 and shift.turn(None) == 0


def generator(folder: Path, settings: FusionSettings = SETTINGS) -> Generator:
    return Generator(ModelConfig(str(folder)), Defaults(ROWS, settings), alone="fusion", device="cpu")


@pytest.mark.parametrize(
    ("folder", "way"), rest_slow([("plain_folder", "linear"), ("sd2_folder", "mean"), ("sdxl_folder", "shift")])
)
def test_a_photograph_stays_and_words_count(
    folder: str, way: Any, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    save_image(smooth_photo(60, 80), tmp_path / "yard.png")
    made_by = generator(
        request.getfixturevalue(folder), replace(SETTINGS, way=way, views=ViewsConfig("cube", 100.0, SIZE))
    )
    asked = Request("a yard", photos=[Photo(image=str(tmp_path / "yard.png"), yaw=170.0, fov=80.0)])
    made = made_by.generate(asked, tmp_path / "run")
    assert made.panorama.shape == (3, ROWS, 2 * ROWS) and 0.03 < made.given.float().mean() < 0.3
    given = (load_image(tmp_path / "run" / "input.png") + 1) / 2
    assert_close(made.panorama * made.given, given * made.given)
    assert torch.equal(made_by.generate(asked).panorama, made.panorama)
    for other in (replace(asked, seed=1), replace(asked, prompts_at=WORDS)):
        assert (made_by.generate(other).panorama - made.panorama).abs().mean() > 1e-4


@pytest.mark.parametrize(("stop", "way"), rest_slow([(3, "linear"), (1, "mean")]))
def test_a_cancelled_run_goes_on_where_it_was(stop: int, way: Any, plain_folder: Path, tmp_path: Path) -> None:
    """While views agree, and after it."""
    sampler = SamplerConfig(scheduler="unipc", steps=STEPS + 1, guidance=2.0)
    views = ViewsConfig("cube", size=SIZE)
    made = generator(plain_folder, replace(SETTINGS, way=way, views=views, sampler=sampler))
    made.generate(Request("a yard"), tmp_path / "whole")
    told: list[int] = []

    def progress(stage: str, done: int, total: int) -> None:
        assert (stage, total) == ("steps", STEPS + 1)
        told.append(done)

    with pytest.raises(Cancelled):
        made.generate(Request("a yard"), tmp_path / "run", progress=progress, cancel=lambda: told[-1] == stop)
    made.generate(Request("a yard"), tmp_path / "run", progress=progress)
    assert told == [*range(1, STEPS + 2)]
    assert contents(tmp_path / "run") == contents(tmp_path / "whole")


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"sampler": replace(SAMPLER, scheduler="pndm")}, "sampler.scheduler must be one of ddim, .*'pndm'"),
        ({"sampler": replace(SAMPLER, steps=1)}, "sampler.steps must be at least 2 .* 1"),
        ({"views": ViewsConfig("published", 60.0)}, "views.fov_degrees is too small: published views leave .* unseen"),
        ({"views": ViewsConfig("cube", 80.0)}, "views.fov_degrees is too small: cube views leave .* unseen"),
        ({"views": ViewsConfig(size=17)}, "views.size must be a multiple of 2, got 17"),
    ],
)
def test_what_cannot_work_is_told_before_anything_is_written(
    more: dict[str, Any], said: str, plain_folder: Path, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=said):
        generator(plain_folder, replace(SETTINGS, **more)).generate(Request("x"), tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("key", "value"),
    [("turn_degrees", 360.0), ("fused_until", 0.0), ("tau", 0.0), ("feather", 2.0), ("views_per_batch", 0)],
)
def test_values_that_are_out_of_range(key: str, value: float) -> None:
    with pytest.raises(UserError, match=f"{key} must .*, got {value}"):
        FusionSettings(**{key: value})
