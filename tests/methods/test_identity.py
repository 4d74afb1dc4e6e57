"""Which model it is: by contents, wherever it lies; any change of what is read makes it another."""

import json
import shutil
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest

from aognet.errors import UserError
from aognet.io import digest
from aognet.methods.identity import model_identity

COMMIT = "0123456789abcdef0123456789abcdef01234567"


def test_it_is_the_same_in_another_place_and_under_another_name(saved: Path, tree: Path) -> None:
    expected = model_identity(str(saved / "model"))
    assert model_identity(str(tree / "model")) == expected == model_identity(str(tree / "model" / "final"))
    (tree / "model" / "final").rename(tree / "renamed")
    described = json.loads((tree / "renamed" / "config.json").read_text())
    for part in ("backbone", "clip"):
        described[part]["model"] = "../backbone"
    (tree / "renamed" / "config.json").write_text(json.dumps(described))
    assert model_identity(str(tree / "renamed")) == expected
    assert model_identity(str(tree / "backbone")) == model_identity(str(saved / "backbone")) != expected


def test_any_change_of_what_is_read_makes_it_another(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(digest, "PIECE_BYTES", 1000)
    model = str(tree / "model")
    seen = {model_identity(model)}
    parts = ("vae", "unet", "text_encoder", "tokenizer", "scheduler", "image_encoder")
    changed = [path for part in parts for path in sorted((tree / "backbone" / part).iterdir())]
    changed.append(tree / "model" / "final" / "model.safetensors")
    assert len(changed) > 10
    for path in changed:
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 1
        path.write_bytes(content)
        seen.add(model_identity(model))
    config = tree / "model" / "final" / "config.json"
    config.write_text(config.read_text().replace('"tokens": 3', '"tokens": 4'))
    seen.add(model_identity(model))
    assert len(seen) == len(changed) + 2


def test_what_is_not_read_does_not_count(tree: Path) -> None:
    model = str(tree / "model")
    expected = model_identity(model)
    for name in ("README.md", "final/notes.txt", "checkpoints/step-1.safetensors"):
        (tree / "model" / name).parent.mkdir(exist_ok=True)
        (tree / "model" / name).write_text("more")
    unet = tree / "backbone" / "unet"
    shutil.copy(unet / "diffusion_pytorch_model.safetensors", unet / "diffusion_pytorch_model.fp16.safetensors")
    assert model_identity(model) == expected


def test_of_the_hub_the_commit_counts(tmp_path: Path, tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = shutil.copytree(tree / "backbone", tmp_path / "snapshots" / COMMIT)
    asked: list[Any] = []

    def snapshot_download(name: str, revision: str | None = None, **options: Any) -> str:
        asked.append((name, revision))
        return str(folder)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot_download)
    found = model_identity("owner/model", "main")
    (folder / "unet" / "diffusion_pytorch_model.safetensors").write_bytes(b"")  # not read: its name says what it holds
    assert model_identity("owner/model") == found and asked == [("owner/model", "main"), ("owner/model", None)]
    folder = folder.rename(folder.with_name(COMMIT[::-1]))
    assert model_identity("owner/model") != found


def test_files_are_read_once_until_they_change(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read, pool = [], digest.ThreadPoolExecutor

    def counted(*given: Any) -> Any:
        read.append(given)
        return pool(*given)

    monkeypatch.setattr(digest, "ThreadPoolExecutor", counted)
    weights = tree / "model" / "final" / "model.safetensors"
    first = model_identity(str(tree / "model"))
    once = len(read)
    assert model_identity(str(tree / "model")) == first and len(read) == once > 0
    weights.write_bytes(weights.read_bytes() + b"0")
    assert model_identity(str(tree / "model")) != first and len(read) == once + 1


def test_a_model_that_is_not_there_is_named(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for model, said in (("/no/such/model", "/no/such/model: no such folder"), (str(tmp_path / "empty"), "empty")):
        with pytest.raises(UserError, match=said):
            model_identity(model)
