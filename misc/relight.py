"""Light three spheres by a panorama; also ``aognet relight``."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from aognet.cli import run
from aognet.commands.relight import main

if __name__ == "__main__":
    run(main)
