"""What is added to a backbone: by its own keys or beside a checkpoint, found from where it was saved, counted."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch.testing import assert_close

from aognet.diffusion.additions import Additions, LoraFile
from aognet.diffusion.backbone import BackboneConfig
from aognet.errors import UserError
from aognet.gan.biggan import BigGanConfig
from aognet.generate.asked import Asked, ModelConfig
from aognet.methods.ganorama.model import Ganorama
from aognet.methods.identity import model_identity
from aognet.methods.pretrained import load_method
from aognet.methods.seamless.model import Seamless
from aognet.request import Request
from tests.tiny import tiny_controlnet


@pytest.fixture(scope="module")
def place(plain_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a backbone, a ControlNet, and a saved model that has both."""
    folder = tmp_path_factory.mktemp("added")
    shutil.copytree(plain_folder, folder / "plain")
    unet = load_method(str(folder / "plain"), alone="seamless").backbone.denoiser.unet
    for number in range(2):
        tiny_controlnet(unet, number).save_pretrained(folder / f"depth{number}")
    config = BackboneConfig(str(folder / "plain"), controlnets=[str(folder / "depth0")])
    Seamless(Seamless.Config(backbone=config)).save_pretrained(folder / "saved")
    return folder


def scales(model: Seamless) -> list[float]:
    """A number of each ControlNet."""
    return [float(network.controlnet_mid_block.weight.sum()) for network in model.backbone.denoiser.controlnets]


def test_they_are_loaded_with_a_backbone_alone_and_beside_those_of_a_saved_model(place: Path, tmp_path: Path) -> None:
    first, second = (str(place / f"depth{number}") for number in range(2))
    alone = load_method(str(place / "plain"), alone="seamless", additions=Additions(controlnets=[first, second]))
    moved = shutil.copytree(place, tmp_path / "moved")  # a saved model finds them from its own folder
    more = load_method(str(moved / "saved"), additions=Additions(controlnets=[second]))
    assert len(scales(alone)) == 2 and scales(alone) == scales(more) and scales(load_method(str(place / "saved")))
    assert more.config.backbone.controlnets == [str(moved / "depth0"), second]
    more.save_pretrained(tmp_path / "again")
    assert scales(load_method(str(tmp_path / "again"))) == scales(more)


def test_they_count_by_their_contents(place: Path, tmp_path: Path) -> None:
    plain, saved, both = str(place / "plain"), str(place / "saved"), Additions(controlnets=[str(place / "depth1")])
    moved = shutil.copytree(place, tmp_path / "moved")
    there = Additions(controlnets=[str(moved / "depth1")])
    for model in (plain, saved):
        assert model_identity(model, additions=both) != model_identity(model) == model_identity(model, None, None)
        assert model_identity(model, additions=both) == model_identity(model, additions=there)
    weights = moved / "depth0" / "diffusion_pytorch_model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    assert model_identity(str(moved / "plain")) == model_identity(plain)
    assert model_identity(str(moved / "saved")) != model_identity(saved)


def test_a_recorded_request_tells_them() -> None:
    asked = Asked(Request("a hall"), ModelConfig("here", controlnets=["depth"]), None, {})
    assert Asked.from_dict(asked.to_dict(), "run.json") == asked
    assert asked.differences(replace(asked, model=ModelConfig("here")))


def test_a_controlnet_is_read_in_the_backbones_variant_where_it_has_that(place: Path, tmp_path: Path) -> None:
    there = shutil.copytree(place, tmp_path / "there")
    for part in ("vae", "unet", "text_encoder"):
        for path in (there / "plain" / part).glob("*.safetensors"):
            path.rename(path.with_name(path.name.replace(".safetensors", ".fp16.safetensors")))
    added = Additions(controlnets=[str(there / "depth0")])
    found = load_method(str(there / "plain"), alone="seamless", variant="fp16", additions=added)
    assert_close(torch.tensor(scales(found)), torch.tensor(scales(load_method(str(place / "saved")))))


@pytest.mark.parametrize("named", ["", "nowhere", "plain"])
def test_what_is_not_there_is_named(place: Path, named: str) -> None:
    with pytest.raises(UserError, match="controlnets must be|nowhere: no such folder|plain: "):
        load_method(
            str(place / "plain"),
            alone="seamless",
            additions=Additions(controlnets=[str(place / named) if named else ""]),
        )


def test_a_method_without_a_backbone_has_nothing_to_add_to(tmp_path: Path) -> None:
    network = BigGanConfig(layers=[[1, 1, 1]], classes=2, z_dim=4, class_dim=4, width=8, attention_at=None)
    Ganorama(Ganorama.Config(generator=network)).save_pretrained(tmp_path)
    for added in (Additions(controlnets=["depth"]), Additions(loras=[LoraFile("style.safetensors")])):
        with pytest.raises(UserError, match="is of the method ganorama, which has no backbone to add to"):
            load_method(str(tmp_path), additions=added)
