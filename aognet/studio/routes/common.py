"""What routes share: paging, and answers that are files."""

import base64
import io
import mimetypes
import struct
from collections.abc import Iterator
from typing import Annotated

from fastapi import Header, Query
from fastapi import Path as InPath
from fastapi.responses import FileResponse, Response, StreamingResponse

from aognet.studio.problems import ProblemError, not_found
from aognet.studio.schemas import Problem
from aognet.studio.service import Service
from aognet.studio.storage import BinaryFile

Id = Annotated[str, InPath(pattern="^[0-9a-z]{1,32}$")]
Limit = Annotated[int, Query(ge=1, le=200)]
Cursor = Annotated[str | None, Query(max_length=100)]
Key = Annotated[str | None, Header(alias="Idempotency-Key", min_length=1, max_length=300)]
Words = Annotated[str, Query(max_length=300)]
CHUNK = 2**18
PROBLEMS: dict[int | str, dict] = {"4XX": {"model": Problem, "description": "A problem (RFC 9457)"}}


def cursor_numbers(cursor: str | None, count: int) -> tuple[float, ...] | None:
    """Read what `cursor_of` returned. Raises ProblemError for anything else."""
    if cursor is None:
        return None
    try:
        return struct.unpack(f"<{count}d", base64.b32decode(cursor, casefold=True))
    except (ValueError, struct.error):
        raise ProblemError(422, "is not one that this list gave", "cursor") from None


def cursor_of(*numbers: float | int) -> str:
    """Return where the next page of a list begins."""
    return base64.b32encode(struct.pack(f"<{len(numbers)}d", *numbers)).decode()


def file_answer(
    service: Service, place: str, what: str, media_type: str | None = None, download_name: str | None = None
) -> Response:
    """Return a file of the storage that never changes as the answer. Raises ProblemError where it is gone."""
    headers = {"Cache-Control": "private, max-age=31536000, immutable", "X-Content-Type-Options": "nosniff"}
    path = service.storage.here(place)
    if path is not None:
        if not path.is_file():
            raise not_found(what)
        return FileResponse(path, media_type=media_type, headers=headers, filename=download_name)
    try:
        file = service.storage.open(place)
    except FileNotFoundError:
        raise not_found(what) from None
    headers["Content-Length"] = str(file.seek(0, io.SEEK_END))
    file.seek(0)
    if download_name is not None:  # one of ours, in plain letters
        headers["Content-Disposition"] = f'attachment; filename="{download_name}"'
    found = media_type or mimetypes.guess_type(place)[0] or "application/octet-stream"
    return StreamingResponse(_chunks(file), media_type=found, headers=headers)


def _chunks(file: BinaryFile) -> Iterator[bytes]:
    with file:
        while chunk := file.read(CHUNK):
            yield chunk
