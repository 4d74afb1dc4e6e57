"""The folder of one experiment: logs/NAME with config, provenance, metrics, images, checkpoints and final weights."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from omegaconf import OmegaConf

from aognet.config import LoadedConfig
from aognet.errors import Setting, UserError
from aognet.io.files import clear_unfinished, made_folder, restore_folder, write_atomically
from aognet.system.locking import exclusive

if TYPE_CHECKING:
    from aognet.training.trainable import Trainable

CONFIG, PROVENANCE, METRICS, IMAGES, FINAL = "config.yaml", "provenance.json", "metrics.jsonl", "images", "final"
WRITTEN = (CONFIG, PROVENANCE, METRICS, "wandb_id.txt")


def experiment_folder(root: Path, name: str, resume: bool, dry_run: bool = False) -> Path:
    """Return ``root/name``.

    :raises UserError: if the name is not that of a folder, or ``resume`` asks for an experiment that is not there.
    """
    if dry_run:
        return root / name
    if not name:
        raise UserError("is missing: an experiment needs a name", key="name")
    if name in (".", "..") or Path(name).name != name:
        raise UserError("must be a plain folder name", key="name", value=name)
    folder = root / name
    if resume and not folder.is_dir():
        raise UserError(f"{folder}: no such experiment to resume")
    return folder


@contextmanager
def held(folder: Path, resume: bool) -> Iterator[None]:
    """Make an experiment's folder and hold it against other trainings; the first of several processes does it for all.

    What a killed training left unfinished in it is cleared. Where nothing gets written, no empty folder stays.

    :raises UserError: if another training is at work there, or one was that ``resume`` does not ask for.
    """
    if not _first():
        yield
        return
    with made_folder(folder), exclusive(folder):
        if not resume and any(folder.glob("checkpoints/step-*")):
            said = f"{folder}: this experiment has checkpoints; add "
            raise UserError(said, Setting("resume"), " to go on, or choose another ", Setting("name"))
        clear_unfinished(folder, WRITTEN.__contains__)
        clear_unfinished(folder / IMAGES, lambda name: name.startswith("step-"))
        restore_folder(folder / FINAL)
        yield


def write_config(folder: Path, config: LoadedConfig) -> None:
    """Write the resolved config into the experiment's folder; the first process does it for all."""
    if _first():
        write_atomically(folder / CONFIG, _yaml(config))


def _first() -> bool:
    return os.environ.get("RANK", "0") == "0"


def show_plan(config: LoadedConfig, model: "Trainable") -> None:
    """Print the resolved config and a table of trained and frozen parameters on standard output."""
    from rich.console import Console
    from rich.syntax import Syntax
    from rich.table import Table

    from aognet.training.phases import optimized_parts

    console = Console()
    console.print(Syntax(_yaml(config), "yaml", word_wrap=True, background_color="default"))
    table = Table("part", "trainable", "frozen", title="parameters")
    parts = {name: list(module.parameters()) for name, module in model.trainable_parts().items()}
    owners = {part: name for name, one in optimized_parts(model).items() for part in one.parts}
    inside = {id(value) for values in parts.values() for value in values}
    for name, values in parts.items():
        trained = sum(value.numel() for value in values if value.requires_grad)
        owner = f" ({owners[name]} optimizer)" if owners[name] else ""
        table.add_row(name + owner, f"{trained:,}", f"{sum(value.numel() for value in values) - trained:,}")
    others = sum(value.numel() for value in model.parameters() if id(value) not in inside)
    table.add_row("everything else", "0", f"{others:,}")
    console.print(table)


def _yaml(config: LoadedConfig) -> str:
    values = config.to_container()
    try:
        return OmegaConf.to_yaml(OmegaConf.create(values))
    except UnicodeEncodeError:  # names of files that are not UTF-8: JSON, which is YAML, escapes them
        return json.dumps(values, indent=2) + "\n"
