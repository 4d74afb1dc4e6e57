"""Images that jobs start from."""

from typing import Annotated

from fastapi import APIRouter, File
from fastapi.responses import Response

from aognet.studio.answers import upload_answer
from aognet.studio.problems import not_found
from aognet.studio.routes.common import PROBLEMS, Id, file_answer
from aognet.studio.schemas import Upload
from aognet.studio.service import Owner, Serving
from aognet.studio.uploads import take_in

router = APIRouter(tags=["uploads"], responses=PROBLEMS)


@router.post("/uploads", status_code=201)
def upload_image(service: Serving, owner: Owner, file: Annotated[bytes, File()]) -> Upload:
    """Take in an image: a photograph, a panorama or a mask. It is decoded and written anew."""
    return upload_answer(take_in(service, file, owner))


@router.get("/uploads/{upload_id}/image", response_class=Response)
def read_upload(service: Serving, upload_id: Id) -> Response:
    """Return an upload's image as PNG."""
    row = service.records.upload(upload_id)
    if row is None:
        raise not_found("upload")
    return file_answer(service, f"uploads/{row['file']}", "upload", "image/png")
