"""The request of a job: what it asks for, with the files of its uploads and of the versions that it starts from."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from aognet.errors import UserError
from aognet.generate.view_journal import open_journal
from aognet.geometry.strokes import BrushStroke, stroke_mask
from aognet.io.images import save_image
from aognet.request import DirectedPrompt, Photo, Request
from aognet.studio.database import Row
from aognet.studio.records import Records
from aognet.studio.schemas import MAX_POINTS, JobBody, PhotoAt
from aognet.studio.storage import Desk
from aognet.studio.upload_files import painted_file

if TYPE_CHECKING:
    from aognet.generate.generator import Generator

MASK_HEIGHT = 1024
NAME = "panorama"
"""Of all panoramas: the noise depends on it, and equal jobs paint equal pixels."""


def request_of(body: JobBody, job: str, parent: Row | None, desk: Desk, records: Records) -> Request:
    """Return the request of a job. ``parent``: the version that it starts from.

    :raises UserError: for what cannot be asked for.
    """
    if body.kind == "fork":
        return _forked(body, _given(parent, body), desk)
    common = _common(body)
    if body.kind == "repaint":
        version = _given(parent, body)
        mask = mask_file(body, job, version["about"]["height"], desk, records)
        height = body.height or version["about"]["height"]
        return replace(common, panorama=str(version_result(version, desk)), mask=str(mask), height=height)
    if body.panorama is not None:
        upload = upload_row(body.panorama.upload, records)
        mask = None if body.mask is None else str(mask_file(body, job, _mask_rows(upload), desk, records))
        return replace(common, panorama=str(desk.upload(painted_file(upload))), mask=mask)
    if body.mask is not None or body.at is not None:
        said = "is of a panorama, and there is none"
        raise UserError(said, key="mask" if body.at is None else "at")
    uploads = [upload_row(one.upload, records) for one in body.photos]
    parts = [one for one, row in zip(body.photos, uploads, strict=True) if row["area"] is not None and one.fov is None]
    if parts:
        if len(body.photos) > 1 or (parts[0].yaw, parts[0].pitch, parts[0].roll) != (0.0, 0.0, 0.0):
            said = "is a part of a panorama, placed by its own metadata and alone; as a photograph it needs a fov"
            raise UserError(said, key="photos", value=parts[0].upload)
        return replace(common, panorama=str(desk.upload(painted_file(uploads[0]))))
    return replace(common, photos=[_photo(*one, desk) for one in zip(body.photos, uploads, strict=True)])


def _given(parent: Row | None, body: JobBody) -> Row:
    if parent is None:
        raise UserError(f"is needed to {body.kind}", key="version_id", value=body.version_id)
    return parent


def _forked(body: JobBody, parent: Row, desk: Desk) -> Request:
    """Return the request of a version's run, with other words."""
    earlier = open_journal(desk.journal(parent["place"])).asked.request
    request = desk.brought(earlier, parent["place"])
    common = _common(body)
    return replace(request, prompt=common.prompt, negative=common.negative, prompts_at=common.prompts_at)


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


def _photo(one: PhotoAt, row: Row, desk: Desk) -> Photo:
    fov = one.fov or row["exif_fov"] or 90.0
    file = painted_file(row) if row["is_light"] else row["file"]
    return Photo(yaw=one.yaw, pitch=one.pitch, roll=one.roll, fov=fov, image=str(desk.upload(file)))


def _mask_rows(upload: Row) -> int:
    """Return for how many rows strokes are drawn on a panorama. A mask as large as a part would be of its pixels, not
    of the sphere.
    """
    if upload["area"] is None:
        return upload["height"]
    rows = min(round(upload["height"] / upload["area"]["height"]), MASK_HEIGHT)
    return rows - (rows == upload["height"])


def upload_row(upload: str, records: Records) -> Row:
    """Return an upload's row. Raises UserError where there is none."""
    row = records.upload(upload)
    if row is None:
        raise UserError("names no upload", key="upload", value=upload)
    return row


def upload_path(upload: str, desk: Desk, records: Records) -> Path:
    """Return the path of an upload's image. Raises UserError where there is none."""
    return desk.upload(upload_row(upload, records)["file"])


def version_result(version: Row, desk: Desk) -> Path:
    """Return the path of a version's panorama: light where it is light."""
    name = "result.exr" if version["about"]["encoding"] == "linear" else "result.png"
    return desk.path(f"{version['place']}/{name}")


def mask_file(body: JobBody, job: str, height: int, desk: Desk, records: Records) -> Path:
    """Return the path of the mask of a job, white where it paints; strokes and caps are drawn for ``height`` rows.

    :raises UserError: where a job does not say exactly once what is to be painted.
    """
    mask, key = body.mask, "mask" if body.mask is not None else "at"
    ways = [body.at, *([] if mask is None else [mask.strokes, mask.upload])]
    if len([way for way in ways if way is not None]) != 1:
        raise UserError("must be given once: a direction, strokes or an upload", key=key)
    if mask is not None and mask.upload is not None:
        return desk.upload(upload_row(mask.upload, records)["file"])
    if body.at is not None:
        strokes = [BrushStroke(body.at.radius_degrees, [(body.at.yaw, body.at.pitch)])]
    else:
        drawn = (mask.strokes if mask is not None else None) or []
        if sum(len(one.points) for one in drawn) > MAX_POINTS:
            raise UserError(f"has more than {MAX_POINTS} points", key="mask.strokes")
        strokes = [BrushStroke(one.radius_degrees, one.points, one.erase) for one in drawn]
    painted = stroke_mask(strokes, min(height, MASK_HEIGHT))
    picture = painted.float().mul(2).sub(1).expand(3, -1, -1)
    return desk.drawn(job, "mask.png", lambda path: save_image(picture, path))


def resolved(generator: "Generator", request: Request) -> Request:
    """Return the complete request for a model. Raises UserError for what it does not take."""
    for key in ("prompts_at", "depth", "controls", "label"):
        if getattr(request, key) and key not in generator.method.takes:
            raise UserError(f"is not for the method {generator.method.name}", key=key)
    return generator.resolved(request)
