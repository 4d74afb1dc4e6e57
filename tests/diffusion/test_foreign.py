"""Checkpoints as people have them, and folders that are broken: one line each, and what works is loaded."""

import json
import os
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest
import torch
from safetensors.torch import load_file, save_file

from aognet.commands import generate
from aognet.diffusion import loading
from aognet.diffusion.backbone import Backbone, BackboneConfig
from aognet.diffusion.foreign import missing_weights, what_it_is
from aognet.errors import UserError
from aognet.methods.pretrained import load_method
from tests.tiny import tiny_components

ROOT = Path(__file__).parents[2]
UNET = "diffusion_pytorch_model.safetensors"


@pytest.fixture
def folder(sd2_folder: Path, tmp_path: Path) -> Path:
    return shutil.copytree(sd2_folder, tmp_path / "model")


def refused(name: str | Path, **options: Any) -> str:
    """What is said of it, which is one line."""
    with pytest.raises(UserError) as caught:
        load_method(str(name), **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def tensors(*names: str) -> dict[str, torch.Tensor]:
    return {name: torch.zeros(2) for name in names}


ORIGINAL = "model.diffusion_model.input_blocks.0.0.weight"
LORAS = ("lora_unet_down_blocks_0.lora_down.weight", "unet.down_blocks.0.attn1.to_q.lora_A.weight", "a.lora.up.weight")


@pytest.mark.parametrize("suffix", [".ckpt", ".pt", ".pth", ".bin"])
@pytest.mark.parametrize("inside", [False, True])
def test_a_pickle_is_named_and_never_read(suffix: str, inside: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(pickle, "load", pytest.fail)
    monkeypatch.setattr(torch, "load", pytest.fail)
    file = tmp_path / f"model{suffix}"
    file.write_bytes(pickle.dumps({"a": 1}))
    said = refused(tmp_path if inside else file)
    assert "pickle" in said and "from_single_file" in said and str(file) in said


@pytest.mark.parametrize("inside", [False, True])
@pytest.mark.parametrize(
    ("text", "pipeline"),
    [
        ("cond_stage_model.transformer.text_model.weight", "StableDiffusionInpaintPipeline"),
        ("conditioner.embedders.1.model.positional_embedding", "StableDiffusionXLInpaintPipeline"),
    ],
)
def test_a_model_in_one_file_is_told_how_to_convert(inside: bool, text: str, pipeline: str, tmp_path: Path):
    file = tmp_path / "model.safetensors"
    save_file(tensors(ORIGINAL, "first_stage_model.encoder.conv_in.weight", text), file)
    assert f"{pipeline}.from_single_file" in refused(tmp_path if inside else file)


@pytest.mark.parametrize("name", LORAS)
def test_a_lora_is_no_model(name: str, tmp_path: Path):
    file = tmp_path / "style.safetensors"
    save_file(tensors(name), file)
    said = refused(file)
    assert "LoRA" in said and "itself in loras" in said
    file.rename(tmp_path / "pytorch_lora_weights.safetensors")
    assert "LoRA" in refused(tmp_path)


def test_a_part_alone_and_what_cannot_be_read_are_told_apart(folder: Path, tmp_path: Path):
    assert "whole model" in refused(folder / "unet" / UNET)
    broken = tmp_path / "x.safetensors"
    for content in (b"", b"\xff" * 8, (2**40).to_bytes(8, "little"), (4).to_bytes(8, "little") + b"[1] "):
        broken.write_bytes(content)
        assert "no readable safetensors" in refused(broken)
    (tmp_path / "notes.txt").write_text("no model")
    assert "not a folder" in refused(tmp_path / "notes.txt")


def test_what_can_be_used_is_left_alone(folder: Path, streams_folder: Path):
    assert not what_it_is(folder) and not what_it_is(streams_folder)
    assert not missing_weights(folder / "unet", None) and not missing_weights(folder / "tokenizer", None)


def only_variant(folder: Path, name: str = "fp16") -> Path:
    for path in list(folder.glob("*/*.safetensors")):
        path.rename(path.with_suffix(f".{name}.safetensors"))
    return folder


def test_a_folder_of_one_variant_says_which_flag_reads_it(folder: Path):
    said = refused(only_variant(folder))
    assert "it has those of variant fp16 (variant says which)" in said
    model = load_method(str(folder), variant="fp16")
    assert model.config.backbone.variant == "fp16"
    assert "leave variant out" not in refused(folder, variant="bf16")
    config = generate.read_config(generate.parse(["--checkpoint", str(folder), "--variant", "fp16"]))
    assert config.values["variant"] == "fp16"


def test_a_variant_that_is_not_there_is_named(folder: Path):
    assert "no weights of variant fp16" in refused(folder, variant="fp16")


def test_streams_around_a_backbone_of_one_variant(streams_folder: Path, sd2_folder: Path, tmp_path: Path):
    backbone, streams = tmp_path / "backbone", tmp_path / "streams"
    shutil.copytree(sd2_folder, backbone)
    shutil.copytree(streams_folder, streams)
    only_variant(backbone)
    # The image encoder has no variants to choose from: it stays as it was.
    for path in (backbone / "image_encoder").glob("*.safetensors"):
        path.rename(path.with_name("model.safetensors"))
    config = json.loads((streams / "config.json").read_text())
    for part in ("backbone", "clip"):
        config[part]["model"] = "../backbone"
    (streams / "config.json").write_text(json.dumps(config))
    assert "variant fp16" in refused(streams)
    assert load_method(str(streams), variant="fp16").config.backbone.variant == "fp16"


def test_pickled_weights_of_a_part_are_told_how_to_convert(folder: Path):
    (folder / "unet" / UNET).unlink()
    (folder / "unet" / "diffusion_pytorch_model.bin").write_bytes(b"?")
    assert "use_safetensors=False" in refused(folder)


@pytest.mark.parametrize("variant", [None, "fp16"])
def test_a_sharded_model_is_read_whole(variant: str | None, folder: Path):
    unet, weights = tiny_components()["unet"], load_file(folder / "unet" / UNET)
    (folder / "unet" / UNET).unlink()
    unet.save_pretrained(folder / "unet", max_shard_size="50KB", variant=variant)
    if variant:
        for part in ("vae", "text_encoder"):
            for path in (folder / part).glob("*.safetensors"):
                path.rename(path.with_suffix(f".{variant}.safetensors"))
    shards = sorted((folder / "unet").glob("*-of-*.safetensors"))
    assert len(shards) > 1
    found = Backbone.load(BackboneConfig(str(folder), variant=variant)).denoiser.unet.state_dict()
    assert found.keys() == weights.keys()
    shards[0].unlink()
    refused(folder, variant=variant)


def change(path: Path, **values: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


BROKEN: dict[str, Callable[[Path], object]] = {
    "text for a number": lambda it: change(it / "unet" / "config.json", in_channels="nine"),
    "text for numbers": lambda it: change(it / "unet" / "config.json", block_out_channels="many"),
    "a number for text": lambda it: change(it / "vae" / "config.json", act_fn=3),
    "a number for types": lambda it: change(it / "unet" / "config.json", down_block_types=[1, 2]),
    "an unknown block": lambda it: change(it / "unet" / "config.json", down_block_types=["Block", "Block"]),
    "text for a factor": lambda it: change(it / "vae" / "config.json", scaling_factor="small"),
    "null for a factor": lambda it: change(it / "vae" / "config.json", scaling_factor=None),
    "an object for a number": lambda it: change(it / "unet" / "config.json", layers_per_block={"a": 1}),
    "endless layers": lambda it: change(it / "unet" / "config.json", layers_per_block=10**9),
    "endless layers of text": lambda it: change(it / "text_encoder" / "config.json", num_hidden_layers=10**9),
    "endless channels": lambda it: change(it / "unet" / "config.json", block_out_channels=[10**12, 32]),
    "endless timesteps": lambda it: change(it / "scheduler" / "scheduler_config.json", num_train_timesteps=10**12),
    "wide channels": lambda it: change(it / "unet" / "config.json", block_out_channels=[2**20, 2**20]),
    "a wide vocabulary": lambda it: change(it / "text_encoder" / "config.json", vocab_size=2**23),
    "no channels": lambda it: change(it / "unet" / "config.json", block_out_channels=[]),
    "zero groups": lambda it: change(it / "vae" / "config.json", norm_num_groups=0),
    "negative size": lambda it: change(it / "text_encoder" / "config.json", hidden_size=-4),
    "text for a size": lambda it: change(it / "text_encoder" / "config.json", hidden_size="wide"),
    "text for a beta": lambda it: change(it / "scheduler" / "scheduler_config.json", beta_start="low"),
    "an unknown schedule": lambda it: change(it / "scheduler" / "scheduler_config.json", beta_schedule="steep"),
    "a scheduler for a UNet": lambda it: change(it / "unet" / "config.json", _class_name="DDIMScheduler"),
    "a VAE for a UNet": lambda it: change(it / "unet" / "config.json", _class_name="AutoencoderKL"),
    "no text for a class": lambda it: change(it / "unet" / "config.json", _class_name=["UNet2DConditionModel"]),
    "a UNet for a scheduler": lambda it: change(
        it / "scheduler" / "scheduler_config.json", _class_name="UNet2DConditionModel"
    ),
    "another model for text": lambda it: change(it / "text_encoder" / "config.json", model_type="bert"),
    "infinity": lambda it: (it / "vae" / "config.json").write_text('{"scaling_factor": Infinity}'),
    "a list for a config": lambda it: (it / "unet" / "config.json").write_text("[1]"),
    "no JSON": lambda it: (it / "vae" / "config.json").write_text("{"),
    "deep JSON": lambda it: (it / "vae" / "config.json").write_text("[" * 10**5),
    "bytes": lambda it: (it / "vae" / "config.json").write_bytes(b"\xff\xfe"),
    "much JSON": lambda it: (it / "vae" / "config.json").write_text('{"a": "' + "x" * 2**21 + '"}'),
    "no config": lambda it: (it / "unet" / "config.json").unlink(),
    "no weights": lambda it: (it / "vae" / UNET).unlink(),
    "cut weights": lambda it: os.truncate(it / "vae" / UNET, 1000),
    "no tokenizer": lambda it: [path.unlink() for path in (it / "tokenizer").iterdir()],
    "a broken tokenizer": lambda it: (it / "tokenizer" / "tokenizer.json").write_text('{"model": 3}'),
    "no scheduler": lambda it: shutil.rmtree(it / "scheduler"),
    "a file for a folder": lambda it: (shutil.rmtree(it / "vae"), (it / "vae").write_text("")),
    "a folder for a file": lambda it: ((it / "vae" / UNET).unlink(), (it / "vae" / UNET).mkdir()),
    "a shard elsewhere": lambda it: (
        (it / "vae" / UNET).rename(it / "vae" / "x.safetensors"),
        (it / "vae" / f"{UNET}.index.json").write_text('{"weight_map": {"a": "../../../etc/passwd"}}'),
    ),
    "an index of nothing": lambda it: (
        (it / "vae" / UNET).rename(it / "vae" / "x.safetensors"),
        (it / "vae" / f"{UNET}.index.json").write_text('{"weight_map": 7}'),
    ),
}


@pytest.mark.parametrize("how", list(BROKEN))
def test_a_broken_folder_gives_one_line_that_names_it(how: str, folder: Path):
    BROKEN[how](folder)
    assert "model" in refused(folder)


@pytest.mark.parametrize(
    "name",
    ["./a/b", "../a/b", "/a/b", "~/a/b", "~a/b", "a\\b/c", "a/b/c", "a/b.ckpt", "a/b.safetensors", "logs/run", "a"]
    + [
        "outputs/x",
        "assets/none",
        "data/model",
        "a/b?",
        "a b/c",
        "a/",
        "/b",
        "owner/name/",
        "a/b.yaml",
        "é/b",
        "a/b\n",
    ],
)
def test_what_looks_like_a_path_is_never_asked_of_the_hub(name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", pytest.fail)
    assert not loading.is_hub_id(name)
    with pytest.raises(UserError):
        loading.resolve(name)


def test_a_folder_beside_which_the_missing_one_would_lie_is_no_owner(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.chdir(tmp_path)
    assert loading.is_hub_id("runs/mine") and loading.is_hub_id("stabilityai/stable-diffusion-2.1-base_v1.0")
    (tmp_path / "runs").mkdir()
    assert not loading.is_hub_id("runs/mine")
