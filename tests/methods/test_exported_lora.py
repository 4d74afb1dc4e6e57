"""A LoRA that was trained here, as a file: diffusers and this project make the same of it as of the saved model."""

import json
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch.testing import assert_close

from aognet.commands import export
from aognet.diffusion.additions import Additions, LoraFile
from aognet.diffusion.backbone import BackboneConfig
from aognet.errors import UserError
from aognet.methods.cubediff.model import CubeDiff
from aognet.methods.pretrained import load_method
from aognet.methods.seamless.model import Seamless
from tests.slow import rest_slow
from tests.tiny import tiny_components

FILE = "pytorch_lora_weights.safetensors"


def trained(method: Any, backbone: Path, folder: Path, **options: Any) -> Path:
    """A saved model whose LoRA is not zero, as if trained."""
    model = method(method.Config(backbone=BackboneConfig(str(backbone)), train="lora", lora_rank=3, **options))
    torch.manual_seed(2)
    for weight in model.trainable_parts()["unet"].parameters():
        torch.nn.init.normal_(weight, std=0.1)
    model.save_pretrained(folder)
    return folder


def weights(model: Any) -> dict[str, torch.Tensor]:
    """The weights of its layers, whatever wraps them."""
    found = model.backbone.denoiser.unet.state_dict()
    return {key.replace(".base_layer", ""): value for key, value in found.items() if "lora_" not in key}


@pytest.mark.parametrize("layers", rest_slow(["all", "attention"]))
@pytest.mark.parametrize("method", [Seamless, CubeDiff])
def test_both_make_the_same_of_it(method: Any, layers: str, sd15_folder: Path, tmp_path: Path):
    options = {"positions": False} if method is CubeDiff else {}
    folder = trained(method, sd15_folder, tmp_path / "run" / "final", lora_layers=layers, **options)
    # An experiment's folder means its `final`.
    export.main([str(folder.parent), "--out", str(tmp_path / FILE)])
    expected = weights(load_method(str(folder)))
    added = Additions(loras=[LoraFile(str(tmp_path / FILE))])
    assert_close(weights(load_method(str(sd15_folder), alone="seamless", additions=added)), expected)
    unet = deepcopy(tiny_components("sd15", 9)["unet"])
    plain = deepcopy(unet.state_dict())
    unet.load_lora_adapter(str(tmp_path), prefix="unet", weight_name=FILE)
    unet.fuse_lora()
    unet.unload_lora()
    assert_close(unet.state_dict(), expected, atol=1e-6, rtol=1e-5)
    assert any(not torch.allclose(plain[key], value, atol=1e-3) for key, value in expected.items())


def refused(said: str, *arguments: Any) -> None:
    with pytest.raises(UserError) as caught:
        export.main([*map(str, arguments)])
    assert said in str(caught.value) and "\n" not in str(caught.value)


def test_what_is_no_lora_is_refused_and_nothing_is_written(sd15_folder: Path, plain_folder: Path, tmp_path: Path):
    out, config = tmp_path / "out" / FILE, BackboneConfig(str(sd15_folder))
    Seamless(Seamless.Config(backbone=config)).save_pretrained(tmp_path / "untrained")
    refused(
        "train must be 'lora' for the trained weights to be a LoRA, got 'none'", tmp_path / "untrained", "--out", out
    )
    wider = trained(CubeDiff, sd15_folder, tmp_path / "wider")
    refused("are no low-rank additions, such as 'unet.conv_in.added.weight'", wider, "--out", out)
    refused("no such folder", tmp_path / "none", "--out", out)
    refused("no such file; a trained model is a folder", tmp_path, "--out", out)
    folder = trained(Seamless, sd15_folder, tmp_path / "good")
    refused("--size is of a panorama", folder, "--out", out, "--size", "64x128")
    refused("of a model one file is written at a time", folder, "--out", out, "--out", tmp_path / "a.png")
    (folder / "model.safetensors").write_bytes(b"?")
    refused("not a readable safetensors file", folder, "--out", out)
    assert not out.parent.exists()


def test_nothing_is_written_over_unasked(sd15_folder: Path, tmp_path: Path):
    folder, out = trained(Seamless, sd15_folder, tmp_path / "run"), tmp_path / FILE
    out.write_text("mine")
    refused("is there already; --overwrite replaces it", folder, "--out", out)
    assert out.read_text() == "mine"
    refused("is there already", folder, "--out", folder / "model.safetensors")
    export.main([str(folder), "--out", str(out), "--overwrite"])
    assert all(key.startswith("unet.") and key.endswith((".lora_A.weight", ".lora_B.weight")) for key in load_file(out))
    assert json.loads((folder / "config.json").read_text())["lora_rank"] == 3


def test_loras_of_the_backbone_are_not_in_it_and_that_is_said(
    sd15_folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    """The exported file beside them, on the backbone, is the saved model."""
    other = tmp_path / "other.safetensors"
    export.main([str(trained(Seamless, sd15_folder, tmp_path / "first")), "--out", str(other)])
    assert "backbone.loras" not in caplog.text
    backbone = BackboneConfig(str(sd15_folder), loras=[LoraFile(str(other), 0.5)])
    model = Seamless(Seamless.Config(backbone=backbone, train="lora", lora_rank=2))
    for weight in model.trainable_parts()["unet"].parameters():
        torch.nn.init.normal_(weight, std=0.1)
    model.save_pretrained(tmp_path / "second")
    export.main([str(tmp_path / "second"), "--out", str(tmp_path / FILE)])
    assert "was trained beside backbone.loras" in caplog.text
    both = Additions(loras=[LoraFile(str(other), 0.5), LoraFile(str(tmp_path / FILE))])
    found = load_method(str(sd15_folder), alone="seamless", additions=both)
    assert_close(weights(found), weights(load_method(str(tmp_path / "second"))))
