"""Turn the public files of a BigGAN-deep into a folder that ganorama loads; also ``aognet convert-biggan``."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from aognet.cli import run
from aognet.commands.convert_biggan import main

if __name__ == "__main__":
    run(main)
