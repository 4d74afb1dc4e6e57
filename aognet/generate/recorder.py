"""The recorder writes painted views to the disk in the background, in order, while the next ones are painted."""

from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import groupby
from types import TracebackType

import torch
from jaxtyping import Float
from torch import Tensor

from aognet.canvas import Canvas
from aognet.generate.entries import JournalEntry
from aognet.generate.pixels import packed, unpacked
from aognet.generate.view_journal import ViewJournal

MAX_PENDING = 2  # batches; views wait in memory no longer than this

Painted = tuple[ViewJournal, JournalEntry, Float[Tensor, "3 rows columns"]]


class Recorder:
    """Records views in their journals. Everything handed over is written when the ``with`` ends, even by an error."""

    def __init__(self) -> None:
        self._pool, self._broken = ThreadPoolExecutor(1), False
        self._pending: list[Future] = []
        self._views: dict[tuple[int, str], Tensor] = {}

    def __enter__(self) -> "Recorder":
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._pool.shutdown(wait=True)
        if error is None:
            self._wait(0)

    def add(self, painted: Sequence[Painted]) -> None:
        """Record views painted together, of each journal all or none. Raises errors of earlier ones."""
        self._wait(MAX_PENDING - 1)
        kept = packed(torch.stack([view for _, _, view in painted]), painted[0][0].encoding)
        for (journal, entry, _), view in zip(painted, kept, strict=True):
            self._views[id(journal), entry.file] = view
        self._pending.append(self._pool.submit(self._write, [(journal, entry) for journal, entry, _ in painted], kept))

    def paint(self, canvas: Canvas, journal: ViewJournal, entries: Sequence[JournalEntry]) -> None:
        """Paint views into a canvas, with the values that their files store, recorded by now or earlier."""
        for entry in entries:
            view = self._views.pop((id(journal), entry.file), None)
            values = journal.view(entry).to(canvas.pixels) if view is None else unpacked(view, canvas.encoding)[None]
            canvas.paint_(values, entry.camera)

    def _wait(self, most: int) -> None:
        while len(self._pending) > most:
            self._pending.pop(0).result()

    def _write(self, named: Sequence[tuple[ViewJournal, JournalEntry]], kept: Tensor) -> None:
        if self._broken:  # a view that was lost has no followers: a run goes on from where it ends
            return
        try:
            # Nothing here may be arithmetic of torch: its threads would slow down those of the networks.
            kept = kept.cpu()
            for _, group in groupby(enumerate(named), key=lambda item: id(item[1][0])):
                rows, members = zip(*group, strict=True)
                members[0][0].add([kept[row] for row in rows], [entry for _, entry in members])
        except BaseException:
            self._broken = True
            raise
