"""The folder of a network: whole, or one line that names all that does not fit."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from aognet.errors import UserError
from aognet.nn.network_folder import CONFIG, WEIGHTS
from aognet.vq.autoencoder import VqAutoencoder
from aognet.vq.quantizer import QuantizerConfig

TINY = VqAutoencoder.Config(channels=(4, 4), groups=1, latent_channels=3, quantizer=QuantizerConfig(codes=4, dim=3))


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    VqAutoencoder(TINY).save_pretrained(tmp_path / "network")
    return tmp_path / "network"


def test_every_weight_that_does_not_fit_is_named(saved: Path):
    tensors = load_file(saved / WEIGHTS)
    tensors["extra"], tensors["more"] = tensors.pop("quant_conv.bias"), tensors.pop("quant_conv.weight")
    tensors["post_quant_conv.bias"] = torch.zeros(2)
    save_file(tensors, saved / WEIGHTS)
    said = (
        "2 weights are missing: quant_conv.bias, quant_conv.weight; 2 weights are unexpected: extra, more; "
        r"1 weights are of another shape: post_quant_conv.bias \[2\] for \[3\]"
    )
    with pytest.raises(UserError, match=said):
        VqAutoencoder.from_pretrained(saved)


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("network", "unet", "network: expected 'vq_autoencoder', got 'unet'"),
        ("channels", [4, 4096], "of another shape"),
        ("channels", "wide", "config.json: channels must be"),
        ("depth", 3, "config.json: depth is an unknown key"),
        ("padding", "reflect", "config.json: padding must be one of circular"),
    ],
)
def test_configs_that_do_not_fit_are_named(saved: Path, key: str, value: object, said: str):
    described = json.loads((saved / CONFIG).read_text())
    (saved / CONFIG).write_text(json.dumps(described | {key: value}))
    with pytest.raises(UserError, match=said):
        VqAutoencoder.from_pretrained(saved)


def test_what_is_not_there_and_what_is_not_finite(saved: Path, tmp_path: Path):
    network = VqAutoencoder.from_pretrained(saved)
    (saved / WEIGHTS).unlink()
    with pytest.raises(UserError, match="model.safetensors: no such file"):
        VqAutoencoder.from_pretrained(saved)
    network.quant_conv.weight += 1e6
    with pytest.raises(UserError, match="'quant_conv.weight' has a weight that is not finite in float16"):
        network.save_pretrained(tmp_path / "half", torch.float16)
    assert not (tmp_path / "half").exists()
