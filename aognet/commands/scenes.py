"""Make captioned panoramas of procedural scenes.

aognet scenes --out_dir DIR --count N writes scene_000000.jpg, ..., captions.jsonl (a caption of each) and
captions_aug.jsonl (captions of its 90 degree views with their yaws). Finished scenes are kept on a second run unless
--overwrite is given.
"""

import argparse
import logging
import os
import sys
from pathlib import Path

from aognet import cli


def parse(argv: list[str] | None, program: str | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog=program, description=__doc__.splitlines()[0])
    parser.add_argument("--out_dir", type=Path, help="folder to write to, made if missing")
    parser.add_argument("--count", type=int, help="number of scenes")
    parser.add_argument("--height", type=int, default=512, help="height of the panoramas; the width is twice that")
    parser.add_argument("--seed", type=int, default=0, help="seed of the first scene; each next one has the next seed")
    parser.add_argument("--kinds", nargs="+", metavar="KIND", help="scenes of these kinds in turn; all: of every kind")
    parser.add_argument("--num_workers", type=int, help="processes; never more than usable cores, which is the default")
    parser.add_argument("--format", default="jpg", choices=["jpg", "png", "exr"], help="exr: linear HDR light, float32")
    parser.add_argument("--depth_dir", type=Path, help="folder for distances in metres (EXR, channel Z, inf: sky)")
    parser.add_argument("--overwrite", action="store_true", help="make finished scenes again")
    parser.add_argument("--list", action="store_true", help="name the kinds of scenes and stop")
    return parser.parse_args(argv)


def main(argv: list[str] | None = None, program: str | None = None) -> int:
    arguments = parse(argv, program)
    with cli.flags(arguments):
        return make_scenes(arguments)


def make_scenes(arguments: argparse.Namespace) -> int:
    """Make the scenes; returns the exit code."""
    # Before NumPy starts: one thread for each worker, since there is one worker per core.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    from aognet.errors import UserError
    from aognet.scenes import KINDS
    from aognet.scenes.folder import SceneFolder, fill
    from aognet.system.workers import usable_cores

    if arguments.list:
        sys.stdout.write("\n".join(KINDS) + "\n")
        return 0
    for key, least in (("count", 1), ("num_workers", 1), ("height", 8), ("seed", 0)):
        value = getattr(arguments, key)
        if value is not None and value < least:
            raise UserError(f"must be at least {least}", key=key, value=value)
    for key in ("out_dir", "count"):
        if getattr(arguments, key) is None:
            raise UserError("is missing", key=key)
    if arguments.kinds == ["all"]:
        arguments.kinds = list(KINDS)
    for kind in arguments.kinds or []:
        if kind not in KINDS:
            raise UserError(f"--kinds: unknown kind of scene {kind!r}; known: {', '.join(KINDS)}")
    apart = arguments.depth_dir is None or arguments.depth_dir.resolve() != arguments.out_dir.resolve()
    if arguments.format == "exr" and not apart:
        raise UserError(f"--depth_dir {arguments.depth_dir} must not be --out_dir: the files have the same names")
    folder = SceneFolder(
        arguments.out_dir,
        arguments.height,
        arguments.seed,
        tuple(arguments.kinds) if arguments.kinds else None,
        arguments.format,
        arguments.depth_dir,
        arguments.overwrite,
    )
    with cli.progress_bars("Making") as listener:
        failed = fill(folder, arguments.count, arguments.num_workers or usable_cores(), listener)
    logging.getLogger("aognet").info("%d scenes in %s", arguments.count - failed, arguments.out_dir)
    return 1 if failed else 0
