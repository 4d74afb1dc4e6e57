"""Text and JSON of files that someone else wrote: bounded, UTF-8, and one line for whatever is wrong."""

import json
from pathlib import Path
from typing import Any

from aognet.errors import UserError, first_line
from aognet.io.files import is_file

MAX_JSON_BYTES = 2**20


def read_text(path: Path, what: str, max_bytes: int) -> str:
    """Return the text of a file, without a byte order mark. ``what`` says in messages what the file
    should be, such as "table".

    :raises UserError: naming the file, if it is missing, has more than ``max_bytes``, cannot be read or is not UTF-8.
    """
    if not is_file(path):
        raise UserError(f"{path}: no such {what}")
    try:
        size = path.stat().st_size
        if size > max_bytes:
            raise UserError(f"{path}: a {what} may not be larger than {max_bytes} bytes, this has {size}")
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: a {what} must be UTF-8 text, byte {error.start} is not") from error
    except OSError as error:
        raise UserError(f"{path}: this {what} cannot be read ({error.strerror})") from error


def read_json(path: Path, what: str = "file", max_bytes: int = MAX_JSON_BYTES) -> dict[str, Any]:
    """Return the object of a JSON file.

    :raises UserError: as `read_text`, and naming the file if it is not JSON, or JSON of something else.
    """
    try:
        found = json.loads(read_text(path, what, max_bytes))
    except (ValueError, RecursionError) as error:
        if isinstance(error, UserError):
            raise
        raise UserError(f"{path}: not JSON ({first_line(error)})") from error
    if not isinstance(found, dict):
        raise UserError(f"{path}: expected an object, got {type(found).__name__}")
    return found
