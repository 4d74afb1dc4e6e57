"""A few-step UNet and an upscaler put into a model: what paints with them does so in its steps, with small views."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from aognet.generate.asked import ModelConfig
from aognet.generate.generator import Generator
from aognet.nn.srvgg import SrvggCompact
from aognet.request import Request
from misc.assemble_embedded import main as assemble

HOW = {"scheduler": "lcm", "steps": 3, "guidance": 1.0}


@pytest.fixture
def model(sd2_folder: Path, tmp_path: Path) -> Path:
    """A folder with a backbone and an AOG-Net without streams, and trained parts beside it."""
    out, trained = tmp_path / "model", tmp_path / "few"
    shutil.copytree(sd2_folder, out)
    streams = {"global_stream": {"enabled": False}, "local_stream": {"enabled": False}}
    (out / "aognet").mkdir()
    (out / "aognet" / "config.json").write_text(
        json.dumps({"method": "aognet", "backbone": {"model": ".."}, **streams})
    )
    save_file({}, out / "aognet" / "model.safetensors")
    for name in ("unet", "scheduler"):
        shutil.copytree(sd2_folder / name, trained / name)
    (trained / "settings.json").write_text(json.dumps({"sampler": HOW}))
    (tmp_path / "larger" / "upscaler").mkdir(parents=True)
    torch.manual_seed(0)
    save_file(SrvggCompact(4, 1, 2).state_dict(), tmp_path / "larger" / "upscaler" / "model.safetensors")
    return out


def test_it_paints_in_those_steps_and_small_views(model: Path, tmp_path: Path):
    assemble(["--upscaler", str(tmp_path / "larger"), "--out_dir", str(model)])
    assemble(["--unet", str(tmp_path / "few"), "--out_dir", str(model)])
    generator = Generator(ModelConfig(str(model / "aognet")))
    settings = generator.defaults.settings
    assert (settings.sampler.scheduler, settings.sampler.steps, settings.enlarge_views) == ("lcm", 3, True)
    small = {"plan": {"kind": "cover", "fov_degrees": 120, "size": 32}, "face_size": 8}
    told: list[tuple] = []
    result = generator.generate(
        Request(prompt="a field", height=64, settings=small), progress=lambda *count: told.append(count)
    )
    assert result.panorama.shape[-2:] == (64, 128)
    assert {total for stage, _, total in told if stage == "steps"} == {3}


def test_without_an_upscaler_views_are_painted_as_large_as_they_are(model: Path, tmp_path: Path):
    assemble(["--unet", str(tmp_path / "few"), "--out_dir", str(model)])
    assert Generator(ModelConfig(str(model / "aognet"))).defaults.settings.enlarge_views is False


def test_the_backbone_alone_paints_in_those_steps(model: Path, tmp_path: Path):
    assemble(["--unet", str(tmp_path / "few"), "--out_dir", str(model)])
    for method in ("aognet", "cubediff", "seamless"):
        sampler = Generator(ModelConfig(str(model)), alone=method).defaults.settings.sampler
        assert (sampler.scheduler, sampler.steps, sampler.guidance) == ("lcm", 3, 1.0)


def test_after_a_unet_that_does_not_say_how_it_paints_nothing_else_does(model: Path, tmp_path: Path):
    for _ in range(2):
        assemble(["--unet", str(tmp_path / "few"), "--out_dir", str(model)])
        (tmp_path / "few" / "settings.json").unlink(missing_ok=True)
    assert not list(model.rglob("settings.json"))


def test_where_parts_were_loaded_from_is_left_out(model: Path, tmp_path: Path):
    config = tmp_path / "few" / "unet" / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"_name_or_path": "/home/someone/model"}))
    assemble(["--unet", str(tmp_path / "few"), "--out_dir", str(model)])
    assert "_name_or_path" not in (model / "unet" / "config.json").read_text()


def test_streams_that_learned_few_steps_paint_in_them(model: Path, tmp_path: Path):
    streams = tmp_path / "streams"
    shutil.copytree(model / "aognet", streams)
    (streams / "settings.json").write_text(json.dumps({"sampler": HOW}))
    for upscaler, enlarged in (([], False), (["--upscaler", str(tmp_path / "larger")], True)):
        assemble([*upscaler, "--streams", str(streams), "--out_dir", str(model)])
        settings = Generator(ModelConfig(str(model / "aognet"))).defaults.settings
        assert (settings.sampler.scheduler, settings.sampler.steps) == ("lcm", 3)
        assert settings.enlarge_views is enlarged
