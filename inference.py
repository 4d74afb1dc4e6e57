"""Paint panoramas: ``python inference.py --image photo.jpg``, which is also ``aognet generate``."""

from aognet.cli import run
from aognet.commands.generate import main

if __name__ == "__main__":
    run(main)
