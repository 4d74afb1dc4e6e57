"""The command line that paints, in milliseconds: a painter in place of a model."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from aognet.commands import generate
from aognet.generate import generator
from aognet.io.images import save_image
from aognet.methods.method import Method
from tests.generate import painter

HEIGHT = 32
Paint = Callable[..., int]
STUB = Method(
    "stub",
    "tests.generate.painter:Painter",
    "aognet.methods.aognet.settings:Settings",
    takes=frozenset({"prompts_at"}),
)


def install(monkeypatch: pytest.MonkeyPatch) -> None:
    """From here on panoramas are painted by `tests.generate.painter.Painter`."""
    monkeypatch.setattr(generator, "method_of", lambda *model: STUB)
    monkeypatch.setattr(generator, "model_identity", lambda *model: "weights")
    monkeypatch.setattr(generator, "provenance", lambda device: {"git": {"commit": "0", "dirty": True}})
    monkeypatch.setattr(generator.Generator, "model", property(lambda one: painter.Painter()))


def make_inputs(folder: Path) -> Path:
    """``yard.png``, a photograph, ``hall.png`` and ``mask.png``, a panorama, and ``tiny.yaml``."""
    save_image(painter.smooth_photo(30, 40), folder / "yard.png")
    save_image(painter.smooth_photo(HEIGHT, 2 * HEIGHT), folder / "hall.png")
    mask = torch.full((3, HEIGHT, 2 * HEIGHT), -1.0)
    mask[:, :, :20] = 1.0
    save_image(mask, folder / "mask.png")
    generator = {
        "height": HEIGHT, "plan": {"kind": "cube", "size": 16}, "face_size": 16, "views_per_batch": 2,
        # The embedded model, in whose place the painter is, prefers others.
        "sampler": {"scheduler": "ddim", "steps": 1, "guidance": 2.5}, "enlarge_views": False,
    }  # fmt: skip
    (folder / "tiny.yaml").write_text(json.dumps({"device": "cpu", "generator": generator}))
    return folder


def run(*arguments: Any) -> None:
    """The command line, which is expected to end well."""
    assert generate.main([*map(str, arguments)]) == 0


def contents(folder: Path) -> dict[str, bytes | str | None]:
    """Everything below a folder, hidden files too: bytes of files, targets of links, None for folders."""
    found: dict[str, bytes | str | None] = {}
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        found[name] = str(path.readlink()) if path.is_symlink() else path.read_bytes() if path.is_file() else None
    return found
