"""Make PNG or JPEG images of EXR and HDR files; also ``aognet convert``."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from aognet.cli import run
from aognet.commands.convert import main

if __name__ == "__main__":
    run(main)
