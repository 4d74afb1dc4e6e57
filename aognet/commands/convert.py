"""Make PNG or JPEG images of EXR and HDR files.

aognet convert --image_dir IN --out_dir OUT

Folders are mirrored. Finished images are skipped on a second run unless --overwrite is given. Files that cannot be
converted are listed in OUT/exr2png_report.json, and the exit code is 1.
"""

import argparse
import logging
import time
from pathlib import Path

from aognet import cli


def parse(argv: list[str] | None, program: str | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog=program, description=__doc__.splitlines()[0])
    parser.add_argument("--image_dir", type=Path, required=True, help="folder of .exr and .hdr files, searched deeply")
    parser.add_argument("--out_dir", type=Path, required=True, help="folder to write to, made if missing")
    parser.add_argument("--num_workers", type=int, help="processes; never more than usable cores, which is the default")
    parser.add_argument("--curve", default="published", help="published (default), srgb or filmic")
    parser.add_argument("--gamma", type=float, help="published: light is compressed by 1/gamma (2.4)")
    parser.add_argument("--percentile", type=float, help="published: of the positive compressed light (50)")
    parser.add_argument("--max_mapping", type=float, help="published: what the percentile becomes, at most 1 (0.5)")
    parser.add_argument("--exposure", type=float, default=0.0, help="stops: 1 doubles the light, -1 halves it")
    parser.add_argument("--size", metavar="HxW", help="shrink to this size, in linear light")
    parser.add_argument("--format", default="png8", help="png8 (default), png16 or jpeg")
    parser.add_argument("--overwrite", action="store_true", help="make all images again")
    return parser.parse_args(argv)


def main(argv: list[str] | None = None, program: str | None = None) -> int:
    arguments = parse(argv, program)
    with cli.flags(arguments):
        return convert(arguments)


def convert(arguments: argparse.Namespace) -> int:
    """Make the images; returns the exit code."""
    from aognet.data.conversion import REPORT, Conversion, convert_folder
    from aognet.errors import UserError
    from aognet.io.tonemap import ToneMap
    from aognet.system.workers import usable_cores

    given = {name: getattr(arguments, name) for name in ("gamma", "percentile", "max_mapping")}
    given = {name: value for name, value in given.items() if value is not None}
    if arguments.curve != "published" and given:
        raise UserError(f"--{next(iter(given))} belongs to --curve published, not to --curve {arguments.curve}")
    if arguments.num_workers is not None and arguments.num_workers < 1:
        raise UserError(f"--num_workers must be at least 1, got {arguments.num_workers}")
    tone = ToneMap(arguments.curve, exposure=arguments.exposure, **given)
    conversion = Conversion(tone, size_of(arguments.size), arguments.format)
    begin = time.monotonic()
    folders, workers = (arguments.image_dir, arguments.out_dir), arguments.num_workers or usable_cores()
    with cli.progress_bars("Converting") as listener:
        outcome = convert_folder(*folders, conversion, workers, arguments.overwrite, listener)
    summary = f"{outcome.made} made, {outcome.skipped} already there, {len(outcome.failed)} failed"
    logging.getLogger("aognet").info("%s, in %.1f s", summary, time.monotonic() - begin)
    if outcome.failed:
        logging.getLogger("aognet").warning("what failed, and why: %s", arguments.out_dir / REPORT)
    return 1 if outcome.failed else 0


def size_of(text: str | None) -> tuple[int, int] | None:
    """Read "512x1024" as (512, 1024)."""
    from aognet.errors import UserError

    height, _, width = (text or "").partition("x")
    if text is not None and not (height.isdecimal() and width.isdecimal()):
        raise UserError("must be HxW, such as 512x1024", key="size", value=text)
    return None if text is None else (int(height), int(width))
