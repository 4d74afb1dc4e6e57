"""Jobs: submitting, watching, cancelling."""

from collections.abc import AsyncIterator
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Header, Query
from fastapi.responses import Response
from fastapi.sse import EventSourceResponse, ServerSentEvent
from starlette.concurrency import run_in_threadpool

from aognet.studio.answers import job_answer
from aognet.studio.database import Row
from aognet.studio.events import events_after
from aognet.studio.job_records import OPEN
from aognet.studio.jobs.seams import BASE, SEAMS
from aognet.studio.planning import cost
from aognet.studio.problems import ProblemError, not_found
from aognet.studio.routes.asked_body import ASKED, asked_body
from aognet.studio.routes.common import PROBLEMS, Cursor, Id, Key, Limit, Words, cursor_numbers, cursor_of
from aognet.studio.schemas import Cost, Job, JobBody, JobPage, State
from aognet.studio.service import Owner, Service, Serving
from aognet.studio.submitting import submit
from aognet.studio.thumbnails import small_jpeg

router = APIRouter(tags=["jobs"], responses=PROBLEMS)
VIEW_WIDTH = 768


def found(service: Service, job_id: str) -> Row:
    """Return a job's row. Raises ProblemError where there is none."""
    row = service.jobs.find(job_id)
    if row is None:
        raise not_found("job")
    return row


def answer(service: Service, row: Row) -> Job:
    """Return a job as the API tells it, with its place in the queue."""
    return job_answer(row, service.jobs.waiting_before(row["number"]) if row["state"] == "queued" else None)


@router.post("/jobs", status_code=201, openapi_extra=ASKED)
def create_job(service: Serving, owner: Owner, body: Annotated[JobBody, Depends(asked_body)], key: Key = None) -> Job:
    """Submit a job. The same Idempotency-Key and body again return the job that is there.

    As JSON, or multipart: the JSON in the field ``request``, and images in ``photo`` (one for each of its ``photos``,
    in order), ``panorama`` and ``mask``.
    """
    return answer(service, submit(service, body, owner, key))


@router.post("/plan")
def plan_job(service: Serving, body: JobBody) -> Cost:
    """Return what a job would take, without submitting it."""
    return cost(service, body)


@router.delete("/jobs/{job_id}", status_code=204)
def delete_job(service: Serving, job_id: Id) -> None:
    """Forget a job that has ended. What it made stays."""
    row = found(service, job_id)
    if not service.jobs.delete(job_id):
        raise ProblemError(409, "the job has not ended; cancel it first")
    if row["version"] is None:
        service.storage.settle(job_id, None)


@router.get("/jobs")
def list_jobs(
    service: Serving,
    state: Annotated[list[State], Query(max_length=5)] = [],  # noqa: B006 - FastAPI copies it
    q: Words = "",
    limit: Limit = 50,
    cursor: Cursor = None,
) -> JobPage:
    """List jobs, the newest first."""
    before = cursor_numbers(cursor, 1)
    rows = service.jobs.page(list(state), q, limit + 1, None if before is None else int(before[0]))
    more = cursor_of(rows[limit - 1]["number"]) if len(rows) > limit else None
    return JobPage(jobs=[job_answer(row) for row in rows[:limit]], cursor=more)


@router.get("/jobs/{job_id}")
def read_job(service: Serving, job_id: Id) -> Job:
    """Return a job."""
    return answer(service, found(service, job_id))


@router.post("/jobs/{job_id}/cancel")
def cancel_job(service: Serving, job_id: Id) -> Job:
    """Cancel a job: at once while it waits, within one view while it is painted."""
    row = service.jobs.cancel(job_id)
    if row is None:
        raise not_found("job")
    return answer(service, row)


@router.get("/jobs/{job_id}/events", response_class=EventSourceResponse)
async def follow_job(
    service: Serving,
    job_id: Id,
    last: Annotated[int, Header(alias="Last-Event-ID", ge=0, le=2**53)] = 0,
    after: Annotated[int, Query(ge=0, le=2**53)] = 0,
) -> AsyncIterator[ServerSentEvent]:
    """Follow a job's events: ``state``, ``progress``, ``view``. The stream ends when the job has ended."""
    await run_in_threadpool(found, service, job_id)
    seq = max(last, after)
    told = service.listeners.after(job_id, seq)
    try:
        while True:
            events = await run_in_threadpool(events_after, service.database, job_id, seq)
            for event in events:
                seq = event["seq"]
                yield ServerSentEvent(event=event["kind"], id=str(seq), data={**event["data"], "time": event["time"]})
                if event["kind"] == "state" and event["data"]["state"] not in OPEN:
                    return
            if not events:
                row = await run_in_threadpool(service.jobs.find, job_id)
                if row is None or row["state"] not in OPEN:
                    return
                await anext(told)
    finally:
        await told.aclose()


@router.get("/jobs/{job_id}/steps/{name}", response_class=Response)
def read_step(service: Serving, job_id: Id, name: Literal["base", "seams"]) -> Response:
    """Return what a job of the kind ``seams`` made before its result, as a small JPEG."""
    row = found(service, job_id)
    file = SEAMS if name == "seams" else f"{BASE}/result.png"
    return _small(service, row, file, "step")


@router.get("/jobs/{job_id}/views/{index}", response_class=Response)
def read_view(service: Serving, job_id: Id, index: int) -> Response:
    """Return a view that was painted, as a small JPEG."""
    row = found(service, job_id)
    if not 0 <= index < 10_000:
        raise not_found("view")
    return _small(service, row, f"steps/{index:03d}.png", "view")


def _small(service: Service, row: Row, name: str, what: str) -> Response:
    """Return a picture in a job's folder as a small JPEG. Raises ProblemError where there is none now."""
    if row["place"] is None:
        raise not_found(what)
    try:
        with service.storage.open(f"{row['place']}/{name}") as file:
            content = small_jpeg(file, VIEW_WIDTH)
    except FileNotFoundError:
        raise not_found(what) from None
    return Response(content, media_type="image/jpeg", headers={"Cache-Control": "no-cache"})
