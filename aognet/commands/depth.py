"""Estimate the depth of a panorama: ``aognet depth --panorama room.jpg --out room_depth.png``."""

import argparse
import logging
from pathlib import Path

from aognet import cli

log = logging.getLogger("aognet.depth")


def parse(argv: list[str] | None, program: str | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog=program, description="Estimate the depth of a panorama.", allow_abbrev=False)
    add = parser.add_argument
    add("--panorama", type=Path, required=True, metavar="FILE", help="a panorama; what is transparent has no depth")
    add("--out", type=Path, required=True, metavar="PNG", help="its depth, near is white, in 16 bits")
    add("--height", type=int, default=1024, help="rows of the depth map; it is twice as wide")
    add("--model", metavar="PATH", help="depth network, by hub id or folder (default: Depth Anything V2 Small)")
    add("--device", default="auto", choices=["auto", "cpu", "cuda"])
    return parser.parse_args(argv)


def main(argv: list[str] | None = None, program: str | None = None) -> None:
    arguments = parse(argv, program)
    with cli.flags(arguments):
        estimate(arguments)


def estimate(arguments: argparse.Namespace) -> None:
    """Write the depth map."""
    from aognet.errors import UserError
    from aognet.generate.auto_depth import estimated_depth
    from aognet.generate.spheres import read_panorama
    from aognet.generate.start import Start
    from aognet.io.depth_maps import write_depth
    from aognet.perception.depth_network import DepthNetwork, DepthNetworkConfig
    from aognet.request import check_height
    from aognet.system.processes import Processes

    check_height(arguments.height)
    out: Path = arguments.out
    if out.suffix.lower() != ".png":
        raise UserError("must be a PNG file", key="out", value=str(out))
    if out.exists() and arguments.panorama.exists() and out.samefile(arguments.panorama):
        raise UserError("is the panorama itself", key="out", value=str(out))
    canvas = read_panorama(arguments.panorama, arguments.height)
    config = DepthNetworkConfig() if arguments.model is None else DepthNetworkConfig(arguments.model)
    with Processes.start(arguments.device) as processes:
        depth = estimated_depth(Start(canvas), DepthNetwork.load(config, processes.device))
    write_depth(depth, out)
    log.info("wrote %s", out)
