"""Images of strangers: only what a process with limits decoded and wrote anew is kept."""

import json
import subprocess
from pathlib import Path

from aognet.studio.children import command_of, environment
from aognet.studio.database import Row
from aognet.studio.ids import new_id
from aognet.studio.problems import ProblemError
from aognet.studio.reencode import LIGHT, PICTURE, PLACED
from aognet.studio.service import Service
from aognet.studio.upload_files import light_file, placed_file, shown_file

SECONDS = 120


def take_in(service: Service, content: bytes, owner: str) -> Row:
    """Keep an image. Return its row.

    :raises ProblemError: for what is no image, and for one that is too large.
    """
    limits = service.config.limits
    if len(content) > limits.upload_bytes:
        raise ProblemError(413, f"an image has at most {limits.upload_bytes} bytes")
    upload = new_id()
    with service.storage.desk() as desk:
        source, made = desk.inputs / "image", desk.inputs / "made"
        made.mkdir()
        source.write_bytes(content)
        found = _reencoded(source, made, limits.upload_pixels)
        is_light, area = found.pop("is_light"), found.pop("area")
        for name, file in ((PICTURE, shown_file(upload)), (LIGHT, light_file(upload)), (PLACED, placed_file(upload))):
            if (made / name).is_file():
                service.storage.put(made / name, f"uploads/{file}")
    values = {"id": upload, "owner": owner, "file": shown_file(upload), **found}
    return service.records.add_upload(values, is_light, area)


def _reencoded(source: Path, folder: Path, pixels: int) -> dict:
    command = command_of("aognet.studio.reencode", str(source), str(folder), str(pixels))
    try:
        ran = subprocess.run(command, capture_output=True, timeout=SECONDS, env=environment())
    except subprocess.TimeoutExpired:
        raise ProblemError(415, "the image takes too long to decode") from None
    try:
        found = json.loads(ran.stdout)
    except ValueError:
        raise ProblemError(415, "the image cannot be decoded within its limits") from None
    if "error" in found:
        raise ProblemError(415, found["error"])
    return found
