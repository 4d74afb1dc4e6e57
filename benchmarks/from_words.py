"""Paints panoramas from words alone: of each panorama of a set, only its caption is used.

python benchmarks/from_words.py --panoramas FILES --captions FILES --out_dir DIR -b config/inference_seamless.yaml

Each panorama gets a folder of its name, as `inference.py` makes it. What is painted already stays.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from aognet.system import threads  # noqa: E402

threads.settle()


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--panoramas", type=Path, nargs="+", required=True, help="image files")
    parser.add_argument("--captions", type=Path, nargs="+", required=True, help="JSONL")
    parser.add_argument("--out_dir", type=Path, required=True)
    parser.add_argument("-b", "--base", type=Path, nargs="+", required=True, help="config files of inference.py")
    parser.add_argument("--set", nargs="+", default=[], metavar="key.sub=value", help="settings of inference.py")
    options = parser.parse_args(argv)

    from aognet.config import load_config
    from aognet.generate.inference import read_inference
    from aognet.io.captions import check_captions, load_captions
    from aognet.request import Request

    _, generator, _ = read_inference(load_config(options.base, options.set))
    captions = {name: texts for path in options.captions for name, texts in load_captions(path).items()}
    names, where = [path.name for path in options.panoramas], ", ".join(map(str, options.captions))
    keys = check_captions(captions, names, where, paths=options.panoramas)
    for path, key in zip(options.panoramas, keys, strict=True):
        prompt = next(iter(() if key is None else captions[key]), "")
        generator.generate(Request(prompt, name=path.stem), options.out_dir / path.stem)


if __name__ == "__main__":
    main()
