"""Turns a table of panoramas (CSV with columns slug, split, caption) into one captions file for each split.

python misc/index_captions.py --index panos/index.csv --out_dir captions --prefix real
"""

import argparse
import sys
from collections import defaultdict
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))


def parse(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--index", type=Path, required=True, help="CSV file with the columns slug, split and caption")
    parser.add_argument("--out_dir", type=Path, required=True)
    parser.add_argument("--prefix", default="", help="put before the split's name: PREFIX_train.jsonl")
    parser.add_argument("--suffix", default=".jpg", help="of the image files")
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> None:
    arguments = parse(argv)
    from aognet import cli

    with cli.flags(arguments):
        write_captions(arguments)


def write_captions(arguments: argparse.Namespace) -> None:
    """Write a captions file for each split."""
    from aognet.data.splits import part_named
    from aognet.io.captions import save_captions
    from aognet.io.files import made_folder
    from aognet.io.tables import read_table

    splits: defaultdict[str | None, dict[str, list[str]]] = defaultdict(dict)
    for number, row in read_table(arguments.index, ("slug", "split", "caption")):
        split = part_named(row["split"], f"{arguments.index}, line {number}")
        splits[split].setdefault(row["slug"] + arguments.suffix, []).append(row["caption"])
    with made_folder(arguments.out_dir, "out_dir"):
        for split, captions in splits.items():
            save_captions(captions, arguments.out_dir / f"{arguments.prefix}_{split}.jsonl".removeprefix("_"))


if __name__ == "__main__":
    from aognet.cli import run

    run(main)
