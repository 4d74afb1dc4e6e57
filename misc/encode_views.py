"""Encodes the views that a config's training data (target: latents) names; goes on where it was stopped.

python misc/encode_views.py -b config/embedded/unet.yaml
"""

import argparse
import logging
import sys
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    from aognet.cli import parse_with_overrides

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], allow_abbrev=False)
    add = parser.add_argument
    add("-b", "--base", nargs="+", default=[], metavar="YAML", help="config files, later ones override earlier ones")
    add("--batch_size", "--batch-size", type=int, default=16, help="views encoded together (default: %(default)s)")
    add("overrides", nargs="*", metavar="key.sub=value", help="settings that override the config files")
    return parse_with_overrides(parser, argv)


def main(argv: Sequence[str] | None = None) -> None:
    options = parse(argv)
    from aognet import cli

    with cli.flags(options):
        encode(options)


def encode(options: argparse.Namespace) -> None:
    """Encode what is missing."""
    import torch

    from aognet.config import build_config, load_config
    from aognet.data.latents import LatentSamples
    from aognet.embedded.inpainting.encoding import encode_views
    from aognet.errors import UserError
    from aognet.targets import target_class

    if options.batch_size < 1:
        raise UserError(f"--batch_size must be at least 1, got {options.batch_size}")
    if not options.base:
        raise UserError("-b/--base: name a config file")
    section = load_config(options.base, options.overrides).section("data").section("train")
    if target_class(section) is not LatentSamples:
        raise UserError(f"{section.source('target')}: data.train.target must be latents")
    config = build_config(section, LatentSamples.Config)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    made = encode_views(config, device, options.batch_size)
    logging.getLogger("aognet").info("%s: %d views, %d shards new", config.folder, config.count, made)


if __name__ == "__main__":
    from aognet.cli import run

    run(main)
