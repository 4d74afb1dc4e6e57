"""The queue of jobs, which DBOS keeps: it starts each job's workflow on some worker, in order, and again after a kill.

The tables of the studio say what a job is and how far it is. A workflow is what makes a worker look at it: it ends when
the job has ended.
"""

import logging
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from aognet.studio.config import StudioConfig
from aognet.system.locking import exclusive

if TYPE_CHECKING:
    from dbos import DBOSConfig

QUEUE, WORKFLOW, APPLICATION = "studio-jobs", "studio-job", "aognet-studio"
# Workflows of an earlier program are gone on with by the next one.
VERSION = "1"
MANY = 10**9


def _configuration(config: StudioConfig, worker: str) -> "DBOSConfig":
    return {
        "name": APPLICATION,
        "system_database_url": config.queue_url,
        "executor_id": worker,
        "application_version": VERSION,
        "log_level": "WARNING",
    }


def prepare(config: StudioConfig) -> None:
    """Make the tables of the queue, if they are missing. Several processes may call it at once."""
    from dbos import DBOS

    with exclusive(config.root, "tables", patience=120.0):
        _quiet()
        DBOS(config=_configuration(config, "tables"))
        DBOS.listen_queues([])
        DBOS.launch()
        DBOS.register_queue(QUEUE, worker_concurrency=config.workers.side_by_side, polling_interval_sec=0.25)
        DBOS.destroy(destroy_registry=True)


class Submitter:
    """Puts jobs into the queue."""

    def __init__(self, config: StudioConfig):
        """Connect to the queue, whose tables are there (`prepare`)."""
        from dbos import DBOSClient

        _quiet()
        self._client = DBOSClient(system_database_url=config.queue_url, application_name=APPLICATION)

    def submit(self, workflow: str, job: str, number: int) -> None:
        """Put a job into the queue under the id of its ``workflow``. The same id again changes nothing.

        ``number``: jobs are begun in its order.
        """
        self._client.enqueue(
            {
                "workflow_name": WORKFLOW,
                "queue_name": QUEUE,
                "workflow_id": workflow,
                "app_version": VERSION,
                "priority": number,
            },
            job,
        )

    def states(self, workflows: Sequence[str]) -> dict[str, tuple[str, str | None]]:
        """Return the state, as DBOS calls it, and the worker of each workflow that there is."""
        if not workflows:
            return {}
        found = self._client.list_workflows(workflow_ids=list(workflows), load_input=False, load_output=False)
        return {one.workflow_id: (one.status, one.executor_id) for one in found}

    def resume(self, workflow: str) -> None:
        """Let any worker go on with a workflow whose worker is gone. It keeps its place in the order."""
        self._client.resume_workflow(workflow, queue_name=QUEUE)

    def close(self) -> None:
        """Close the connections."""
        self._client.destroy()


def serve(config: StudioConfig, worker: str, paint: Callable[[str], None], notify: Callable[[str], None]) -> None:
    """Call ``paint`` and then ``notify`` in threads with each job in its turn, until `stop`. What this worker had begun
    when it was killed comes first.
    """
    from dbos import DBOS

    _quiet()
    DBOS(config=_configuration(config, worker))

    @DBOS.step(name="paint")
    def step(job: str) -> None:
        paint(job)

    @DBOS.step(name="notify")
    def last(job: str) -> None:
        notify(job)

    @DBOS.workflow(name=WORKFLOW, max_recovery_attempts=MANY)
    def workflow(job: str) -> None:
        step(job)
        last(job)

    DBOS.listen_queues([QUEUE])
    DBOS.launch()
    DBOS.register_queue(
        QUEUE,
        worker_concurrency=config.workers.side_by_side,
        polling_interval_sec=0.25,
        on_conflict="always_update",
    )


def stop() -> None:
    """Begin no further jobs."""
    from dbos import DBOS

    DBOS.destroy()


def _quiet() -> None:
    logging.getLogger("dbos").setLevel(logging.WARNING)
