"""The identity of a model, by its weights and settings: the same in another folder, another one after more training."""

import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import fields
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from aognet.config import LoadedConfig, build_config
from aognet.diffusion.additions import Additions, LoraFile
from aognet.diffusion.backbone import COMPONENTS, OPTIONAL
from aognet.diffusion.loading import resolve
from aognet.diffusion.lora.lora_files import find_lora, lora_files
from aognet.diffusion.saved import CONFIG, NOTHING, WEIGHTS, read_config
from aognet.diffusion.word_files import read_words
from aognet.io.digest import pieces_digest
from aognet.methods.pretrained import PIPELINE, locate
from aognet.system.home import expanded

ADDITIONS = [one.name for one in fields(Additions)]
READ = (".json", ".txt", ".safetensors")
CLIP_FOLDERS = ("subfolder", "processor", "image_encoder", "text_encoder", "tokenizer", "feature_extractor")
"""What configurations of a CLIP call its parts."""
OTHER_WEIGHTS = ("*.fp16*.safetensors", "*.bf16*.safetensors", "*.non_ema*.safetensors")


def model_identity(
    model: str, revision: str | None = None, variant: str | None = None, additions: Additions = NOTHING
) -> str:
    """Return a hash of all that `aognet.methods.pretrained.load_method` reads for ``model``, a folder or hub id.

    ``variant`` is that of the frozen backbone's weights, if not that of the model's configuration. ``additions`` come
    to those of the model's configuration. For models from the
    hub the commit counts. Files are read once as long as they do not change.

    :raises UserError: if the model does not exist.
    """
    folder = locate(model, revision)
    if not (folder / CONFIG).is_file() and (folder / PIPELINE).is_file():
        alone = {"backbone": _contents(folder, (*COMPONENTS, *OPTIONAL), variant), "variant": variant}
        return _hash(alone | _added(Path(), additions))
    described = read_config(folder / CONFIG)
    for name in ("backbone", "clip"):
        part = described.get(name)
        if isinstance(part, dict) and isinstance(part.get("model"), str):
            part = {**part, "variant": variant or part.get("variant")}
            own = {key: part.pop(key) for key in ADDITIONS if key in part}
            added = build_config(LoadedConfig(own, {"": str(folder / CONFIG)}, name), Additions)
            described[name] = {**part, "model": _part(folder, name, part), "encodings": None, **_added(folder, added)}
    return _hash({"config": described, "weights": _digest_of(folder / WEIGHTS)} | _added(Path(), additions))


def _added(folder: Path, additions: Additions) -> dict[str, Any]:
    """Return the contents of additions that are named from a folder; of none, no keys, as if there were no such key."""
    return {key: [_addition(folder, key, one) for one in added] for key, added in additions.additions().items()}


def _addition(folder: Path, key: str, named: str | LoraFile) -> Any:
    """Return the contents of a folder or hub id, of a LoRA's file, or the words of a file."""
    if isinstance(named, LoraFile):
        local = (folder / expanded(named.file)).resolve()
        files = lora_files(find_lora(str(local) if local.exists() else named.file))
        return {"files": [_digest_of(path) for path in files], "scale": named.scale}
    local = (folder / expanded(named)).resolve()
    if key == "words":
        return read_words(local).identity
    return _contents(local if local.exists() else resolve(named), ("",))


def _part(folder: Path, name: str, part: dict[str, Any]) -> Any:
    """Return what a trained model's configuration refers to."""
    local = (folder / expanded(part["model"])).resolve()
    found = local if local.is_dir() else resolve(part["model"], (), part.get("revision"))
    if name == "backbone":
        return _contents(found, (*COMPONENTS, *OPTIONAL), part.get("variant"))
    subfolders = {part.get(key, "") for key in CLIP_FOLDERS} | ({""} if part.get("text") else set())
    return _contents(found, sorted(subfolders))


def _contents(folder: Path, subfolders: Sequence[str], variant: str | None = None) -> Any:
    """Return the commit of a folder of the hub's cache, or the hashes of the files that are read in a folder."""
    if folder.parent.name == "snapshots" and re.fullmatch(r"[0-9a-f]{40}", folder.name):
        return {"commit": folder.name}
    files = [path for name in subfolders for path in sorted((folder / name).glob("*")) if _is_read(path, variant)]
    return {path.relative_to(folder).as_posix(): _digest_of(path) for path in files}


def _is_read(path: Path, variant: str | None) -> bool:
    if path.suffix not in READ or not path.is_file():
        return False
    if path.suffix != ".safetensors":
        return True
    return f".{variant}" in path.name if variant else not any(fnmatch(path.name, other) for other in OTHER_WEIGHTS)


def _digest_of(path: Path) -> str | None:
    return pieces_digest(path) if path.is_file() else None  # whoever loads it says so


def _hash(described: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(described, sort_keys=True).encode()).hexdigest()
