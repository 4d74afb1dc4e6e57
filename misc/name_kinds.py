"""Writes the kinds of the scenes in a folder as captions, for training a generator of classes.

python misc/name_kinds.py --scenes data/scenes --out_dir data/kinds
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], allow_abbrev=False)
    add = parser.add_argument
    add("--scenes", type=Path, required=True, help="folder that misc/make_scenes.py wrote")
    add("--out_dir", "--out-dir", type=Path, required=True, help="receives kinds_train.jsonl and kinds_test.jsonl")
    add("--every", type=int, default=10, help="each how many-th scene is for testing (default: %(default)s)")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> None:
    options = parse(argv)
    from aognet import cli

    with cli.flags(options):
        write_kinds(options)


def write_kinds(options: argparse.Namespace) -> None:
    """Write both files."""
    import logging

    from aognet.errors import UserError
    from aognet.io.captions import save_records
    from aognet.io.files import made_folder
    from aognet.scenes.kind_files import kind_records

    if options.every < 2:
        raise UserError("must be at least 2", key="every", value=options.every)
    records = kind_records(options.scenes)
    if len(records) < options.every:
        raise UserError(f"{options.scenes}: has {len(records)} scenes, fewer than --every {options.every}")
    with made_folder(options.out_dir, "out_dir"):
        for part, of_test in (("train", False), ("test", True)):
            chosen = [
                record
                for place, record in enumerate(records)
                if (place % options.every == options.every - 1) == of_test
            ]
            save_records(chosen, options.out_dir / f"kinds_{part}.jsonl")
            logging.getLogger("aognet").info("%s: %d scenes", options.out_dir / f"kinds_{part}.jsonl", len(chosen))


if __name__ == "__main__":
    from aognet.cli import run

    run(main)
