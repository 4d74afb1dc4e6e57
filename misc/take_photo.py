"""Cuts a photograph out of a panorama: what a pinhole camera at its centre sees.

python misc/take_photo.py --panorama scene.png --out photo.png --yaw 30 --fov 75 --size 640x480
"""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))


def parse(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--panorama", type=Path, required=True, help="an image twice as wide as high")
    parser.add_argument("--out", type=Path, required=True, help="PNG or JPEG to write")
    for angle in ("yaw", "pitch", "roll"):
        parser.add_argument(f"--{angle}", type=float, default=0.0, help="degrees")
    parser.add_argument("--fov", type=float, default=90.0, help="horizontal field of view in degrees")
    parser.add_argument("--size", default="512x512", metavar="WxH", help="of the photograph, in pixels")
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> None:
    arguments = parse(argv)
    from aognet import cli

    with cli.flags(arguments, {f"{angle}_degrees": f"--{angle}" for angle in ("yaw", "pitch", "roll", "fov")}):
        take_photo(arguments)


def take_photo(arguments: argparse.Namespace) -> None:
    """Write the photograph."""
    from aognet.errors import UserError
    from aognet.geometry.camera import Camera
    from aognet.geometry.perspective import look
    from aognet.io.images import load_image, save_image

    width, _, height = arguments.size.partition("x")
    if not (width.isdecimal() and height.isdecimal()):
        raise UserError(f"--size must be WxH, such as 640x480; got {arguments.size!r}")
    panorama = load_image(arguments.panorama)[None]
    rows, columns = panorama.shape[-2:]
    if columns != 2 * rows:
        raise UserError(f"{arguments.panorama}: a panorama is twice as wide as high, this image is {columns}x{rows}")
    camera = Camera(arguments.yaw, arguments.pitch, arguments.roll, arguments.fov, int(width), int(height))
    save_image(look(panorama, camera)[0], arguments.out)


if __name__ == "__main__":
    from aognet.cli import run

    run(main)
