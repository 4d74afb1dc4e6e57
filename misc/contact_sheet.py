"""Lays out the images of a folder in a grid: `python misc/contact_sheet.py --image_dir DIR --out sheet.jpg`.

A folder that `inference.py` wrote to counts as one image, its result. The label under each image is its prompt or its
first caption, where the folder has a captions.jsonl, else its name.
"""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

LABEL_HEIGHT = 14


def parse(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--image_dir", type=Path, required=True, help="folder of images, or an out_dir of inference.py")
    parser.add_argument("--out", type=Path, required=True, help="PNG or JPEG to write")
    parser.add_argument("--columns", type=int, default=6, help="images side by side")
    parser.add_argument("--count", type=int, default=48, help="images at most, the first by name")
    parser.add_argument("--width", type=int, default=256, help="of each image on the sheet, in pixels")
    parser.add_argument("--quality", type=int, default=88, help="of JPEG, 1 to 95")
    parser.add_argument("--labels", action=argparse.BooleanOptionalAction, default=True, help="write under each image")
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> None:
    arguments = parse(argv)
    from aognet import cli

    with cli.flags(arguments):
        make_sheet(arguments)


def make_sheet(arguments: argparse.Namespace) -> None:
    """Write the sheet."""
    import io

    from PIL import Image, ImageDraw

    from aognet.errors import UserError
    from aognet.evaluation.sets import find_panoramas
    from aognet.io.captions import load_captions
    from aognet.io.files import write_atomically
    from aognet.io.images import load_image, to_pil
    from aognet.io.matching import match

    for key in ("columns", "count", "width", "quality"):
        if getattr(arguments, key) < 1:
            raise UserError("must be at least 1", key=key, value=getattr(arguments, key))
    items = find_panoramas(arguments.image_dir, "image_dir")[: arguments.count]
    captions_file = arguments.image_dir / "captions.jsonl"
    captions = load_captions(captions_file) if arguments.labels and captions_file.exists() else {}
    keys = match(captions, [item.name for item in items], [item.path for item in items]).keys
    wide, high = arguments.width, arguments.width // 2
    step = high + (LABEL_HEIGHT if arguments.labels else 0)
    columns = min(arguments.columns, len(items))
    sheet = Image.new("RGB", (columns * wide, -(-len(items) // columns) * step), "white")
    for number, (item, key) in enumerate(zip(items, keys, strict=True)):
        small = to_pil(load_image(item.path)).resize((wide, high), Image.Resampling.LANCZOS)
        x, y = number % columns * wide, number // columns * step
        sheet.paste(small, (x, y))
        if arguments.labels:
            text = label_of(item, [] if key is None else captions[key])
            room = wide // 5
            short = text if len(text) <= room else f"{text[: room - 3]}..."
            ImageDraw.Draw(sheet).text((x + 3, y + high + 2), short, fill="black", font_size=9)
    buffer = io.BytesIO()
    sheet.save(buffer, "PNG" if arguments.out.suffix.lower() == ".png" else "JPEG", quality=arguments.quality)
    write_atomically(arguments.out, buffer.getvalue())


def label_of(item, captions: list[str]) -> str:
    """Return what an image shows, in words."""
    prompt = item.folder / "prompt.txt" if item.folder else None
    said = prompt.read_text(encoding="utf-8").strip() if prompt and prompt.is_file() else ""
    return said or next(filter(None, captions), item.name)


if __name__ == "__main__":
    from aognet.cli import run

    run(main)
