"""Train a model: ``aognet train -b config/train_config.yaml --n my_experiment``."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from aognet import cli
from aognet.config import LoadedConfig, build_config, load_config
from aognet.errors import UserError
from aognet.targets import build, check, target_class
from aognet.training.experiment import CONFIG, experiment_folder, held, show_plan, write_config

if TYPE_CHECKING:
    from aognet.training.setup import TrainerConfig
    from aognet.training.trainable import Trainable

SECTIONS = ("SHARE", "model", "objective", "data", "trainer")
DATA = ("train", "validation")
FLAGS = {"name": "--n"}
"""What settings are called here, see `cli.flags`."""


def parse(arguments: Sequence[str] | None, program: str | None = None) -> argparse.Namespace:
    """Read the command line; ``key.sub=value`` may stand anywhere, also right after the YAML files."""
    parser = argparse.ArgumentParser(prog=program, description="Train a model on panoramas.", allow_abbrev=False)
    add = parser.add_argument
    add("-b", "--base", nargs="+", default=[], metavar="YAML", help="config files, later ones override earlier ones")
    add("-n", "--n", "--name", dest="name", default="", metavar="NAME", help="name of the experiment and its folder")
    add("-c", "--checkpoint", metavar="FOLDER", help="start from the weights of a final/ or checkpoint folder")
    add("-s", "--seed", type=int, help="seed of weights and training data")
    add("-w", "--wandb", action="store_true", help="log to Weights & Biases")
    add("--wandb_id", "--wandb-id", default="aognet", metavar="PROJECT", help="the wandb project")
    add("--resume", action="store_true", help="go on from the experiment's last checkpoint")
    add("--dry-run", action="store_true", help="show the resolved config and the trainable parameters, then stop")
    add("--out_dir", "--out-dir", type=Path, default=Path("logs"), metavar="DIR", help="where experiments live")
    add("overrides", nargs="*", metavar="key.sub=value", help="settings that override the config files")
    return cli.parse_with_overrides(parser, arguments)


def main(arguments: Sequence[str] | None = None, program: str | None = None) -> int:
    options = parse(arguments, program)
    with cli.flags(options, FLAGS):
        return train_with(options)


def train_with(options: argparse.Namespace) -> int:
    """Load the config, build, train; returns the exit code."""
    folder = experiment_folder(options.out_dir, options.name, options.resume, options.dry_run)
    config = read_config(options, folder)
    settings = check_sections(config)
    if options.dry_run:
        show_plan(config, build_model(options, config, settings))
        return 0
    try:
        with held(folder, options.resume):
            train(options, config, settings, folder)
    except KeyboardInterrupt as stop:
        raise KeyboardInterrupt(f"{stop}; the same command with --resume goes on" if stop.args else "") from stop
    return 0


def check_sections(config: LoadedConfig) -> "TrainerConfig":
    """Find mistakes in the config before anything is loaded or written; returns the trainer's settings."""
    from aognet.training.trainer import Trainer

    settings = build_config(config.section("trainer"), Trainer.Config)
    config.section("data").check_keys(DATA)
    check(config.section("model"), needs="trainable_parts")
    if config.has("objective"):
        check(config.section("objective"), needs="learner")
    for section in data_sections(config).values():
        check(section, needs="collate")
    return settings


def data_sections(config: LoadedConfig) -> dict[str, LoadedConfig]:
    """Return the datasets of the config: the one for training, which must be there, and the one for validation."""
    data = config.section("data")
    return {name: data.section(name) for name in DATA if name == "train" or data.has(name)}


def build_model(options: argparse.Namespace, config: LoadedConfig, settings: "TrainerConfig") -> "Trainable":
    """Return the model at the start of its training: the same for the same seed, or from the weights of
    ``--checkpoint``.
    """
    from aognet.diffusion.loading import resolve
    from aognet.training.checkpoint import start_from
    from aognet.training.randomness import seed_everything
    from aognet.training.updates import check_names

    seed_everything(settings.seed)
    model = build(config.section("model"))
    if config.has("objective"):
        model = with_objective(config.section("objective"), model)
    check_names(settings, model)
    if options.checkpoint:
        start_from(resolve(options.checkpoint), model.trainable_parts())
    return model


def with_objective(section: LoadedConfig, model: "Trainable") -> "Trainable":
    """Return the model that learns by another objective than its own loss.

    :raises UserError: for a model that cannot.
    """
    target = target_class(section)
    if not isinstance(model, target.learner):
        known = f"{type(model).__name__} cannot learn so"
        raise section.error(f"does not fit the section model: {known}", "target", section.values["target"])
    return build(section, model=model)


def train(options: argparse.Namespace, config: LoadedConfig, settings: "TrainerConfig", folder: Path) -> None:
    """Build data and model, and train to the end."""
    from aognet.training.trainer import Trainer

    samples = {name: build(section) for name, section in data_sections(config).items()}
    model = build_model(options, config, settings)
    everything = config.to_container()
    trainer = Trainer(
        settings, model, samples["train"], samples.get("validation"), folder, options.wandb_id, everything
    )
    write_config(folder, config)
    trainer.fit(resume=options.resume)


def read_config(options: argparse.Namespace, folder: Path) -> LoadedConfig:
    """Merge files, flags and overrides; ``--resume`` without files takes those the experiment began with."""
    kept = folder / CONFIG
    if not options.base and not (options.resume and kept.is_file()):
        raise UserError("name at least one config file: -b config/train_config.yaml")
    flags = [f"trainer.seed={options.seed}", f"data.train.seed={options.seed}"] if options.seed is not None else []
    flags += ["trainer.tracker=wandb"] if options.wandb else []
    config = load_config(options.base or [kept], [*flags, *options.overrides])
    config.check_keys(SECTIONS)
    return config
