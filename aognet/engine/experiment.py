"""The folder of one experiment: logs/NAME with config, provenance, metrics, images, checkpoints and final weights."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

from omegaconf import OmegaConf

from aognet.config import LoadedConfig
from aognet.errors import UserError
from aognet.files import write_atomically

if TYPE_CHECKING:
    from aognet.engine.trainable import Trainable

CONFIG = "config.yaml"


def experiment_folder(root: Path, name: str, resume: bool, dry_run: bool = False) -> Path:
    """``root/name``, refused when going on there was not asked for, or when there is nothing to go on with."""
    if dry_run:
        return root / name
    if not name:
        raise UserError("an experiment needs a name: --n NAME")
    if name in (".", "..") or Path(name).name != name:
        raise UserError(f"--n must be a plain folder name, got {name!r}")
    folder = root / name
    if resume and not folder.is_dir():
        raise UserError(f"{folder}: no such experiment to resume")
    if not resume and any(folder.glob("checkpoints/step-*")):
        raise UserError(f"{folder}: this experiment has checkpoints; add --resume to go on, or choose another --n")
    return folder


def write_config(folder: Path, config: LoadedConfig) -> None:
    """Make the experiment's folder with the resolved config in it; the first process does it for all."""
    if os.environ.get("RANK", "0") != "0":
        return
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_atomically(folder / CONFIG, _yaml(config))
    except OSError as error:
        raise UserError(f"{folder}: cannot write the experiment: {error.strerror or error}") from error


def show_plan(config: LoadedConfig, model: "Trainable") -> None:
    """Print the resolved config and a table of trained and frozen parameters on standard output."""
    from rich.console import Console
    from rich.syntax import Syntax
    from rich.table import Table

    console = Console()
    console.print(Syntax(_yaml(config), "yaml", word_wrap=True, background_color="default"))
    table = Table("part", "trainable", "frozen", title="parameters")
    parts = {name: list(module.parameters()) for name, module in model.trainable_parts().items()}
    inside = {id(value) for values in parts.values() for value in values}
    for name, values in parts.items():
        trained = sum(value.numel() for value in values if value.requires_grad)
        table.add_row(name, f"{trained:,}", f"{sum(value.numel() for value in values) - trained:,}")
    others = sum(value.numel() for value in model.parameters() if id(value) not in inside)
    table.add_row("everything else", "0", f"{others:,}")
    console.print(table)


def _yaml(config: LoadedConfig) -> str:
    return OmegaConf.to_yaml(OmegaConf.create(config.to_container()))
