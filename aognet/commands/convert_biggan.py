"""Turn the public files of a BigGAN-deep into a folder that the method ganorama loads.

aognet convert-biggan biggan-deep-256-pytorch_model.bin

Its config.json, such as biggan-deep-256-config.json, is looked for beside it. The file is a pickle: its tensors alone
are read, and nothing in it is run. The spectral norms are folded into the weights.
"""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from aognet import cli

if TYPE_CHECKING:
    from aognet.gan.biggan import BigGan, BigGanConfig

METHOD = "ganorama"


def parse(argv: Sequence[str] | None, program: str | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog=program, description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("weights", type=Path, metavar="WEIGHTS", help="the public file of weights, such as pytorch_model.bin")
    add("--config", type=Path, metavar="JSON", help="its config.json (default: beside it, with the name that belongs)")
    add("--out", type=Path, metavar="FOLDER", help="to make (default: beside the weights, such as biggan-deep-256)")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None, program: str | None = None) -> None:
    options = parse(argv, program)
    with cli.flags(options):
        convert(options.weights, options.config, options.out)


def convert(weights: Path, config: Path | None = None, out: Path | None = None) -> Path:
    """Write the folder and return it. It is there whole or not at all.

    :raises UserError: naming the file or folder, and what is wrong with it.
    """
    import logging

    import torch

    from aognet.diffusion.foreign import config_beside
    from aognet.errors import Setting, UserError
    from aognet.gan.biggan import BigGan
    from aognet.gan.public_biggan import read_public_config, read_public_weights

    config = config or config_beside(weights)
    if config is None:
        raise UserError(f"{weights}: its name does not tell which config belongs to it; give it by ", Setting("config"))
    out = out or weights.with_name(weights.stem.removesuffix("pytorch_model").rstrip("-_.") or "biggan-deep")
    if out.exists() or out.is_symlink():
        raise UserError(f"{out}: is there already; name another folder by ", Setting("out"))
    read = read_public_config(config)
    with torch.device("meta"):
        network = BigGan(read)
    network.load_state_dict(read_public_weights(weights, read), assign=True)
    _save(network, read, out)
    log = logging.getLogger("aognet.convert")
    log.info("wrote %s: images of %d pixels, %d classes", out, read.size, read.classes)
    return out


def _save(network: "BigGan", config: "BigGanConfig", out: Path) -> None:
    import shutil

    from safetensors import SafetensorError

    from aognet.diffusion.saved import save_trained
    from aognet.errors import UserError
    from aognet.io.files import made_folder, replace_folder
    from aognet.system.locking import exclusive

    @dataclass(frozen=True)
    class Saved:
        generator: "BigGanConfig"

    unfinished = out.with_name(f".tmp-{out.name}")
    with made_folder(out.parent, "out"), exclusive(out.parent, out.name):
        shutil.rmtree(unfinished, ignore_errors=True)
        try:
            save_trained(unfinished, Saved(config), {"generator": network}, METHOD)
            replace_folder(unfinished, out)
        except (OSError, SafetensorError) as error:
            raise UserError(f"{out}: cannot write this folder ({getattr(error, 'strerror', None) or error})") from error
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)
