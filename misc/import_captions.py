"""Turn a caption pickle of the published code into a captions file; also ``aognet convert-captions``."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from aognet.cli import run
from aognet.commands.convert_captions import main

if __name__ == "__main__":
    run(main)
