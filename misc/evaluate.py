"""Measure generated panoramas against real ones; also ``aognet evaluate``."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from aognet.cli import run
from aognet.commands.evaluate import main

if __name__ == "__main__":
    run(main)
