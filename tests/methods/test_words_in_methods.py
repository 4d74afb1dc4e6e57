"""Learned words change what every method makes of a prompt, count in the model's identity, and are checked first."""

import json
import shutil
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from aognet import cli
from aognet.commands import generate
from aognet.diffusion.additions import Additions
from aognet.diffusion.backbone import BackboneConfig
from aognet.diffusion.clip_encoders import ClipConfig, ClipTextEncoder
from aognet.errors import UserError
from aognet.io.images import load_image
from aognet.methods.identity import model_identity
from aognet.methods.method import find_method
from aognet.methods.pretrained import load_method
from aognet.methods.seamless.model import Seamless
from tests.tiny import TEXT_DIM, tiny_clip_folder, tiny_streams

SIZE = ("--size", "32x64", "--num_inference_step", "1", "-s", "3")


@pytest.fixture(scope="module")
def words(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two words for an encoder of the tiny models, also called TOK."""
    folder = tmp_path_factory.mktemp("words")
    save_file({"text_encoders_0": torch.randn(2, TEXT_DIM)}, folder / "embeddings.pti")
    (folder / "special_params.json").write_text(json.dumps({"TOK": "<s0><s1>"}))
    return folder / "embeddings.pti"


def paint(out: Path, *arguments: Any) -> int | str | None:
    with pytest.raises(SystemExit) as ended:
        cli.run(generate.main, [*map(str, arguments), *SIZE, "--inference_out_dir", str(out), "device=cpu"])
    return ended.value.code


def test_a_word_changes_the_panorama(
    plain_folder: Path, words: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    plain, seen = shutil.copytree(plain_folder, tmp_path / "model"), {}
    path = next((plain / "unet").glob("*.safetensors"))
    # Untrained, words hardly matter.
    save_file({key: value * (8 if "attn2" in key else 1) for key, value in load_file(path).items()}, path)
    for name, prompt, given in (
        ("plain", "a TOK barn", []),
        ("read", "a TOK barn", ["--words", words]),
        ("same", "a <s0><s1> barn", ["--words", words]),
        ("unused", "a barn", ["--words", words]),
    ):
        options = ["--checkpoint", plain, "method=seamless", "--prompt", prompt, "--name", "barn"]
        assert paint(tmp_path / name, *options, *given) == 0
        unused = "--words: no prompt has a word of these files (TOK, <s0>, <s1>)" in capfd.readouterr().err
        assert unused == (name == "unused")
        seen[name] = load_image(tmp_path / name / "barn" / "result.png")
    assert torch.equal(seen["read"], seen["same"])
    for one, other in combinations(("plain", "read", "unused"), 2):
        assert not torch.equal(seen[one], seen[other])
    run = json.loads((tmp_path / "read" / "barn" / "run.json").read_text())
    assert str(words) in str(run) and "TOK" in str(run) and "<s0>" not in str(run)


def test_bad_files_are_one_line_before_anything_is_written(
    plain_folder: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    good = torch.randn(2, TEXT_DIM)
    (tmp_path / "embedding.pt").write_bytes(b"PK\x03\x04")
    save_file({"emb_params": good * torch.nan}, tmp_path / "nan.safetensors")
    save_file({"clip_l": good, "clip_g": good + 1}, tmp_path / "two.safetensors")
    wrong = {
        "gone.pti": "no such file",
        "embedding.pt": "aognet convert-weights",
        "nan.safetensors": "not finite",
        "two.safetensors": "has vectors for two text encoders",
        ".": "a folder",
        "": "words must be files, got",
    }
    for name, said in wrong.items():
        options, path = ["--checkpoint", plain_folder, "method=seamless", "--prompt", "a barn"], str(tmp_path / name)
        assert paint(tmp_path / "out", *options, "--words", path if name else "") == 2
        *before, line = capfd.readouterr().err.strip().split("\n")
        assert (
            not any("error" in other for other in before)
            and line.startswith("error: ")
            and said in line
            and str(tmp_path / name if name else "") in line
        )
        assert not (tmp_path / "out").exists()


@torch.no_grad()
def test_every_method_reads_words(sd2_folder: Path, words: Path) -> None:
    added = Additions(words=[str(words)])
    for method in ("aognet", "cubediff", "seamless", "fusion"):
        model, plain = (load_method(str(sd2_folder), alone=method, additions=more) for more in (added, Additions()))
        settings = find_method(method).settings_class()
        said = model.joined("TOK", "a barn", settings) if hasattr(model, "joined") else "<s0><s1>, a barn"
        assert said.startswith("<s0><s1>")
        read, without = (one.backbone.conditioner.known(["TOK, a barn"]).tokens for one in (model, plain))
        assert torch.equal(model.backbone.conditioner([said]).tokens, read) and not torch.equal(read, without)


@torch.no_grad()
def test_a_clip_that_reads_the_prompts_is_taught_too(sd2_folder: Path, words: Path, tmp_path: Path) -> None:
    clip = ClipConfig(str(tiny_clip_folder(tmp_path / "clip", TEXT_DIM, length=77)), text=True)
    tiny_streams(sd2_folder, clip=clip).save_pretrained(tmp_path / "saved")
    model = load_method(str(tmp_path / "saved"), additions=Additions(words=[str(words)]))
    assert model._chunks(["a TOK barn"], None) == [["a <s0><s1> barn"]]
    read = model.clip_text(["a TOK barn"]).tokens
    assert not torch.equal(read, ClipTextEncoder.load(clip)(["a TOK barn"]).tokens)
    assert torch.equal(read, ClipTextEncoder.load(clip, [str(words)])(["a <s0><s1> barn"]).tokens)


def test_words_count_in_a_models_identity_by_what_they_are(plain_folder: Path, words: Path, tmp_path: Path) -> None:
    model = str(plain_folder)

    def identity(path: Path) -> str:
        return model_identity(model, additions=Additions(words=[str(path)]))

    moved = shutil.copytree(words.parent, tmp_path / "moved")
    seen = [model_identity(model), identity(words)]
    assert identity(moved / "embeddings.pti") == seen[1]
    (moved / "special_params.json").write_text(json.dumps({"KOT": "<s0><s1>"}))
    seen.append(identity(moved / "embeddings.pti"))
    save_file({"text_encoders_0": torch.randn(2, TEXT_DIM)}, moved / "embeddings.pti")
    seen.append(identity(moved / "embeddings.pti"))
    for name in ("zaa", "zbb"):
        save_file({"emb_params": torch.ones(2, TEXT_DIM)}, tmp_path / f"{name}.safetensors")
        seen.append(identity(tmp_path / f"{name}.safetensors"))
    assert len(set(seen)) == len(seen)


def test_a_saved_model_finds_its_words(plain_folder: Path, words: Path, tmp_path: Path) -> None:
    files = shutil.copytree(words.parent, tmp_path / "tree" / "words")
    backbone = BackboneConfig(str(plain_folder), words=[str(files / words.name)])
    Seamless(Seamless.Config(backbone=backbone)).save_pretrained(tmp_path / "tree" / "saved")
    described = json.loads((tmp_path / "tree" / "saved" / "config.json").read_text())
    assert described["backbone"]["words"] == ["../words/embeddings.pti"]
    moved = (tmp_path / "tree").rename(tmp_path / "moved")
    save_file({"emb_params": torch.ones(1, TEXT_DIM)}, tmp_path / "zcc.safetensors")
    model = load_method(str(moved / "saved"), additions=Additions(words=[str(tmp_path / "zcc.safetensors")]))
    assert model.backbone.conditioner.chunks(["TOK zcc"]) == [["<s0><s1> <zcc>"]]
    shutil.rmtree(moved / "words")
    with pytest.raises(UserError, match=r"config.json: backbone.words: no such"):
        load_method(str(moved / "saved"))
