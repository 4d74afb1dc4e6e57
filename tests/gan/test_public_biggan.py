"""The public files of a BigGAN-deep become a folder of ours, or one line says what is wrong with them."""

import json
import os
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from aognet import cli
from aognet.commands import convert_biggan
from aognet.config import LoadedConfig, build_config
from aognet.errors import UserError
from aognet.gan import public_biggan
from aognet.gan.biggan import BigGan, BigGanConfig
from aognet.gan.imagenet import imagenet_names
from aognet.methods.pretrained import load_method
from aognet.nn.weights import copy_tensors, part_tensors, read_tensors
from tests.gan.plain_biggan import TINY, plain_images, public_tensors
from tests.io.test_pickled_tensors import Call
from tests.slow import rest_slow

WEIGHTS, CONFIG = "biggan-deep-16-pytorch_model.bin", "biggan-deep-16-config.json"


def write(folder: Path, config: Any = TINY, tensors: Any = None, zipped: bool = False) -> Path:
    (folder / CONFIG).write_text(json.dumps(config), encoding="utf-8")
    tensors = public_tensors(TINY) if tensors is None else tensors
    torch.save(tensors, folder / WEIGHTS, _use_new_zipfile_serialization=zipped)
    return folder / WEIGHTS


def loaded(folder: Path) -> BigGan:
    """The generator of a folder, as a method builds it of its section."""
    described = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    assert described.pop("method") == "ganorama" and described.keys() == {"generator"}
    network = BigGan(build_config(LoadedConfig(described["generator"], {"": ""}), BigGanConfig)).eval()
    copy_tensors(read_tensors(folder / "model.safetensors"), part_tensors({"generator": network}), folder)
    return network


def converted(*arguments: Any) -> int | str | None:
    with pytest.raises(SystemExit) as ended:
        cli.run(convert_biggan.main, [str(argument) for argument in arguments])
    return ended.value.code


@pytest.mark.parametrize("zipped", [True, False])
@torch.no_grad()
def test_a_converted_model_makes_the_same_images(tmp_path: Path, zipped: bool) -> None:
    weights = write(tmp_path, zipped=zipped)
    assert converted(weights) == 0
    network = loaded(tmp_path / "biggan-deep-16")
    assert network.config.size == 16 and network.config.class_names == []
    z, classes = torch.randn(2, 6), torch.eye(5)[[0, 4]]
    assert_close(
        network(z, classes, 0.5), plain_images(public_tensors(TINY), TINY, z, classes, 0.5)[0], atol=1e-5, rtol=0
    )
    assert {path.name for path in tmp_path.iterdir()} == {WEIGHTS, CONFIG, "biggan-deep-16"}
    assert {path.name for path in (tmp_path / "biggan-deep-16").iterdir()} == {"config.json", "model.safetensors"}


def test_files_with_other_names_are_named_by_flags(tmp_path: Path) -> None:
    weights = write(tmp_path).rename(tmp_path / "mine.bin")
    assert converted(weights) == 2
    assert converted(weights, "--config", tmp_path / CONFIG, "--out", tmp_path / "a" / "b") == 0
    assert loaded(tmp_path / "a" / "b").config.width == 8
    assert not (tmp_path / "mine").exists()


def test_a_thousand_classes_get_the_names_of_imagenet(tmp_path: Path) -> None:
    (tmp_path / CONFIG).write_text(json.dumps(TINY | {"num_classes": 1000}), encoding="utf-8")
    config = public_biggan.read_public_config(tmp_path / CONFIG)
    assert config.class_names == list(imagenet_names())


@pytest.mark.parametrize("named", rest_slow([".", "pytorch_model.bin", WEIGHTS]))
def test_whoever_gives_the_public_files_as_a_model_is_told_how_to_convert(named: str, tmp_path: Path) -> None:
    weights = write(tmp_path)
    if named != WEIGHTS:
        weights.rename(tmp_path / "pytorch_model.bin")
        (tmp_path / CONFIG).rename(tmp_path / "config.json")
    with pytest.raises(UserError, match="BigGAN-deep, a pickle; convert") as refused:
        load_method(str(tmp_path / named))
    command = str(refused.value).rpartition("aognet convert-biggan ")[2].rpartition(", then")[0]
    assert converted(*shlex.split(command)) == 0
    assert [loaded(path.parent) for path in tmp_path.glob("*/model.safetensors")]


def without(name: str) -> Callable[[dict[str, Tensor]], Any]:
    return lambda tensors: {key: value for key, value in tensors.items() if key != name}


def with_(name: str, change: Callable[[Tensor], Any]) -> Callable[[dict[str, Tensor]], Any]:
    return lambda tensors: tensors | {name: change(tensors.get(name, torch.zeros(2)))}


TO_RGB = "generator.conv_to_rgb"
BAD_TENSORS = {
    "is missing": without(f"{TO_RGB}.weight_u"),
    "and 3 more": lambda tensors: {key: value for key, value in tensors.items() if "gen_z" not in key},
    "is unknown": with_("generator.layers.9.conv_0.bias", torch.clone),
    "has shape": with_("generator.bn.running_means", lambda value: value[:-1]),
    "[6]": with_("generator.layers.0.bn_0.scale.weight_v", lambda value: value[:6]),
    "not finite": with_("embeddings.weight", lambda value: value.log()),
    "spectral norm": with_(f"{TO_RGB}.weight_u", torch.zeros_like),
    "other than tensors": with_("note", lambda _: "text"),
    "no floats": with_("generator.bn.bias", Tensor.long),
    "tensors by name": lambda tensors: list(tensors.values()),
    "posix.mkdir": lambda tensors: tensors | {"x": Call(os.mkdir, "made")},
    "wants to call": lambda tensors: tensors | {"x": Call(eval, "1")},
}


@pytest.mark.parametrize("told", BAD_TENSORS)
def test_tensors_that_do_not_fit_are_named(
    told: str, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    weights = write(tmp_path, tensors=BAD_TENSORS[told](public_tensors(TINY)))
    assert converted(weights) == 2
    said = capfd.readouterr().err
    assert said.count("\n") == 1 and str(weights) in said and told in said, said
    assert {path.name for path in tmp_path.iterdir()} == {WEIGHTS, CONFIG}


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"n_stats": None}, "n_stats"),
        ({"n_stats": 0}, "n_stats must lie in"),
        ({"num_classes": "many"}, "num_classes"),
        ({"channel_width": 10**9}, "channel_width"),
        ({"output_dim": 32}, "output_dim must be 16, as the layers make it, got 32"),
        ({"layers": "F4-4"}, "layers must be"),
        ({"layers": [[True, 4, 2], 3]}, "layers must be"),
        ({"layers": [[True, "x", 2]]}, "layers"),
        ({"layers": [[True, 2, 4]]}, "layers"),
        ({"attention_layer_position": 9}, "attention_layer_position must lie in"),
        ({"channel_width": 16}, "has shape"),
        ({"dropout": 0.1}, "dropout is an unknown key"),
    ],
)
def test_configs_that_do_not_fit_are_named(
    changes: dict[str, Any], told: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert converted(write(tmp_path, TINY | changes)) == 2
    said = capfd.readouterr().err
    assert said.count("\n") == 1 and told in said and str(tmp_path) in said, said
    assert {path.name for path in tmp_path.iterdir()} == {WEIGHTS, CONFIG}


def test_a_config_says_everything(tmp_path: Path) -> None:
    for key in TINY:
        (tmp_path / CONFIG).write_text(json.dumps({name: TINY[name] for name in TINY if name != key}), encoding="utf-8")
        with pytest.raises(UserError, match=f"{key} is missing"):
            public_biggan.read_public_config(tmp_path / CONFIG)


def test_what_is_there_stays(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    weights = write(tmp_path)
    (tmp_path / "biggan-deep-16").mkdir()
    assert converted(weights) == 2 and "is there already" in capfd.readouterr().err
    assert converted(weights, "--out", weights / "x") == 2 and capfd.readouterr().err.count("\n") == 1
    assert not any((tmp_path / "biggan-deep-16").iterdir())


def test_files_that_are_no_models_are_named(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    weights = write(tmp_path)
    whole = weights.read_bytes()
    for content in (b"", b"\x80", whole[: len(whole) // 2], b"PK\x03\x04" + bytes(50)):
        weights.write_bytes(content)
        assert converted(weights) == 2
        assert str(weights) in (said := capfd.readouterr().err) and said.count("\n") == 1, said
    weights.write_bytes(whole)
    monkeypatch.setattr(public_biggan, "MAX_BYTES", len(whole) - 1)
    assert converted(weights) == 2 and "larger than" in capfd.readouterr().err
    (tmp_path / CONFIG).unlink()
    assert converted(weights) == 2 and CONFIG in capfd.readouterr().err
    assert converted(tmp_path / "none-pytorch_model.bin") == 2
    assert {path.name for path in tmp_path.iterdir()} == {WEIGHTS}
