"""Turn Text2Light's published checkpoints into a folder of networks of ours; also ``aognet convert-text2light``."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from aognet.cli import run
from aognet.commands.convert_text2light import main

if __name__ == "__main__":
    run(main)
