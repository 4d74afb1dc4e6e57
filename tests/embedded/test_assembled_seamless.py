"""What was trained of seamless, put beside a backbone in half precision: each of its files, and all of them at once."""

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import nn
from torch.testing import assert_close

from aognet.diffusion.additions import Additions, LoraFile
from aognet.diffusion.backbone import BackboneConfig
from aognet.diffusion.controlnets import OWN, from_unet, save_small
from aognet.diffusion.learning_words import LearnWordsConfig
from aognet.diffusion.lora.trained import open_parts
from aognet.errors import UserError
from aognet.generate.asked import ModelConfig
from aognet.generate.generator import Generator
from aognet.methods.pretrained import load_method
from aognet.methods.seamless.model import Seamless
from misc.assemble_embedded import main as assemble


@pytest.fixture
def trained(sd2_folder: Path, tmp_path: Path) -> Path:
    """A folder with a LoRA, a small ControlNet and learned words, as if trained."""
    torch.manual_seed(2)
    model = Seamless(Seamless.Config(backbone=BackboneConfig(str(sd2_folder)), train="lora", lora_rank=2))
    unset(model.trainable_parts()["unet"])
    model.save_pretrained(tmp_path / "lora")
    network = from_unet(load_method(str(sd2_folder), alone="seamless").backbone.denoiser.unet, (4, 8))
    own = [name for name, _ in network.named_parameters() if name.startswith(OWN)]
    unset(open_parts(network, "lora", 2, "all", own)["unet"])
    save_small(tmp_path / "depth", network, "float32")
    learned = LearnWordsConfig(count=2)
    words = Seamless(Seamless.Config(backbone=BackboneConfig(str(sd2_folder)), learn_words=learned))
    unset(words.trainable_parts()["words"])
    words.save_pretrained(tmp_path / "words")
    return tmp_path


def unset(part: nn.Module) -> None:
    for weight in part.parameters():
        nn.init.normal_(weight, std=0.1)


def beside(sd2_folder: Path, trained: Path, *arguments: Any) -> Path:
    """The folder that is made beside a backbone's."""
    out = trained / "model"
    if not out.exists():
        shutil.copytree(sd2_folder, out)
    assemble([*map(str, arguments), "--out_dir", str(out)])
    return trained / "seamless"


def test_the_whole_is_its_parts(sd2_folder: Path, trained: Path):
    flags = ("--seamless", trained / "lora", "--depth", trained / "depth", "--words", trained / "words")
    folder = beside(sd2_folder, trained, *flags)
    files = list(folder.rglob("*.safetensors"))
    assert all(value.dtype == torch.float16 for path in files for value in load_file(path).values())
    (lora,) = folder.glob("*lora*.safetensors")
    added = Additions(loras=[LoraFile(str(lora))], words=[str(folder / "words.safetensors")])
    added = added.with_more(Additions(controlnets=[str(folder / "depth")]))
    together, apart = load_method(str(folder)), load_method(str(sd2_folder), alone="seamless", additions=added)
    assert together.method == "seamless" and len(together.backbone.denoiser.controlnets) == 1
    assert_close(together.backbone.state_dict(), apart.backbone.state_dict(), rtol=0, atol=0)
    plain = load_method(str(sd2_folder), alone="seamless").backbone
    prompts = [one.conditioner.known(["TOK"], None).tokens for one in (together.backbone, plain)]
    assert prompts[0].shape != prompts[1].shape or not torch.allclose(prompts[0], prompts[1])


def test_the_lora_alone(sd2_folder: Path, trained: Path):
    model = load_method(str(beside(sd2_folder, trained, "--seamless", trained / "lora")))
    original = load_method(str(trained / "lora")).backbone.denoiser.unet.state_dict()
    expected = {key.replace(".base_layer", ""): value for key, value in original.items() if "lora_" not in key}
    assert_close(model.backbone.denoiser.unet.state_dict(), expected, rtol=1e-3, atol=1e-3)
    assert not model.backbone.denoiser.controlnets


@pytest.mark.parametrize("flag", ["--seamless", "--depth", "--words"])
def test_what_is_missing_is_named_and_nothing_is_written(flag: str, sd2_folder: Path, trained: Path):
    flags = {"--seamless": trained / "lora", flag: trained / "nowhere"}
    with pytest.raises(UserError, match="nowhere"):
        beside(sd2_folder, trained, *(word for pair in flags.items() for word in pair))
    assert not (trained / "seamless").exists()


@pytest.mark.parametrize("flag", ["--depth", "--words"])
def test_what_needs_a_seamless_model_is_not_left_out_silently(flag: str, sd2_folder: Path, trained: Path):
    with pytest.raises(UserError, match=f"{flag} .*--seamless"):
        beside(sd2_folder, trained, flag, trained / "lora")


def test_how_it_learned_to_paint_stays_with_it(sd2_folder: Path, trained: Path):
    folder = beside(sd2_folder, trained, "--seamless", trained / "lora")
    assert not (folder / "settings.json").exists()
    (trained / "lora" / "settings.json").write_text('{"sampler": {"scheduler": "lcm", "steps": 4}}')
    folder = beside(sd2_folder, trained, "--seamless", trained / "lora")
    assert Generator(ModelConfig(str(folder))).defaults.settings.sampler.steps == 4
