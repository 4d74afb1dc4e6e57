"""The journal of a panorama that is painted view by view.

Its canvas is the input with the recorded views painted in order. Views can be taken back and painted again.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from jaxtyping import Float
from torch import Tensor

from aognet.canvas import Canvas
from aognet.errors import Setting, UserError
from aognet.generate.entries import Edit, JournalEntry, read_entry, undo_command
from aognet.generate.journal import Journal, not_a_run, read_content
from aognet.generate.pixels import read_picture, write_picture
from aognet.generate.run_files import JOURNAL, check_foreign
from aognet.geometry.plans import anchor_of


class ViewJournal(Journal):
    """A `Journal` whose steps are views: pictures with their cameras."""

    kind = "views"
    entries: list[JournalEntry]

    @staticmethod
    def read_entry(step: dict[str, Any]) -> JournalEntry:
        return read_entry(step)

    def read(self, content: Mapping[str, Any]) -> None:
        super().read(content)
        self._check_plan()

    def next_files(self) -> Sequence[str]:
        return ()

    def canvas(self) -> Canvas:
        """Return the canvas with all recorded views painted."""
        return self._painted(self.entries)

    def _painted(self, entries: Sequence[JournalEntry]) -> Canvas:
        """Return the canvas with views painted. Those with the anchor come first; it is gone before the others."""
        start = self.start()
        with_anchor = [entry for entry in entries if entry.anchored]
        canvas = start.anchored() if with_anchor else start
        for entry in with_anchor:
            canvas = self.repeated(canvas, entry)
        canvas = canvas.forget_(anchor_of(start.known)) if with_anchor else canvas
        for entry in entries[len(with_anchor) :]:
            canvas = self.repeated(canvas, entry)
        return canvas

    @property
    def repainted(self) -> list[JournalEntry]:
        """The recorded views that are not of the plan."""
        planned = {entry.file for entry in self.plan or []}
        return [entry for entry in self.entries if entry.file not in planned]

    def repeated(self, canvas: Canvas, entry: JournalEntry) -> Canvas:
        """Return the canvas after one more recorded view."""
        if entry.erased is not None:
            canvas = canvas.erase(entry.erased, keep=self.start().known)
        return canvas.paint(self.view(entry), entry.camera)

    def view(self, entry: JournalEntry) -> Float[Tensor, "1 3 rows columns"]:
        """Read a recorded view. Raises UserError naming the file."""
        path, camera = self.folder / "steps" / entry.file, entry.camera
        image = read_picture(path, self.encoding)
        if image.shape[-2:] != (camera.height, camera.width):
            raise UserError(
                f"{path}: run.json says {camera.width}x{camera.height} pixels, this image has "
                f"{image.shape[-1]}x{image.shape[-2]}"
            )
        return image[None]

    def begin_plan(self, plan: Sequence[JournalEntry]) -> None:
        """Record the views to paint. Raises UserError if views that are already recorded were planned in another
        way.
        """
        self.plan = list(plan)
        try:
            self._check_plan()
        except ValueError as error:
            said = (
                f"{self.folder}: an earlier version of this program began this run, and it cannot go on ({error}); add "
            )
            raise UserError(
                said, Setting("overwrite"), " to paint it anew, or choose another ", Setting("name")
            ) from error
        self.write()

    def _check_plan(self) -> None:
        planned = {entry.file: asdict(entry) for entry in self.plan or []}
        for entry in self.entries:
            there, here = asdict(entry), planned.get(entry.file)
            if here is not None and here != there:
                key = next(key for key in here if here[key] != there[key])
                raise ValueError(f"steps/{entry.file}: {key} is {there[key]!r}, planned is {here[key]!r}")

    def add(self, views: Sequence[Tensor], entries: list[JournalEntry]) -> None:
        """Record views painted together: all of them or, if the process dies meanwhile, none.

        ``views``: each [3, rows, columns], as `aognet.generate.pixels.packed` returns it.
        """
        for view, entry in zip(views, entries, strict=True):
            write_picture(view, self.folder / "steps" / entry.file, self.encoding)
        self.entries = [*self.entries, *entries]
        self.write()

    def begin_edit(self, edit: Edit) -> None:
        """Record a change before anything of it is on the disk. `settle` ends it."""
        check_foreign(self.folder, self.owns)
        self.edit = edit
        self.write()

    def undo(self, count: int) -> Canvas:
        """Take the last ``count`` views back. Return what is left. Call `settle` when the results show it."""
        if not 1 <= count <= len(self.entries):
            said = f"must lie in [1, {len(self.entries)}], the views painted in {self.folder}"
            raise UserError(said, key="undo", value=count)
        canvas, gone = self._painted(self.entries[:-count]), self.entries[-count:]
        self.entries, self.finished = self.entries[:-count], canvas.unknown_pixels == 0
        self.edit = Edit(undo_command(count), tuple(entry.file for entry in gone))
        self.write()
        self.clear()
        return canvas


def open_journal(folder: Path) -> Journal:
    """Open the journal of a folder, a `ViewJournal` or another. Raises UserError if it makes no sense."""
    content = read_content(folder)
    kinds = {one.kind: one for one in (Journal, ViewJournal)}
    try:
        told = content["asked"], content["encoding"], dict(content.get("provenance", {}))
        journal = kinds[content["kind"]](folder, *told)
        journal.read(content)
        return journal
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise not_a_run(folder / JOURNAL, error) from error


def open_views(folder: Path) -> ViewJournal:
    """Open the journal of a panorama that was painted view by view. Raises UserError if it was made in another way."""
    journal = open_journal(folder)
    if not isinstance(journal, ViewJournal):
        raise UserError(f"{folder}: this panorama was not painted view by view, so none can be taken back or repainted")
    return journal


def check_free(folder: Path) -> Journal | None:
    """Return the journal of the run in a folder, None without one.

    :raises UserError: where a file is there that a run would write over and no run wrote, or that is no run's journal.
    """
    journal = open_journal(folder) if (folder / JOURNAL).is_file() else None
    check_foreign(folder, journal.owns if journal else lambda name: False)
    return journal
