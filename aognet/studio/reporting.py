"""What a job tells while it is painted: how far it is, and each view as soon as it is on the disk."""

import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from aognet.generate.run import Run
from aognet.generate.view_journal import ViewJournal
from aognet.studio.job_records import Claim, JobRecords

PAUSE_SECONDS = 0.4
KEEP_SECONDS = 5.0  # of methods whose steps are no views


@dataclass
class Reporter:
    """Tells of one job. ``run``: what is painted. ``told``: how many steps were told of by an earlier holder. ``keep``:
    sees to it that what is painted is in the storage, and returns whether it is: no view is told of before.
    """

    claim: Claim
    records: JobRecords
    run: Run
    told: int
    keep: Callable[[], bool]
    _first: tuple[float, float] | None = None
    _said: float = 0.0
    _kept: float = 0.0

    def __post_init__(self) -> None:
        self._begun_at = len(self.run.journal.entries)

    @property
    def is_views(self) -> bool:
        """Whether views are painted."""
        return isinstance(self.run.journal, ViewJournal)

    def tell(self, stage: str, done: int, total: int, last: bool = False) -> None:
        """Hear of progress of what is painted side by side, and write what is new of this job."""
        now = time.monotonic()
        journal, events = self.run.journal, []
        values: dict[str, Any] = {}
        if self.is_views:
            count = len(journal.plan or [])
            entries = list(journal.entries)
            if len(entries) > self.told and not self.keep():
                entries = entries[: self.told]
            for index in range(self.told, len(entries)):
                events.append(("view", self._view(index, entries[index], count)))
            self.told = max(self.told, len(entries))
            part = done / max(total, 1) if stage == "steps" else 0.0
            shown: Mapping[str, Any] = {"stage": "views", "done": len(entries), "total": count}
            share = min(len(entries) + part, count) / max(count, 1)
            values["steps"] = len(entries)
        else:
            shown, share = {"stage": stage, "done": done, "total": total}, done / max(total, 1)
            values["steps"] = len(journal.entries)
            if now - self._kept > KEEP_SECONDS:
                self.keep()
                self._kept = now
        if events or last or now - self._said > PAUSE_SECONDS:
            left = self._left(now, share)
            step = {"step": done, "steps": total} if self.is_views and stage == "steps" else {}
            events.append(("progress", {**shown, **step, "seconds_left": left}))
            values |= shown
            if values["steps"] > self._begun_at:
                values["attempts"] = 0  # a step forward: what fails from here on fails for the first time
            self._said = now
            self.records.tell(self.claim, values, events)

    def _view(self, index: int, entry: Any, count: int) -> dict[str, Any]:
        preview = f"/api/v1/jobs/{self.claim.job}/views/{index}"
        camera = asdict(entry.camera)
        return {"index": index, "count": count, "camera": camera, "prompt": entry.prompt, "preview": preview}

    def _left(self, now: float, share: float) -> float | None:
        """Return how many seconds are left, from the pace since the first call; None before there is one."""
        if self._first is None:
            self._first = now, share
            return None
        gained = share - self._first[1]
        return round((now - self._first[0]) / gained * (1 - share), 1) if gained > 0.01 else None
