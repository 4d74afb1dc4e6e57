"""The console command ``aognet COMMAND ...``, which is also ``python -m aognet COMMAND ...``."""

import argparse
import sys
from collections.abc import Sequence
from importlib import import_module

from aognet import __version__, cli
from aognet.installed import ROOT

COMMANDS = {
    "generate": "paint panoramas from photographs and words (inference.py)",
    "train": "train a model on panoramas (main.py)",
    "evaluate": "measure painted panoramas against real ones (misc/evaluate.py)",
    "caption": "describe panoramas in words (misc/captioning.py)",
    "convert": "make PNG or JPEG images of EXR and HDR files (misc/exr2png.py)",
    "depth": "estimate the depth of a panorama (misc/estimate_depth.py)",
    "to-hdr": "make light of a panorama, or a larger one (misc/to_hdr.py)",
    "style": "give a panorama the style of a photograph (misc/style.py)",
    "scenes": "make captioned panoramas of drawn scenes (misc/make_scenes.py)",
    "studio": "serve a page and an API that paint panoramas (studio.py)",
    "export": "write a panorama as EXR, HDR, JPEG, cubemap or page, in another size (misc/export.py)",
    "relight": "light a diffuse, a silver and a mirror sphere by a panorama (misc/relight.py)",
    "convert-weights": "make safetensors of a pickled LoRA or words, or a package's weights (misc/convert_weights.py)",
    "convert-biggan": "make a model of ganorama of the public files of a BigGAN-deep (misc/convert_biggan.py)",
    "convert-text2light": "make networks of the published checkpoints of Text2Light (misc/convert_text2light.py)",
    "convert-captions": "make a captions file of a pickle of the published code (misc/import_captions.py)",
}


def main(arguments: Sequence[str] | None = None) -> int | None:
    """Hand everything behind the command's name to the ``main`` of its file, the only one that is imported."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    parser = argparse.ArgumentParser(
        prog="aognet",
        description="360-degree panoramas from a photograph and a sentence.",
        epilog=f"The folders config and assets, which commands know by these names, are in {ROOT}",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=__version__)
    says_more = "aognet COMMAND --help says more about each"
    known = parser.add_subparsers(
        title="commands", description=says_more, dest="command", metavar="COMMAND", required=True
    )
    for name, summary in COMMANDS.items():
        known.add_parser(name, help=summary, add_help=False)
    command = parser.parse_args(words[:1]).command
    module = import_module(f"aognet.commands.{command.replace('-', '_')}")
    return module.main(words[1:], f"{parser.prog} {command}")


def run() -> None:
    """Run the installed program."""
    cli.run(main)
