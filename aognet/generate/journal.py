"""The folder of one panorama: what it started from, every painted view, and what to do again to get the same.

The views on disk are the state: a canvas is the input with the recorded views painted in order, so a run that was
killed goes on where its journal ends, and views can be taken back. Everything is written atomically, and what is about
to be written or removed is noted first: whatever a kill leaves, the same command brings to the same end.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from aognet.canvas import Canvas
from aognet.errors import UserError
from aognet.generate.entries import Edit, JournalEntry, read_edit, read_entry, undo_command
from aognet.generate.inputs import as_canvas, stored
from aognet.generate.request import differences
from aognet.generate.results import write_truth
from aognet.generate.run_files import FACE_FILES, INPUT, JOURNAL, OUTPUTS, check_foreign, clear, outputs_of
from aognet.geometry.camera import Camera
from aognet.io.decoding import open_image
from aognet.io.files import write_atomically
from aognet.io.images import from_uint8, load_image, merged, png_bytes

VERSION = 2
READABLE = (1, VERSION)
MAX_BYTES = 16 * 2**20


class Journal:
    """``run.json``, ``input.png`` and ``steps/`` of one panorama's folder."""

    def __init__(
        self,
        folder: Path,
        request: dict[str, Any],
        entries: list[JournalEntry],
        finished: bool = False,
        provenance: dict[str, Any] | None = None,
    ):
        """``request``: what was asked for; ``finished``: nothing is left to paint; ``provenance``: with what."""
        self.folder, self.request, self.entries, self.finished = folder, request, entries, finished
        self.provenance = provenance or {}
        self.version = VERSION  # of run.json when it was opened
        self.begun = False  # whether what it starts from is on the disk
        self.plan: list[JournalEntry] | None = None  # all views to paint, once painting begins
        self.outputs: tuple[str, ...] = ()  # what it wrote or is about to write, besides run.json and steps
        self.edit: Edit | None = None

    @classmethod
    def create(
        cls,
        folder: Path,
        request: dict[str, Any],
        start: Canvas,
        provenance: dict[str, Any] | None = None,
        truth: Canvas | None = None,
        faces: bool = False,
    ) -> "Journal":
        """A new journal of what is known at the beginning, and ``gt.png`` where there is a ``truth``.

        A run in the folder is replaced. ``faces``: whether those of its cubemap will be written.

        :raises UserError: before anything is written, naming a file that a run would write over and no run wrote.
        """
        before = check_free(folder)
        journal = cls(folder, json.loads(json.dumps(request)), [], provenance=provenance)
        outputs = outputs_of(truth is not None, faces)
        journal.outputs = _ordered({*outputs, *(before.outputs if before else ())})
        try:
            folder.mkdir(parents=True, exist_ok=True)
            journal.write()
            (folder / "steps").mkdir(exist_ok=True)
        except OSError as error:
            raise UserError(f"{folder}: cannot make this output folder ({error.strerror})") from error
        clear(folder, leave=lambda name: name == JOURNAL)
        write_atomically(folder / INPUT, png_bytes(stored(start)))
        if truth is not None:
            write_truth(folder, truth)
        journal.outputs, journal.begun = outputs, True
        journal.write()
        return journal

    @classmethod
    def open(cls, folder: Path) -> "Journal":
        """The journal of a folder. Raises UserError where there is none or it makes no sense."""
        path = folder / JOURNAL
        if not path.is_file():
            raise UserError(f"{folder}: no run here (no {JOURNAL})")
        try:
            if path.stat().st_size > MAX_BYTES:
                raise ValueError(f"larger than {MAX_BYTES} bytes")
            content = json.loads(path.read_text(encoding="utf-8"))
            if content["version"] not in READABLE:
                raise ValueError(f"version {content['version']}, this program writes version {VERSION}")
            entries = [read_entry(step) for step in content["steps"]]
            request, provenance = dict(content["request"]), dict(content.get("provenance", {}))
            journal = cls(folder, request, entries, bool(content["finished"]), provenance)
            journal._read_state(content)
            journal.photo_camera()
            return journal
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise UserError(f"{path}: not a run that can be continued ({error})") from error

    def _read_state(self, content: dict[str, Any]) -> None:
        """What version 2 tells besides; of version 1 whatever has the name of a run's file counts as its own."""
        self.version = content["version"]
        if self.version == 1:
            self.begun = True
            self.outputs = tuple(name for name in OUTPUTS if (self.folder / name).is_file())
            return
        self.begun, edit = bool(content["begun"]), content["edit"]
        if unknown := [name for name in content["outputs"] if name not in OUTPUTS]:
            raise ValueError(f"outputs: unknown name {unknown[0]!r}")
        self.outputs = _ordered(content["outputs"])
        if content["plan"] is not None:
            self.plan = [read_entry(step) for step in content["plan"]]
            self._check_plan()
        self.edit = None if edit is None else read_edit(edit)

    def write(self) -> None:
        """Puts ``run.json`` on the disk."""
        content = {
            "version": VERSION,
            "begun": self.begun,
            "finished": self.finished,
            "request": self.request,
            "outputs": self.outputs,
            "plan": None if self.plan is None else [asdict(entry) for entry in self.plan],
            "steps": [asdict(entry) for entry in self.entries],
            "edit": None if self.edit is None else asdict(self.edit),
            "provenance": self.provenance,
        }
        text = json.dumps(content, indent=2, ensure_ascii=False) + "\n"
        write_atomically(self.folder / JOURNAL, text)

    def owns(self, name: str) -> bool:
        """Whether a file (``steps/003.png``) is this run's: written by it or about to be."""
        folder, _, step = name.rpartition("/")
        if folder != "steps":
            return name == JOURNAL or name in self.outputs
        painted = [*self.entries, *(self.plan or []), *([self.edit.view] if self.edit and self.edit.view else [])]
        taken_back = self.edit.gone if self.edit else ()
        return self.version == 1 or not self.begun or step in taken_back or any(step == one.file for one in painted)

    def claim(self, outputs: Iterable[str]) -> None:
        """Notes that these files will be written. Raises UserError where one is there that no run wrote."""
        claimed = _ordered({*self.outputs, *outputs})
        if claimed == self.outputs:
            return
        check_foreign(self.folder, self.owns)
        self.outputs = claimed
        self.write()

    def clear(self) -> None:
        """Removes what a kill left that is not recorded: unfinished files, views that no journal knows."""
        recorded = {f"steps/{entry.file}" for entry in self.entries}
        check_foreign(self.folder, self.owns)
        clear(self.folder, leave=lambda name: not name.startswith("steps/") or name in recorded)

    @property
    def has_faces(self) -> bool:
        """Whether the faces of the cubemap belong to its results."""
        return set(FACE_FILES) <= set(self.outputs)

    @property
    def shown(self) -> bool:
        """Whether the results are there, and are those of the recorded views."""
        return self.finished and self.edit is None and all((self.folder / name).is_file() for name in self.outputs)

    def photo_camera(self) -> Camera | None:
        """The camera of the photograph the run started from."""
        camera = self.request.get("camera")
        return Camera(**camera) if camera else None

    def start(self) -> Canvas:
        """What was known at the beginning."""
        path = self.folder / INPUT
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
        return self._painted(self.entries)

    def _painted(self, entries: Sequence[JournalEntry]) -> Canvas:
        canvas = self.start()
        for entry in entries:
            canvas = self.repeated(canvas, entry)
        return canvas

    def has(self, entry: JournalEntry) -> bool:
        """Whether a view of this name is recorded."""
        return any(recorded.file == entry.file for recorded in self.entries)

    @property
    def repainted(self) -> list[JournalEntry]:
        """The recorded views that are not of the plan."""
        planned = {entry.file for entry in self.plan or []}
        return [entry for entry in self.entries if entry.file not in planned]

    def repeated(self, canvas: Canvas, entry: JournalEntry) -> Canvas:
        """The canvas after one more recorded view."""
        if entry.erased is not None:
            canvas = canvas.erase(entry.erased, keep=self.start().known)
        return canvas.paint(self.view(entry), entry.camera)

    def view(self, entry: JournalEntry) -> Float[Tensor, "1 3 rows columns"]:
        """A recorded view."""
        path, camera = self.folder / "steps" / entry.file, entry.camera
        image = load_image(path)
        if image.shape[-2:] != (camera.height, camera.width):
            raise UserError(
                f"{path}: run.json says {camera.width}x{camera.height} pixels, this image has "
                f"{image.shape[-1]}x{image.shape[-2]}"
            )
        return image[None]

    def begin_plan(self, plan: Sequence[JournalEntry]) -> None:
        """Notes the views to paint. Raises UserError where those that are recorded already were planned otherwise."""
        self.plan = list(plan)
        try:
            self._check_plan()
        except ValueError as error:
            raise UserError(
                f"{self.folder}: an earlier version of this program began this run, and it cannot go on ({error}); add "
                "--overwrite to paint it anew, or choose another --name"
            ) from error
        self.write()

    def _check_plan(self) -> None:
        planned = {entry.file: asdict(entry) for entry in self.plan or []}
        for entry in self.entries:
            there, here = asdict(entry), planned.get(entry.file)
            if here is not None and here != there:
                key = next(key for key in here if here[key] != there[key])
                raise ValueError(f"steps/{entry.file}: {key} is {there[key]!r}, planned is {here[key]!r}")

    def add(self, views: Sequence[UInt8[Tensor, "3 rows columns"]], entries: list[JournalEntry]) -> None:
        """Records views painted together: all of them or, if the process dies meanwhile, none."""
        for view, entry in zip(views, entries, strict=True):
            write_atomically(self.folder / "steps" / entry.file, png_bytes(merged(view)))
        self.entries = [*self.entries, *entries]
        self.write()

    def begin_edit(self, edit: Edit) -> None:
        """Notes a change before anything of it is on the disk; `settle` ends it."""
        check_foreign(self.folder, self.owns)
        self.edit = edit
        self.write()

    def settle(self) -> None:
        """Notes that the results show what is recorded."""
        self.edit = None
        self.write()

    def differences(self, request: dict[str, Any]) -> list[str]:
        """Where a request and that of this run differ, as ``key: there, here``; the camera follows from the rest."""
        return differences(self.request, request)

    def undo(self, count: int) -> Canvas:
        """Takes the last ``count`` views back; returns what is left. `settle` when the results show it."""
        if not 1 <= count <= len(self.entries):
            raise UserError(
                f"{self.folder}: --undo must lie in [1, {len(self.entries)}], the views painted; got {count}"
            )
        canvas, gone = self._painted(self.entries[:-count]), self.entries[-count:]
        self.entries, self.finished = self.entries[:-count], canvas.unknown_pixels == 0
        self.edit = Edit(undo_command(count), tuple(entry.file for entry in gone))
        self.write()
        self.clear()
        return canvas


def check_free(folder: Path) -> Journal | None:
    """The journal of the run in a folder, None without one.

    :raises UserError: where a file is there that a run would write over and no run wrote, or that is no run's journal.
    """
    journal = Journal.open(folder) if (folder / JOURNAL).is_file() else None
    check_foreign(folder, journal.owns if journal else lambda name: False)
    return journal


def _ordered(names: Iterable[str]) -> tuple[str, ...]:
    names = set(names)
    return tuple(name for name in OUTPUTS if name in names)
