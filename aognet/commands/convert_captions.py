"""Turn a caption pickle of the published code into a captions file (JSONL); nothing in the pickle is executed.

aognet convert-captions --captions laval.pkl --out laval.jsonl --image_dir PNGS
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from aognet import cli


def parse(argv: Sequence[str] | None, program: str | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog=program, description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--captions", type=Path, required=True, metavar="PKL", help="dict of image name or path to captions")
    add("--out", type=Path, metavar="JSONL", help="default: beside the pickle")
    add("--image_dir", type=Path, help="the images: names are made relative to it and checked against it")
    add("--overwrite", action="store_true")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None, program: str | None = None) -> None:
    options = parse(argv, program)
    with cli.flags(options):
        convert_captions(options)


def convert_captions(options: argparse.Namespace) -> None:
    """Write the captions file."""
    import logging

    from aognet.captioning.folder_captions import image_names
    from aognet.errors import UserError
    from aognet.io.captions import check_captions, save_captions
    from aognet.io.pickled_captions import named, read_caption_pickle

    out = options.out or options.captions.with_suffix(".jsonl")
    if out.exists() and not options.overwrite:
        raise UserError(f"--out {out}: is there already; --overwrite replaces it")
    names = None if options.image_dir is None else image_names(options.image_dir)
    captions = named(read_caption_pickle(options.captions), names)
    if names is not None:
        check_captions(captions, names, str(options.captions))
    save_captions(captions, out)
    logging.getLogger("aognet.captions").info("wrote %s: %d images", out, len(captions))
