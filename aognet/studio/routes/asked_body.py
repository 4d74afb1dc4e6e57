"""A job as JSON, or as a form with its images."""

import json
from typing import Any

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import FormData, UploadFile

from aognet.studio.problems import ProblemError
from aognet.studio.schemas import JobBody
from aognet.studio.service import Service, owner_of, service_of
from aognet.studio.uploads import take_in

MAX_FIELDS = 4
_IMAGE = {"type": "string", "contentMediaType": "application/octet-stream"}
ASKED: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {"schema": {"$ref": "#/components/schemas/JobBody"}},
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["request"],
                    "properties": {
                        "request": {"type": "string", "description": "The JSON of the job"},
                        "photo": {"type": "array", "items": _IMAGE},
                        "panorama": _IMAGE,
                        "mask": _IMAGE,
                    },
                }
            },
        },
    }
}


async def asked_body(request: Request) -> JobBody:
    """Return what a request asks for. Images of a form become uploads.

    :raises RequestValidationError: naming the field that is wrong.
    """
    if request.headers.get("content-type", "").startswith("multipart/form-data"):
        service, owner = service_of(request), owner_of(request)
        async with request.form(max_files=service.config.limits.photos + 2, max_fields=MAX_FIELDS) as form:
            values = await run_in_threadpool(_of_form, service, owner, form)
    else:
        values = _json(await request.body())
    try:
        return JobBody.model_validate(values)
    except ValidationError as error:
        raise RequestValidationError([{**one, "loc": ("body", *one["loc"])} for one in error.errors()]) from error


def _json(text: bytes | str) -> Any:
    try:
        values = json.loads(text)
    except (ValueError, RecursionError):
        raise ProblemError(422, "must be JSON") from None
    if not isinstance(values, dict):
        raise ProblemError(422, "must be an object")
    return values


def _of_form(service: Service, owner: str, form: FormData) -> Any:
    text = form.get("request")
    values = _json(text if isinstance(text, str) else "")
    photos = [one for one in form.getlist("photo") if isinstance(one, UploadFile)]
    poses = values.get("photos") or []
    if photos:
        if not isinstance(poses, list) or not all(isinstance(pose, dict) for pose in poses) or len(poses) > len(photos):
            raise ProblemError(422, "must be a list with at most one pose for each photo", "photos")
        poses = [*poses, *({} for _ in photos[len(poses) :])]
        values["photos"] = [
            {**pose, "upload": _taken(service, owner, photo)} for pose, photo in zip(poses, photos, strict=True)
        ]
    for name in ("panorama", "mask"):
        image = form.get(name)
        if isinstance(image, UploadFile):
            values[name] = {"upload": _taken(service, owner, image)}
    return values


def _taken(service: Service, owner: str, image: UploadFile) -> str:
    return take_in(service, image.file.read(), owner)["id"]
