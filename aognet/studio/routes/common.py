"""What routes share: paging, and answers that are files."""

import base64
import struct
from pathlib import Path
from typing import Annotated

from fastapi import Header, Query
from fastapi import Path as InPath
from fastapi.responses import FileResponse, Response

from aognet.studio.problems import ProblemError, not_found
from aognet.studio.schemas import Problem

Id = Annotated[str, InPath(pattern="^[0-9a-z]{1,32}$")]
Limit = Annotated[int, Query(ge=1, le=200)]
Cursor = Annotated[str | None, Query(max_length=100)]
Key = Annotated[str | None, Header(alias="Idempotency-Key", min_length=1, max_length=300)]
Words = Annotated[str, Query(max_length=300)]
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


def file_answer(path: Path, what: str, media_type: str | None = None, download_name: str | None = None) -> Response:
    """Return a file that never changes as the answer. Raises ProblemError where it is gone."""
    if not path.is_file():
        raise not_found(what)
    headers = {"Cache-Control": "private, max-age=31536000, immutable", "X-Content-Type-Options": "nosniff"}
    return FileResponse(path, media_type=media_type, headers=headers, filename=download_name)
