"""Jobs that nobody paints come back into the queue, whatever ended whom in the middle of what."""

import logging
from collections.abc import Collection, Sequence
from typing import Protocol, runtime_checkable

from aognet.studio.job_records import JobRecords

log = logging.getLogger(__name__)
WAITS = ("ENQUEUED", "DELAYED")


@runtime_checkable
class Workflows(Protocol):
    """What is asked of a queue: `aognet.studio.queue.Submitter` is one."""

    def states(self, workflows: Sequence[str]) -> dict[str, tuple[str, str | None]]:
        """Return the state and the worker of each workflow that there is."""

    def submit(self, workflow: str, job: str, number: int) -> None:
        """Put a job into the queue."""

    def resume(self, workflow: str) -> None:
        """Let any worker go on with a workflow."""


def bring_back(jobs: JobRecords, submitter: Workflows, worker: str, alive: Collection[str]) -> None:
    """Look after jobs that wait without a workflow that will reach them. ``worker``: who looks. ``alive``: the workers
    that were heard of lately.

    A job that waits has a workflow in the queue, or one that its worker goes on with. If its web process was killed
    before it was queued, it has none. If its worker is gone, any other may go on. If its workflow ended before the job
    did, because the tables could not be reached, it gets another.
    """
    rows = jobs.adrift()
    states = submitter.states([row["workflow"] for row in rows])
    for row in rows:
        job, workflow = row["id"], row["workflow"]
        state, holder = states.get(workflow, (None, None))
        if state is None:
            submitter.submit(workflow, job, row["number"])
        elif state == "PENDING":
            expired = row["state"] == "running"
            if holder != worker and (expired or holder not in alive):
                log.warning("job %s was left by worker %s", job, holder)
                submitter.resume(workflow)
        elif state not in WAITS:
            again = f"{job}-{row['fence']}"
            if jobs.set_workflow(job, workflow, again):
                submitter.submit(again, job, row["number"])
