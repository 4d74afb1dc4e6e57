"""Rows of the tables as answers of the API."""

from collections.abc import Mapping
from typing import Any

from aognet.studio.database import Row
from aognet.studio.schemas import Area, Job, PanoramaDocument, Progress, Upload, Version

API = "/api/v1"


def upload_answer(row: Row) -> Upload:
    """Return an upload as the API tells it."""
    told = {key: row[key] for key in ("id", "width", "height", "exif_fov", "is_panorama")}
    area = None if row["area"] is None else Area(**row["area"])
    return Upload(**told, is_light=bool(row["is_light"]), area=area, url=f"{API}/uploads/{row['id']}/image")


def job_answer(row: Row, waiting: int | None = None) -> Job:
    """Return a job as the API tells it. ``waiting``: how many are before it."""
    same = ("id", "kind", "state", "title", "model", "created", "started", "ended", "error", "attempts", "body")
    body: Mapping[str, Any] = row["body"]
    return Job(
        **{key: row[key] for key in same},
        prompt=body.get("prompt", ""),
        seed=body.get("seed", 0),
        progress=Progress(stage=row["stage"], done=row["done"], total=row["total"]),
        panorama_id=row["panorama"],
        parent_id=row["parent"],
        version_id=row["version"],
        waiting=waiting if row["state"] == "queued" else None,
    )


def version_answer(row: Row) -> Version:
    """Return a version as the API tells it."""
    return Version(
        id=row["id"],
        panorama_id=row["panorama"],
        parent_id=row["parent"],
        job_id=row["job"],
        created=row["created"],
        about=row["about"],
        files={name: f"{API}/versions/{row['id']}/files/{name}" for name in row["files"]},
    )


def panorama_answer(row: Row, head: Row | None) -> PanoramaDocument:
    """Return a panorama as the API tells it."""
    same = ("id", "title", "favourite", "created", "updated")
    return PanoramaDocument(
        **{key: row[key] for key in same},
        head=None if head is None else version_answer(head),
        can_undo=head is not None and head["parent"] is not None,
        can_redo=bool(row["undone"]),
    )
