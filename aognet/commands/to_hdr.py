"""Make light of a panorama, or a larger one: ``aognet to-hdr beach.jpg --out beach.exr --upscale 2``.

The suffixes say what is written: .exr (linear, float16) and .hdr (Radiance) hold light, .png and .jpg the panorama
made larger, .html is a page with an exposure to choose. What the panorama shows stays: tone-mapped (sRGB), its light is
the same image. A run that was killed goes on when the same command is given again.
"""

import argparse
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from aognet import cli
from aognet.commands.written_files import add_files, check_suffixes, check_targets
from aognet.errors import UserError

if TYPE_CHECKING:
    from aognet.generate.expander import ExpansionConfig, Larger

FINISHING = ("way", "exposure", "boost", "balance", "threshold", "peak")
log = logging.getLogger("aognet.to_hdr")


def parse(arguments: Sequence[str] | None, program: str | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog=program, description=__doc__.splitlines()[0], allow_abbrev=False)
    add = parser.add_argument
    add("panorama", type=Path, metavar="PANORAMA", help="a panorama of display values: PNG, JPEG, ...")
    add_files(
        parser, "to write: .exr or .hdr (light), .png or .jpg, .html (a page with an exposure slider); repeatable"
    )
    add("--upscale", type=float, metavar="N", help="make the panorama 1 to 8 times larger")
    add("--sritmo", metavar="FOLDER", help="of a trained SR-iTMO, for light, or for more pixels without --upscaler")
    add("--upscaler", metavar="FILE", help="Real-ESRGAN's small network: its package (.whl), or safetensors")
    add("--way", choices=["photo", "mean", "published"], help="how light gets its scale (default: photo)")
    add("--exposure", type=float, metavar="STOPS", help="of the light in the files: 1 doubles it")
    add("--boost", type=float, metavar="X", help="how much highlights are raised (default: 0; published: 4)")
    add("--balance", type=float, metavar="X", help="of the ways mean and published (default: 0.7)")
    add("--threshold", type=float, metavar="X", help="above which highlights are raised (default: 0.83)")
    add("--peak", type=float, metavar="X", help="the most light there is (default: 65504)")
    add("--dtype", default="float32", choices=["float32", "bfloat16"], help="of hidden layers: bfloat16 is rougher")
    add("--device", default="auto", choices=["auto", "cpu", "cuda"])
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None, program: str | None = None) -> None:
    options = parse(arguments, program)
    with cli.flags(options):
        to_hdr(options)


def to_hdr(options: argparse.Namespace) -> None:
    """Check everything, then read, then work, then write."""
    from aognet.generate.expander import loaded
    from aognet.io.panorama_files import read_panorama
    from aognet.system.processes import Processes

    config = read_expansion(options)
    check_targets(options.out, options.panorama, options.overwrite)
    expander = loaded(config)
    image, encoding = read_panorama(options.panorama)
    if encoding == "linear":
        raise UserError(f"{options.panorama}: holds light already; give a PNG or JPEG")
    expander.check(image.shape[-2])
    first: Path = options.out[0]
    with Processes.start(options.device) as processes, cli.progress_bars(options.panorama.name) as listener:
        found = expander(image.to(processes.device), listener, first.with_name(f".{first.name}.parts"))
    for path in options.out:
        write(found, path)
        log.info("wrote %s", path)


def read_expansion(options: argparse.Namespace) -> "ExpansionConfig":
    """Return what the flags ask for. Raises UserError for what changes nothing, and for other suffixes."""
    from aognet.generate.expander import ExpansionConfig, with_network
    from aognet.hdr.finishing import FinishingConfig
    from aognet.io.exports import PAGE
    from aognet.io.formats import LIGHT_SUFFIXES
    from aognet.io.panorama_files import WRITTEN_SUFFIXES

    check_suffixes(options.out, (*WRITTEN_SUFFIXES, PAGE))
    given = {key: getattr(options, key) for key in FINISHING if getattr(options, key) is not None}
    hdr = any(path.suffix.lower() in (*LIGHT_SUFFIXES, PAGE) for path in options.out)
    if not hdr and options.upscale in (None, 1.0):
        raise UserError("writes the panorama as it is: give --upscale, or an .exr or .hdr file", key="out")
    given_files = {"sritmo": options.sritmo or "", "upscaler": options.upscaler or ""}
    finishing = FinishingConfig(**given)
    return with_network(
        ExpansionConfig(hdr, options.upscale or 1.0, **given_files, finishing=finishing, dtype=options.dtype)
    )


def write(found: "Larger", path: Path) -> None:
    """Write one file. Raises UserError naming it."""
    from aognet.io.exports import PAGE
    from aognet.io.files import made_folder
    from aognet.io.formats import LIGHT_SUFFIXES
    from aognet.io.panorama_files import picture, write_light, write_panorama
    from aognet.io.viewer import write_viewer

    with made_folder(path.parent):
        if path.suffix.lower() in LIGHT_SUFFIXES:
            assert found.light is not None, "a file of light was asked for"
            write_light(found.light, path)
        elif path.suffix.lower() == PAGE:
            write_viewer(picture(found.display, "srgb"), path, title=path.stem, light=found.light)
        else:
            write_panorama(found.display, path, "srgb")
