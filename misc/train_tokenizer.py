"""Trains a CLIP tokenizer (byte-level BPE) on caption files.

python misc/train_tokenizer.py --captions scenes/captions.jsonl --out_dir tokenizer --vocabulary 2048
"""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))


def parse(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--captions", type=Path, nargs="+", required=True, help="JSONL caption files")
    parser.add_argument("--out_dir", type=Path, required=True)
    parser.add_argument("--vocabulary", type=int, default=2048, help="number of tokens, at least 514")
    parser.add_argument("--length", type=int, default=77, help="longest prompt in tokens")
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> None:
    arguments = parse(argv)
    from aognet import cli

    with cli.flags(arguments):
        train(arguments)


def train(arguments: argparse.Namespace) -> None:
    """Write the tokenizer."""
    from aognet.embedded.clip.tokenizer import train_tokenizer
    from aognet.errors import UserError
    from aognet.io.captions import load_captions
    from aognet.io.files import made_folder
    from aognet.system.locking import exclusive

    if arguments.vocabulary < 514:
        raise UserError(f"--vocabulary must be at least 514 (512 bytes and two marks), got {arguments.vocabulary}")
    texts = [text for path in arguments.captions for captions in load_captions(path).values() for text in captions]
    tokenizer = train_tokenizer(texts, arguments.vocabulary, arguments.length)
    with made_folder(arguments.out_dir, "out_dir"), exclusive(arguments.out_dir):
        try:
            tokenizer.save_pretrained(arguments.out_dir)
        except OSError as error:
            raise UserError(f"--out_dir {arguments.out_dir}: cannot write here ({error.strerror or error})") from error


if __name__ == "__main__":
    from aognet.cli import run

    run(main)
