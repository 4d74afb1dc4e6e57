"""A photograph in a generated panorama: a ring around it is painted again, and nothing else changes."""

import math
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from aognet import Generator, Photo, Request
from aognet.callbacks import Cancelled
from aognet.canvas import Canvas
from aognet.diffusion.sampling.sampler import SamplerConfig
from aognet.errors import UserError
from aognet.generate.asked import ModelConfig
from aognet.generate.generator import Defaults
from aognet.geometry.camera import Camera
from aognet.geometry.sphere import pixel_directions
from aognet.io.images import save_image
from aognet.methods.text2light.joining import degrees_from, load_backbone, ring
from aognet.methods.text2light.settings import Text2LightSettings
from tests.generate.kills import Killed, Kills
from tests.stub_model import contents
from tests.tiny import tiny_backbone_folder, tiny_text2light_folder

ROWS = 32
SAMPLER = SamplerConfig(scheduler="euler", steps=3, guidance=2.0)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_text2light_folder(tmp_path_factory.mktemp("text2light"))


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> Request:
    """A photograph that lies across the edge of the panorama."""
    path = tmp_path_factory.mktemp("photo") / "photo.png"
    torch.manual_seed(1)
    save_image(functional.interpolate(torch.rand(1, 3, 4, 4) * 2 - 1, size=(32, 32), mode="bicubic")[0], path)
    return Request("a snowy field", seed=4, name="field", photos=[Photo(image=str(path), yaw=170.0, fov=70.0)])


def generator(folder: Path, backbone: Path, **settings: Any) -> Generator:
    chosen = {"join": "views", "backbone": str(backbone), "sampler": SAMPLER, "ring_degrees": 40.0} | settings
    return Generator(ModelConfig(str(folder)), Defaults(ROWS, Text2LightSettings(**chosen)), device="cpu")


def photograph(yaw: float, pitch: float, height: int = ROWS) -> Tensor:
    """The mask of what a camera of 60 degrees shows."""
    camera = Camera(yaw, pitch, 0.0, 60.0, height, height)
    return Canvas.empty(height).paint(torch.zeros(1, 3, height, height), camera).known


@pytest.mark.parametrize(("yaw", "pitch"), [(0.0, 0.0), (180.0, 30.0), (-100.0, 80.0)])
def test_the_ring_is_as_wide_everywhere(yaw: float, pitch: float) -> None:
    """Measured pixel by pixel, also over a pole and over the edge."""
    known = photograph(yaw, pitch)
    towards = pixel_directions(ROWS, 2 * ROWS).float()
    exact = (towards @ towards[known[0, 0]].T).amax(-1).clamp(-1, 1).acos().rad2deg()
    assert (degrees_from(known)[0, 0] - exact).abs().max() < 0.1
    share = ring(known, 30.0)[0, 0]
    assert (share[known[0, 0] | (exact < 14)] == 1).all() and (share[exact > 31] == 0).all()
    assert ((share > 0) & (share < 1)).any()


def test_larger_panoramas_are_measured_on_a_grid() -> None:
    fine, coarse = degrees_from(photograph(40.0, 20.0, 256)), degrees_from(photograph(40.0, 20.0, 128))
    assert (functional.avg_pool2d(fine, 2) - coarse).abs().max() < 3
    assert (degrees_from(torch.zeros(1, 1, 8, 16, dtype=torch.bool)) == 180).all()
    assert (degrees_from(torch.ones(1, 1, 8, 16, dtype=torch.bool)) == 0).all()


@pytest.mark.parametrize("name", ["sd2_folder", "plain_folder"])
def test_the_photograph_and_what_is_far_from_it_stay(
    name: str, folder: Path, asked: Request, request: pytest.FixtureRequest
) -> None:
    backbone = request.getfixturevalue(name)
    joined = generator(folder, backbone).generate(asked)
    kept = generator(folder, backbone, join="feather", feather=0.0).generate(asked)
    assert joined.given is not None
    share = ring(joined.given[None], 40.0)[0].expand_as(joined.panorama)
    given = joined.given.expand_as(joined.panorama)
    assert torch.equal(joined.panorama[given], kept.panorama[given])
    assert torch.equal(joined.panorama[share == 0], kept.panorama[share == 0])
    again = (share == 1) & ~given
    assert ((joined.panorama - kept.panorama)[again].abs() > 1e-3).float().mean() > 0.9
    assert torch.equal(generator(folder, backbone).generate(asked).panorama, joined.panorama)
    other = generator(folder, backbone).generate(replace(asked, seed=5)).panorama
    assert torch.equal(other[given], joined.panorama[given]) and not torch.equal(other[again], joined.panorama[again])


def test_less_strength_keeps_more_of_what_was_there(folder: Path, asked: Request, sd2_folder: Path) -> None:
    kept = generator(folder, sd2_folder, join="feather", feather=0.0).generate(asked).panorama

    def changed(strength: float) -> float:
        sampler = replace(SAMPLER, steps=10, guidance=1.0)
        made = generator(folder, sd2_folder, join_strength=strength, sampler=sampler).generate(asked).panorama
        return float((made - kept).abs().mean())

    assert changed(0.1) < changed(1.0)


def test_a_run_killed_while_it_is_joined_ends_alike(
    folder: Path, asked: Request, sd2_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, kills = generator(folder, sd2_folder), Kills(monkeypatch)
    kills.at(None)
    heard: list[str] = []
    made.generate(asked, tmp_path / "whole", progress=lambda stage, *_: heard.append(stage))
    changes, whole = kills.count, contents(tmp_path / "whole")
    stages = {stage for stage in heard if "photograph" in stage}
    assert len(stages) > 1, "several waves"
    for last in (changes - 30, changes - 20):
        kills.at(last)
        with pytest.raises(Killed):
            made.generate(asked, tmp_path / str(last))
        kills.at(None)
        made.generate(asked, tmp_path / str(last))
        assert contents(tmp_path / str(last)) == whole
    # Stopped after the first wave, it goes on with the second: no code is written again.
    first, second = sorted(stages)[:2]
    heard.clear()
    with pytest.raises(Cancelled):
        made.generate(asked, tmp_path / "run", progress=lambda stage, *_: heard.append(stage),
                      cancel=lambda: heard[-1] == second)  # fmt: skip
    heard.clear()
    made.generate(asked, tmp_path / "run", progress=lambda stage, *_: heard.append(stage))
    assert not any("codes" in stage for stage in heard) and first not in heard
    assert contents(tmp_path / "run") == whole


def test_another_backbone_does_not_go_on(folder: Path, asked: Request, tmp_path: Path) -> None:
    backbone = tiny_backbone_folder(tmp_path / "backbone")
    made, heard = generator(folder, backbone), [""]
    with pytest.raises(Cancelled):
        made.generate(asked, tmp_path / "run", progress=lambda stage, *_: heard.append(stage),
                      cancel=lambda: ", 2 of" in heard[-1])  # fmt: skip
    load_backbone.cache_clear()
    shutil.rmtree(backbone)
    tiny_backbone_folder(tmp_path / "backbone", seed=3)
    with pytest.raises(UserError, match="backbone has other weights than when it began to join"):
        made.generate(asked, tmp_path / "run")


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"backbone": None}, "backbone must name a Stable Diffusion model, which join: views paints with"),
        ({"backbone": "nowhere"}, "nowhere: no such folder"),
        ({"join": "magic"}, "join"),
        ({"ring_degrees": 0.0}, r"ring_degrees must lie in \[1, 90\], got 0.0"),
        ({"ring_degrees": math.nan}, "ring_degrees must lie in"),
        ({"join_strength": 0.0}, "join_strength must be more than 0 and at most 1"),
    ],
)
def test_mistakes_write_nothing(
    settings: dict[str, Any], said: str, folder: Path, asked: Request, sd2_folder: Path, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=said):
        generator(folder, sd2_folder).generate(replace(asked, settings=settings), tmp_path / "run")
    assert not (tmp_path / "run").exists()
