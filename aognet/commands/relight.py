"""Light three spheres by a panorama: ``aognet relight outputs/beach --out spheres.png``.

A diffuse, a matte silver and a mirror sphere lie on the ground of the panorama. What is written follows from the
suffix: .png and .jpg are pictures to look at, .exr and .hdr hold linear light in the unit of the panorama.
"""

import argparse
import logging
import time
from collections.abc import Sequence
from pathlib import Path

from aognet import cli
from aognet.commands.written_files import add_files, check_suffixes, check_targets, find_source

log = logging.getLogger("aognet.relight")


def parse(arguments: Sequence[str] | None, program: str | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog=program, description=__doc__.splitlines()[0], allow_abbrev=False)
    add = parser.add_argument
    add("source", type=Path, metavar="SOURCE", help="a panorama (EXR, HDR, PNG, JPEG, ...) or the folder of a run")
    add_files(parser, "to write, by suffix: .png or .jpg, .exr or .hdr (linear light); repeatable")
    add("--view", type=float, default=0.0, metavar="YAW", help="degrees to the right that the camera looks at")
    add("--height", type=int, default=540, help="rows of the picture, which is 16:9 (default: %(default)s)")
    add("--exposure", type=float, default=0.0, help="of .png and .jpg, in stops from what a light meter there says")
    add("--curve", default="filmic", help="of the same: filmic (default), srgb or published")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None, program: str | None = None) -> None:
    options = parse(arguments, program)
    with cli.flags(options, {"view_degrees": "--view"}):
        relight(options)


def relight(options: argparse.Namespace) -> None:
    """Check everything, then read, then write."""
    from aognet.hdr.sphere_scene import SphereScene, SphereSceneConfig
    from aognet.io.files import made_folder
    from aognet.io.panorama_files import WRITTEN_SUFFIXES, encoded, encoding_of, read_panorama, write_image
    from aognet.io.tonemap import ToneMap

    config = SphereSceneConfig(options.view, options.height)
    tone = ToneMap(options.curve, exposure=options.exposure)
    check_suffixes(options.out, WRITTEN_SUFFIXES)
    source, _, _ = find_source(options.source)
    check_targets(options.out, source, options.overwrite)
    begin = time.monotonic()
    scene = SphereScene(encoded(*read_panorama(source), "linear")[None], config)
    light = scene.picture()
    log.info("lit %d x %d pixels in %.1f s", config.width, config.height, time.monotonic() - begin)
    shown = light * scene.metered()
    for path in options.out:
        wanted = encoding_of(path)
        with made_folder(path.parent):
            write_image(light if wanted == "linear" else encoded(shown, "linear", "srgb", tone), path)
        log.info("wrote %s", path)
