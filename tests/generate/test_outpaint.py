"""What a painted panorama keeps of the photograph, and that it is the same every time."""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from aognet.callbacks import Cancelled, Listener
from aognet.canvas import Canvas
from aognet.diffusion.sampling.noise import named_seed
from aognet.errors import UserError
from aognet.generate.inputs import InputsConfig, list_requests
from aognet.generate.run import Run
from aognet.generate.showing import show_canvas
from aognet.generate.start import read_start
from aognet.generate.view_journal import open_views
from aognet.geometry.camera import Camera
from aognet.geometry.plans import PlanConfig, make_plan
from aognet.io.gpano import read_gpano
from aognet.io.images import save_image
from aognet.methods.aognet.settings import Settings
from aognet.methods.outpainter import OutpaintSettings
from aognet.methods.view_prompts import prompt_for
from aognet.request import DirectedPrompt, Photo, Request
from tests.generate.painter import QUIET, SETTINGS, Painter, begin, outpaint, smooth_photo
from tests.slow import rest_slow

VIEW_SEED = 8_265_710_311_229_541_244
POSES = [(0.0, 0.0, 0.0, 90.0), (170.0, 20.0, 10.0, 60.0), (-40.0, -75.0, 0.0, 100.0)]


def paint(folder: Path, start: Canvas, settings: OutpaintSettings = SETTINGS, **asked: Any) -> Canvas:
    return outpaint(settings=settings).paint([Run(begin(folder, start, **asked))], QUIET)[0]


def projected(photo: np.ndarray, pose: tuple[float, ...], height: int) -> tuple[np.ndarray, np.ndarray]:
    """The photograph [rows, columns, 3] on a panorama and where it lies: plain trigonometry and bilinear sampling."""
    yaw, pitch, roll, fov = np.radians(pose)
    longitude = ((np.arange(2 * height) + 0.5) / (2 * height) - 0.5) * 2 * np.pi - yaw
    latitude = (0.5 - (np.arange(height) + 0.5) / height) * np.pi
    longitude, latitude = np.meshgrid(longitude, latitude)
    x, y, z = np.cos(latitude) * np.sin(longitude), np.sin(latitude), np.cos(latitude) * np.cos(longitude)
    y, z = y * np.cos(pitch) - z * np.sin(pitch), y * np.sin(pitch) + z * np.cos(pitch)
    x, y = x * np.cos(roll) - y * np.sin(roll), x * np.sin(roll) + y * np.cos(roll)
    rows, columns = photo.shape[:2]
    focal = columns / 2 / np.tan(fov / 2)
    with np.errstate(divide="ignore", invalid="ignore"):
        column, row = x / z * focal + columns / 2 - 0.5, rows / 2 - 0.5 - y / z * focal
    inside = (z > 0) & (column >= 0) & (column <= columns - 1) & (row >= 0) & (row <= rows - 1)
    column, row = np.where(inside, column, 0), np.where(inside, row, 0)
    left, top = np.floor(column).astype(int), np.floor(row).astype(int)
    right, bottom = np.minimum(left + 1, columns - 1), np.minimum(top + 1, rows - 1)
    across, down = (column - left)[..., None], (row - top)[..., None]
    upper = photo[top, left] * (1 - across) + photo[top, right] * across
    lower = photo[bottom, left] * (1 - across) + photo[bottom, right] * across
    return upper * (1 - down) + lower * down, inside


@pytest.mark.parametrize("pose", rest_slow(pytest.param(pose) for pose in POSES))
@pytest.mark.parametrize("kind", ["cover", "published"])
def test_the_photograph_is_in_the_panorama(tmp_path: Path, pose: tuple[float, ...], kind: str) -> None:
    photo, path = smooth_photo(180, 240), tmp_path / "photo.png"
    save_image(photo, path)
    height = 64 if kind == "cover" else 48
    settings = replace(SETTINGS, plan=PlanConfig(kind=kind, size=32))
    named = dict(zip(("yaw", "pitch", "roll", "fov"), pose, strict=True))
    request = list_requests(InputsConfig(together=[Photo(image=str(path), **named)]), Request())[0]
    start = read_start(request, height)
    canvas = paint(tmp_path / "run", start.canvas, settings, camera=start.camera)
    assert canvas.unknown_pixels == 0
    show_canvas(open_views(tmp_path / "run"), canvas)
    result, given = (np.asarray(Image.open(tmp_path / "run" / name)) for name in ("result.png", "input.png"))
    assert result.shape == (height, 2 * height, 3)
    known = given[..., 3] > 0
    assert np.array_equal(result[known], given[known][:, :3])
    expected, inside = projected(((photo + 1) * 127.5).permute(1, 2, 0).numpy(), pose, height)
    assert (inside & ~known).sum() <= 0.01 * inside.sum()  # what is shrunk ends within half a pixel
    assert known.sum() < 1.05 * inside.sum() + 10
    error = np.mean((result[inside].astype(float) - expected[inside]) ** 2)
    assert 10 * math.log10(255**2 / error) >= 40
    assert read_gpano(tmp_path / "run" / "result.png")["ProjectionType"] == "equirectangular"
    assert "data:image/jpeg;base64," in (tmp_path / "run" / "viewer.html").read_text()
    assert (tmp_path / "run" / "prompt.txt").read_text() == "a room\n"


def test_the_same_every_time_and_different_with_another_seed(tmp_path: Path) -> None:
    start = Canvas.empty(64).paint(smooth_photo()[None], Camera(fov_degrees=80.0, width=80, height=60))
    first, second = (paint(tmp_path / name, start) for name in "ab")
    assert torch.equal(first.image, second.image)
    # Another seed, or another name: other noise.
    for others in (
        paint(tmp_path / "c", start, seed=1),
        paint(tmp_path / "d", start, name="hall"),
    ):
        assert (first.image != others.image).any(1)[~start.known[:, 0]].float().mean() > 0.9
    names = ("", "a", "b", "1 a", "1", "ä\udce4")
    seeds = {named_seed(seed, name, number) for seed in (-1, 0, 1, 11, 2**40) for name in names for number in range(50)}
    assert len(seeds) == 5 * len(names) * 50 and all(0 <= seed < 2**63 for seed in seeds)
    assert named_seed(3, "beach", 7) == VIEW_SEED  # on every machine, for good


def test_from_nothing_and_from_everything(tmp_path: Path) -> None:
    assert paint(tmp_path / "a", Canvas.empty(64)).unknown_pixels == 0
    whole = paint(tmp_path / "b", Canvas.empty(64))
    full = paint(tmp_path / "c", whole)
    assert (full.image - whole.image).abs().max() <= 1 / 255 + 1e-6  # as its file keeps it
    assert open_views(tmp_path / "c").entries == []


def test_every_view_gets_the_prompt_of_its_direction(tmp_path: Path) -> None:
    painter = outpaint()
    directed = [DirectedPrompt(90.0, 0.0, "a barn"), DirectedPrompt(0.0, 90.0, "a kite")]
    journal = begin(tmp_path / "run", Canvas.empty(64), prompt="a field", prompts_at=directed)
    painter.paint([Run(journal)], QUIET)
    entries = open_views(tmp_path / "run").entries
    assert painter.model.prompts == [entry.prompt for entry in entries]
    assert {entry.prompt for entry in entries} == {"a field", "a barn, a field", "a kite, a field"}
    assert all(entry.prompt == prompt_for(entry.camera, "a field", directed) for entry in entries)
    assert all("barn" in e.prompt for e in entries if (e.camera.yaw_degrees, e.camera.pitch_degrees) == (90, 0))


def test_progress_is_told(tmp_path: Path) -> None:
    told: list[tuple] = []
    outpaint().paint([Run(begin(tmp_path / "run", Canvas.empty(64)))], Listener(lambda *count: told.append(count)))
    total = len(make_plan(SETTINGS.plan, torch.zeros(64, 128, dtype=torch.bool)).steps)
    views, steps = ([count for stage, *count in told if stage == name] for name in ("views", "steps"))
    assert views == [[done, total] for done in range(total + 1)]
    assert steps == [[2, 2]] * total


@pytest.mark.parametrize("after", rest_slow([3, 0]))
def test_cancelled_it_keeps_what_is_painted_and_goes_on(tmp_path: Path, after: int) -> None:
    start, done = Canvas.empty(64), [0]
    whole = paint(tmp_path / "whole", start.copy())
    listener = Listener(lambda stage, *count: done.append(count[0]), lambda: done[-1] >= after)
    journal = begin(tmp_path / "run", start)
    with pytest.raises(Cancelled, match=f"after {after} of"):
        outpaint().paint([Run(journal)], listener)
    again = open_views(tmp_path / "run")
    assert len(again.entries) == after
    assert torch.equal(outpaint().paint([Run(again)], QUIET)[0].pixels, whole.pixels)


class Grey(Painter):
    """Paints everything in one grey."""

    def outpaint(self, views, seen, settings, progress=None) -> Tensor:
        return torch.full_like(seen.image, -0.5)


def test_what_is_painted_meets_the_photograph_softly(tmp_path: Path) -> None:
    start = Canvas.empty(64).paint(torch.full((1, 3, 32, 32), 0.5), Camera(width=32, height=32))
    painter = outpaint()
    painter.model = Grey()
    canvas = painter.paint([Run(begin(tmp_path / "run", start))], QUIET)[0]
    equator = canvas.image[0, 0, 32]
    assert abs(equator[64] - 0.5) < 0.01 and abs(equator[0] + 0.5) < 0.01
    assert equator.diff().abs().max() < 0.5  # the border itself would be a step of 1


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"face_size": 20}, r"face_size must be a multiple of 8 in \[8, 4096\], got 20"),
        ({"feather": 2.0}, r"feather must lie in \[0, 1\], got 2.0"),
        ({"views_per_batch": 0}, "views_per_batch must be at least 1, got 0"),
    ],
)
def test_bad_settings_are_named(options: dict, said: str) -> None:
    with pytest.raises(UserError, match=said):
        Settings(**options)


@pytest.mark.parametrize("views_per_batch", rest_slow([3, 1, 100]))
def test_runs_side_by_side_come_out_as_alone(tmp_path: Path, views_per_batch: int) -> None:
    """However the views are batched; the plans differ, since what is known does."""
    settings = replace(SETTINGS, views_per_batch=views_per_batch)
    cameras = {"wide": Camera(fov_degrees=120.0, width=80, height=60), "small": Camera(40.0, width=80, height=60)}
    starts = {name: Canvas.empty(64).paint(smooth_photo()[None], camera) for name, camera in cameras.items()}
    alone = {name: paint(tmp_path / name, start) for name, start in starts.items()}
    folder = tmp_path / "both"
    journals = [begin(folder / name, start) for name, start in starts.items()]
    together = outpaint(settings=settings).paint([Run(journal) for journal in journals], QUIET)
    for (name, expected), found in zip(alone.items(), together, strict=True):
        assert torch.equal(found.pixels, expected.pixels)
        again = open_views(tmp_path / "both" / name)
        assert again.entries == open_views(tmp_path / name).entries
        assert torch.equal(again.canvas().pixels, expected.pixels)
