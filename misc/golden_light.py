"""Puts panoramas into golden evening light, for the training of words that stand for it (docs/seamless.md).

python misc/golden_light.py --panos data/panos --out_dir data/golden

The folder of panoramas has index.csv, with the columns slug, split and caption, and ldr/SLUG.jpg. The written folder
has SLUG.jpg of 256x512 pixels, and a captions file for each split, such as train.jsonl. What is there already stays.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

SIZE = (512, 256)
GREY = (0.0722, 0.7152, 0.2126)
"""Luminance of light in B, G and R."""
PALER, LIGHT = 0.4, (0.255, 0.578, 1.0625)
"""How much of the colour goes, and what the light makes of B, G and R: warm and dim."""
GAMMA = 2.2


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], allow_abbrev=False)
    parser.add_argument("--panos", type=Path, required=True, help="folder with index.csv and ldr/*.jpg")
    parser.add_argument("--out_dir", "--out-dir", type=Path, required=True)
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> None:
    options = parse(argv)
    from aognet import cli

    with cli.flags(options):
        write_golden(options)


def write_golden(options: argparse.Namespace) -> None:
    """Write the images that are missing, and the captions."""
    import cv2
    import numpy as np

    from aognet.io.files import write_atomically
    from aognet.io.images import load_image
    from aognet.io.tables import read_table
    from misc.index_captions import main as index_captions

    index, out = options.panos / "index.csv", options.out_dir
    index_captions(["--index", str(index), "--out_dir", str(out)])
    for _, row in read_table(index, ("slug",), ("split", "caption")):
        target = out / f"{row['slug']}.jpg"
        if not target.exists():
            image = load_image(options.panos / "ldr" / target.name).permute(1, 2, 0).flip(-1).add(1).div(2).numpy()
            golden = in_golden_light(cv2.resize(image, SIZE, interpolation=cv2.INTER_AREA))
            encoded = cv2.imencode(".jpg", np.rint(golden * 255).astype(np.uint8), [cv2.IMWRITE_JPEG_QUALITY, 95])[1]
            write_atomically(target, encoded.tobytes())


def in_golden_light(image):
    """Return an image [height, width, 3], B, G and R in [0, 1], as it would look in that light."""
    import numpy as np

    light = image**GAMMA
    light = (1 - PALER) * light + PALER * (light @ np.array(GREY)[:, None])
    return np.clip(light * np.array(LIGHT), 0, 1) ** (1 / GAMMA)


if __name__ == "__main__":
    from aognet.cli import run

    run(main)
