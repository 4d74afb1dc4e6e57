"""Make light of a panorama, or a larger one; also ``aognet to-hdr``."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from aognet.cli import run
from aognet.commands.to_hdr import main

if __name__ == "__main__":
    run(main)
