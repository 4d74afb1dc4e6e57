"""A few-step LoRA and an upscaler put beside a model: what paints then does so in its steps, with small views."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from aognet.diffusion.backbone import Backbone, BackboneConfig
from aognet.diffusion.lora.exported import lora_tensors
from aognet.diffusion.lora.trained import open_parts
from aognet.errors import UserError
from aognet.generate.asked import ModelConfig
from aognet.generate.generator import Generator
from aognet.methods.aognet.model import AOGNet
from aognet.nn.srvgg import SrvggCompact
from aognet.request import Request
from misc.assemble_embedded import main as assemble

HOW = {"scheduler": "lcm", "steps": 3, "guidance": 1.0}


@pytest.fixture
def model(sd2_folder: Path, tmp_path: Path) -> Path:
    """A folder with a backbone and an AOG-Net without streams, and trained parts beside it."""
    out = tmp_path / "model"
    shutil.copytree(sd2_folder, out)
    streams = {"global_stream": {"enabled": False}, "local_stream": {"enabled": False}}
    config = {"method": "aognet", "backbone": {"model": ".."}, **streams}
    (out / "aognet").mkdir()
    (out / "aognet" / "config.json").write_text(json.dumps(config))
    save_file({}, out / "aognet" / "model.safetensors")
    torch.manual_seed(0)
    unet = Backbone.load(BackboneConfig(str(sd2_folder))).denoiser.unet
    part = open_parts(unet, "lora", 2, "all")["unet"]
    for weight in part.parameters():
        nn.init.normal_(weight, std=0.1)
    (tmp_path / "few").mkdir()
    named = lora_tensors({f"unet.{key}": value for key, value in part.state_dict().items()})
    save_file(named, tmp_path / "few" / "few_steps_lora.safetensors")
    (tmp_path / "few" / "settings.json").write_text(json.dumps({"sampler": HOW}))
    (tmp_path / "larger" / "upscaler").mkdir(parents=True)
    save_file(SrvggCompact(4, 1, 2).state_dict(), tmp_path / "larger" / "upscaler" / "model.safetensors")
    return out


def test_it_paints_in_those_steps_and_small_views(model: Path, tmp_path: Path):
    before = AOGNet.from_pretrained(model / "aognet").backbone.denoiser.unet.conv_in.weight.clone()
    assemble(["--upscaler", str(tmp_path / "larger"), "--out_dir", str(model)])
    assemble(["--few_steps", str(tmp_path / "few"), "--out_dir", str(model)])
    assert {value.dtype for value in load_file(model / "few_steps" / "few_steps_lora.safetensors").values()} == {
        torch.float16
    }
    generator = Generator(ModelConfig(str(model / "aognet")))
    settings = generator.defaults.settings
    assert (settings.sampler.scheduler, settings.sampler.steps, settings.enlarge_views) == ("lcm", 3, True)
    assert not torch.equal(generator.model.backbone.denoiser.unet.conv_in.weight, before)
    small = {"plan": {"kind": "cover", "fov_degrees": 120, "size": 32}, "face_size": 8}
    told: list[tuple] = []
    result = generator.generate(
        Request(prompt="a field", height=64, settings=small), progress=lambda *count: told.append(count)
    )
    assert result.panorama.shape[-2:] == (64, 128)
    assert {total for stage, _, total in told if stage == "steps"} == {3}
    # What is added to the backbone by itself is as it was.
    assert torch.equal(Backbone.load(BackboneConfig(str(model))).denoiser.unet.conv_in.weight, before)


def test_without_an_upscaler_views_are_painted_as_large_as_they_are(model: Path, tmp_path: Path):
    assemble(["--few_steps", str(tmp_path / "few"), "--out_dir", str(model)])
    assert Generator(ModelConfig(str(model / "aognet"))).defaults.settings.enlarge_views is False


def test_without_streams_nothing_is_written(model: Path, tmp_path: Path):
    (model / "aognet" / "config.json").unlink()
    with pytest.raises(UserError, match="--streams makes it"):
        assemble(["--few_steps", str(tmp_path / "few"), "--out_dir", str(model)])
    assert not (model / "few_steps").exists()
