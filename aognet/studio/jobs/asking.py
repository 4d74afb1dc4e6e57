"""The request of a job: what it asks for, with the files of its uploads and of the versions that it starts from."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aognet.errors import UserError
from aognet.request import DirectedPrompt, Photo, Request
from aognet.studio.folders import Folders
from aognet.studio.records import Records, Row
from aognet.studio.schemas import JobBody

if TYPE_CHECKING:
    from aognet.generate.generator import Generator

NAME = "panorama"
"""Of all panoramas: the noise depends on it, and equal jobs paint equal pixels."""


def request_of(body: JobBody, job: str, parent: Row | None, folders: Folders, records: Records) -> Request:
    """Return the request of a job. ``parent``: the version that it starts from.

    :raises UserError: for what cannot be asked for.
    """
    common = _common(body)
    if body.kind == "repaint":
        if parent is None:
            raise UserError("names no version to repaint", key="version_id", value=body.version_id)
        panorama = version_result(parent, folders)
        return replace(common, panorama=str(panorama), mask=str(_mask(body, job, folders, records)))
    if body.panorama is not None:
        mask = None if body.mask is None else str(_mask(body, job, folders, records))
        return replace(common, panorama=str(upload_path(body.panorama.upload, folders, records)), mask=mask)
    return replace(common, photos=[_photo(one, folders, records) for one in body.photos])


def _common(body: JobBody) -> Request:
    return Request(
        prompt=body.prompt,
        negative=body.negative,
        prompts_at=[DirectedPrompt(one.yaw, one.pitch, one.text) for one in body.prompts_at],
        seed=body.seed,
        height=body.height,
        settings=dict(body.settings),
        name=NAME,
    )


def _photo(one: Any, folders: Folders, records: Records) -> Photo:
    row = upload_row(one.upload, records)
    fov = one.fov or row["exif_fov"] or 90.0
    return Photo(yaw=one.yaw, pitch=one.pitch, roll=one.roll, fov=fov, image=str(folders.upload(row["file"])))


def upload_row(upload: str, records: Records) -> Row:
    """Return an upload's row. Raises UserError where there is none."""
    row = records.upload(upload)
    if row is None:
        raise UserError("names no upload", key="upload", value=upload)
    return row


def upload_path(upload: str, folders: Folders, records: Records) -> Path:
    """Return the path of an upload's image. Raises UserError where there is none."""
    return folders.upload(upload_row(upload, records)["file"])


def version_result(version: Row, folders: Folders) -> Path:
    """Return the path of a version's panorama: light where it is light."""
    name = "result.exr" if version["about"]["encoding"] == "linear" else "result.png"
    return folders.path(version["place"]) / name


def _mask(body: JobBody, job: str, folders: Folders, records: Records) -> Path:
    raise UserError("is not known yet", key="mask")


def resolved(generator: "Generator", request: Request) -> Request:
    """Return the complete request for a model. Raises UserError for what it does not take."""
    for key in ("prompts_at", "depth", "controls", "label"):
        if getattr(request, key) and key not in generator.method.takes:
            raise UserError(f"is not for the method {generator.method.name}", key=key)
    return generator.resolved(request)
