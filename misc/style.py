"""Give a panorama the style of a photograph; also ``aognet style``."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from aognet.cli import run
from aognet.commands.style import main

if __name__ == "__main__":
    run(main)
