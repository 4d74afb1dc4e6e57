"""Estimate the depth of a panorama; also ``aognet depth``."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from aognet.cli import run
from aognet.commands.depth import main

if __name__ == "__main__":
    run(main)
