"""NetworkFolders that were trained by themselves become one Text2Light model, or one line says which two do not fit."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from aognet import Generator, Request
from aognet.errors import UserError
from aognet.generate.asked import ModelConfig
from aognet.generate.generator import Defaults
from aognet.hdr.sritmo import SrItmo, SrItmoConfig
from aognet.methods.text2light.assembling import NetworkFolders, assemble
from aognet.methods.text2light.conditioning import INDEX
from aognet.methods.text2light.model import Text2Light
from aognet.methods.text2light.settings import Text2LightSettings
from aognet.vq.autoencoder import VqAutoencoder
from aognet.vq.global_sampler import GlobalSampler
from misc.assemble_embedded import main as assemble_embedded
from tests.tiny import tiny_text2light_folder

ASKED = Request("a snowy field at sunset", seed=4, name="field")
EMBEDDED = Path(__file__).resolve().parents[2] / "assets" / "embedded"
PARTS = ("global_autoencoder", "global_sampler", "local_autoencoder", "local_sampler")


@pytest.fixture(scope="module", params=["ours", "published"])
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_text2light_folder(tmp_path_factory.mktemp(request.param), request.param == "published")


def apart(model: Path, folder: Path) -> NetworkFolders:
    """The networks of a model, each in a folder of its own, as trainings write them."""
    whole = Text2Light.from_pretrained(model)
    names = [name for name in whole.trainable_parts() if name != "index"]
    for name in names:
        part = getattr(whole, name)
        if name.endswith("autoencoder"):  # a model has only the half that it needs
            part, half = VqAutoencoder(part.config), part
            part.load_state_dict(half.state_dict(), strict=False)
        part.save_pretrained(folder / name)
    if whole.index is not None:
        whole.index.save(folder / "global_sampler" / INDEX)
    return NetworkFolders(**{name: folder / name for name in names})


def painted(folder: Path) -> torch.Tensor:
    generator = Generator(ModelConfig(str(folder)), Defaults(32, Text2LightSettings()), device="cpu")
    return generator.generate(ASKED).panorama


def test_the_whole_paints_as_its_parts_do(model: Path, tmp_path: Path) -> None:
    clip = Text2Light.from_pretrained(model).config.clip
    assemble(tmp_path / "model", apart(model, tmp_path / "parts"), clip)
    assert torch.equal(painted(tmp_path / "model"), painted(model))
    written = [json.loads((folder / "config.json").read_text()) for folder in (tmp_path / "model", model)]
    assert [one.pop("clip")["model"] != "" for one in written] == [True, True] and written[0] == written[1]


def test_beside_the_embedded_model_in_half_precision(tmp_path: Path) -> None:
    """Wherever the folders are moved, it finds the CLIP of the backbone beside it."""
    networks, out = apart(tiny_text2light_folder(tmp_path / "tiny"), tmp_path / "parts"), tmp_path / "assets/embedded"
    shutil.copytree(EMBEDDED, out, ignore=shutil.ignore_patterns("unet", "vae", "aognet"))
    with pytest.raises(UserError, match=r"embedded and .*global_sampler do not fit .* 160 numbers, .* takes 12"):
        beside(networks, out)
    assert [path.name for path in out.parent.iterdir() if "text2light" in path.name] == []
    sampler = GlobalSampler.from_pretrained(networks.global_sampler)
    GlobalSampler(replace(sampler.config, embedding=160)).save_pretrained(networks.global_sampler)
    beside(networks, out)
    shutil.move(out.parent, tmp_path / "moved")
    made = tmp_path / "moved" / "text2light"
    assert json.loads((made / "config.json").read_text())["clip"]["model"] == "../embedded"
    assert painted(made).shape == (3, 32, 64)
    weights = load_file(made / "model.safetensors")
    for name in PARTS:
        for key, value in load_file(getattr(networks, name) / "model.safetensors").items():
            if key.startswith(("encoder", "quant_conv")):  # it writes, and never reads
                assert f"{name}.{key}" not in weights
            else:
                assert torch.equal(weights.pop(f"{name}.{key}"), value.half())
    assert not weights
    light = load_file(made.parent / "sritmo" / "model.safetensors")
    assert {value.dtype for value in light.values()} == {torch.float16}


def beside(networks: NetworkFolders, out: Path) -> None:
    sritmo = out.parents[1] / "sritmo"
    SrItmo(SrItmoConfig(features=4, blocks=1, sr_widths=(8, 8), itmo_widths=(8,))).save_pretrained(sritmo)
    folders = [str(getattr(networks, name)) for name in PARTS]
    assemble_embedded(["--text2light", *folders, "--sritmo", str(sritmo), "--out_dir", str(out)])


def test_networks_that_do_not_fit_are_named(model: Path, tmp_path: Path) -> None:
    networks = apart(model, tmp_path / "parts")
    clip = Text2Light.from_pretrained(model).config.clip
    torch.manual_seed(0)
    whole = Text2Light.from_pretrained(model)

    def refused(said: str, **others: Path) -> None:
        with pytest.raises(UserError, match=said):
            assemble(tmp_path / "made", replace(networks, **others), clip)
        assert not (tmp_path / "made").exists()

    sampler = type(whole.global_sampler)
    for name, changes in (("kinds", {"vocabulary": 17}), ("grid", {"rows": 3})):
        sampler(replace(whole.global_sampler.config, **changes)).save_pretrained(tmp_path / name)
        if whole.index is not None:
            whole.index.save(tmp_path / name / INDEX)
    refused(
        r"kinds and .*global_autoencoder do not fit .*: .*vocabulary must be 16.*, got 17",
        global_sampler=tmp_path / "kinds",
    )
    refused(r"local_sampler and .*grid do not fit .*given_rows must be 3.*, got 2", global_sampler=tmp_path / "grid")
    refused("network: expected 'vq_autoencoder'", local_autoencoder=networks.local_sampler)
    refused("network: expected 'vq_sphere_sampler'", local_sampler=networks.global_sampler)
    refused("nowhere.*no such file", local_sampler=tmp_path / "nowhere")
    if whole.index is not None:
        (networks.global_sampler / INDEX).unlink()
        refused(f"{INDEX}: no such file")
