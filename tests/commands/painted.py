"""What tests of the command that paints share: its words, and what lies in the folders that it leaves."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from aognet.methods.aognet.model import AOGNet

ROOT = Path(__file__).parents[2]
HEIGHT, VIEW = 32, 16
Paint = Callable[..., int]
COMMAND = ("--prompt", "a yard in the sun", "--fov", "80", "--seed", "3", "--image")


class Stop:
    """Counts the views that AOG-Net paints, and presses Ctrl-C before one of them."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.painted, self.before = 0, None
        outpaint = AOGNet.outpaint

        def counted(model: AOGNet, views: Any, *rest: Any, **options: Any) -> Any:
            if self.painted == self.before:
                raise KeyboardInterrupt
            self.painted += len(views)
            return outpaint(model, views, *rest, **options)

        monkeypatch.setattr(AOGNet, "outpaint", counted)


def pixels(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path)).astype(int)


def steps(folder: Path) -> list[str]:
    return sorted(path.name for path in (folder / "steps").iterdir())


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def command(*arguments: Any, python: tuple[str, ...] = (), **options: Any) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "ACCELERATE_USE_CPU": "true", "COLUMNS": "80"}
    words = [sys.executable, *python, str(ROOT / "inference.py"), *map(str, arguments)]
    return subprocess.run(words, capture_output=True, text=True, cwd=ROOT, env=environment, timeout=300, **options)
