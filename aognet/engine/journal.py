"""The folder of one panorama: what it started from, every painted view, and what to do again to get the same.

The views on disk are the state: a canvas is the input with the recorded views painted in order, so a run that was
killed goes on where its journal ends, and views can be taken back. Everything is written atomically.
"""

import json
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from aognet.canvas import Canvas
from aognet.data.decoding import open_image
from aognet.data.images import from_uint8, load_image, merged, png_bytes
from aognet.engine.inputs import as_canvas, stored
from aognet.errors import UserError
from aognet.files import write_atomically
from aognet.geometry.camera import Camera
from aognet.geometry.cubemap import FACES

VERSION = 1
MOST_BYTES = 16 * 2**20
RESULTS = ("result.png", "viewer.html", "prompt.txt", "gt.png", *(f"faces/{name}.png" for name in FACES))


@dataclass(frozen=True)
class Entry:
    """A painted view. ``erased``: the part of the canvas that was cleared first (the input's own pixels excepted)."""

    file: str
    camera: Camera
    wave: int
    prompt: str
    seed: int
    erased: Camera | None = None


class Journal:
    """``run.json``, ``input.png`` and ``steps/`` of one panorama's folder."""

    def __init__(
        self,
        folder: Path,
        request: dict[str, Any],
        entries: list[Entry],
        finished: bool = False,
        provenance: dict[str, Any] | None = None,
    ):
        """``request``: what was asked for; ``finished``: nothing is left to paint; ``provenance``: with what."""
        self.folder, self.request, self.entries, self.finished = folder, request, entries, finished
        self.provenance = provenance or {}

    @classmethod
    def create(
        cls, folder: Path, request: dict[str, Any], start: Canvas, provenance: dict[str, Any] | None = None
    ) -> "Journal":
        """A new journal of what is known at the beginning."""
        try:
            (folder / "steps").mkdir(parents=True, exist_ok=True)
            # The journal first: from here on there is no run, so that a kill leaves none that contradicts its views.
            for leftover in (folder / "run.json", *(folder / name for name in RESULTS), *folder.glob("steps/*.png")):
                leftover.unlink(missing_ok=True)
        except OSError as error:
            raise UserError(f"{folder}: cannot make this output folder ({error.strerror})") from error
        write_atomically(folder / "input.png", png_bytes(stored(start)))
        journal = cls(folder, json.loads(json.dumps(request)), [], provenance=provenance)
        journal.write()
        return journal

    @classmethod
    def open(cls, folder: Path) -> "Journal":
        """The journal of a folder. Raises UserError where there is none or it makes no sense."""
        path = folder / "run.json"
        if not path.is_file():
            raise UserError(f"{folder}: no run here (no run.json)")
        try:
            if path.stat().st_size > MOST_BYTES:
                raise ValueError(f"larger than {MOST_BYTES} bytes")
            content = json.loads(path.read_text(encoding="utf-8"))
            if content["version"] != VERSION:
                raise ValueError(f"version {content['version']}, this program writes version {VERSION}")
            entries = [_entry(step) for step in content["steps"]]
            request, provenance = dict(content["request"]), dict(content.get("provenance", {}))
            journal = cls(folder, request, entries, bool(content["finished"]), provenance)
            journal.photo_camera()
            return journal
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise UserError(f"{path}: not a run that can be continued ({error})") from error

    def write(self) -> None:
        """Puts ``run.json`` on the disk."""
        steps = [asdict(entry) for entry in self.entries]
        content = {
            "version": VERSION,
            "finished": self.finished,
            "request": self.request,
            "steps": steps,
            "provenance": self.provenance,
        }
        text = json.dumps(content, indent=2, ensure_ascii=False) + "\n"
        write_atomically(self.folder / "run.json", text)

    def photo_camera(self) -> Camera | None:
        """The camera of the photograph the run started from."""
        camera = self.request.get("camera")
        return Camera(**camera) if camera else None

    def start(self) -> Canvas:
        """What was known at the beginning."""
        path = self.folder / "input.png"
        try:
            with open_image(path, ("PNG",)) as image:
                pixels = torch.from_numpy(np.array(image.convert("RGBA"))).permute(2, 0, 1)
        except (OSError, ValueError, SyntaxError) as error:
            raise UserError(f"{path}: not readable ({error})") from error
        height, width = pixels.shape[-2:]
        if width != 2 * height:
            raise UserError(f"{path}: a panorama is twice as wide as high, this image is {width}x{height}")
        return as_canvas(from_uint8(pixels))

    def canvas(self) -> Canvas:
        """The canvas with all recorded views painted."""
        canvas = self.start()
        for entry in self.entries:
            canvas = self.repeated(canvas, entry)
        return canvas

    def has(self, entry: Entry) -> bool:
        """Whether a view of this name is recorded."""
        return any(recorded.file == entry.file for recorded in self.entries)

    def repeated(self, canvas: Canvas, entry: Entry) -> Canvas:
        """The canvas after one more recorded view."""
        if entry.erased is not None:
            canvas = canvas.erase(entry.erased, keep=self.start().known)
        return canvas.paint(self.view(entry), entry.camera)

    def view(self, entry: Entry) -> Float[Tensor, "1 3 rows columns"]:
        """A recorded view."""
        path, camera = self.folder / "steps" / entry.file, entry.camera
        image = load_image(path)
        if image.shape[-2:] != (camera.height, camera.width):
            raise UserError(
                f"{path}: run.json says {camera.width}x{camera.height} pixels, this image has "
                f"{image.shape[-1]}x{image.shape[-2]}"
            )
        return image[None]

    def add(self, views: Sequence[UInt8[Tensor, "3 rows columns"]], entries: list[Entry]) -> None:
        """Records views painted together: all of them or, if the process dies meanwhile, none."""
        for view, entry in zip(views, entries, strict=True):
            write_atomically(self.folder / "steps" / entry.file, png_bytes(merged(view)))
        self.entries = [*self.entries, *entries]
        self.write()

    def finish(self) -> None:
        """Notes that nothing is left to paint."""
        self.finished = True
        self.write()

    def differences(self, request: dict[str, Any]) -> list[str]:
        """Where a request and that of this run differ, as ``key: there, here``; the camera follows from the rest."""
        here, there = _flat(json.loads(json.dumps(request))), _flat(self.request)
        return [
            f"{key}: {there.get(key)!r} there, {here.get(key)!r} here"
            for key in {**here, **there}
            if there.get(key) != here.get(key) and not key.startswith("camera")
        ]

    def undo(self, count: int) -> None:
        """Takes the last ``count`` views back."""
        if not 1 <= count <= len(self.entries):
            raise UserError(
                f"{self.folder}: --undo must lie in [1, {len(self.entries)}], the views painted; got {count}"
            )
        gone, self.entries = self.entries[-count:], self.entries[:-count]
        self.finished = False
        self.write()
        for entry in gone:
            (self.folder / "steps" / entry.file).unlink(missing_ok=True)


def _entry(step: dict[str, Any]) -> Entry:
    if not re.fullmatch(r"\d+\.png", step["file"]):
        raise ValueError(f"a step's file must be a number with .png, got {step['file']!r}")
    if type(step["wave"]) is not int:
        raise ValueError(f"wave must be a whole number, got {step['wave']!r}")
    erased = step["erased"]
    cameras = {"camera": Camera(**step["camera"]), "erased": Camera(**erased) if erased else None}
    return Entry(**{**step, **cameras})


def _flat(values: Any, prefix: str = "") -> dict[str, Any]:
    """Nested mappings as one with dotted keys."""
    if not isinstance(values, dict):
        return {prefix: values}
    return {
        key: value
        for name, inner in values.items()
        for key, value in _flat(inner, f"{prefix}.{name}".strip(".")).items()
    }
