"""Panoramas and their versions."""

from typing import Annotated

from fastapi import APIRouter
from fastapi import Path as InPath
from fastapi.responses import JSONResponse, Response

from aognet.generate.run_files import JOURNAL
from aognet.studio.answers import job_answer, panorama_answer, version_answer
from aognet.studio.database import Row
from aognet.studio.problems import ProblemError, not_found
from aognet.studio.routes.common import PROBLEMS, Cursor, Id, Key, Limit, Words, cursor_numbers, cursor_of, file_answer
from aognet.studio.schemas import (
    Change,
    ForkBody,
    Job,
    JobBody,
    PanoramaDocument,
    PanoramaPage,
    RepaintBody,
    StyleBody,
    Version,
    VersionList,
)
from aognet.studio.service import Owner, Service, Serving
from aognet.studio.storage import FILES, shared_run
from aognet.studio.submitting import submit

router = APIRouter(tags=["panoramas"], responses=PROBLEMS)


def found(service: Service, panorama_id: str) -> Row:
    """Return a panorama's row. Raises ProblemError where there is none."""
    row = service.records.panorama(panorama_id)
    if row is None:
        raise not_found("panorama")
    return row


def answer(service: Service, row: Row) -> PanoramaDocument:
    """Return a panorama as the API tells it."""
    return panorama_answer(row, service.records.version(row["head"]) if row["head"] else None)


@router.get("/panoramas")
def list_panoramas(
    service: Serving, q: Words = "", favourite: bool | None = None, limit: Limit = 50, cursor: Cursor = None
) -> PanoramaPage:
    """List panoramas, the most recently changed first."""
    before = cursor_numbers(cursor, 2)
    place = None if before is None else (before[0], int(before[1]))
    rows = service.records.panoramas(q, favourite, limit + 1, place)
    heads = service.records.versions_of([row["head"] for row in rows[:limit]])
    more = cursor_of(rows[limit - 1]["updated"], rows[limit - 1]["number"]) if len(rows) > limit else None
    return PanoramaPage(panoramas=[panorama_answer(row, heads.get(row["head"])) for row in rows[:limit]], cursor=more)


@router.get("/panoramas/{panorama_id}")
def read_panorama(service: Serving, panorama_id: Id) -> PanoramaDocument:
    """Return a panorama."""
    return answer(service, found(service, panorama_id))


@router.patch("/panoramas/{panorama_id}")
def change_panorama(service: Serving, panorama_id: Id, change: Change) -> PanoramaDocument:
    """Change a panorama's title, or whether it is a favourite."""
    found(service, panorama_id)
    service.records.change_panorama(panorama_id, change.model_dump(exclude_none=True))
    return answer(service, found(service, panorama_id))


@router.get("/panoramas/{panorama_id}/versions")
def list_versions(service: Serving, panorama_id: Id) -> VersionList:
    """List the versions of a panorama, the oldest first."""
    found(service, panorama_id)
    return VersionList(versions=[version_answer(row) for row in service.records.versions(panorama_id)])


@router.post("/panoramas/{panorama_id}/undo")
def undo(service: Serving, panorama_id: Id) -> PanoramaDocument:
    """Go back to the version that the head was made of."""
    return _moved(service, panorama_id, True)


@router.post("/panoramas/{panorama_id}/redo")
def redo(service: Serving, panorama_id: Id) -> PanoramaDocument:
    """Go forward to the version that was undone last."""
    return _moved(service, panorama_id, False)


def _moved(service: Service, panorama_id: str, back: bool) -> PanoramaDocument:
    found(service, panorama_id)
    if not service.records.move_head(panorama_id, back):
        raise ProblemError(409, f"there is nothing to {'undo' if back else 'redo'}")
    return answer(service, found(service, panorama_id))


@router.post("/panoramas/{panorama_id}/repaint", status_code=201)
def repaint(service: Serving, owner: Owner, panorama_id: Id, body: RepaintBody, key: Key = None) -> Job:
    """Submit a job that paints a part of a version anew: a direction or a mask, with words."""
    found(service, panorama_id)
    asked = JobBody(kind="repaint", panorama_id=panorama_id, **body.model_dump())
    return job_answer(submit(service, asked, owner, key))


@router.post("/panoramas/{panorama_id}/fork", status_code=201)
def fork(service: Serving, owner: Owner, panorama_id: Id, body: ForkBody, key: Key = None) -> Job:
    """Submit a job that goes on from a view of a version with other words. Its panorama is the same document."""
    found(service, panorama_id)
    asked = JobBody(kind="fork", panorama_id=panorama_id, **body.model_dump())
    return job_answer(submit(service, asked, owner, key))


@router.post("/panoramas/{panorama_id}/style", status_code=201)
def style(service: Serving, owner: Owner, panorama_id: Id, body: StyleBody, key: Key = None) -> Job:
    """Submit a job that gives a version the colours of a photograph."""
    found(service, panorama_id)
    asked = JobBody(kind="style", panorama_id=panorama_id, **body.model_dump())
    return job_answer(submit(service, asked, owner, key))


@router.delete("/panoramas/{panorama_id}", status_code=204)
def delete_panorama(service: Serving, panorama_id: Id) -> None:
    """Delete a panorama with all versions and jobs. Its jobs must have ended."""
    found(service, panorama_id)
    jobs = service.records.delete_panorama(panorama_id)
    if jobs is None:
        raise ProblemError(409, "a job of this panorama has not ended; cancel it first")
    for job in jobs:
        service.storage.settle(job, None)


@router.get("/versions/{version_id}")
def read_version(service: Serving, version_id: Id) -> Version:
    """Return a version."""
    return version_answer(_version(service, version_id))


@router.get("/versions/{version_id}/files/{name}", response_class=Response)
def read_version_file(
    service: Serving, version_id: Id, name: Annotated[str, InPath(max_length=100)], download: bool = False
) -> Response:
    """Return a file of a version: result.png, thumbnail.jpg, viewer.html, ..."""
    row = _version(service, version_id)
    if name not in FILES or name not in row["files"]:
        raise not_found("file")
    place = f"{row['place']}/{name}"
    if name == JOURNAL:
        with service.storage.desk() as desk:
            return JSONResponse(shared_run(desk.path(place)))
    return file_answer(service, place, "file", download_name=name if download else None)


def _version(service: Service, version_id: str) -> Row:
    row = service.records.version(version_id)
    if row is None:
        raise not_found("version")
    return row
