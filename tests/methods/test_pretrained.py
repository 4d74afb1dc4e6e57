"""What `save_pretrained` keeps and `from_pretrained` accepts; what it refuses, it names."""

import json
import pickle
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest
import torch
from safetensors.torch import load_file, save_file

from aognet.diffusion.backbone import Backbone, BackboneConfig
from aognet.errors import UserError
from aognet.methods.aognet.model import AOGNet
from aognet.methods.pretrained import load_method
from tests.tiny import tiny_streams

State = dict[str, torch.Tensor]


def test_saved_and_loaded_is_the_same_bit_for_bit(saved: Path, sd2_folder: Path) -> None:
    made, loaded = tiny_streams(sd2_folder), AOGNet.from_pretrained(saved / "model" / "final")
    expected, found = made.state_dict(), loaded.state_dict()
    assert expected.keys() == found.keys()
    assert all(torch.equal(value, found[key]) for key, value in expected.items())
    assert loaded.config.local_stream == made.config.local_stream
    assert loaded.config.global_stream == made.config.global_stream


def test_only_what_was_trained_is_kept(saved: Path) -> None:
    folder = saved / "model" / "final"
    assert sorted(path.name for path in folder.iterdir()) == ["config.json", "model.safetensors"]
    found = load_file(folder / "model.safetensors")
    model = AOGNet.from_pretrained(folder)
    trained = [p for part in model.trainable_parts().values() for p in part.parameters()]
    assert {key.partition(".")[0] for key in found} == {"global_stream", "unconditional", "local_stream"}
    assert sum(value.numel() for value in found.values()) == sum(parameter.numel() for parameter in trained)
    assert (folder / "model.safetensors").stat().st_size < 4 * sum(p.numel() for p in trained) + 20_000
    config = json.loads((folder / "config.json").read_text())
    assert (config["method"], config["backbone"]["model"]) == ("aognet", "../../backbone")
    assert config["clip"]["model"] == "../../backbone"


def test_the_backbone_is_found_after_the_tree_moved(saved: Path, tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tree)
    for name in ("model/final", "model", str(tree / "model")):
        model = load_method(name)
        assert model.config.backbone.model == str((tree / "backbone").resolve())
    # Saved once more somewhere else, with a backbone inside its own folder.
    shutil.copytree(tree / "backbone", tree / "other" / "parts" / "sd")
    model = tiny_streams(tree / "other" / "parts" / "sd")
    model.save_pretrained(tree / "other")
    assert json.loads((tree / "other" / "config.json").read_text())["backbone"]["model"] == "./parts/sd"
    (tree / "other").rename(tree / "another")
    assert torch.equal(load_method(str(tree / "another")).global_stream.queries, model.global_stream.queries)


def test_a_diffusers_model_paints_without_streams(sd2_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From a folder, in half precision, and from the hub; the pipeline's parts are those that it says."""
    model = load_method(str(sd2_folder), dtype="bfloat16")
    assert model.trainable_parts() == {}
    assert model.backbone.dtype == torch.bfloat16
    expected = Backbone.load(BackboneConfig(str(sd2_folder))).state_dict()
    asked = []

    def snapshot_download(name: str, revision: str | None = None, **options: Any) -> str:
        asked.append((name, revision))
        return str(sd2_folder)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot_download)
    found = load_method("owner/inpainting", revision="v2").backbone.state_dict()
    assert set(asked) == {("owner/inpainting", "v2")}
    assert all(torch.equal(value, found[key]) for key, value in expected.items())


def test_the_frozen_parts_can_be_held_in_half_precision(saved: Path) -> None:
    model = AOGNet.from_pretrained(saved / "model" / "final", dtype="bfloat16")
    assert model.backbone.dtype == model.clip.tower.dtype == torch.bfloat16
    assert model.global_stream.queries.dtype == torch.float32


def test_a_hub_id_is_fetched(saved: Path, sd2_folder: Path, tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    edit_config(tree, lambda config: [config[part].update(model="owner/backbone") for part in ("backbone", "clip")])
    fetched = []

    def snapshot_download(name: str, revision: str | None = None, **options: Any) -> str:
        fetched.append((name, revision))
        return str(sd2_folder if name == "owner/backbone" else tree / "model" / "final")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot_download)
    load_method("owner/streams", revision="v2")
    assert fetched[0] == ("owner/streams", "v2")
    assert ("owner/backbone", None) in fetched


def edit_config(tree: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    path = tree / "model" / "final" / "config.json"
    config = json.loads(path.read_text())
    change(config)
    path.write_text(json.dumps(config))


def edit_weights(tree: Path, change: Callable[[State], Any]) -> None:
    path = tree / "model" / "final" / "model.safetensors"
    state = load_file(path)
    change(state)
    save_file(state, path)


@pytest.mark.parametrize(
    ("section", "key", "value", "said"),
    [
        (None, "drop_conditon", 0.1, ["config.json", "drop_conditon", "did you mean 'drop_condition'"]),
        ("local_stream", "deph", 2, ["config.json", "local_stream.deph", "did you mean 'depth'"]),
        ("local_stream", "depth", "two", ["config.json", "local_stream.depth", "'two'"]),
        (None, "method", "another", ["config.json", "method", "'another'"]),
        (None, "method", None, ["config.json", "method", "None"]),
        ("backbone", "model", "../nowhere", ["config.json", "backbone.model", "../nowhere"]),
        ("clip", "model", "/nowhere/at/all", ["config.json", "clip.model", "/nowhere/at/all"]),
        ("backbone", "model", "no/such-model", ["no/such-model", "hub"]),
        ("local_stream", "depth", 2, ["model.safetensors", "missing", "local_stream.attention.1"]),
        ("global_stream", "tokens", 4, ["model.safetensors", "global_stream.", "[3, ", "[4, "]),
        ("local_stream", "geometry", False, ["model.safetensors", "local_stream.adapter."]),
    ],
)
def test_a_config_that_does_not_fit_is_named(
    tree: Path, section: str | None, key: str, value: Any, said: list[str]
) -> None:
    edit_config(tree, lambda config: (config[section] if section else config).update({key: value}))
    assert_refused(tree, *said)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda state: state.pop("global_stream.queries"), ["1 weights are missing", "global_stream.queries"]),
        (lambda state: state.update(extra=torch.zeros(1)), ["1 weights are unknown", "extra"]),
        (
            lambda state: state.update({"local_stream.last.0.bias": torch.zeros(3)}),
            ["local_stream.last.0.bias", "[3]", "[16]"],
        ),
    ],
)
def test_weights_that_do_not_fit_are_named(tree: Path, change: Any, said: list[str]) -> None:
    edit_weights(tree, change)
    assert_refused(tree, "model.safetensors", *said)


def test_files_that_are_not_what_they_should_be_are_refused(tree: Path) -> None:
    folder = tree / "model" / "final"
    whole = (folder / "model.safetensors").read_bytes()
    for content in (pickle.dumps({"a": 1}), whole[:1000], whole[:-4], b""):
        (folder / "model.safetensors").write_bytes(content)
        assert_refused(tree, "model.safetensors", "not a readable safetensors file")
    (folder / "model.safetensors").unlink()
    assert_refused(tree, "model.safetensors", "no such file")
    for text, said in (("{", "not JSON"), ("[]", "expected an object, got list"), ("[" * 100_000, "not JSON")):
        (folder / "config.json").write_text(text)
        assert_refused(tree, "config.json", said)
    (folder / "config.json").write_bytes(b"\xff\xfe{")
    assert_refused(tree, "config.json", "UTF-8")
    (folder / "config.json").write_text(" " * 2**21)
    assert_refused(tree, "config.json", "larger than")
    (folder / "config.json").unlink()
    assert_refused(tree, "config.json", "no such file")


def test_another_method_is_refused_by_name(tree: Path) -> None:
    edit_config(tree, lambda config: config.update(method="other"))
    with pytest.raises(UserError, match="method: expected 'aognet'"):
        AOGNet.from_pretrained(tree / "model" / "final")


@pytest.mark.parametrize("name", ["/no/such/folder", "./nowhere", "nowhere", "someone/no-model-of-ours"])
def test_what_is_not_there_is_said_at_once(name: str) -> None:
    began = time.monotonic()
    with pytest.raises(UserError) as caught:
        load_method(name)
    assert time.monotonic() - began < 10
    assert name in str(caught.value) and "\n" not in str(caught.value)


def assert_refused(tree: Path, *said: str) -> None:
    with pytest.raises(UserError) as caught:
        load_method(str(tree / "model"))
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 500
    for words in said:
        assert words in str(caught.value)
