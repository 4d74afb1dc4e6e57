"""A model in a folder of its own, and on the Hugging Face hub, with a card."""

import json
import shutil
import tempfile
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from aognet.diffusion.additions import Additions, LoraFile
from aognet.diffusion.backbone import COMPONENTS, OPTIONAL, PIPELINE
from aognet.diffusion.loading import is_hub_id
from aognet.diffusion.saved import CONFIG, read_config
from aognet.errors import UserError
from aognet.generate.generator import Generator
from aognet.generate.load import SETTINGS
from aognet.io.files import made_folder, write_atomically
from aognet.methods.identity import CLIP_FOLDERS
from aognet.methods.pretrained import locate
from aognet.system.home import expanded

CARD = "README.md"
KINDS = (".json", ".txt", ".safetensors")
"""Of the files of models: others are not read, and not passed on."""
REFERRING = ("backbone", "clip")
"""The parts of a model's configuration that name networks which were not trained."""
TEMPLATE = """---
{{ card_data }}
---

# {{ name }}

This model paints 360-degree panoramas from a photograph, from words, or from both, with the method {{ method }} of
the package `aognet`. A panorama of it has {{ height }} rows and {{ width }} columns if nothing else is asked for.

```python
from aognet import PanoramaPipeline

pipe = PanoramaPipeline.from_pretrained("{{ name }}")
made = pipe("a mountain lake", image="photo.jpg", fov=75.0)
made.images[0].save("lake.png")
made.panoramas[0].save("lake.html")  # a page to look around in
```
{% if base %}
It stands on {{ base }}, which is loaded from its own address and has a licence of its own.
{% endif %}
"""


def save_model(generator: Generator, folder: Path) -> None:
    """Write a model's trained parts as they are, and the settings of ``generator`` as `SETTINGS`.

    References to files of this machine lead to them from the new folder.

    :raises UserError: where nothing was trained, and for a folder that has other files.
    """
    source = _source(generator)
    if folder.resolve() == source.resolve() or (folder.is_dir() and any(folder.iterdir())):
        raise UserError(f"{folder}: is there already; name a new folder, or an empty one")
    with made_folder(folder):
        _copy(source, folder)
        for inner in sorted(source.glob("*/")):
            if (inner / CONFIG).is_file() and not (inner / PIPELINE).is_file():
                _copy(inner, folder / inner.name)
        described = _with_additions(read_config(source / CONFIG), generator.config)
        _refer(described, lambda key, named: _as_seen_from(folder, source, named))
        write_atomically(folder / CONFIG, json.dumps(described, indent=2) + "\n")
        defaults = generator.defaults
        section = {"height": defaults.height, "seed": defaults.seed, **asdict(defaults.settings)}
        write_atomically(folder / SETTINGS, json.dumps({"generator": section}, indent=2) + "\n")


def publish(
    generator: Generator, repo_id: str, license: str | None = None, private: bool | None = None, **how: Any
) -> str:
    """Upload what `save_model` writes with a card, and return the address of the upload.

    A frozen backbone of this machine is put into the same repository, which then refers to itself. ``license``: of the
    card; None: it names none. ``how``: ``token``, ``commit_message`` and ``create_pr`` of
    `huggingface_hub.HfApi.upload_folder`.

    :raises UserError: for what is no hub id, and for a model that refers to other files of this machine.
    """
    from huggingface_hub import HfApi

    if not is_hub_id(repo_id):
        raise UserError("must be the hub id of a model, owner/name", key="repo_id", value=repo_id)
    with tempfile.TemporaryDirectory(prefix="model-") as temporary:
        folder = Path(temporary) / "model"
        save_model(generator, folder)
        described = read_config(folder / CONFIG)
        _gather(described, folder, repo_id)
        write_atomically(folder / CONFIG, json.dumps(described, indent=2) + "\n")
        write_atomically(folder / CARD, model_card(generator, described, repo_id, license))
        api = HfApi(token=how.pop("token", None))
        api.create_repo(repo_id, private=private, exist_ok=True)
        return str(api.upload_folder(repo_id=repo_id, folder_path=folder, **how))


def model_card(generator: Generator, described: dict[str, Any], name: str, license: str | None = None) -> str:
    """Return the card of a model that is ``described`` by its configuration on the hub, where it is called ``name``."""
    from huggingface_hub import ModelCard, ModelCardData

    backbone = described.get("backbone") or {}
    base = backbone.get("model") if backbone.get("model") != name else None
    data = ModelCardData(
        license=license,
        library_name="aognet",
        pipeline_tag="image-to-image",
        base_model=base,
        tags=["panorama", "360", "equirectangular", "outpainting", generator.method.name],
    )
    height = generator.defaults.height
    about = {"name": name, "method": generator.method.name, "height": height, "width": 2 * height, "base": base}
    return str(ModelCard.from_template(data, template_str=TEMPLATE, **about))


def _source(generator: Generator) -> Path:
    """Return the folder of a trained model. Raises UserError for a diffusers model, of which nothing was trained."""
    folder = locate(generator.config.checkpoint, generator.config.revision)
    if not (folder / CONFIG).is_file():
        raise UserError(f"{generator.config.checkpoint}: is a model of diffusers alone; nothing was trained to save")
    return folder


def _copy(source: Path, folder: Path) -> None:
    """Copy the files of a model that lie in a folder itself."""
    folder.mkdir(parents=True, exist_ok=True)
    for path in sorted(source.iterdir()):
        if path.is_file() and path.suffix in KINDS:
            shutil.copyfile(path, folder / path.name)


def _with_additions(described: dict[str, Any], added: Additions) -> dict[str, Any]:
    """Return a model's configuration with what was added when it was loaded."""
    more = added.relocated(lambda key, named: _here(named)).additions()
    backbone: Any = described.get("backbone")
    if more and not isinstance(backbone, dict):
        raise UserError("is for models with a backbone, and this has none", key=min(more))
    for key, ones in more.items():
        plain = [asdict(one) if isinstance(one, LoraFile) else one for one in ones]
        backbone[key] = [*(backbone.get(key) or []), *plain]
    return described


def _here(named: str) -> str:
    """Return the whole path of a file that is there; a hub id as it is."""
    path = expanded(named)
    return str(path.resolve()) if path.exists() else named


def _refer(described: dict[str, Any], change: Any) -> None:
    """Change, in place, all that a model's configuration refers to: by ``change``, of a key and a path or hub id."""
    for part in REFERRING:
        section = described.get(part)
        if isinstance(section, dict) and isinstance(section.get("model"), str):
            section["model"] = change(f"{part}.model", section["model"])
            for key in (one.name for one in fields(Additions)):
                if key in section:
                    section[key] = [_changed(one, f"{part}.{key}", change) for one in section[key] or []]


def _changed(one: Any, key: str, change: Any) -> Any:
    return {**one, "file": change(key, one["file"])} if isinstance(one, dict) else change(key, one)


def _as_seen_from(folder: Path, source: Path, named: str) -> str:
    """Return a path relative to the ``source`` folder as one from a new folder; a hub id as it is.

    What lies in the source itself was copied with it.
    """
    path = (source / expanded(named)).resolve()
    if not path.exists() or path == source.resolve():
        return named
    if path.is_relative_to(source.resolve()) and (folder / path.relative_to(source.resolve())).exists():
        return named
    return str(path)


def _gather(described: dict[str, Any], folder: Path, repo_id: str) -> None:
    """Put local networks into the folder that is uploaded, and refer to them as what they will be on the hub.

    :raises UserError: for others than one diffusers model, and LoRAs in the folder.
    """
    backbones = set[Path]()

    def change(key: str, named: str) -> str:
        path = (folder / expanded(named)).resolve()
        if not path.exists():
            return named
        if key == "backbone.loras" and path.is_relative_to(folder.resolve()):
            return f"{repo_id}/{path.relative_to(folder.resolve()).as_posix()}"
        if key in ("backbone.model", "clip.model") and (path / PIPELINE).is_file() and backbones <= {path}:
            backbones.add(path)
            return repo_id
        said = "is on this machine alone: upload it by itself, and load the model with its hub id"
        raise UserError(said, key=key, value=named)

    _refer(described, change)
    clip = described.get("clip") or {}
    parts = {str(clip[key]) for key in CLIP_FOLDERS if isinstance(clip.get(key), str) and clip[key]}
    for backbone in backbones:
        shutil.copyfile(backbone / PIPELINE, folder / PIPELINE)
        for name in sorted({*COMPONENTS, *OPTIONAL, *parts}):
            if (backbone / name).is_dir():
                _copy(backbone / name, folder / name)
