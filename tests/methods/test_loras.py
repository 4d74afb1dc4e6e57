"""LoRA files beside a checkpoint or in a backbone's section: every method takes them, and their contents count."""

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.testing import assert_close

from aognet.commands import generate
from aognet.diffusion.additions import Additions, LoraFile
from aognet.diffusion.backbone import Backbone, BackboneConfig
from aognet.diffusion.loading import is_hub_file
from aognet.errors import UserError
from aognet.generate.asked import Asked, ModelConfig
from aognet.generate.load import load
from aognet.methods.cubediff.model import CubeDiff
from aognet.methods.identity import model_identity
from aognet.methods.pretrained import load_method
from aognet.methods.seamless.model import Seamless
from aognet.request import Request
from tests.slow import rest_slow

CHANGED = "mid_block.attentions.0.transformer_blocks.0.ff.net.2"
KEY = f"unet.{CHANGED}"


@pytest.fixture(scope="module")
def lora(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A LoRA that every tiny model takes, with an = in its name. Do not write in it."""
    path = tmp_path_factory.mktemp("loras") / "a=1.safetensors"
    torch.manual_seed(0)
    save_file({f"{KEY}.lora_A.weight": torch.randn(2, 128), f"{KEY}.lora_B.weight": torch.randn(32, 2)}, path)
    return path


def weight(model: Any) -> Tensor:
    return model.backbone.denoiser.unet.get_submodule(CHANGED).weight


def product(path: Path) -> Tensor:
    tensors = load_file(path)
    return tensors[f"{KEY}.lora_B.weight"] @ tensors[f"{KEY}.lora_A.weight"]


@pytest.mark.parametrize("method", ["aognet", "cubediff", "seamless", "fusion"])
def test_every_method_takes_them(method: str, sd2_folder: Path, lora: Path):
    plain = load_method(str(sd2_folder), alone=method)
    added = Additions(loras=[LoraFile(str(lora), 0.5), LoraFile(str(lora), -2.0)])
    assert_close(
        weight(load_method(str(sd2_folder), alone=method, additions=added)), weight(plain) - 1.5 * product(lora)
    )


def test_a_saved_model_with_a_lora_finds_it_and_takes_more(plain_folder: Path, lora: Path, tmp_path: Path):
    place = tmp_path / "place"
    shutil.copytree(plain_folder, place / "plain")
    there = shutil.copy(lora, place)
    config = BackboneConfig(str(place / "plain"), loras=[LoraFile(str(there), 0.5)])
    Seamless(Seamless.Config(backbone=config)).save_pretrained(place / "saved")
    moved = place.rename(tmp_path / "moved")
    plain = weight(load_method(str(moved / "plain"), alone="seamless"))
    assert_close(weight(load_method(str(moved / "saved"))), plain + 0.5 * product(lora))
    more = Additions(loras=[LoraFile(str(lora))])
    assert_close(weight(load_method(str(moved / "saved"), additions=more)), plain + 1.5 * product(lora))
    told = json.loads((moved / "saved" / "config.json").read_text())
    assert told["backbone"]["loras"] == [{"file": "../a=1.safetensors", "scale": 0.5}]
    (moved / "a=1.safetensors").unlink()
    with pytest.raises(UserError, match=r"config.json: backbone.loras: no such file or folder: \.\./a=1.safetensors"):
        load_method(str(moved / "saved"))


@pytest.mark.parametrize("method", [Seamless, CubeDiff])
@pytest.mark.parametrize("train", rest_slow(["lora", "attention", "all"]))
def test_what_was_trained_does_not_take_their_place(method: Any, train: Any, plain_folder: Path, tmp_path: Path):
    """A LoRA beside a saved model is added to the weights as they were trained, whichever of them were."""
    layers = [CHANGED, "mid_block.attentions.0.transformer_blocks.0.attn1.to_q", "conv_in"]
    model = method(method.Config(backbone=BackboneConfig(str(plain_folder)), train=train, lora_layers="all"))
    for weight in model.trainable_parts()["unet"].parameters():
        weight.data += 0.1 * torch.randn(weight.shape, generator=torch.Generator().manual_seed(3))
    model.save_pretrained(tmp_path / "saved")
    plain, tensors = load_method(str(tmp_path / "saved")), {}

    def weights(model: Any) -> list[Tensor]:
        unet = dict(model.backbone.denoiser.unet.named_parameters())
        named = {re.sub(r"\.(base_layer|plain)\b", "", name): weight for name, weight in unet.items()}
        return [named[f"{layer}.weight"] for layer in layers]

    for layer, weight in zip(layers, weights(plain), strict=True):
        outputs, inputs, *window = weight.shape
        tensors[f"unet.{layer}.lora_A.weight"] = torch.randn(2, inputs, *window)
        tensors[f"unet.{layer}.lora_B.weight"] = torch.randn(outputs, 2, *(1 for _ in window))
    save_file(tensors, tmp_path / "x.safetensors")
    added = Additions(loras=[LoraFile(str(tmp_path / "x.safetensors"), 0.5)])
    changed = load_method(str(tmp_path / "saved"), additions=added)
    assert changed.config.backbone.loras == added.loras
    changed.save_pretrained(tmp_path / "again")
    for layer, before, after in zip(layers, weights(plain), weights(changed), strict=True):
        down, up = (tensors[f"unet.{layer}.lora_{matrix}.weight"].flatten(1) for matrix in "AB")
        assert_close(after, before + 0.5 * (up @ down).view_as(after), atol=1e-5, rtol=1e-5)


def test_they_count_by_contents_and_scale(plain_folder: Path, lora: Path, tmp_path: Path):
    def identity(*loras: LoraFile) -> str:
        return model_identity(str(plain_folder), additions=Additions(loras=list(loras)))

    copied = shutil.copy(lora, tmp_path / "b.safetensors")
    one = identity(LoraFile(str(lora)))
    assert one == identity(LoraFile(str(copied))) != identity(LoraFile(str(lora), 0.9)) != identity()
    tensors = load_file(lora)
    save_file({key: value * 2 for key, value in tensors.items()}, copied)
    assert identity(LoraFile(str(copied))) != one
    # What PEFT says beside a file counts, too.
    same = shutil.copy(lora, tmp_path / "c.safetensors")
    (tmp_path / "adapter_config.json").write_text("{}")
    assert identity(LoraFile(str(same))) != one


def test_a_config_with_additions_of_another_form_is_refused_in_one_line(plain_folder: Path, tmp_path: Path):
    Seamless(Seamless.Config(backbone=BackboneConfig(str(plain_folder)))).save_pretrained(tmp_path)
    path = tmp_path / "config.json"
    described = json.loads(path.read_text())
    for key, value in (("loras", 5), ("loras", [5]), ("loras", [{"file": 1, "more": 2}]), ("controlnets", {"a": 1})):
        path.write_text(json.dumps(described | {"backbone": described["backbone"] | {key: value}}))
        for read in (load_method, model_identity):
            with pytest.raises(UserError, match=f"config.json: backbone.{key}"):
                read(str(tmp_path))


def test_a_recorded_request_tells_them():
    asked = Asked(Request("a hall"), ModelConfig("here", loras=[LoraFile("a", 0.5)]), None, {})
    assert Asked.from_dict(json.loads(json.dumps(asked.to_dict())), "run.json") == asked


def test_texts_are_encoded_by_the_changed_encoders(plain_folder: Path, tmp_path: Path):
    key = "lora_te_text_model_encoder_layers_0_mlp_fc1"
    tensors = {f"{key}.lora_down.weight": torch.randn(1, 32), f"{key}.lora_up.weight": torch.randn(64, 1)}
    save_file(tensors, tmp_path / "x.safetensors")
    plain = Backbone.load(BackboneConfig(str(plain_folder)))
    changed = Backbone.load(BackboneConfig(str(plain_folder), loras=[LoraFile(str(tmp_path / "x.safetensors"))]))
    texts = (one.conditioner(["a beach"]).tokens for one in (plain, changed))
    assert not torch.allclose(*texts, atol=1e-3)
    assert_close(plain.denoiser.unet.state_dict(), changed.denoiser.unet.state_dict())


def configured(*arguments: str) -> Any:
    return generate.read_config(generate.parse(arguments)).values


def test_the_flag_says_file_and_scale(lora: Path, tmp_path: Path):
    asked = ["--lora", f"{lora}=0.8", "--lora", str(lora), "--lora", "x.safetensors=-1", "--lora", "owner/name=1e-1"]
    assert configured(*asked)["loras"] == [
        {"file": str(lora), "scale": 0.8},
        {"file": str(lora), "scale": 1.0},
        {"file": "x.safetensors", "scale": -1.0},
        {"file": "owner/name", "scale": 0.1},
    ]
    assert "loras" not in configured("--prompt", "a beach")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("x.safetensors=strong", "scale must be a number, got 'strong'"),
        ("x.safetensors=", "scale must be a number, got ''"),
        ("x.safetensors=nan", "scale must lie in [-10, 10], got nan"),
        ("x.safetensors=11", "scale must lie in [-10, 10], got 11.0"),
        ("=1", "file must be a .safetensors file, got ''"),
        ("none.safetensors=1", "none.safetensors: no such file"),
        ("none.pt", "none.pt: no such file"),
    ],
)
def test_a_wrong_flag_gets_one_line(given: str, said: str, plain_folder: Path, tmp_path: Path):
    out = tmp_path / "out"
    ask = ["--checkpoint", str(plain_folder), "method=seamless", "--prompt", "a", "--inference_out_dir", str(out)]
    with pytest.raises(UserError) as caught:
        generate.main([*ask, "--lora", given])
    assert said in str(caught.value) and "\n" not in str(caught.value)
    assert not out.exists()


def test_yaml_names_them_and_pictures_change(plain_folder: Path, lora: Path, tmp_path: Path):
    def painted(loras: list[dict[str, Any]]) -> Tensor:
        config = tmp_path / "c.yaml"
        told = {"checkpoint": str(plain_folder), "method": "seamless", "device": "cpu", "loras": loras}
        sampler = {"steps": 2, "guidance": 2.0}
        config.write_text(json.dumps(told | {"generator": {"height": 32, "sampler": sampler}}))
        return load(config=config).generate(Request("a beach")).panorama

    with pytest.raises(UserError, match="c.yaml: loras.0.scale must lie in"):
        painted([{"file": str(lora), "scale": 30}])
    with pytest.raises(UserError, match="c.yaml: loras.0.fil"):
        painted([{"fil": str(lora)}])
    plain, changed = painted([]), painted([{"file": str(lora)}])
    assert (plain - changed).abs().max() > 0.01
    assert torch.equal(painted([{"file": str(lora), "scale": 0}]), plain)


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("owner/name/x.safetensors", True),
        ("owner/name/some folder/x.safetensors", False),
        ("owner/name/in/x v1.safetensors", True),
        ("owner/name/x.bin", False),
        ("owner/name/../x.safetensors", False),
        ("owner/name", False),
        ("outputs/name/x.safetensors", False),
        ("/a/b/x.safetensors", False),
        ("~/a/x.safetensors", False),
        ("./a/b/x.safetensors", False),
    ],
)
def test_files_on_the_hub_are_told_from_paths(name: str, told: bool):
    assert is_hub_file(name) is told


def test_a_file_on_the_hub_is_fetched_alone(
    lora: Path, plain_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """The hub's client is asked for the named file; of an id alone, for the usual names."""
    import huggingface_hub

    asked = []

    def fetch(model: str, allow_patterns: list[str], **options: Any) -> str:
        asked.append((model, [name for name in allow_patterns if "lora" in name or "style" in name]))
        folder = tmp_path / "snapshots"
        folder.mkdir(exist_ok=True)
        shutil.copy(lora, folder / "style.safetensors")
        shutil.copy(lora, folder / "pytorch_lora_weights.safetensors")
        return str(folder)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", fetch)
    plain = weight(load_method(str(plain_folder), alone="seamless"))
    for name in ("someone/panoramas/style.safetensors", "someone/panoramas"):
        added = Additions(loras=[LoraFile(name)])
        changed = load_method(str(plain_folder), alone="seamless", additions=added)
        assert_close(weight(changed), plain + product(lora))
    assert asked == [
        ("someone/panoramas", ["style.safetensors"]),
        ("someone/panoramas", ["pytorch_lora_weights.safetensors", "lora.safetensors"]),
    ]
