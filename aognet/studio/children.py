"""Processes that the studio starts: this Python, this package."""

import os
import sys
from collections.abc import Sequence
from pathlib import Path

import aognet

_ABOVE = str(Path(aognet.__file__).resolve().parents[1])


def command_of(module: str, *arguments: str) -> Sequence[str]:
    """Return the command that runs a module of this package."""
    return [sys.executable, "-m", module, *arguments]


def environment() -> dict[str, str]:
    """Return the environment in which that command finds this package, from any folder."""
    paths = [_ABOVE, *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
