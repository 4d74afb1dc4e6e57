"""Serve the studio: ``python studio.py``, which is also ``aognet studio``."""

from aognet.cli import run
from aognet.commands.studio import main

if __name__ == "__main__":
    run(main)
